"""End-to-end tests: too much, too odd, or broken input and output (rows 38 to 46, 54)."""

from __future__ import annotations

import psutil
import pytest
import trio
import trio.testing

import pyrepl3

from .oracle import (
    assert_explained,
    assert_usable,
    follow,
    small_config,
    watched_supervisor,
)

BOUND_S = 5.0


# --- 38 to 40: floods ---------------------------------------------------------------------------


async def test_a_million_lines_come_whole_and_the_service_does_not_grow() -> None:
    """Row 38. Less than 16 MiB, while the reader keeps nothing."""
    service = psutil.Process()
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        await session.run("for number in range(10_000): print(number)")
        before, most = service.memory_info().rss, 0
        lines = characters = events = 0
        async with session.stream("for number in range(1_000_000): print(number)") as stream:
            async for event in stream:
                if isinstance(event, pyrepl3.Output):
                    lines += event.data.count("\n")
                    characters += len(event.data)
                    events += 1
                    if events % 16 == 0:
                        most = max(most, service.memory_info().rss)
        assert isinstance(event, pyrepl3.Result)
        assert lines == 1_000_000
        assert characters == sum(len(f"{number}\n") for number in range(1_000_000))
        assert most - before < 16 * 2**20


async def test_an_endless_print_is_limited_and_an_interrupt_answers_soon() -> None:
    """Row 39. Nobody reads what it prints meanwhile."""
    config = small_config(limits=pyrepl3.Limits(output_bytes=100_000))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        async with session.stream("while True: print('endless')") as stream:
            assert isinstance(await anext(stream), pyrepl3.Started)
            assert isinstance(await anext(stream), pyrepl3.Output)
            with trio.fail_after(BOUND_S):
                outcome = await session.interrupt()
            events = [event async for event in stream]

        assert (outcome.state, outcome.by) == ("kept", "signal")
        assert isinstance(events[-1], pyrepl3.Error)
        assert events[-1].code == "INTERRUPTED"
        await assert_usable(session)


async def test_an_endless_print_that_is_read_ends_at_its_limit_with_a_gap() -> None:
    """Row 39. The limit holds to the byte; the gap says how much more there was."""
    config = small_config(limits=pyrepl3.Limits(output_bytes=100_000))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, "while True: print('endless')", timeout_s=0.3)

        assert told.error.code == "EXECUTION_TIMEOUT"
        assert len(told.text()) == 100_000
        assert told.gaps_bytes() > 0
        await assert_usable(session)


async def test_a_slow_reader_slows_its_own_session_and_no_other() -> None:
    """Row 39. Nothing is lost for it."""
    async with (
        watched_supervisor() as supervisor,
        supervisor.session() as other,
        supervisor.session() as session,
        session.stream("for number in range(50_000): print(number)") as stream,
    ):
        first = [await anext(stream), await anext(stream)]
        for _ in range(20):
            await assert_usable(other)
        text = "".join(
            event.data
            for event in [*first, *[event async for event in stream]]
            if isinstance(event, pyrepl3.Output)
        )
        assert text == "".join(f"{number}\n" for number in range(50_000))


async def test_one_line_of_a_gibibyte_comes_in_chunks_then_a_gap() -> None:
    """Row 40. And the service holds none of it."""
    limits = pyrepl3.Limits(memory_bytes=None, output_bytes=10**6)
    service = psutil.Process()
    async with (
        watched_supervisor(small_config(limits=limits)) as supervisor,
        supervisor.session() as session,
    ):
        before = service.memory_info().rss
        told = await follow(session, "print('x' * 2**30)", timeout_s=60)

        assert told.result is told.terminal
        outputs = [event for event in told.events if isinstance(event, pyrepl3.Output)]
        assert len(outputs) > 1
        assert told.text() == "x" * 10**6
        assert told.gaps_bytes() == 2**30 + 1 - 10**6
        assert service.memory_info().rss - before < 16 * 2**20
        await assert_usable(session)


# --- 41 to 43: odd characters -------------------------------------------------------------------


async def test_binary_output_becomes_replacement_characters() -> None:
    """Row 41. By the descriptor, by the buffer, and by a child process."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, "import os; n = os.write(1, b'\\xff\\xfe fine\\n')")
        assert told.text() == "\ufffd\ufffd fine\n"
        told = await follow(session, "import sys; n = sys.stdout.buffer.write(b'\\xff fine\\n')")
        assert told.text() == "\ufffd fine\n"
        told = await follow(session, r"""n = os.system("printf '\\377 fine\\n' >&2")""")
        assert told.text("stderr") == "\ufffd fine\n"


async def test_lone_surrogates_become_backslash_escapes() -> None:
    """Row 42. Printed, as a value, in an exception, displayed, and in a prompt."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, "print('\\ud800'); '\\udfff'")
        assert told.text() == "\\ud800\n"
        assert told.result.repr == "'\\udfff'"
        failed = await follow(session, "raise ValueError('\\ud800')")
        assert failed.error.value == "\\ud800"
        shown = await session.run("display({'\\ud800': 1}, '\\ud800')")
        assert len(shown.results) == 2
        prompts: list[str] = []
        asked = await session.run(
            "input('\\ud800')", on_input=lambda prompt: prompts.append(prompt)
        )
        assert asked.error is not None
        assert asked.error.name == "EOFError"
        assert prompts == ["\\ud800"]


async def test_code_with_lone_surrogates_is_refused_by_the_language_or_runs() -> None:
    """Row 42. It comes in as well."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, "'\ud800'")
        assert told.error.state == "kept"
        await assert_usable(session)


async def test_a_character_that_is_split_across_reads_is_joined() -> None:
    """Row 43. On the descriptor, byte by byte."""
    code = """if True:
        import os, time
        for byte in '\u20ac\U0001f600'.encode():
            n = os.write(1, bytes([byte])); time.sleep(0.01)
    """
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, code)
        assert told.text() == "\u20ac\U0001f600"
        told = await follow(session, "print('\u20ac' * 100_000)")
        assert told.text() == "\u20ac" * 100_000 + "\n"


async def test_half_a_character_at_the_end_is_told_and_does_not_reach_the_next_execution() -> None:
    """Row 43."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, "import os; n = os.write(1, '\u20ac'.encode()[:2])")
        assert told.text() == "\ufffd"
        told = await follow(session, "n = os.write(1, b'next')")
        assert told.text() == "next"


# --- 44 to 46: odd code -------------------------------------------------------------------------


async def test_code_beyond_its_limit_is_refused_before_it_is_sent() -> None:
    """Row 44. In bytes of UTF-8, also where the characters are fewer."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        await session.run("kept = 1")
        for code in ("#" * (2**20 + 1), "#" + "\u20ac" * (2**20 // 3 + 1)):
            with pytest.raises(pyrepl3.CodeTooLarge) as caught:
                await session.run(code)
            assert_explained(caught.value)
            assert caught.value.details["limit"] == 2**20
        assert (await session.run("kept" + " " * (2**20 - 4))).value == 1


ODD_CODE = {
    "NUL bytes": ("x = 1\0", {"SyntaxError", "ValueError"}),
    "parentheses": ("(" * 10**5 + ")" * 10**5, {"SyntaxError", "MemoryError", "RecursionError"}),
    "unary minus": ("-" * 10**5 + "1", {"RecursionError", "MemoryError", "SyntaxError"}),
    "brackets": ("[" * 10**5, {"SyntaxError", "MemoryError", "RecursionError"}),
    "attributes": ("x" + ".x" * 10**5, {"RecursionError", "MemoryError", "NameError"}),
    "additions": ("1" + "+1" * 10**5, {"RecursionError", "MemoryError", None}),
    "an open string": ("'''" + "x" * 10**5, {"SyntaxError"}),
    "a bad indent": ("if True:\npass", {"IndentationError"}),
    "tabs and spaces": ("if True:\n\tx = 1\n        x = 2", {"TabError"}),
    "nothing": ("", {None}),
    "a comment": ("# nothing", {None}),
}


@pytest.mark.parametrize("odd", ODD_CODE)
async def test_odd_code_gets_the_languages_own_error_and_keeps_the_session(odd: str) -> None:
    """Row 45."""
    code, names = ODD_CODE[odd]
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        await session.run("kept = 1")
        with trio.fail_after(4 * BOUND_S):
            told = await follow(session, code)

        if isinstance(told.terminal, pyrepl3.Error):
            assert told.error.name in names
            assert (told.error.code, told.error.state) == (None, "kept")
        else:
            assert None in names
        assert (await session.run("kept")).value == 1


async def test_an_integer_of_5000_digits_is_a_value_error_when_printed() -> None:
    """Row 46. The language's own limit; as a value it is a placeholder."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        printed = await follow(session, "print(10 ** 5000)")
        assert (printed.error.name, printed.error.state) == ("ValueError", "kept")
        told = await follow(session, "10 ** 5000")
        assert told.result.repr == "<int object: repr() raised ValueError>"
        assert told.result.value is None


# --- 54: the queue ------------------------------------------------------------------------------


async def test_requests_on_a_busy_session_wait_in_order_up_to_a_limit() -> None:
    """Row 54. The 17th behind the running one is refused, and nothing of it runs."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        ended: list[int] = []
        refused: list[pyrepl3.QueueFull] = []

        async def run(number: int) -> None:
            try:
                execution = await session.run(f"ran.append({number}); {number}")
            except pyrepl3.QueueFull as error:
                refused.append(error)
            else:
                ended.append(execution.value)

        await session.run("ran = []")
        async with (
            trio.open_nursery() as nursery,
            session.stream("answer = input()") as stream,
        ):
            assert isinstance(await anext(stream), pyrepl3.Started)
            for number in range(20):
                nursery.start_soon(run, number)
                await trio.testing.wait_all_tasks_blocked()
            assert len(refused) == 4
            async for event in stream:
                if isinstance(event, pyrepl3.InputRequested):
                    await event.respond("go on")

        # Those who wait are woken in any order; what ran says in which it was run.
        assert sorted(ended) == list(range(16))
        assert (await session.run("ran")).value == list(range(16))
        for error in refused:
            assert_explained(error)
            assert error.retryable
            assert error.details["limit"] == 16


async def test_a_limit_on_the_queue_is_the_sessions_own() -> None:
    """Row 54."""
    async with (
        watched_supervisor() as supervisor,
        supervisor.session(limits=pyrepl3.Limits(queued_executions=1)) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(session.run, "import time; time.sleep(0.3)")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(session.run, "1")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(pyrepl3.QueueFull):
            await session.run("2")
