"""From labels and images to an anatomy: parts, frames, roots, checks; and phantoms with a known truth."""

__all__: list[str] = []
