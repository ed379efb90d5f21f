"""What a spec would have allowed in the state where it did not allow what was recorded.

Owns the guesses, which are actions and names that the recording has near that place, and the
question to TLC. A guess that nobody made is not told: this is a help for readers, not a proof.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyrepl3.conformance.tlc import Outcome, Tlc, run_tlc
from pyrepl3.conformance.vocabulary import NUMBERS, TRUTHS

Event = Mapping[str, Any]

BEFORE, BEHIND = 60, 20
"""Events around the place whose names are tried."""
GUESSES_AN_ACTION = 300
SHOWN_OF_AN_ACTION = 3
NEW = "(new)"
"""A name that the run has not had."""

_ALLOWED = re.compile(r'^<<"allowed", (\d+)>>$', re.MULTILINE)

_MODULE = """\
---- MODULE {name} ----
EXTENDS {trace}, TLC
Somewhere ==
    /\\ run \\in DOMAIN Runs
    /\\ next = 1
{state}
Uncounted == TRUE
Said == next = 2 => PrintT(<<"allowed", run>>)
====
"""


def guesses(
    run: Sequence[Event], place: int, vocabulary: Mapping[str, Sequence[str]]
) -> list[Event]:
    """Events that might have come at the index ``place`` of a run.

    ``vocabulary`` has the fields of each action.
    """
    near = run[max(1, place - BEFORE) : place + BEHIND]
    values: defaultdict[str, dict[Any, None]] = defaultdict(dict)
    for event in near:
        for field, value in event.items():
            if isinstance(value, str | int):
                values[field][value] = None
    for field in {field for fields in vocabulary.values() for field in fields}:
        values[field].update(dict.fromkeys(_further(field, values[field])))
    return list(_combined(vocabulary, values))


def _further(field: str, values: Iterable[Any]) -> list[Any]:
    """Values that may come next: either truth, one more, a new name."""
    if field in TRUTHS:
        return [False, True]
    if field in NUMBERS:
        return [max((value for value in values if isinstance(value, int)), default=0) + 1]
    return [NEW]


def _combined(
    vocabulary: Mapping[str, Sequence[str]], values: Mapping[str, Mapping[Any, None]]
) -> Iterator[Event]:
    for action, names in vocabulary.items():
        choices = itertools.product(*(reversed(list(values[name])) for name in names))
        for choice in itertools.islice(choices, GUESSES_AN_ACTION):
            yield {"action": action, **dict(zip(names, choice, strict=True))}


def ask_which(
    tlc: Tlc, folder: Path, *, spec: str, config: str, state: str, asked: Sequence[Event]
) -> tuple[str, ...] | None:
    """Those of the guesses that the spec allows in that state, in words; None: TLC cannot tell.

    ``folder`` has the spec, its trace spec, and the module with each guess as a run of its own.
    """
    name = f"{spec}Somewhere"
    indented = "\n".join(f"    {line}" for line in state.splitlines())
    module = folder / f"{name}.tla"
    module.write_text(_MODULE.format(name=name, trace=f"{spec}Trace", state=indented))
    constants = config.partition("INVARIANTS")[0].partition("CONSTANTS\n")[2]
    counted = "    Counted <- Uncounted\n" if spec == "Pool" else ""
    configuration = folder / f"{name}.cfg"
    configuration.write_text(
        f"INIT Somewhere\nNEXT TraceNext\nINVARIANT Said\nCONSTANTS\n{constants}{counted}"
    )
    result = run_tlc(tlc, module, configuration, deadlock=False)
    if result.outcome is not Outcome.OK:
        return None
    numbers = sorted({int(found) for found in _ALLOWED.findall(result.output)})
    return tuple(in_words([asked[number - 1] for number in numbers]))


def in_words(events: Sequence[Event]) -> Iterator[str]:
    """These events for a reader, a few of each action."""
    by_action: defaultdict[str, list[str]] = defaultdict(list)
    named = {event["action"] for event in events if NEW not in event.values()}
    for event in events:
        if NEW in event.values() and event["action"] in named:
            # A name that comes next in the recording is a new one too, and tells more.
            continue
        about = ", ".join(f"{name} {event[name]}" for name in event if name != "action")
        by_action[event["action"]].append(
            f"{event['action']} ({about})" if about else event["action"]
        )
    for action, said in by_action.items():
        yield from said[:SHOWN_OF_AN_ACTION]
        if len(said) > SHOWN_OF_AN_ACTION:
            yield f"{len(said) - SHOWN_OF_AN_ACTION} more {action}"
