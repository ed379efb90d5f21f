"""End-to-end tests: every supervisor that they open records, and at the end TLC judges it all.

Owns where the recordings are, and that what judges them comes last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import pytest

from pyrepl3 import supervisor
from pyrepl3.config import Config
from pyrepl3.recording import Recording

HERE = Path(__file__).parent
JUDGE = "test_all_recordings.py"


@attrs.define
class Recorded:
    """The recordings of this run of the tests."""

    folder: Path
    whole_suite: bool
    """Whether all end-to-end tests were to run, so that together they should cover the specs."""

    @property
    def paths(self) -> list[Path]:
        """Their files, the oldest first."""
        return sorted(self.folder.iterdir())


@pytest.fixture(scope="session", autouse=True)
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """Give each supervisor a file, unless its test has named one."""
    recorded = Recorded(tmp_path_factory.mktemp("recordings"), _is_whole(request.session))
    numbers = itertools.count(1)
    really_open = supervisor._open_recording

    def open_recording(config: Config) -> AbstractContextManager[Recording | None]:
        if config.record_trace is None:
            path = recorded.folder / f"{next(numbers):06}.ndjson"
            config = attrs.evolve(config, record_trace=path)
        return really_open(config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "_open_recording", open_recording)
        yield recorded


def _is_whole(session: pytest.Session) -> bool:
    option = session.config.option
    files = {item.path for item in session.items}
    chosen = option.keyword or option.markexpr or any("::" in word for word in session.config.args)
    return not chosen and files.issuperset(HERE.rglob("test_*.py"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The judge comes last."""
    items.sort(key=lambda item: item.path.name == JUDGE)
