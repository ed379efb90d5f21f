"""`python -m tests.simulation`: run seeds, and say which of them fail and how to see why.

Owns the arguments and the words. Exit status 0: no seed failed; 1: one did; 2: wrong arguments.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from .planted_bugs import PLANTED_BUGS
from .runs import Failure, Tally, Task, digest, run_all, run_one

PROGRESS_EVERY_S = 5.0


def main(arguments: Sequence[str]) -> int:
    """Do as the arguments say; the exit status."""
    options = _parser().parse_args(arguments)
    if options.record is not None:
        os.makedirs(options.record, exist_ok=True)
    if options.seed is not None:
        return _show(options)
    return _run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Runs the real service on a machine in memory, in a world for each seed, where "
        "everything goes wrong that can, and accuses it where it breaks a promise.",
    )
    parser.add_argument("--seeds", type=int, default=2000, metavar="N", help="how many (2000)")
    parser.add_argument(
        "--from", type=int, default=0, metavar="N", dest="first", help="the first one (0)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (each core)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="run this one alone")
    parser.add_argument("--verbose", action="store_true", help="with --seed: print what happens")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure")
    parser.add_argument(
        "--bug",
        choices=sorted(PLANTED_BUGS),
        metavar="BUG",
        help=f"plant this bug first, then seeds should fail: {', '.join(sorted(PLANTED_BUGS))}",
    )
    parser.add_argument(
        "--record", metavar="DIR", help="write each service's recording there, as seed-N.ndjson"
    )
    return parser


def _show(options: argparse.Namespace) -> int:
    """One seed."""
    outcome = run_one(options.seed, bug=options.bug, record_into=options.record)
    if options.verbose:
        print(outcome.plan)
        for entry in outcome.entries:
            print(entry)
    for accusation in outcome.accusations:
        print(f"ACCUSED: {accusation}")
    print(f"seed {options.seed}: {len(outcome.accusations)} accusations, digest {digest(outcome)}")
    return 1 if outcome.accusations else 0


def _run(options: argparse.Namespace) -> int:
    """Many seeds."""
    task = Task(options.first, options.seeds, options.bug, options.record)
    total = Tally()
    began = told = time.monotonic()
    for tally in run_all(task, options.jobs):
        total.add(tally)
        for failure in tally.failures:
            print(_failed(failure, options.bug), flush=True)
        if total.failures and not options.keep_going:
            break
        if time.monotonic() - told > PROGRESS_EVERY_S:
            told = time.monotonic()
            print(_progress(total.seeds, options.seeds, told - began), file=sys.stderr, flush=True)
    print(_summary(total, time.monotonic() - began))
    return 1 if total.failures else 0


def _failed(failure: Failure, bug: str | None) -> str:
    planted = "" if bug is None else f" --bug {bug}"
    return (
        f"seed {failure.seed} FAILED: {failure.accusation}\n"
        f"  to see it: python -m tests.simulation --seed {failure.seed} --verbose{planted}"
    )


def _progress(done: int, wanted: int, seconds: float) -> str:
    rate = done / seconds
    left_s = (wanted - done) / rate if rate else float("inf")
    return f"{done:,} of {wanted:,} seeds, {rate:.0f}/s, {left_s:,.0f} s to go"


def _summary(total: Tally, seconds: float) -> str:
    actions = ", ".join(f"{action} {count:,}" for action, count in sorted(total.actions.items()))
    return (
        f"{total.seeds:,} seeds, {len(total.failures)} failed, {seconds:.1f} s "
        f"({total.seeds / seconds:.0f} seeds/s); {total.steps:,} task steps, "
        f"{total.virtual_s:,.0f} s of virtual time\nactions: {actions}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
