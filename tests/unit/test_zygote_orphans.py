"""Unit tests: which orphans a zygote ends, while sessions go on beside that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyrepl3.worker import orphans, zygote
from pyrepl3.worker.zygote import Zygote

WORKER, BEFORE, AFTER, STRAY = 10, 11, 12, 13


def a_zygote() -> Zygote:
    """One that has that worker, and was never started."""
    made = Zygote.__new__(Zygote)
    made._workers = {WORKER: 3}
    made._spared, made._copies = set(), {}
    return made


def test_who_outlives_its_original_while_orphans_are_looked_for_is_spared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The session names another snapshot in the midst of it, and dies."""
    named, children, killed = [BEFORE], [WORKER, STRAY], []

    def children_now() -> list[int]:
        return list(children)

    def names_now(page: int) -> Iterator[int]:
        yield from named

    def has_page(pid: int, page: int) -> bool:
        # By now the names were read: here the session goes on, and dies.
        named[:], children[:] = [AFTER], [WORKER, STRAY, AFTER]
        return True

    monkeypatch.setattr(orphans, "children", children_now)
    monkeypatch.setattr(orphans, "kill_child", killed.append)
    monkeypatch.setattr(zygote, "_named_on", names_now)
    monkeypatch.setattr(zygote, "_has_page", has_page)
    a_zygote()._kill_orphans()

    assert killed == [STRAY]


def test_who_has_outlived_its_original_before_is_spared_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(orphans, "children", lambda: [WORKER, AFTER, STRAY])
    monkeypatch.setattr(orphans, "kill_child", killed.append)
    monkeypatch.setattr(zygote, "_named_on", lambda page: iter([AFTER]))
    monkeypatch.setattr(zygote, "_has_page", lambda pid, page: True)
    a_zygote()._kill_orphans()

    assert killed == [STRAY]
