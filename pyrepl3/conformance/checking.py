"""Holds recordings to the specs: one run of TLC a spec, for all recordings together.

Owns the way from files to a verdict. Must not know what any action means, nor how a verdict is
shown.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from pyrepl3.conformance import continuations, pool_modules, session_modules
from pyrepl3.conformance.consistency import inconsistency
from pyrepl3.conformance.recordings import Contents, Recorded, Run, read_recording
from pyrepl3.conformance.tlc import Outcome, Tlc, TlcResult, find_tlc, run_tlc, spec_directory
from pyrepl3.conformance.verdicts import Rejection, SpecVerdict, Verdict
from pyrepl3.conformance.vocabulary import POOL_FIELDS, SESSION_FIELDS

Events = Sequence[Mapping[str, Any]]

REJECTIONS = (Outcome.DEADLOCK, Outcome.SAFETY, Outcome.EVALUATION)
"""The last: the spec has no word for such an event, because it lacks a name, say."""

_NEXT = re.compile(r"^/\\ next = (\d+)$", re.MULTILINE)
_RUN = re.compile(r"^/\\ run = (\d+)$", re.MULTILINE)


class CannotCheck(Exception):
    """Raised where nothing was recorded, or TLC failed: there is no verdict."""

    def __init__(self, *, what: str, why: str, how: str) -> None:
        super().__init__(what, why, how)
        self.what = what
        self.why = why
        self.how = how

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.how}"


@attrs.frozen
class TracedSpec:
    """One spec that recordings are held to."""

    name: str
    runs_name: str
    """The module that the recordings become."""
    config: str
    fields: Mapping[str, Sequence[str]]
    """Of each of its actions that is recorded."""
    module: Callable[..., str]
    """From runs, and which of them are whole, to that module."""
    runs_of: Callable[[Contents], list[Run]]
    shown: frozenset[str] | None = None
    """Its variables that tell a reader something; None: all."""


POOL = TracedSpec(
    name="Pool",
    runs_name=pool_modules.POOL_RUNS,
    config=pool_modules.POOL_CONFIG,
    fields=POOL_FIELDS,
    module=pool_modules.pool_module,
    runs_of=lambda contents: contents.pools,
)
SESSION = TracedSpec(
    name="Session",
    runs_name=session_modules.SESSION_RUNS,
    config=session_modules.SESSION_CONFIG,
    fields=SESSION_FIELDS,
    module=session_modules.session_module,
    runs_of=lambda contents: contents.sessions,
    # The others are the world's, which a recording of the session does not move.
    shown=frozenset(
        {
            "phase",
            "waiting",
            "handed",
            "jobs",
            "ladder",
            "closing",
            "limit",
            "last",
            "due",
        }
    ),
)
SPECS = (POOL, SESSION)


def check_recordings(
    paths: Sequence[str], *, keep: str | None = None, at_most: int | None = None
) -> Verdict:
    """The verdict on these files, or on the first ``at_most`` events of each.

    ``keep`` is a directory for what TLC was given and wrote. Raises RecordingInvalid, TlcMissing
    or CannotCheck.
    """
    tlc = find_tlc()
    recordings = [read_recording(path, at_most=at_most) for path in paths]
    empty = [contents.path for contents in recordings if not contents.events]
    if empty:
        raise CannotCheck(
            what=f"there is nothing to check in {', '.join(empty)}",
            why="no event was recorded",
            how="Record a service that opens",
        )
    verdicts = []
    for spec in SPECS:
        runs = [run for contents in recordings for run in spec.runs_of(contents)]
        if not runs:
            verdicts.append(_unseen(spec))
            continue
        with _folder(keep) as folder:
            verdicts.append(_Check(tlc, spec, runs, folder).verdict())
    return Verdict(
        recordings={contents.path: tuple(contents.remarks) for contents in recordings},
        specs=tuple(verdicts),
        inconsistencies=tuple(
            found for contents in recordings if (found := inconsistency(contents)) is not None
        ),
    )


def _unseen(spec: TracedSpec) -> SpecVerdict:
    """Of a spec that nothing was recorded of: it allows that, and none of its actions was taken."""
    return SpecVerdict(
        spec=spec.name,
        runs=0,
        events=0,
        states=0,
        seconds=0.0,
        taken=dict.fromkeys(spec.fields, 0),
        rejection=None,
    )


@contextlib.contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="pyrepl3-spec-") as temporary:
            yield Path(temporary)
        return
    folder = Path(keep)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_kept(folder, error) from error
    yield folder


def _not_kept(folder: Path, error: OSError) -> CannotCheck:
    return CannotCheck(
        what=f"{folder} cannot be kept in", why=str(error), how="Name another directory"
    )


@attrs.frozen
class _Check:
    """One run of TLC, and what it means."""

    tlc: Tlc
    spec: TracedSpec
    runs: Sequence[Run]
    folder: Path

    def verdict(self) -> SpecVerdict:
        result = self._run_tlc()
        rejection = None
        if result.outcome in REJECTIONS and result.trace:
            rejection = self._rejection(result)
        elif result.outcome is not Outcome.OK:
            raise self._failed(result)
        events = sum(len(run.events) for run in self.runs)
        states = result.distinct or 0
        if rejection is None and states < events:
            # Each run has its first state, and one more after each of its actions.
            raise self._failed(result)
        return SpecVerdict(
            spec=self.spec.name,
            runs=len(self.runs),
            events=events,
            states=states,
            seconds=result.seconds,
            taken=self._taken(),
            rejection=rejection,
        )

    def _run_tlc(self) -> TlcResult:
        text = self.spec.module(
            [_fields(run.events) for run in self.runs],
            whole=[run.whole for run in self.runs],
        )
        trace = f"{self.spec.name}Trace"
        self._write(f"{self.spec.runs_name}.tla", text)
        config = self._write(f"{trace}.cfg", self.spec.config)
        self._write_specs(self.folder)
        result = run_tlc(self.tlc, self.folder / f"{trace}.tla", config)
        self._write(f"{trace}.out", result.output)
        return result

    def _write_specs(self, folder: Path) -> None:
        specs = spec_directory()
        try:
            for file in (f"{self.spec.name}.tla", f"traces/{self.spec.name}Trace.tla"):
                shutil.copyfile(specs / file, folder / Path(file).name)
        except OSError as error:
            raise _not_kept(folder, error) from error

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        try:
            path.write_text(text)
        except OSError as error:
            raise _not_kept(self.folder, error) from error
        return path

    def _rejection(self, result: TlcResult) -> Rejection:
        last = result.trace[-1].variables
        run = self.runs[_number(_RUN, last) - 1]
        coming = _number(_NEXT, last)
        before = result.trace[-1]
        if result.outcome is Outcome.SAFETY and len(result.trace) > 1:
            # The step into this state broke an invariant: it is the one to show.
            before = result.trace[-2]
            coming = _number(_NEXT, before.variables)
        # The first event is Open, and no action of the spec: the n-th action is at n.
        event = run.events[coming] if coming < len(run.events) else None
        state = _without_bookkeeping(before.variables)
        return Rejection(
            path=run.path,
            line=(event or run.events[-1]).line,
            run=run.name,
            event=None if event is None else dict(event.fields),
            violated=result.violated,
            state=self._shown(state),
            allowed=self._allowed(run, coming, state),
        )

    def _shown(self, state: str) -> str:
        lines = state.splitlines()
        shown = self.spec.shown
        return "\n".join(line for line in lines if shown is None or line.split()[1] in shown)

    def _allowed(self, run: Run, place: int, state: str) -> tuple[str, ...] | None:
        """What could have come there instead."""
        events = _fields(run.events)
        guesses = continuations.guesses(events, place, self.spec.fields)
        module = self.spec.module([[events[0], guess] for guess in guesses], after=events[1:place])
        with tempfile.TemporaryDirectory(prefix="pyrepl3-spec-") as folder:
            self._write_specs(Path(folder))
            Path(folder, f"{self.spec.runs_name}.tla").write_text(module)
            return continuations.ask_which(
                self.tlc,
                Path(folder),
                spec=self.spec.name,
                config=self.spec.config,
                state=state,
                asked=guesses,
            )

    def _taken(self) -> dict[str, int]:
        taken = dict.fromkeys(self.spec.fields, 0)
        for run in self.runs:
            for event in run.events[1:]:
                taken[event.action] += 1
        return taken

    def _failed(self, result: TlcResult) -> CannotCheck:
        return CannotCheck(
            what=f"TLC could not check {self.spec.name}.tla",
            why=f"{result.outcome}: {result.message or 'it did not come to the end'}",
            how="Check fewer recordings at once; --keep DIR keeps what it was given and wrote",
        )


def _fields(events: Sequence[Recorded]) -> Events:
    return [event.fields for event in events]


def _number(pattern: re.Pattern[str], state: str) -> int:
    found = pattern.search(state)
    assert found is not None, state
    return int(found[1])


def _without_bookkeeping(state: str) -> str:
    """One line a variable, of the spec's own: TLC breaks wide values over many."""
    conjuncts = [" ".join(lines.split()) for lines in re.split(r"\n(?=/\\ )", state)]
    return "\n".join(each for each in conjuncts if not (_RUN.match(each) or _NEXT.match(each)))
