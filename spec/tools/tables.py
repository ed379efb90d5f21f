"""Tables in text, and parts of pages that are written by a tool. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for a terminal: the first column to the left, numbers to the right."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *texts, strict=True)]
    columns = list(zip(*texts, strict=True)) or [()] * len(heads)
    numeric = [any(text.replace(",", "").isdigit() for text in column) for column in columns]
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in (list(heads), ["-" * width for width in widths], *texts)
    ]
    return "\n".join(lines)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The same for a page."""
    lines = [heads, ["---"] * len(heads), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines
    )


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


class MarkersMissing(Exception):
    """A page does not have the two lines between which a tool writes."""


def between_markers(page: str, name: str, content: str) -> str:
    """The page, with ``content`` between ``<!-- name -->`` and ``<!-- end of name -->``."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise MarkersMissing(f"{start} ... {end}")
    return f"{before}{start}\n{content.strip()}\n{end}{after}"
