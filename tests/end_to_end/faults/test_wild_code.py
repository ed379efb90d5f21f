"""End-to-end tests: what code may do to its own process: memory, stack, objects that lie, ends.

Rows 32 to 37 of the fault catalogue, each with its oracle.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

import pyrepl3

from .oracle import (
    assert_usable,
    follow,
    small_config,
    wait_ended,
    watched_supervisor,
)

BOUND_S = 5.0


async def test_what_a_session_changes_of_its_process_is_its_own(tmp_path: Path) -> None:
    """Row 32. Folder, umask, rlimits, sys.path, environment: of this session, not of the next."""
    look = """if True:
        import os, resource, sys
        mask = os.umask(0); os.umask(mask)
        state = [os.getcwd(), mask, resource.getrlimit(resource.RLIMIT_CPU)[0], len(sys.path),
                 os.environ.get('CHANGED'), os.nice(0)]
    """
    change = f"""if True:
        import os, resource, sys
        os.chdir({str(tmp_path)!r}); os.umask(0o777); sys.path.append('/x'); os.nice(5)
        resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000)); os.environ['CHANGED'] = 'yes'
    """
    async with (
        watched_supervisor(small_config(min_idle=2)) as supervisor,
        supervisor.session() as beside,
    ):
        before = (await beside.run(look + "\nstate")).value
        async with supervisor.session() as session:
            assert (await session.run(change)).error is None
            assert (await session.run(look + "\nstate")).value != before
        assert (await beside.run(look + "\nstate")).value == before
        for _ in range(3):
            async with supervisor.session() as later:
                assert (await later.run(look + "\nstate")).value == before
    assert os.getcwd() != str(tmp_path)


# --- 33 and 34: recursion -----------------------------------------------------------------------

BOMBS = {
    "frames": (
        "import sys; sys.setrecursionlimit(10**9)\ndef f(): held = bytearray(10**6); f()\nf()"
    ),
    "a growing list": "held = []\nwhile True: held.append(bytearray(10**6))",
    "a doubling list": "held = [0]\nwhile True: held = held + held",
    "one allocation": "bytearray(10**12)",
    "text": "text = 'x'\nwhile True: text += text",
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_memory_bomb_gets_a_memory_error_within_its_limit(bomb: str) -> None:
    """Row 33. And row 14, without a cgroup: MemoryError, or a death that is told."""
    config = small_config(limits=pyrepl3.Limits(memory_bytes=128 * 2**20))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        with trio.fail_after(4 * BOUND_S):
            told = await follow(session, BOMBS[bomb])

        if told.error.state == "lost":
            assert told.error.code in ("WORKER_DIED", "RUNNER_BROKEN")
        else:
            assert told.error.name == "MemoryError"
            await session.run("held = text = None")
            await assert_usable(session)


OVERFLOWS = {
    "getattr": ("class A:\n    def __getattr__(self, name): return getattr(self, name)\nA().x"),
    "sort": "def f(_): return sorted([0], key=f)\nf(0)",
    "repr": "held = []\nfor _ in range(10**6): held = [held]\nrepr(held)",
    "destructor": "held = None\nfor _ in range(10**6): held = (held,)\ndel held",
    "json": "import json\nheld = []\nfor _ in range(10**6): held = [held]\njson.dumps(held)",
}


@pytest.mark.parametrize("limit", [1_000, 10**9], ids=["default limit", "limit lifted"])
@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_an_overflow_of_the_stack_is_an_error_or_a_segfault_that_is_told(
    overflow: str, limit: int
) -> None:
    """Row 34. RecursionError, or WORKER_DIED with SIGSEGV where the code lifted the limit."""
    code = f"import sys; sys.setrecursionlimit({limit})\n{OVERFLOWS[overflow]}"
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(4 * BOUND_S):
            told = await follow(session, code)

        if isinstance(told.terminal, pyrepl3.Result):
            await assert_usable(session)
        elif told.error.state == "lost":
            assert (told.error.code, told.error.details["signal"]) == ("WORKER_DIED", "SIGSEGV")
        else:
            assert told.error.name in ("RecursionError", "MemoryError")
            await assert_usable(session)


# --- 35 to 37: objects that lie -----------------------------------------------------------------

REPRS = {
    "raises": ("raise ValueError('no')", "<Odd object: repr() raised ValueError>"),
    "exits": ("raise SystemExit", "<Odd object: repr() raised SystemExit>"),
    "recurses": ("return repr(self)", "<Odd object: repr() raised RecursionError>"),
    "is no text": ("return 7", "<Odd object: repr() raised TypeError>"),
    "holds surrogates": ("return '\\ud800'", "\\ud800"),
}


@pytest.mark.parametrize("way", REPRS)
async def test_an_odd_repr_becomes_a_placeholder(way: str) -> None:
    """Row 35."""
    body, expected = REPRS[way]
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, f"class Odd:\n    def __repr__(self): {body}\nOdd()")

        assert told.result.repr == expected
        assert told.result.data["text/plain"] == expected
        await assert_usable(session)


async def test_a_huge_repr_is_cut_at_a_stated_length() -> None:
    """Row 35."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, "'x' * 20_000_000")

        assert len(told.result.repr) < 300_000
        assert "cut" in told.result.repr
        assert "20000002" in told.result.repr


async def test_a_repr_that_hangs_is_interrupted_like_any_code() -> None:
    """Row 35."""
    code = "class Odd:\n    def __repr__(self):\n        while True: pass\nOdd()"
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, code, timeout_s=0.3)

        assert (told.error.code, told.error.state) == ("EXECUTION_TIMEOUT", "kept")
        await assert_usable(session)


LIES = {
    "str raises": "class Odd(Exception):\n    def __str__(self): raise ValueError",
    "str is no text": "class Odd(Exception):\n    def __str__(self): return 7",
    "str exits": "class Odd(BaseException):\n    def __str__(self): raise SystemExit",
    "str recurses": "class Odd(Exception):\n    def __str__(self): return str(self)",
    "str is huge": "class Odd(Exception):\n    def __str__(self): return 'x' * 20_000_000",
    "args lie": "class Odd(Exception):\n    args = property(lambda self: 1 / 0)",
    "the class lies": "class Odd(Exception):\n    __class__ = property(lambda self: int)",
    "the metaclass lies": (
        "class Meta(type):\n"
        "    __name__ = property(lambda self: 1 / 0)\n"
        "    __module__ = property(lambda self: 1 / 0)\n"
        "    def __getattribute__(self, name): raise RuntimeError(name)\n"
        "    def __instancecheck__(self, other): raise RuntimeError\n"
        "    def __eq__(self, other): raise RuntimeError\n"
        "    __hash__ = type.__hash__\n"
        "class Odd(Exception, metaclass=Meta): pass"
    ),
    "attributes lie": (
        "class Odd(Exception):\n    def __getattribute__(self, name): raise RuntimeError(name)"
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_exception_that_lies_is_told_by_a_guarded_formatter(lie: str) -> None:
    """Row 36. With its class's true name, and a traceback of bounded length."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, f"{LIES[lie]}\nraise Odd('what')")

        assert told.error.name == "Odd"
        assert (told.error.code, told.error.state) == (None, "kept")
        assert isinstance(told.error.value, str)
        assert 0 < len("".join(told.error.traceback)) < 10**6
        assert len(told.error.value) < 10**6
        await assert_usable(session)


HANGING_ENDS = {
    "atexit": "import atexit, time; atexit.register(time.sleep, 60)",
    "__del__": (
        "import time\nclass Odd:\n    def __del__(self, sleep=time.sleep): sleep(60)\nodd = Odd()"
    ),
    "atexit that cannot be interrupted": (
        "import atexit, itertools; atexit.register(lambda: sum(itertools.repeat(1)))"
    ),
}


@pytest.mark.parametrize("end", HANGING_ENDS)
async def test_an_end_that_hangs_is_killed_after_the_grace(end: str) -> None:
    """Row 37."""
    async with watched_supervisor() as supervisor:
        async with supervisor.session() as session:
            process = session.pid
            assert (await session.run(HANGING_ENDS[end])).error is None
        with trio.fail_after(BOUND_S):
            await wait_ended(process)


async def test_an_end_that_does_not_hang_runs_to_its_end(tmp_path: Path) -> None:
    """Row 37. The grace is for these."""
    trace = tmp_path / "trace"
    code = f"""if True:
        import atexit
        def note(text):
            with open({str(trace)!r}, 'a') as file: file.write(text)
        class Odd:
            def __del__(self): note('finalised')
        odd = Odd()
        atexit.register(note, 'atexit ')
    """
    async with watched_supervisor() as supervisor:
        async with supervisor.session() as session:
            process = session.pid
            assert (await session.run(code)).error is None
        await wait_ended(process)
    assert trace.read_text() == "atexit finalised"
