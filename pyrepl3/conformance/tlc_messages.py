"""What TLC writes in its tool mode: messages with numbers, which stay when their words change.

Owns the form of those messages. Must not know how TLC is run. Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator

import attrs

_START = re.compile(r"@!@!@STARTMSG (\d+):(\d+) @!@!@")
_END = re.compile(r"@!@!@ENDMSG (\d+) @!@!@")

_ERROR_SEVERITIES = {1, 2}
"""MP.ERROR and MP.TLCBUG, of tlc2.output in TLC 2.15."""


class _Code(enum.IntEnum):
    """The messages that are read, from tlc2.output.EC of TLC 2.15."""

    INITIAL_STATE_BREAKS_INVARIANT = 2107
    INITIAL_STATE_BREAKS_PROPERTY = 2108
    INVARIANT_VIOLATED = 2110
    STEP_PROPERTY_VIOLATED = 2112
    BACK_TO_STATE = 2122
    DEPTH = 2194
    COUNTS = 2199
    PROGRESS = 2200
    STATE = 2217
    STUTTERING = 2218


_PARSER = re.compile(r"@!@!@ENDMSG 2220 @!@!@\n(.*?)(?=@!@!@STARTMSG)", re.DOTALL)
_PARSER_AT_WORK = ("Parsing file ", "Semantic processing of module ")
_VIOLATED = re.compile(r"(?:Invariant|Action property|Property) (\S+) is (?:violated|false)")
_STATE_HEAD = re.compile(r"(\d+): <(?:(Initial predicate)|(\w+)|[^>]*)[^>]*>\n")
_GENERATED = re.compile(r"([\d,]+) states generated")
_DISTINCT = re.compile(r"([\d,]+) distinct states found")
_SEARCH_DEPTH = re.compile(r"search is (\d+)")
_PROGRESS_DEPTH = re.compile(r"Progress\(([\d,]+)\)")


@attrs.frozen
class Message:
    """One numbered message; what it encloses is not part of its text."""

    code: int
    severity: int
    text: str

    @property
    def is_progress(self) -> bool:
        return self.code == _Code.PROGRESS


@attrs.frozen
class State:
    """One state of a counterexample."""

    number: int
    """From 1."""
    action: str
    """Of the step into it; "Init" for the first."""
    variables: str
    """As TLC writes them: a conjunct a variable."""


@attrs.define
class Findings:
    """What the messages say, all together."""

    generated: int | None = None
    distinct: int | None = None
    depth: int | None = None
    violated: str | None = None
    complaint: str = ""
    trace: tuple[State, ...] = ()
    back_to: int | None = None
    stutters: bool = False


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The messages, each at its end; one may enclose others. Lines outside of any are left out."""
    open_ones: list[tuple[int, int, list[str]]] = []
    for line in lines:
        rest = line
        if (start := _START.search(line)) is not None:
            if open_ones:
                open_ones[-1][2].append(line[: start.start()])
            open_ones.append((int(start[1]), int(start[2]), []))
            rest = line[start.end() :].lstrip("\n")
        end = _END.search(rest)
        if open_ones:
            open_ones[-1][2].append(rest if end is None else rest[: end.start()])
            if end is not None:
                code, severity, parts = open_ones.pop()
                yield Message(code, severity, "".join(parts))


def parser_complaint(output: str) -> str:
    """What the parser says, which is in no message: between that of its start and the next."""
    found = _PARSER.search(output)
    lines = found[1].splitlines() if found is not None else []
    return "\n".join(x for x in lines if x.strip() and not x.startswith(_PARSER_AT_WORK))


def read_findings(found: Iterable[Message]) -> Findings:
    """Everything that the messages of one run tell."""
    findings = Findings()
    states: list[State] = []
    for message in found:
        if message.code == _Code.STATE:
            states.append(_state(message.text))
        else:
            _take(findings, message)
        if message.severity in _ERROR_SEVERITIES and not findings.complaint:
            findings.complaint = message.text.strip()
    findings.trace = findings.trace or tuple(states)
    return findings


def _take(findings: Findings, message: Message) -> None:
    text = message.text
    match message.code:
        case _Code.INVARIANT_VIOLATED | _Code.STEP_PROPERTY_VIOLATED:
            findings.violated = _name(text)
        case _Code.INITIAL_STATE_BREAKS_INVARIANT | _Code.INITIAL_STATE_BREAKS_PROPERTY:
            findings.violated = _name(text)
            findings.trace = (State(1, "Init", text.partition(":\n")[2].strip()),)
        case _Code.COUNTS | _Code.PROGRESS:
            findings.generated = _number(_GENERATED, text)
            findings.distinct = _number(_DISTINCT, text)
            findings.depth = _number(_PROGRESS_DEPTH, text) or findings.depth
        case _Code.DEPTH:
            findings.depth = _number(_SEARCH_DEPTH, text)
        case _Code.BACK_TO_STATE:
            findings.back_to = int(text.partition(":")[0])
        case _Code.STUTTERING:
            findings.stutters = True


def _name(text: str) -> str | None:
    found = _VIOLATED.search(text)
    return None if found is None else found[1]


def _state(text: str) -> State:
    head = _STATE_HEAD.match(text)
    if head is None:
        raise ValueError(f"this is no state of a counterexample: {text[:80]!r}")
    action = "Init" if head[2] else head[3] or "Next"
    return State(int(head[1]), action, text[head.end() :].strip())


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return None if found is None else int(found[1].replace(",", ""))
