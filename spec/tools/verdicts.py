"""What became of mutants, and what of that is not as it should be. Pure.

Owns the rule: a mutant is killed or has a reason, and a reason is about a mutant that lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from pyrepl3.conformance.tlc import Outcome
from spec.tools.mutants import Mutant
from spec.tools.tables import table


@attrs.frozen
class Killed:
    """TLC found a counterexample."""

    model: str
    outcome: Outcome
    """An evaluation error kills too: the spec keeps its functions within their domains."""
    violated: str | None

    def __str__(self) -> str:
        return f"killed by {self.by} in {self.model}"

    @property
    def by(self) -> str:
        return self.violated or str(self.outcome)


@attrs.frozen
class Undecided:
    """TLC came to no end, or could not read the mutant."""

    model: str
    outcome: Outcome
    message: str

    def __str__(self) -> str:
        return f"undecided: {self.outcome} in {self.model}: {' '.join(self.message.split())[:200]}"


Verdict = Killed | Undecided | None
"""None: it lives."""


@attrs.frozen
class Report:
    """All about the mutants of one spec that were tried."""

    spec: str
    mutants: Sequence[Mutant]
    verdicts: Mapping[str, Verdict]
    reasons: Mapping[str, str]
    stale: Sequence[str]
    """Reasons about mutants that there are not."""

    @property
    def complaints(self) -> list[str]:
        return [
            *(f"{name}: there is no such mutant any more: drop its reason" for name in self.stale),
            *(told for mutant in self.mutants if (told := self._complaint(mutant)) is not None),
        ]

    def count(self, kind: type[Killed] | type[Undecided] | None) -> int:
        return sum(
            1
            for v in self.verdicts.values()
            if (v is None if kind is None else isinstance(v, kind))
        )

    def as_text(self) -> str:
        """A table of the actions, then all that is wrong."""
        heads = ("definition", "mutants", "killed", "equivalent", "wrong")
        rows = [
            (
                definition,
                len(of),
                sum(1 for m in of if isinstance(self.verdicts[m.name], Killed)),
                sum(1 for m in of if m.name in self.reasons),
                sum(1 for m in of if self._complaint(m) is not None),
            )
            for definition, of in self.by_definition()
        ]
        killed, lives = self.count(Killed), self.count(None)
        summary = (
            f"{self.spec}: {len(self.mutants)} mutants: {killed} killed, {lives} live, "
            f"{self.count(Undecided)} undecided; {len(self.complaints)} complaints"
        )
        return "\n".join([table(heads, rows), *self.complaints, summary])

    def by_definition(self) -> Iterator[tuple[str, list[Mutant]]]:
        """The mutants of each definition, in the order of the spec."""
        for name in dict.fromkeys(mutant.definition for mutant in self.mutants):
            yield name, [mutant for mutant in self.mutants if mutant.definition == name]

    def _complaint(self, mutant: Mutant) -> str | None:
        verdict = self.verdicts[mutant.name]
        if isinstance(verdict, Killed):
            if mutant.name in self.reasons:
                return f"{mutant.name}: {verdict}, so the reason why it cannot be is wrong"
            return None
        unreadable = isinstance(verdict, Undecided) and verdict.outcome is Outcome.ERROR
        if mutant.name in self.reasons and not unreadable:
            return None
        return f"{mutant.name}: {verdict or 'lives, and no reason says why that is right'}"


def stale_reasons(spec: str, every: Sequence[Mutant], reasons: Mapping[str, str]) -> list[str]:
    """The reasons about mutants of this spec that do not exist."""
    names = {mutant.name for mutant in every}
    return [name for name in reasons if name.startswith(f"{spec}/") and name not in names]
