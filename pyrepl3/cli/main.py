"""The command's entry point: from the command line to an exit status.

Owns which part of the command serves what, and how a failure of the command itself is told.
Imports what it needs when it is needed, as starting fast is most of what a command is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from pyrepl3.cli import arguments, standard_output
from pyrepl3.cli.endings import FAILED, INTERRUPTED, MISUSED
from pyrepl3.errors import PyreplError


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    standard_output.fill_closed_descriptors()
    try:
        return _serve(arguments.parse(sys.argv[1:] if words is None else words))
    except arguments.UsageError as error:
        standard_output.say(f"pyrepl3: {error.what}\n  {error.how}\n")
        return MISUSED
    except PyreplError as error:
        standard_output.say(
            f"pyrepl3: {error.what}\n  why: {error.why}\n  how: {error.how}\n  code: {error.code}\n"
        )
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def console() -> NoReturn:
    """`main` as a process of its own."""
    sys.exit(main())


def _serve(command: arguments.Command) -> int:
    match command:
        case arguments.ShowHelp():
            from pyrepl3.cli.texts import HELP

            return _print(HELP)
        case arguments.ShowVersion():
            from pyrepl3 import __version__

            return _print(f"PyREPL3 {__version__} (Python {sys.version.split()[0]})\n")
        case arguments.Doctor():
            from pyrepl3.cli.doctor import examine

            return examine(as_json=command.as_json)
        case arguments.Interact() if _at_terminal():
            from pyrepl3.cli.prompt_loop import interact

            return interact()
    return _run(command)


def _run(command: arguments.Command) -> int:
    from pyrepl3.cli import programs

    read: Callable[[], programs.Program]
    match command:
        case arguments.RunCode():
            read = lambda: programs.from_code(command.code, command.arguments)  # noqa: E731
        case arguments.RunFile():
            read = lambda: programs.from_file(command.path, command.arguments)  # noqa: E731
        case arguments.RunInput():
            read = lambda: programs.from_standard_input(("-", *command.arguments))  # noqa: E731
        case _:
            read = lambda: programs.from_standard_input(("",))  # noqa: E731
    try:
        program = read()
    except programs.ProgramUnreadable as error:
        standard_output.say(error.message + "\n")
        return error.status
    import trio

    from pyrepl3.cli.scripts import run_program

    return trio.run(run_program, program)


def _print(text: str) -> int:
    try:
        os.write(standard_output.STDOUT, text.encode())
    except OSError:
        return FAILED
    return 0


def _at_terminal() -> bool:
    return standard_output.is_terminal(0) and standard_output.is_terminal(1)
