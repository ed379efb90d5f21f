"""Runs `in_session` in a session: before a program, and after it.

Owns the text that is sent for it. Must not know what the program is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import trio

from pyrepl3.cli import descriptors
from pyrepl3.cli.handover import CAN_HAND_OVER, open_handover
from pyrepl3.cli.programs import Program
from pyrepl3.cli.standard_input import has_controlling_terminal
from pyrepl3.client.execution import Execution
from pyrepl3.client.session import Session

STREAMS = ("stdin", "stdout", "stderr")
MODULE = "_pyrepl3_program"
_SOURCE = Path(__file__).with_name("in_session.py")
_HIDDEN = str(_SOURCE.parent.parent / "worker" / "in_session.py")
"""Tracebacks leave out what is in the worker's folder: python has no frames for this either."""

_INSTALL = """
(lambda module: (
    exec(compile({source!a}, {hidden!a}, "exec", dont_inherit=True), vars(module)),
    module.prepare(**{arguments}),
))(type(__import__("sys"))({name!a}))
"""
_FINISH = "_pyrepl3_finish({report!a})"


async def prepare_program(session: Session, program: Program) -> Execution:
    """Make the session what python makes of itself before this program begins."""
    terminals = [name for number, name in enumerate(STREAMS) if descriptors.is_terminal(number)]
    handed = [name for name in STREAMS if name not in terminals] if CAN_HAND_OVER else []
    arguments: dict[str, Any] = {
        "argv": program.argv,
        "path_entry": program.path_entry,
        "file": program.file,
        "environment": list(os.environ),
        "terminals": terminals,
        "formats": {name: _format(name) for name in STREAMS},
        "handed": handed,
        "rendezvous": None,
        "own_getpass": not has_controlling_terminal(),
    }
    if not handed:
        return await _install(session, arguments)
    with open_handover() as handover:
        arguments["rendezvous"] = handover.name
        async with trio.open_nursery() as nursery:
            numbers = [STREAMS.index(name) for name in handed]
            nursery.start_soon(lambda: handover.serve(numbers, pid=session.pid))
            execution = await _install(session, arguments)
            nursery.cancel_scope.cancel()
    return execution


async def prepare_prompt(session: Session) -> Execution:
    """Make the session what python's prompt finds: the caller's environment, and its path."""
    arguments: dict[str, Any] = {"argv": None, "path_entry": "", "environment": list(os.environ)}
    return await _install(session, arguments)


def finish_code(report: str) -> str:
    """The code that ends a program: threads, exit handlers, finalizers, flushing."""
    return _FINISH.format(report=report)


async def _install(session: Session, arguments: dict[str, Any]) -> Execution:
    code = _INSTALL.format(
        name=MODULE,
        source=_SOURCE.read_text("utf-8"),
        hidden=_HIDDEN,
        arguments=ascii(arguments),
    )
    return await session.run(code, filename=_HIDDEN, silent=True)


def _format(name: str) -> tuple[str, str]:
    """Encoding and error handling: those that python has chosen for this very process."""
    stream = getattr(sys, name)
    if stream is None:
        return "utf-8", "strict"
    return stream.encoding, stream.errors
