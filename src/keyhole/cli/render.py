"""Progress on stderr, results on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

Progress = Callable[[str, float], None]


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A function that shows how far a stage is: a bar on a terminal, a line per step elsewhere (stderr)."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.fields[stage]:<8}"),
            BarColumn(24),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=1.0, stage=title)
            yield lambda sentence, share: bar.update(task, description=sentence, completed=share)
    else:
        yield _lines(title)


def _lines(title: str) -> Progress:
    """One line whenever the step changes and at least half a second has passed."""
    last, at = "", time.monotonic()

    def show(sentence: str, share: float) -> None:
        nonlocal last, at
        now = time.monotonic()
        if sentence != last and now - at >= 0.5:
            click.echo(f"{title}: {sentence} ({100 * share:.0f} %)", err=True)
            last, at = sentence, now

    return show


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`rows` under `header` in aligned columns; the first column left, the others as they come."""
    widths = [max(len(str(row[n])) for row in (header, *rows)) for n in range(len(header))]
    lines = [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
    ]
    return "\n".join(line.rstrip() for line in (lines[0], "  ".join("-" * width for width in widths), *lines[1:]))


def number(value: float | None, sd: float | None = None, digits: int = 1) -> str:
    """`value ± sd`, or a dash where there is no value."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if sd is None else f"{value:.{digits}f} ± {sd:.{digits}f}"


def caveats(found: Sequence[str], most: int = 8) -> None:
    """Print caveats, each once, the first `most` of them, and say how many more the files hold."""
    unique = list(dict.fromkeys(found))
    for caveat in unique[:most]:
        click.echo(f"  ! {caveat}")
    if len(unique) > most:
        click.echo(f"  ! and {len(unique) - most} more in the files and the report")
