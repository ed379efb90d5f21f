"""The command: ``python -m spec``.

Owns the arguments and the exit status: 0 all is well, 1 something is not, 2 it could not be tried.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from pyrepl3.conformance.tlc import TlcMissing
from spec.tools import checking, deadlocks, drawing, mutation
from spec.tools.actions import SpecMalformed
from spec.tools.models import SPEC, ModelsInvalid
from spec.tools.tables import MarkersMissing


@attrs.frozen
class Command:
    """One word after ``python -m spec``, and what does it."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = (
    Command("check", "check models with TLC", checking.add_arguments, checking.run),
    Command(
        "mutate", "leave each part of a spec out in turn", mutation.add_arguments, mutation.run
    ),
    Command("deadlocks", "tell the tree's deadlocks anew", deadlocks.add_arguments, deadlocks.run),
    Command("draw", "draw the state machines anew", drawing.add_arguments, drawing.run),
)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m spec",
        description="Check the formal model of the service.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--directory", type=Path, default=SPEC, help="where the specs and models.json are"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = commands.add_parser(command.name, help=command.help, allow_abbrev=False)
        command.add_arguments(subparser)
        subparser.set_defaults(command=command)
    arguments = parser.parse_args(words)
    chosen: Command = arguments.command
    try:
        return chosen.run(arguments)
    except (TlcMissing, ModelsInvalid, SpecMalformed, MarkersMissing, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
