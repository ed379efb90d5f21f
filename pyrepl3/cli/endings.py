"""What the end of an execution means to whoever started the command.

Pure: events in, exit statuses and sentences out.
"""

from __future__ import annotations

import signal

from pyrepl3.cli.statuses import FAILED, INTERRUPTED
from pyrepl3.cli.texts import ROLLED_BACK, TRANSACTION_ROLLED_BACK
from pyrepl3.errors import Code
from pyrepl3.events import Error, InterruptOutcome, Result

NAMES = 10
"""Of executions or variables that are listed: the last ones."""


def status_of(ending: Result | Error) -> int:
    """The exit status that python would have."""
    if isinstance(ending, Result):
        return 0
    if ending.exit_status is not None:
        return ending.exit_status
    number = _signal_of(ending)
    if number is not None:
        return 128 + number
    status = ending.details.get("exit_status")
    if isinstance(status, int):
        return status
    # Not its code: that says what it was asked for, also where it went on and failed elsewhere.
    return INTERRUPTED if ending.name == "KeyboardInterrupt" else FAILED


def is_death(ending: Result | Error) -> bool:
    """Whether the session's process ended with it."""
    return isinstance(ending, Error) and ending.state == "lost"


def describe_death(ending: Error) -> str:
    """How the process ended, for a sentence about it."""
    number = _signal_of(ending)
    if number is not None and ending.code == Code.WORKER_DIED:
        name = ending.details["signal"]
        return f"its process was killed by {name} ({signal.strsignal(number) or 'unknown'})"
    return ending.value or ending.name


def describe_undoing(ending: Result | Error, *, whole: bool = False) -> str:
    """What was undone, in lines to be shown behind it; "" where nothing was. ``whole``: it was in a
    transaction, all of which is undone."""
    text = ""
    if ending.state == "rolled_back":
        text = TRANSACTION_ROLLED_BACK if whole else ROLLED_BACK
    if ending.lost_since:
        text += f"[a crash has undone, with it: {_listed(ending.lost_since)}]\n"
    if text and ending.by_reference:
        text += f"[could not be copied, and is not undone: {_listed(ending.by_reference)}]\n"
    return text


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[-NAMES:])
    before = len(names) - NAMES
    return shown if before <= 0 else f"{before} more, and {shown}"


def describe_interrupt(outcome: InterruptOutcome) -> str:
    """What an interrupt of a session came to, for a line about it."""
    if outcome.by == "nothing":
        return "nothing ran"
    if outcome.state == "rolled_back":
        return "interrupted; its variables are as they were before"
    if outcome.by == "kill":
        return "its process was ended; its variables are lost"
    return f"interrupted; its variables are {outcome.state}"


def _signal_of(ending: Error) -> int | None:
    """The number of the signal that the report of a death names."""
    name = ending.details.get("signal")
    if not isinstance(name, str):
        return None
    if name in signal.Signals.__members__:
        return signal.Signals[name].value
    number = name.removeprefix("signal ")
    return int(number) if number.isdigit() else None
