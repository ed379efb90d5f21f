"""``pyrepl3 spec check``: says whether the specs allow what was recorded, in words or as JSON.

Owns the report. Must not know how a recording is judged.
"""

from __future__ import annotations

import json
import signal
import textwrap
from collections.abc import Sequence

import attrs

from pyrepl3.cli import descriptors
from pyrepl3.cli.arguments import SpecCheck
from pyrepl3.cli.statuses import FAILED, MISUSED
from pyrepl3.conformance.checking import CannotCheck, check_recordings
from pyrepl3.conformance.recordings import RecordingInvalid
from pyrepl3.conformance.tlc import TlcMissing
from pyrepl3.conformance.verdicts import Inconsistency, Rejection, SpecVerdict, Verdict

WIDTH = 96
NO_BREAK = "\x00"
"""Stands for a space at which no line is broken."""

BLAME = (
    "Either the service broke its specification, which is a bug to report with the recording,",
    "or the file is not as the service wrote it.",
)


def check(command: SpecCheck) -> int:
    """Print the verdict; 0 when the recordings are accepted, and cover enough."""
    # A Ctrl-C comes as an exception here, so that TLC's files are removed.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        verdict = check_recordings(command.recordings, keep=command.keep)
    except (CannotCheck, RecordingInvalid, TlcMissing) as error:
        descriptors.say(f"pyrepl3: {error.what}\n  why: {error.why}\n  how: {error.how}\n")
        return MISUSED
    enough = covers_enough(verdict, command.min_coverage)
    text = as_json(verdict) if command.as_json else as_text(verdict, command.min_coverage)
    if not descriptors.say(text, descriptors.STDOUT):
        return FAILED
    return 0 if verdict.accepted and enough else FAILED


def covers_enough(verdict: Verdict, min_coverage: float | None) -> bool:
    """Whether the coverage is what was asked for; that of a rejected recording is nothing."""
    return min_coverage is None or (verdict.coverage_percent or 0.0) >= min_coverage


def as_json(verdict: Verdict) -> str:
    """The whole verdict as one object."""
    percent = verdict.coverage_percent
    report = {
        "accepted": verdict.accepted,
        "coverage_percent": None if percent is None else round(percent, 1),
        **attrs.asdict(verdict),
    }
    return json.dumps(report, indent=2) + "\n"


def as_text(verdict: Verdict, min_coverage: float | None) -> str:
    """The verdict for people."""
    lines = [f"{path}: {remark}" for path, said in verdict.recordings.items() for remark in said]
    lines += [_summary(spec) for spec in verdict.specs]
    for spec in verdict.specs:
        if spec.rejection is not None:
            lines += ["", *_rejection(spec.spec, spec.rejection)]
    for inconsistency in verdict.inconsistencies:
        lines += ["", *_inconsistency(inconsistency)]
    if verdict.coverage_percent is not None:
        lines += ["", *_coverage(verdict, verdict.coverage_percent)]
        if not covers_enough(verdict, min_coverage):
            lines += [f"That is less than the {min_coverage:g} % that were asked for."]
        lines += ["", "Accepted: the specification allows every step of what was recorded."]
    return "\n".join(lines) + "\n"


def _summary(spec: SpecVerdict) -> str:
    if not spec.runs:
        return f"{spec.spec + '.tla':<12} nothing of it was recorded"
    word = "accepted" if spec.accepted else "rejected"
    return (
        f"{spec.spec + '.tla':<12} {word}  {_count(spec.runs, 'run')}, "
        f"{_count(spec.events, 'event')}, {_count(spec.states, 'state')}, {spec.seconds:.1f} s"
    )


def _rejection(spec: str, rejection: Rejection) -> list[str]:
    if rejection.event is None:
        word = f"{spec}.tla does not allow that nothing comes after this."
    elif rejection.violated is not None:
        word = f"{spec}.tla does not allow this: {rejection.violated} would no longer hold."
    else:
        word = f"{spec}.tla does not allow this where it stands."
    return [
        f"Rejected: {rejection.path}, line {rejection.line}",
        *_wrapped(json.dumps(rejection.event)),
        f"{word} The state before was",
        *(line for conjunct in rejection.state.splitlines() for line in _wrapped(conjunct)),
        "What could have come then:",
        *_wrapped(_allowed(rejection)),
        *BLAME,
    ]


def _inconsistency(inconsistency: Inconsistency) -> list[str]:
    return [
        f"Rejected: {inconsistency.path}, line {inconsistency.line}",
        *_wrapped(json.dumps(inconsistency.event)),
        f"This does not agree with the lines before it: {inconsistency.why}.",
        *BLAME,
    ]


def _allowed(rejection: Rejection) -> str:
    if rejection.allowed is None:
        return "TLC cannot tell"
    return _listed(rejection.allowed) or "nothing"


def _coverage(verdict: Verdict, percent: float) -> list[str]:
    lines = ["How often each action was taken:"]
    for spec in verdict.specs:
        counts = [f"{action} {times}" for action, times in spec.taken.items()]
        lines += _wrapped(f"{spec.spec}: " + _listed(counts), indent="  ")
    actions = sum(len(spec.taken) for spec in verdict.specs)
    missing = [f"{spec.spec}.{action}" for spec in verdict.specs for action in spec.never_taken]
    lines.append(f"Coverage: {actions - len(missing)} of {actions} actions, {percent:.0f} %")
    if missing:
        lines += _wrapped("never: " + _listed(missing), indent="  ")
    return lines


def _listed(items: Sequence[str]) -> str:
    return ", ".join(item.replace(" ", NO_BREAK) for item in items)


def _wrapped(text: str, *, indent: str = "    ") -> list[str]:
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False
    )
    return [line.replace(NO_BREAK, " ") for line in lines]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
