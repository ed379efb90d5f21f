"""What a storm of cuts is held to: what was run, what was told of it, and what does not fit.

Pure. Must not know clients, connections, nor clocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Literal

import attrs

Ending = Literal["value", "exception", "input"]
ENDINGS: tuple[Ending, ...] = ("value", "value", "value", "exception", "input")
LONGEST_PAUSE_S = 0.02
"""Between two lines. With the most lines, an execution takes a second or two."""

CODE = """
import time
with open({ran!r}, "a") as file:
    file.write("{name}\\n")
count = globals().get("count", 0) + 1
for line in range({lines}):
    print("{name}", line)
    time.sleep({pause_s})
{ending}
"""
LAST_LINES: dict[Ending, str] = {
    "value": "count",
    "exception": "raise ValueError(count)",
    "input": "print(input('{name}?'))\ncount",
}


@attrs.frozen
class Piece:
    """One execution of a storm."""

    name: str
    """Of this one alone, in all of the storm."""
    session: str
    lines: int
    pause_s: float
    ending: Ending

    def code(self, ran: str) -> str:
        """It says in the file ``ran`` that it runs, counts itself, prints, and ends."""
        ending = LAST_LINES[self.ending].format(name=self.name)
        return CODE.format(
            ran=ran, name=self.name, lines=self.lines, pause_s=self.pause_s, ending=ending
        )

    def answer(self, prompt: str) -> str:
        """What its `input()` gets."""
        return f"answer to {prompt}"

    @property
    def prints(self) -> str:
        """All that it prints."""
        printed = "".join(f"{self.name} {line}\n" for line in range(self.lines))
        return printed + (f"answer to {self.name}?\n" if self.ending == "input" else "")


def random_piece(random: Random, name: str, session: str) -> Piece:
    """Some are over at once, some print for a while."""
    pause_s = random.choice((0, 0, 0.001, random.uniform(0, LONGEST_PAUSE_S)))
    return Piece(name, session, random.randrange(120), pause_s, random.choice(ENDINGS))


@attrs.define
class Books:
    """Of one storm. A fault is a line for people."""

    faults: list[str] = attrs.field(factory=list)
    asked: int = 0
    lines: int = 0
    _outcomes: Counter[str] = attrs.field(factory=Counter)
    _names: list[str] = attrs.field(factory=list)
    _counts: dict[str, list[int]] = attrs.field(factory=dict)
    """What each session's counter was told to be, by the executions that it told it to."""
    _sizes: Counter[str] = attrs.field(factory=Counter)
    """How many executions each session was asked for."""

    def ask(self, piece: Piece) -> None:
        """It is sent now."""
        self.asked += 1
        self._names.append(piece.name)
        self._sizes[piece.session] += 1

    def told(self, piece: Piece, *, count: object, stdout: str, omitted_bytes: int) -> None:
        """What its client was told in the end; ``count`` is its value, or that of its error."""
        self._outcomes[piece.name] += 1
        self.lines += stdout.count("\n")
        if stdout != piece.prints or omitted_bytes:
            self.faults.append(
                f"{piece.name}: of {len(piece.prints)} characters {len(stdout)} came, and "
                f"{omitted_bytes} bytes were omitted: ...{_difference(piece.prints, stdout)}"
            )
        if isinstance(count, int):
            self._counts.setdefault(piece.session, []).append(count)
        else:
            self.faults.append(f"{piece.name}: it came to {count!r}")

    def failed(self, piece: Piece, why: str) -> None:
        """There was no outcome."""
        self.faults.append(f"{piece.name}: no outcome: {why}")

    def close(self, *, ran: Iterable[str]) -> list[str]:
        """All faults, at the end. ``ran`` names an execution each time that it ran."""
        times = Counter(ran)
        for name in self._names:
            if times[name] != 1:
                self.faults.append(f"{name}: it ran {times[name]} times")
            if self._outcomes[name] > 1:
                self.faults.append(f"{name}: it had {self._outcomes[name]} outcomes")
        if unknown := times.keys() - set(self._names):
            self.faults.append(f"ran without being asked for: {sorted(unknown)[:5]}")
        for session, counts in self._counts.items():
            if sorted(counts) != list(range(1, self._sizes[session] + 1)):
                self.faults.append(
                    f"{session}: its counter went {counts}, for {self._sizes[session]} executions"
                )
        return self.faults

    @property
    def outcomes(self) -> int:
        """How many executions had one."""
        return len(self._outcomes)

    @property
    def sessions(self) -> int:
        """How many sessions there were."""
        return len(self._sizes)


def _difference(wanted: str, came: str) -> str:
    """From where they differ on."""
    same = next(
        (place for place, (a, b) in enumerate(zip(wanted, came, strict=False)) if a != b),
        min(len(wanted), len(came)),
    )
    return f"{wanted[same : same + 30]!r} came as {came[same : same + 30]!r}"
