"""What published numbers rest on."""

from keyhole.evidence.source import Source, source, sources

__all__ = ["Source", "source", "sources"]
