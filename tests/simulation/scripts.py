"""What simulated code does, step by step, and what a client must see of it.

Owns the scripts that callers send as code and workers carry out, and what follows from one. Pure:
the chance to draw with comes in.
"""

from __future__ import annotations

from random import Random

import attrs

Step = tuple[str, float]
"""What to do, and how much of it."""

BREAKS_THE_PROTOCOL = frozenset({"garbage", "forge", "hang up", "double"})
ENDS_THE_PROCESS = frozenset({"die", "die within a frame", "answer and die", "break"})
HOLDS_ON = frozenset({"ignore", "hang", "swallow"})
"""Does not end when it is interrupted."""
WICKED = BREAKS_THE_PROTOCOL | ENDS_THE_PROCESS | HOLDS_ON
"""After which anything may befall what else is run in that session."""
LINE = "a line of its output\n"


@attrs.frozen
class Script:
    """The steps of one execution. ``token`` is unlike any other's in its world."""

    token: str
    steps: tuple[Step, ...]

    @property
    def code(self) -> str:
        """What is sent for it."""
        return f"{self.token}: " + "; ".join(f"{kind} = {amount}" for kind, amount in self.steps)

    @classmethod
    def parse(cls, code: str) -> Script:
        """The script that a code stands for."""
        token, _, rest = code.partition(": ")
        pairs = (step.partition(" = ") for step in rest.split("; "))
        return cls(token, tuple((kind, float(amount)) for kind, _, amount in pairs))

    def does(self, kinds: frozenset[str]) -> bool:
        """Whether one of its steps is of these kinds."""
        return any(kind in kinds for kind, _ in self.steps)

    @property
    def stdout(self) -> str:
        """All that it prints, if it comes to its end."""
        return "".join(LINE * int(amount) for kind, amount in self.steps if kind == "print")

    @property
    def wants_input(self) -> bool:
        """Whether it asks for a line."""
        return self.does(frozenset({"input"}))

    @property
    def seconds(self) -> float:
        """How long it takes, if nothing holds it up."""
        return sum(amount for kind, amount in self.steps if kind in _TAKES_TIME)

    def outcome(self, *, answered: bool) -> str:
        """How it ends where nothing stands in its way: as a Result, or the name of its Error."""
        if self.does(frozenset({"die within a frame"})):
            return "WorkerDied"
        for kind, _ in self.steps:
            if kind == "input" and not answered:
                return "EOFError"
            if kind in _ERRORS:
                return _ERRORS[kind]
        return "Result"


_TAKES_TIME = frozenset({"sleep", "ignore", "die", "garbage", "forge", "hang up"})
_ERRORS = {
    "raise": "ValueError",
    "exit": "SystemExit",
    "break": "RunnerBroken",
    "die": "WorkerDied",
    "garbage": "ProtocolViolation",
    "forge": "ProtocolViolation",
    "hang up": "ProtocolViolation",
}
_SECONDS = (0.0, 0.001, 0.01, 0.1, 0.5, 1.0, 3.0)
"""Few and round, so that much happens at the same instant."""
_HARMLESS = ("sleep", "sleep", "sleep", "print", "print", "pipe", "display", "input")
_LAST = ("raise", "exit", "ignore")


def draw_script(random: Random, token: str, *, wickedness: float) -> Script:
    """A script by chance; ``wickedness``: how likely it is to do what no code should."""
    steps = [_draw_step(random) for _ in range(random.choice((0, 0, 1, 1, 2, 3)))]
    if random.random() < wickedness:
        steps.append((random.choice(sorted(WICKED)), random.choice(_SECONDS)))
    elif random.random() < 0.2:
        steps.append((random.choice(_LAST), random.choice(_SECONDS)))
    return Script(token, tuple(steps) or (("sleep", 0.0),))


def _draw_step(random: Random) -> Step:
    kind = random.choice(_HARMLESS)
    if kind in ("print", "pipe"):
        return kind, random.choice((1, 1, 2, 5, 30))
    return kind, random.choice(_SECONDS)
