"""Unit tests: docs/errors.md lists every code as pyrepl3/errors.py has it."""

from pathlib import Path

from pyrepl3.errors import CODES

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_every_code_is_documented_as_it_is() -> None:
    rows = [
        tuple(cell.strip().strip("`") for cell in line.strip("|").split("|"))
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `")
    ]
    expected = [
        (
            str(code),
            info.meaning,
            str(info.http_status),
            info.websocket,
            "yes" if info.retryable else "no",
        )
        for code, info in CODES.items()
    ]

    assert expected == rows
