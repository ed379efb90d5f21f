"""Unit tests: what is left of a call in another thread whose wait was interrupted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import anyio
import pytest

from pyrepl3.remote.other_thread import OtherThread, start_thread


@pytest.fixture
def thread() -> Iterator[OtherThread]:
    thread = start_thread()
    yield thread
    thread.close()


def interrupt_next_wait(monkeypatch: pytest.MonkeyPatch, *, after_its_end: bool) -> None:
    """As Ctrl-C does: at once, or when the answer is there, and before anybody has it."""
    original = Future.result
    waits = iter(["for its start", "for its end"])

    def interrupted(future: Future[Any], timeout: float | None = None) -> Any:
        if next(waits) == "for its start":
            return original(future, timeout)
        monkeypatch.undo()
        if after_its_end:
            original(future, timeout)
        else:
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", interrupted)


def test_what_was_there_when_the_interrupt_came_is_given_back(
    thread: OtherThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    async def begin() -> str:
        return "key"

    async def leave(key: str) -> None:
        given.append(key)

    interrupt_next_wait(monkeypatch, after_its_end=True)
    with pytest.raises(KeyboardInterrupt):
        thread.wait(begin, give_back=leave)

    assert given == ["key"]


def test_an_interrupt_waits_until_what_it_has_cancelled_is_over(
    thread: OtherThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep(60)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
                done.append("left")

    interrupt_next_wait(monkeypatch, after_its_end=False)
    with pytest.raises(KeyboardInterrupt):
        thread.wait(work)

    assert done == ["left"]
