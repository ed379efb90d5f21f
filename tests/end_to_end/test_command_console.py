"""End-to-end tests: `pyrepl3 console`, and the link that `pyrepl3 serve` prints on a terminal."""

from __future__ import annotations

import http.client
import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pexpect
import pytest

from .command_driver import COMMAND, LIMIT_S, environment, run
from .serve_driver import Serving, serving

Say = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as service:
        yield service


@pytest.fixture
def say(service: Serving, tmp_path: Path) -> Say:
    """The command, as the user of that service has it."""
    variables = {"PYREPL3_URL": service.served.url, "XDG_STATE_HOME": str(tmp_path)}

    def say(*words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        return run(COMMAND, *words, variables={**variables, **more})

    return say


def sign_in(link: str) -> tuple[int, str | None]:
    """As the page does that the link leads to: the status, and the cookie's header."""
    address, _, code = link.partition("#code=")
    parts = urlsplit(address)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
    connection.request("POST", "/v1/browser/session", json.dumps({"code": code}))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("Set-Cookie")


def test_a_link_signs_in_once(say: Say, service: Serving) -> None:
    done = say("console")
    link = done.stdout.decode().strip()
    status, cookie = sign_in(link)

    assert (done.returncode, done.stderr) == (0, b"")
    assert link.startswith(f"{service.served.url}/#code=")
    assert status == 204
    assert cookie is not None
    assert cookie.startswith(f"pyrepl3_{service.served.port}=")
    assert sign_in(link) == (401, None)
    assert say("console").stdout.decode().strip() != link


def test_a_browser_is_opened_without_the_code_in_its_arguments(say: Say, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys\nopen({str(seen)!r}, 'w').write(sys.argv[1])\n"
    )
    browser.chmod(0o755)
    done = say("console", "--open", BROWSER=f"{browser} %s")
    told = seen.read_text()
    page = Path(urlsplit(told).path)
    link = re.search(r'url=([^"]+)"', page.read_text())

    assert (done.returncode, done.stdout) == (0, b"")
    assert told.startswith("file:///")
    assert "code=" not in told
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert link is not None
    assert sign_in(link[1])[0] == 204


def test_the_link_is_printed_where_no_browser_can_be_opened(say: Say) -> None:
    done = say("console", "--open", BROWSER="/nowhere/browser %s")

    assert done.returncode == 1
    assert b"no browser could be opened here" in done.stderr
    assert sign_in(done.stdout.decode().strip())[0] == 204


def test_a_wrong_token_and_no_service_are_told(say: Say, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("o" * 43)
    other.chmod(0o640)
    readable = say("console", "--token-file", str(other))
    other.chmod(0o600)
    wrong = say("console", "--token-file", str(other))
    nobody = say("console", "--connect", "http://127.0.0.1:9")

    assert (wrong.returncode, nobody.returncode) == (1, 1)
    assert wrong.stdout == nobody.stdout == b""
    assert b"code: UNAUTHORIZED" in wrong.stderr
    assert readable.returncode == 1
    assert f"how: chmod 600 {other}\n  code: CONFIG_INVALID\n".encode() in readable.stderr
    assert b"o" * 43 not in wrong.stderr
    assert b"code: SERVICE_UNREACHABLE" in nobody.stderr


def test_on_a_terminal_the_service_prints_a_link(tmp_path: Path) -> None:
    variables = environment(XDG_STATE_HOME=str(tmp_path))
    words = [*COMMAND[1:], "serve", "--port", "0", "--min-idle", "0"]
    with pexpect.spawn(
        COMMAND[0], words, env=variables, timeout=LIMIT_S, encoding="utf-8"
    ) as child:
        child.expect(r"console +(http://127\.0\.0\.1:\d+/#code=[A-Z2-7-]+)")
        link = child.match[1]
        child.expect("Ctrl-C ends it")
        assert sign_in(link)[0] == 204
        assert sign_in(link)[0] == 401
        child.sendintr()
        child.expect(pexpect.EOF)


def test_elsewhere_the_service_prints_none(service: Serving) -> None:
    """What is written into a log is read by others."""
    assert "#code=" not in service.told
    assert "pyrepl3 console" in service.told
