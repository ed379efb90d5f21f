"""Which state machines are drawn, and how each is seen in the variables of a spec.

Owns those expressions. A picture shows one part of the state; every step that changes it becomes
an arrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from spec.tools.noting import NOTES, Note


@attrs.frozen(kw_only=True)
class Picture:
    """One part of the state of a spec."""

    name: str
    """TLC's lines carry it, so it is short."""
    about: str
    """A sentence under the name."""
    bound: str | None = None
    """The set of the ``x`` that ``value`` is about; the picture is of all of them at once."""
    value: str
    """A string in TLA+; "" where there is no such thing."""


@attrs.frozen(kw_only=True)
class Gallery:
    """Pictures that are found together."""

    models: Sequence[str]
    """Of one spec: small ones that have all arrows of its small ones between them."""
    notes: Sequence[Note]
    """The first of them names the actions that are pictured."""
    pictures: Sequence[Picture]


GALLERIES = (
    Gallery(
        models=("PoolOnePlace", "PoolCrowd"),
        notes=NOTES["Pool"],
        pictures=(
            Picture(
                name="session in the pool",
                about="the pool's record of it (`sessions` in Pool.tla), from start to reap.",
                bound="Slots",
                value='IF x \\in DOMAIN sessions THEN sessions[x].phase ELSE ""',
            ),
            Picture(
                name="process in the world",
                about="what there is of it (`processes` in Pool.tla); the pool hears later.",
                bound="Slots",
                value='IF x \\in DOMAIN processes THEN processes[x].state ELSE ""',
            ),
            Picture(
                name="caller",
                about="who asked for a session (`callers` in Pool.tla).",
                bound="Waiters",
                value='IF x \\in DOMAIN callers THEN callers[x].state ELSE ""',
            ),
            Picture(
                name="breaker",
                about="of one template (`breakers` in Pool.tla).",
                bound="Templates",
                value="breakers[x].position",
            ),
        ),
    ),
    Gallery(
        models=(
            "SessionEnds",
            "SessionDies",
            "SessionInput",
            "SessionSnapshots",
            "SessionTransactions",
        ),
        notes=NOTES["Session"][:1],
        pictures=(
            Picture(
                name="session", about="the whole of it (`phase` in Session.tla).", value="phase"
            ),
            Picture(
                name="ladder",
                about="under the job that is to end (`ladder` in Session.tla).",
                value="ladder.rung",
            ),
            Picture(
                name="job",
                about="an execution or a question, from its acceptance to its end: it waits in the "
                "session (`waiting` in Session.tla), or is at the worker (`handed`), first or not.",
                bound="Numbers",
                value='IF x \\in Members(waiting) THEN "waiting" ELSE IF x = Running THEN "first" '
                'ELSE IF x \\in Members(handed) THEN "behind" ELSE ""',
            ),
        ),
    ),
)
