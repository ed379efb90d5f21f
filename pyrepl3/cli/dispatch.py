"""From the command line to an exit status.

Owns which part of the command serves what, and how a failure of the command itself is told.
Imports what it needs when it is needed, as starting fast is most of what a command is.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from functools import partial

from pyrepl3.cli import arguments, descriptors, remote_arguments
from pyrepl3.cli.statuses import FAILED, INTERRUPTED, MISUSED
from pyrepl3.cli.usage import UsageError
from pyrepl3.errors import PyreplError


def serve(words: Sequence[str]) -> int:
    """Do what the command line says; the exit status."""
    descriptors.fill_closed_descriptors()
    try:
        return _serve(arguments.parse(words))
    except UsageError as error:
        descriptors.say(f"pyrepl3: {error.what}\n  {error.how}\n")
        return MISUSED
    except PyreplError as error:
        descriptors.say(
            f"pyrepl3: {error.what}\n  why: {error.why}\n  how: {error.how}\n  code: {error.code}\n"
        )
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:
        import traceback

        descriptors.say("pyrepl3: this is a bug in PyREPL3\n" + traceback.format_exc())
        return FAILED


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

            gc.enable()
            return examine(as_json=command.as_json)
        case arguments.Interact() if _at_terminal():
            from pyrepl3.cli.places import OwnPlace
            from pyrepl3.cli.prompt_loop import interact

            gc.enable()
            return interact(OwnPlace(command.record_trace))
        case remote_arguments.Connect():
            return _connect(command)
        case arguments.ShowServeHelp():
            from pyrepl3.cli.texts import SERVE_HELP

            return _print(SERVE_HELP)
        case arguments.Serve():
            from pyrepl3.extras import extra_needed

            with extra_needed("server", what="the service"):
                from pyrepl3.cli.serve import serve as serve_clients

            gc.enable()
            return serve_clients(command)
        case remote_arguments.ShowSessionHelp():
            from pyrepl3.cli.texts import SESSION_HELP

            return _print(SESSION_HELP)
        case remote_arguments.ShowConsole():
            from pyrepl3.cli.console import show

            gc.enable()
            return show(command)
        case remote_arguments.Copy():
            from pyrepl3.cli.copying import run as copy

            return copy(command)
        case remote_arguments.Remote():
            from pyrepl3.cli.remote_commands import run as run_remotely

            gc.enable()
            return run_remotely(command)
        case arguments.ShowSpecHelp():
            from pyrepl3.cli.texts import SPEC_HELP

            return _print(SPEC_HELP)
        case arguments.SpecCheck():
            from pyrepl3.cli.spec_check import check

            gc.enable()
            return check(command)
    return _run(command)


def _connect(command: remote_arguments.Connect) -> int:
    if not _at_terminal():
        raise UsageError(
            "the prompt of a session needs a terminal",
            "to run the standard input: pyrepl3 exec SESSION - < FILE",
        )
    from pyrepl3.cli.prompt_loop import interact
    from pyrepl3.cli.remote_place import RemotePlace

    gc.enable()
    return interact(RemotePlace(command))


def _run(command: arguments.Run) -> int:
    from pyrepl3.cli import programs

    read: Callable[[], programs.Program]
    match command:
        case arguments.RunCode():
            read = partial(programs.from_code, command.code, command.arguments)
        case arguments.RunFile():
            read = partial(programs.from_file, command.path, command.arguments)
        case arguments.RunInput():
            read = partial(programs.from_standard_input, ("-", *command.arguments))
        case _:
            read = partial(programs.from_standard_input, ("",))
    try:
        program = read()
    except programs.ProgramUnreadable as error:
        descriptors.say(error.message + "\n")
        return error.status
    import trio

    from pyrepl3.cli.scripts import run_program

    gc.freeze()
    gc.enable()
    return trio.run(run_program, program, command.record_trace)


def _print(text: str) -> int:
    return 0 if descriptors.say(text, descriptors.STDOUT) else FAILED


def _at_terminal() -> bool:
    return descriptors.is_terminal(descriptors.STDIN) and descriptors.is_terminal(
        descriptors.STDOUT
    )
