"""What happens in an execution, told in order: the events that a client sees.

Owns the vocabulary shared by the embedded interface and every later one. Must not know how an
event travels. Every execution ends with exactly one `Result` or `Error`, and all its output
comes before it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from pyrepl3.effects import NamespaceReport, Uncovered
from pyrepl3.errors import AlreadyAnswered, CodeTooLarge

Stream = Literal["stdout", "stderr"]
State = Literal["kept", "rolled_back", "lost", "unknown"]
"""What became of the session's variables."""
MimeBundle = Mapping[str, Any]

LINE_CHARACTERS = 2**20
"""The longest answer to one `input()`: in any script it fits into a frame."""


@attrs.frozen
class Started:
    """The code begins to run now; until here it waited behind others."""

    execution: str


@attrs.frozen
class Output:
    """Text that was printed; adjacent pieces may arrive as one.

    ``background``: nothing was running when it was printed (a thread or a task that goes on).
    It is told with the next execution.
    """

    execution: str
    stream: Stream
    data: str
    background: bool = False


@attrs.frozen
class Display:
    """Rich output, as a MIME bundle like Jupyter's: text as str, binary data in base64.

    ``update``: replaces what was displayed before under the same ``display_id``.
    """

    execution: str
    data: MimeBundle
    metadata: Mapping[str, Any]
    display_id: str | None = None
    update: bool = False


@attrs.frozen
class Gap:
    """``bytes`` of output were left out here: over a limit that the configuration states."""

    execution: str
    bytes: int


TrimReason = Literal["count", "bytes"]


@attrs.frozen
class DroppedEntry:
    """An execution that cannot be undone any more, the memory that was kept for it, about, and
    which bound of the history it was too much for."""

    execution: str
    bytes: int
    reason: TrimReason


@attrs.frozen
class HistoryTrimmed:
    """The oldest of the session's history gave way to this execution: they can no more be undone.

    It comes right before the end of the execution, which may itself be among them, as the last.
    """

    execution: str
    dropped: Sequence[DroppedEntry]

    @classmethod
    def of(cls, execution: str, dropped: Iterable[Mapping[str, Any]]) -> HistoryTrimmed:
        """From checked maps."""
        return cls(execution, dropped_entries(dropped))


def dropped_entries(told: Iterable[Mapping[str, Any]]) -> list[DroppedEntry]:
    """From checked maps."""
    return [DroppedEntry(each["execution"], each["bytes"], each["reason"]) for each in told]


@attrs.define(frozen=True, eq=False)
class InputRequested:
    """The code waits in `input()` (or `getpass`, or a read of `sys.stdin`) for an answer."""

    execution: str
    input: str
    prompt: str
    password: bool
    _send: Callable[[str | None], Awaitable[None]] = attrs.field(repr=False)
    _answers: list[str | None] = attrs.field(factory=list, init=False, repr=False)

    async def respond(self, data: str | None) -> None:
        """Give the line (without its newline); None is the end of the input.

        Raises AlreadyAnswered on the second call, SessionLost when the session has ended,
        CodeTooLarge for a line over 1 MiB, TypeError for what is no line.
        """
        if data is not None and not isinstance(data, str):
            raise TypeError(f"a line is a str, not a {type(data).__name__}")
        if data is not None and len(data) > LINE_CHARACTERS:
            raise CodeTooLarge(
                what=f"the line has {len(data)} characters",
                why=f"the limit is {LINE_CHARACTERS}",
                how="Put the data into a file, and answer with its name",
                details={"characters": len(data), "limit": LINE_CHARACTERS},
            )
        if self._answers:
            raise AlreadyAnswered(
                what=f"input {self.input} has its answer already",
                why="each request takes one answer, and the first one counts",
                how="Answer the next InputRequested",
            )
        self._answers.append(data)
        await self._send(data)


@attrs.frozen
class Usage:
    """What the execution used of the machine."""

    cpu_s: float
    max_rss_bytes: int
    history_bytes: int = 0
    """What the session's history holds of it besides, about, with what is kept of this one."""


@attrs.frozen
class Result:
    """The code ran to its end.

    ``data`` is the MIME bundle of the last expression's value, empty where it has none.
    """

    execution: str
    value: Any
    has_value: bool
    repr: str
    data: MimeBundle
    metadata: Mapping[str, Any]
    execution_count: int
    duration_s: float
    usage: Usage
    state: State = "kept"
    """``rolled_back``: it was asked for with `rollback_always`, and is undone."""
    namespace: NamespaceReport | None = None
    """What it did to the session's names; None: it was not asked for."""
    uncovered: tuple[Uncovered, ...] | None = None
    """What it did that no roll back undoes, as far as that is seen; None: no snapshot was open."""
    lost_since: tuple[str, ...] = ()
    """Executions before it that were told as kept, and are undone: by a crash since then, under
    ``guard="auto"``. Told once, with the next one's end."""
    by_reference: tuple[str, ...] | None = None
    """None, but where the variables were copied instead of the process (``allow_copy``): then the
    names that could not be, whose values are what the code has made of them."""


@attrs.frozen
class Error:
    """The code did not run to its end.

    ``code`` is None for an exception of the code's own, otherwise one of `pyrepl3.errors.Code`.
    ``exit_status`` is what `sys.exit` asked for. ``details`` tells of a death: ``signal``,
    ``exit_status``, ``last_output``, ``stack``.
    """

    execution: str
    name: str
    value: str
    traceback: list[str]
    code: str | None
    state: State
    execution_count: int | None = None
    duration_s: float | None = None
    exit_status: int | None = None
    details: Mapping[str, Any] = attrs.field(factory=dict)
    namespace: NamespaceReport | None = None
    """As of a `Result`; also None where its process died, as nobody is left to tell."""
    uncovered: tuple[Uncovered, ...] | None = None
    """As of a `Result`; where its process died, what Python's functions had done until then."""
    lost_since: tuple[str, ...] = ()
    """As of `Result`. Under ``guard="auto"`` a crash goes back to the last snapshot, which may be
    older than the execution that crashed: with it those are undone that came before it, from
    there on."""
    by_reference: tuple[str, ...] | None = None
    """As of `Result`."""


Event = Started | Output | Display | Gap | InputRequested | HistoryTrimmed | Result | Error
"""Everything a stream of events may hold."""


@attrs.frozen
class InterruptOutcome:
    """What an interrupt came to.

    ``by`` names the rung that ended it: ``signal``, ``kill``, or ``nothing`` where nothing ran.
    """

    state: State
    by: Literal["signal", "kill", "nothing"]
    execution: str | None = attrs.field(default=None, eq=False)
    """What it ended; None: nothing ran, or something that is no execution."""
