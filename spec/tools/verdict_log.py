"""Verdicts on mutants that are kept in a file: a run of hours that was cut off is gone on with.

Owns the file, a verdict a line. A verdict counts for as long as the mutant and the models that it
was tried on are, word for word, what they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from pyrepl3.conformance.tlc import Outcome
from spec.tools.models import Model, Models
from spec.tools.mutants import Mutant
from spec.tools.verdicts import Killed, Undecided, Verdict


@attrs.define
class VerdictLog:
    """The verdicts in ``path`` on the mutants of one spec."""

    path: Path
    _models: str
    """Of all that is tried with each mutant, a digest."""
    _known: dict[str, Verdict] = attrs.field(factory=dict)

    @classmethod
    def open(cls, path: Path, models: Models, used: Sequence[Model]) -> VerdictLog:
        """What is known by now. Raises OSError."""
        texts = [part.read_text() for model in used for part in parts_of(models, model)]
        log = cls(path, _digest(*texts))
        if path.exists():
            for line in map(_line, path.read_text().splitlines()):
                if line:
                    log._known[line["mutant"]] = _read(line["verdict"])
        return log

    def find(self, mutant: Mutant) -> tuple[Verdict] | None:
        """The verdict on it, in a tuple, as None is one; None where it was never tried."""
        key = self._key(mutant)
        return (self._known[key],) if key in self._known else None

    def note(self, mutant: Mutant, verdict: Verdict) -> None:
        """A verdict that was just come to; undecided ones are tried again."""
        if isinstance(verdict, Undecided):
            return
        told = None if verdict is None else attrs.asdict(verdict)
        line = {"mutant": self._key(mutant), "name": mutant.name, "verdict": told}
        with self.path.open("a") as file:
            # Behind a line that was cut off with the run that wrote it, too.
            file.write("\n" + json.dumps(line) + "\n")

    def _key(self, mutant: Mutant) -> str:
        return _digest(self._models, mutant.name, mutant.module)


def parts_of(models: Models, model: Model) -> list[Path]:
    """The files of a model besides its spec."""
    config = models.config(model)
    module = config.with_suffix(".tla")
    return [config, module] if module.exists() else [config]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _line(text: str) -> dict[str, Any]:
    try:
        line: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return line


def _read(told: dict[str, Any] | None) -> Verdict:
    if told is None:
        return None
    return Killed(told["model"], Outcome(told["outcome"]), told["violated"])
