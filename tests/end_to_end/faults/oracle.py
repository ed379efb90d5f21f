"""End-to-end tests: what must hold after every fault, applied to all of them alike.

Owns the oracle: each accepted request gets exactly one terminal event, a canary session answers,
the pool returns to its target, and nothing is left behind (descriptors, processes, temporary
files, errors in the log). Must not know any one fault.
"""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import psutil
import pytest
import trio

import pyrepl3

CANARY_S = 5.0
"""A second on an idle machine; this is a bound for a loaded one, not a measurement."""
SETTLE_S = 10.0
"""For what happens soon, but not at once: reaping, and the starts of replacements."""
POLL_S = 0.01

MARK = "PYREPL3_TEST_MARK"
"""A variable that every process of a watched supervisor has, its orphaned descendants too."""

TEMPLATE = "PYREPL3_TEST_TEMPLATE"
"""A variable that tells the processes of one template from those of another."""


async def eventually(claim: Callable[[], object], *, within_s: float = SETTLE_S) -> None:
    """Wait until the claim holds; fail, with what it said last, when it does not in time."""
    deadline = trio.current_time() + within_s
    while not (said := claim()):
        assert trio.current_time() < deadline, f"still {said!r} after {within_s} s"
        await trio.sleep(POLL_S)


# --- what one request was told ------------------------------------------------------------------


@attrs.frozen
class Told:
    """The events of one execution, in order, from the first to the terminal one."""

    events: tuple[pyrepl3.Event, ...]

    @property
    def terminal(self) -> pyrepl3.Event:
        """The last event."""
        return self.events[-1]

    @property
    def error(self) -> pyrepl3.Error:
        """The terminal event, which must be an error."""
        assert isinstance(self.terminal, pyrepl3.Error), self.terminal
        return self.terminal

    @property
    def result(self) -> pyrepl3.Result:
        """The terminal event, which must be a result."""
        assert isinstance(self.terminal, pyrepl3.Result), self.terminal
        return self.terminal

    def text(self, stream: str = "stdout") -> str:
        """All that was printed to a stream."""
        outputs = [event for event in self.events if isinstance(event, pyrepl3.Output)]
        return "".join(event.data for event in outputs if event.stream == stream)

    def gaps_bytes(self) -> int:
        """How much was left out."""
        return sum(event.bytes for event in self.events if isinstance(event, pyrepl3.Gap))


async def follow(
    session: pyrepl3.Session,
    code: str,
    *,
    timeout_s: float | None = None,
    on_event: Callable[[pyrepl3.Event], object] | None = None,
) -> Told:
    """Run code and check the shape of what is told: `Started`, then anything, one terminal event.

    ``on_event`` is called with each event as it comes.
    """
    events: list[pyrepl3.Event] = []
    async with session.stream(code, timeout_s=timeout_s) as stream:
        async for event in stream:
            events.append(event)
            if on_event is not None:
                on_event(event)
        # The stream ends itself with the terminal event, so look behind it: the channel under it
        # must be closed, with nothing more in it.
        with trio.fail_after(CANARY_S), pytest.raises(pyrepl3.SessionLost):
            await stream._more()  # type: ignore[attr-defined]
    told = Told(tuple(events))
    check_told(told)
    return told


def check_told(told: Told) -> None:
    """Exactly one terminal event, the last; all of one execution; codes and states known."""
    terminals = [
        event for event in told.events if isinstance(event, pyrepl3.Result | pyrepl3.Error)
    ]
    assert len(terminals) == 1
    assert terminals[0] is told.terminal
    assert isinstance(told.events[0], pyrepl3.Started)
    assert len({event.execution for event in told.events}) == 1
    if isinstance(told.terminal, pyrepl3.Error):
        assert told.terminal.code is None or told.terminal.code in list(pyrepl3.Code)
        assert told.terminal.state in ("kept", "rolled_back", "lost", "unknown")


async def assert_usable(session: pyrepl3.Session) -> None:
    """The session still runs code."""
    with trio.fail_after(CANARY_S):
        execution = await session.run("1 + 1")
    assert execution.value == 2, execution.error


async def assert_lost(session: pyrepl3.Session) -> None:
    """The session refuses, and says why and what to do."""
    with trio.fail_after(CANARY_S), pytest.raises(pyrepl3.SessionLost) as caught:
        await session.run("1 + 1")
    assert_explained(caught.value)


def assert_explained(error: pyrepl3.PyreplError) -> None:
    """An error says what went wrong, why, and how to mend it."""
    assert error.what
    assert error.why
    assert error.how
    assert error.code in str(error)


# --- what is left behind ------------------------------------------------------------------------


@asynccontextmanager
async def watched_supervisor(
    config: pyrepl3.Config | None = None, *, canary: str | None = "python"
) -> AsyncGenerator[pyrepl3.Supervisor, None]:
    """A supervisor with the oracle around it.

    After the body: the pool settles at its target and a session of the template ``canary``
    answers (unless it is None). After the supervisor: nothing is left.
    """
    config = config or small_config()
    with nothing_left_behind(config) as marked:
        async with pyrepl3.open_supervisor(marked) as supervisor:
            yield supervisor
            if canary is not None:
                await assert_healthy(supervisor, canary)


async def assert_healthy(supervisor: pyrepl3.Supervisor, template: str = "python") -> None:
    """A canary answers, and the pool is at its target: nothing leased, nobody waiting."""
    with trio.fail_after(CANARY_S):
        async with supervisor.session(template) as session:
            assert (await session.run("1 + 1")).value == 2
    await assert_at_target(supervisor)


async def assert_at_target(supervisor: pyrepl3.Supervisor) -> None:
    """The pool has its idle sessions again, and nothing is under way."""

    def at_target() -> bool:
        pool = supervisor.statistics().pool
        busy = pool.leased + pool.waiting + pool.starting + pool.stopping
        return busy == 0 and pool.idle >= supervisor.config.pool.min_idle

    try:
        await eventually(at_target)
    except AssertionError:
        raise AssertionError(f"not at its target: {supervisor.statistics()}") from None


@contextmanager
def nothing_left_behind(config: pyrepl3.Config) -> Iterator[pyrepl3.Config]:
    """The configuration with a mark in it, by which its processes are found.

    After the block there is no such process, no new child or descriptor of ours, no temporary
    file, and no error in the service's log.
    """
    mark = uuid.uuid4().hex
    descriptors, children = open_descriptors(), child_processes()
    with tempfile.TemporaryDirectory(prefix="pyrepl3-test-") as folder, errors_logged() as errors:
        yield marked_config(config, mark, folder)
        left_files = os.listdir(folder)
    # Processes first: while one dies, the rest is not settled.
    assert marked_processes(mark) == {}
    assert child_processes() - children == set()
    assert {
        number: target
        for number, target in open_descriptors().items()
        if descriptors.get(number) != target
    } == {}
    assert left_files == []
    assert errors == []


def marked_config(config: pyrepl3.Config, mark: str, folder: str) -> pyrepl3.Config:
    """The same configuration, with a mark and a temporary folder in each template."""
    templates = {
        name: attrs.evolve(
            template, env={MARK: mark, TEMPLATE: name, "TMPDIR": folder, **template.env}
        )
        for name, template in config.templates.items()
    }
    return attrs.evolve(config, templates=templates)


def open_descriptors() -> dict[int, str]:
    """This process's descriptors, and what each is."""
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # that of the listing itself
    return descriptors


def child_processes() -> set[int]:
    """This process's children, zombies among them."""
    return {child.pid for child in psutil.Process().children()}


def marked_processes(mark: str) -> dict[int, str]:
    """Every living process that inherited the mark, whoever its parent is now."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended meanwhile, or is none of ours
    return found


@contextmanager
def errors_logged() -> Iterator[list[str]]:
    """What the service logs as an error: a bug of its own, whatever user code did."""
    messages: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(self.format(record))

    handler = Keep(level=logging.ERROR)
    loggers = [logging.getLogger("pyrepl3"), logging.getLogger("actors")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield messages
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


# --- configurations and processes ---------------------------------------------------------------


def small_config(
    *,
    min_idle: int = 1,
    max_sessions: int = 8,
    spawn: str = "fork",
    limits: pyrepl3.Limits | None = None,
    timeouts: pyrepl3.Timeouts | None = None,
    templates: dict[str, pyrepl3.Template] | None = None,
    **pool: float,
) -> pyrepl3.Config:
    """Few sessions and short graces, so that a test of the ladder takes a moment only."""
    pool.setdefault("acquire_timeout_s", 20.0)
    return pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=min_idle, max_sessions=max_sessions, **pool),
        templates=templates or {"python": pyrepl3.Template(spawn=spawn)},
        limits=limits or pyrepl3.Limits(),
        timeouts=timeouts or pyrepl3.Timeouts(interrupt_grace_s=0.3, close_grace_s=0.3),
    )


def zygotes_of(supervisor: pyrepl3.Supervisor, template: str = "python") -> list[psutil.Process]:
    """The zygote processes of a template, known by the mark in its environment."""
    mark = supervisor.config.templates[template].env[MARK]
    zygotes = []
    for child in psutil.Process().children():
        try:
            environment = child.environ()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if (environment.get(MARK), environment.get(TEMPLATE)) == (mark, template):
            zygotes.append(child)
    return zygotes


def workers_of(supervisor: pyrepl3.Supervisor, template: str = "python") -> set[int]:
    """The ids of a template's workers, whatever they do."""
    return {
        worker.pid for zygote in zygotes_of(supervisor, template) for worker in zygote.children()
    }


async def wait_ended(process: int) -> None:
    """Wait until a process is dead, reaped or not: an orphan's zombie is init's to reap."""

    def ended() -> bool:
        try:
            return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    await eventually(ended)
