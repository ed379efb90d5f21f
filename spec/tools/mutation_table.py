"""The table of mutants in ``spec/README.md``: what would be noticed, and by what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from spec.tools.tables import between_markers, markdown_table
from spec.tools.verdicts import Killed, Report

MARKERS = "mutants"


def write_tables(path: Path, reports: Sequence[Report]) -> None:
    """Write the part of each report into the page, and leave those of other specs there."""
    page = path.read_text()
    for report in reports:
        own = f"{MARKERS} of {report.spec}"
        if f"<!-- {own} -->" not in page:
            closing = f"<!-- end of {MARKERS} -->"
            page = page.replace(closing, f"\n<!-- {own} -->\n<!-- end of {own} -->\n{closing}")
        page = between_markers(page, own, as_markdown(report))
    path.write_text(page)


def as_markdown(report: Report) -> str:
    """A heading, the totals, a row a definition, and the reasons."""
    heads = ("definition", "left out", "killed by", "equivalent")
    rows = []
    for definition, of in report.by_definition():
        verdicts = [report.verdicts[mutant.name] for mutant in of]
        kinds = Counter(mutant.kind.value for mutant in of)
        by = Counter(f"`{verdict.by}`" for verdict in verdicts if isinstance(verdict, Killed))
        alive = sum(1 for mutant in of if mutant.name in report.reasons)
        rows.append((f"`{definition}`", _told(kinds), _told(by), alive or ""))
    totals = f"{len(report.mutants)} mutants, {report.count(Killed)} killed."
    reasons = "\n".join(_reasons(report))
    parts = [f"**{report.spec}**: {totals}", markdown_table(heads, rows), reasons]
    return "\n\n".join(part for part in parts if part)


def _reasons(report: Report) -> Iterator[str]:
    for mutant in report.mutants:
        if mutant.name in report.reasons:
            name = mutant.name.partition("/")[2]
            yield f"- `{name}`: {report.reasons[mutant.name]}"


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
