"""Exceptions as text, as the user should see them: the cell's own frames, none of the runtime's.

Owns the guards: a lying or raising ``__str__``, a patched ``traceback`` module or a deleted
builtin still give a report. Must not know executions.
"""

import sys
import traceback
from types import TracebackType
from typing import Any

from .interrupts import call_user
from .values import cut, encodable, is_a, safe_str, true_name

TRACEBACK_CHARACTERS = 256 * 2**10
"""The most of a traceback that is sent, in all its lines."""
FRAMES_SHOWN_BY_FALLBACK = 50

RUNTIME_FOLDER = __file__.rsplit("/", 1)[0] + "/"
_frames_of = BaseException.__dict__["__traceback__"].__get__
_exit_code_of = SystemExit.__dict__["code"].__get__
_TracebackException = traceback.TracebackException


def exception_name(error: BaseException) -> str:
    """The class's true name."""
    return encodable(true_name(type(error)))


def exception_value(error: BaseException) -> str:
    """``str(error)``, guarded."""
    return safe_str(error)


def exit_status(error: BaseException) -> int:
    """What Python's exit status would be: of a SystemExit, else 1."""
    if not is_a(error, SystemExit):
        return 1
    argument = _exit_code_of(error)
    if argument is None:
        return 0
    return int(argument) & 0xFF if is_a(argument, int) else 1


def format_exception(error: BaseException) -> list[str]:
    """The lines of ``traceback.format_exception``, each with its newline.

    Never raises but KeyboardInterrupt.
    """
    try:
        lines: list[str] = call_user(_format, error)
        return [encodable(str.__str__(line)) for line in _cut_lines(lines)]
    except KeyboardInterrupt:
        raise
    except BaseException:
        return _format_by_hand(error)


def print_exception(error: BaseException) -> None:
    """Write the traceback to the session's standard error, whatever user code made of it."""
    text = "".join(format_exception(error))
    try:
        call_user(sys.stderr.write, text)
    except BaseException as failure:
        # There is no place left to say it.
        del failure


def strip_runtime_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the first frame of the user's on, for ``sys.last_traceback``."""
    frames: TracebackType | None = _frames_of(error)
    while frames is not None and _is_runtime(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _format(error: BaseException) -> list[str]:
    report = _TracebackException(type(error), error, strip_runtime_frames(error), compact=True)
    _hide_runtime(report)
    return list(report.format())


def _hide_runtime(report: Any) -> None:
    waiting, seen = [report], set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.stack[:] = [frame for frame in each.stack if not _is_runtime(frame.filename)]
        _drop_loop_frames(each.stack)
        waiting += (each.__cause__, each.__context__, *(each.exceptions or ()))


def _drop_loop_frames(stack: Any) -> None:
    """An interrupt that left an event loop starts with the loop's frames: nobody called those."""
    first = next((index for index, frame in enumerate(stack) if not _is_loop(frame.filename)), 0)
    del stack[:first]


def _is_loop(filename: str) -> bool:
    return "/asyncio/" in filename or filename.endswith("/selectors.py")


def _is_runtime(filename: str) -> bool:
    return filename.startswith(RUNTIME_FOLDER)


def _cut_lines(lines: list[str]) -> list[str]:
    budget, kept = TRACEBACK_CHARACTERS, []
    for line in lines:
        if len(line) > budget:
            kept.append(cut(line, budget) + "\n")
            break
        budget -= len(line)
        kept.append(line)
    return kept


def _format_by_hand(error: BaseException) -> list[str]:
    """For a session in which the traceback module itself no longer works."""
    lines = ["Traceback (most recent call last):\n"]
    frames = strip_runtime_frames(error)
    while frames is not None and len(lines) <= FRAMES_SHOWN_BY_FALLBACK:
        code = frames.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frames.tb_lineno}, in {code.co_name}\n')
        frames = frames.tb_next
    lines.append(f"{exception_name(error)}: {exception_value(error)}\n")
    return [encodable(line) for line in lines]
