"""``python -m spec check``: every model comes to what it must, in as many states as recorded.

Owns what counts as a difference. A spec that is changed by mistake seldom stops being true; it
nearly always comes to another number of states.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import attrs

from pyrepl3.conformance.tlc import TlcResult, find_tlc
from spec.tools.models import Model, Models, Recorded, read_models, write_recorded
from spec.tools.running import run_model
from spec.tools.stories import tell
from spec.tools.tables import table

AT_ONCE = 2
"""Models. Each is searched by one thread: only that makes the depth the same every time."""


@attrs.frozen
class Checked:
    """A model, what it came to, and what is wrong with that."""

    model: Model
    result: TlcResult
    complaints: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="of models.json")
    parser.add_argument("--size", choices=("small", "large", "all"), default="small")
    parser.add_argument(
        "--record", action="store_true", help="announce changed counts: write them to models.json"
    )
    parser.add_argument(
        "--trace", action="store_true", help="tell every counterexample, also those that must be"
    )
    parser.add_argument("--json", action="store_true", help="results as JSON")


def run(arguments: argparse.Namespace) -> int:
    models = read_models(arguments.directory)
    chosen = models.chosen(arguments.models, arguments.size)
    started = time.monotonic()
    checked = sorted(
        _checked_one_by_one(models, chosen, recording=arguments.record),
        key=lambda one: chosen.index(one.model),
    )
    if not arguments.json:
        for one in checked:
            if one.result.trace and (one.complaints or arguments.trace):
                print(f"{one.model.name}: {one.result.outcome}: {_why(one.result)}")
                print(tell(find_tlc(), models, one.model, one.result), end="\n\n")
    _show(checked, time.monotonic() - started, as_json=arguments.json)
    if arguments.record:
        # What comes to the wrong end is not announced but mended.
        write_recorded(
            models, {one.model.name: counts(one.result) for one in checked if not one.complaints}
        )
    return 1 if any(one.complaints for one in checked) else 0


def counts(result: TlcResult) -> Recorded:
    """What of a result is recorded."""
    return Recorded(result.distinct, result.generated, result.depth, len(result.trace) or None)


def complaints(model: Model, result: TlcResult, *, recording: bool = False) -> tuple[str, ...]:
    """What is wrong with what a model came to."""
    if result.exit_status != model.exit_status:
        return (f"must end with {model.exit_status}, ended with {result.exit_status}", _why(result))
    if recording:
        return ()
    if model.recorded is None:
        return ("never recorded: announce it with `python -m spec check --record`",)
    now = attrs.asdict(counts(result))
    changes = [
        f"{name} {before} -> {now[name]}"
        for name, before in attrs.asdict(model.recorded).items()
        if before != now[name]
    ]
    if not changes:
        return ()
    announce = "announce it with `python -m spec check --record`"
    return (f"changed unannounced: {', '.join(changes)}; {announce}",)


def _why(result: TlcResult) -> str:
    named = f"{result.violated}: " if result.violated else ""
    return f"{named}{' '.join(result.message.split())}"[:400]


def _checked_one_by_one(
    models: Models, chosen: Sequence[Model], *, recording: bool
) -> Iterator[Checked]:
    tlc = find_tlc()
    # The longest first, so that none is left to run alone at the end.
    order = sorted(chosen, key=lambda m: -((m.recorded and m.recorded.generated) or 0))
    with ThreadPoolExecutor(AT_ONCE) as executor:
        try:
            under_way = {executor.submit(run_model, tlc, models, m): m for m in order}
            for number, future in enumerate(as_completed(under_way), 1):
                model, result = under_way[future], future.result()
                one = Checked(model, result, complaints(model, result, recording=recording))
                _tell(one, number, len(order))
                yield one
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _tell(one: Checked, number: int, of: int) -> None:
    verdict = "; ".join(one.complaints) or "as expected"
    print(
        f"[{number}/{of}] {one.model.name}: {one.result.outcome}, {one.result.distinct} states, "
        f"{one.result.seconds:.1f} s: {verdict}",
        file=sys.stderr,
        flush=True,
    )


def _show(checked: Sequence[Checked], seconds: float, *, as_json: bool) -> None:
    wrong = sum(1 for one in checked if one.complaints)
    if as_json:
        print(json.dumps([_as_json(one) for one in checked], indent=2))
        return
    rows = [
        (
            one.model.name,
            one.result.outcome if one.model.exit_status == 0 else f"{one.result.outcome} (wanted)",
            one.result.distinct,
            one.result.generated,
            one.result.depth,
            len(one.result.trace) or None,
            f"{one.result.seconds:.1f}",
            "WRONG" if one.complaints else "",
        )
        for one in checked
    ]
    heads = ("model", "outcome", "distinct", "generated", "depth", "trace", "seconds", "")
    print(table(heads, rows))
    for one in checked:
        for complaint in one.complaints:
            print(f"{one.model.name}: {complaint}")
    print(f"{len(checked)} models, {wrong} not as expected, {seconds:.1f} s")


def _as_json(one: Checked) -> dict[str, object]:
    return {
        "model": one.model.name,
        "outcome": one.result.outcome,
        "exit_status": one.result.exit_status,
        "violated": one.result.violated,
        **attrs.asdict(counts(one.result)),
        "actions": [state.action for state in one.result.trace],
        "seconds": round(one.result.seconds, 3),
        "complaints": list(one.complaints),
    }
