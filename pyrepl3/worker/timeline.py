"""The timeline of a session: the moments that it can go back to, or forward again, in order.

Owns their order, and which execution led from each to the next. Pure: moments are whatever its
caller keeps of them. Must not know processes.

The session itself stands between ``past`` and ``future``. Who goes to a moment takes that out of
the list, and leaves one of its own where it stood.
"""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Moment = TypeVar("Moment")


class Step:
    """One execution, which led from a moment to the next."""

    def __init__(self, execution: str, pages: int, taken_at: float) -> None:
        self.execution = execution
        self.pages = pages
        """As many as it has changed, about: so many are there twice."""
        self.taken_at = taken_at
        """When it began, by the wall clock."""

    def as_list(self) -> list[Any]:
        """For a record."""
        return [self.execution, self.pages, self.taken_at]


class Timeline(Generic[Moment]):
    """Of one session; empty at first."""

    def __init__(self) -> None:
        self.past: list[tuple[Moment, Step]] = []
        """The oldest first, each with the execution that came after it."""
        self.future: list[tuple[Step, Moment]] = []
        """The next first, each with the execution that led to it."""

    def __iter__(self) -> Iterator[Moment]:
        """All that is kept, the oldest first."""
        for moment, _ in self.past:
            yield moment
        for _, moment in self.future:
            yield moment

    @property
    def steps(self) -> list[Step]:
        """Those that can be undone or redone, the oldest first."""
        return [step for _, step in self.past] + [step for step, _ in self.future]

    def add(self, moment: Moment, step: Step) -> None:
        """That execution has ended, behind that moment. There is no future by then."""
        self.past.append((moment, step))

    def place_after(self, execution: str) -> int | None:
        """How many executions have to be undone to stand right after that one; None: it is none
        of the past, or the last of it."""
        executions = [step.execution for _, step in self.past]
        if execution not in executions[:-1]:
            return None
        return len(executions) - 1 - executions.index(execution)

    def go_back(self, count: int, here: Moment | None) -> tuple[Step, Moment]:
        """Undo so many. The first that is undone, and the moment that the session goes on from.

        ``here``: what is left where it stood; None: nothing, so what is behind cannot be redone.
        """
        if here is None:
            self.future.clear()
        moment: Moment | None = here
        for _ in range(count):
            before, step = self.past.pop()
            if moment is not None:
                self.future.insert(0, (step, moment))
            moment = before
        assert moment is not None
        return step, moment

    def go_forward(self, here: Moment | None) -> tuple[Step, Moment]:
        """Redo one. The execution that is there again, and the moment that the session goes on
        from. ``here``: None: who undoes it goes back further."""
        step, moment = self.future.pop(0)
        if here is not None:
            self.past.append((here, step))
        return step, moment

    def forget_oldest(self) -> tuple[Step, Moment]:
        """The oldest gives way; where there is no past, what is furthest ahead."""
        if self.past:
            moment, step = self.past.pop(0)
            return step, moment
        return self.future.pop()

    def forget_future(self) -> list[Moment]:
        """Something new is executed."""
        forgotten = [moment for _, moment in self.future]
        self.future.clear()
        return forgotten

    def forget(self, gone: list[Moment]) -> list[Moment]:
        """Those are no more: what was before one goes on behind it, and nothing leads past one
        that is ahead. Those that cannot be reached any more."""
        self.past = [(moment, step) for moment, step in self.past if moment not in gone]
        for place, (_, moment) in enumerate(self.future):
            if moment in gone:
                beyond = [moment for _, moment in self.future[place + 1 :] if moment not in gone]
                del self.future[place:]
                return beyond
        return []
