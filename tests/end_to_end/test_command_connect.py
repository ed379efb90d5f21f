"""End-to-end tests: the prompt of a session of a service, and `session attach`, on terminals."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pexpect
import pytest
import trio

from .command_driver import COMMAND, LIMIT_S, environment, run
from .cutting_proxy import CuttingProxy, cutting_proxy
from .serve_driver import Serving, serving

READY = "\x1b\\[\\?2004h"
"""Bracketed paste is switched on: the prompt takes keys."""
ESCAPES = r"(?:\x1b\[[0-9;?]*[a-zA-Z])*"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


RUNS_ON = "print('be' + 'gun', flush=True)\nwhile True: pass"
LOOPS = "if 1:\rprint('be' + 'gun')\rwhile True: pass\r\r"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as service:
        yield service


class Terminal:
    """A terminal with the command on it. What is awaited never occurs in what is typed."""

    def __init__(self, state: Path, *words: str) -> None:
        self.process = pexpect.spawn(
            sys.executable,
            [*COMMAND[1:], *words],
            env=environment(
                TERM="xterm",
                XDG_STATE_HOME=str(state),
                PROMPT_TOOLKIT_NO_CPR="1",
                NO_COLOR="1",
            ),
            encoding="utf-8",
            timeout=LIMIT_S / 4,
            dimensions=(40, 160),
        )

    def wait_prompt(self) -> str:
        """What was shown until the next prompt."""
        self.process.expect(READY)
        return CONTROL.sub("", self.process.before)

    def enter(self, code: str) -> str:
        """Type code and Enter; what was shown until the next prompt."""
        self.process.send(code + "\r")
        return self.wait_prompt()

    def type(self, keys: str) -> None:
        self.process.send(keys)

    def expect(self, text: str) -> None:
        """Wait until it is shown, in whatever colours."""
        self.process.expect(ESCAPES.join(re.escape(character) for character in text))

    def wait_end(self) -> int | None:
        """The exit status."""
        self.process.expect(pexpect.EOF)
        self.process.close()
        return self.process.exitstatus


Open = Callable[..., Terminal]


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Open]:
    opened: list[Terminal] = []

    def open_terminal(*words: str) -> Terminal:
        opened.append(Terminal(tmp_path, *words))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.process.close(force=True)


def say(service: Serving, state: Path, *words: str) -> str:
    """Another command's output."""
    variables = {"PYREPL3_URL": service.served.url, "XDG_STATE_HOME": str(state)}
    return run(COMMAND, *words, variables=variables).stdout.decode()


# --- the prompt ---------------------------------------------------------------------------------


def test_what_code_does_is_shown_as_of_an_own_session(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    terminal = open_terminal("--connect", service.served.url)
    terminal.wait_prompt()
    terminal.enter("%report")
    assert "[+ os: module, " in terminal.enter("import os")
    terminal.enter("%begin")
    terminal.enter(f"os.chdir({str(tmp_path)!r})")
    terminal.enter("os.mkdir('made')")
    assert "/made was made]" in terminal.enter("%rollback")


def test_a_prompt_is_that_of_an_own_session(service: Serving, open_terminal: Open) -> None:
    terminal = open_terminal("--connect", service.served.url)
    assert "is closed when you leave" in terminal.wait_prompt()
    terminal.enter("quite_a_long_name = 'found' * 2")
    terminal.type("quite_a_l\t")
    terminal.expect("ong_name")
    assert "\n'foundfound'" in terminal.enter("")
    terminal.type("name = input('who' + '? ')\r")
    terminal.expect("who? ")
    terminal.type("Ada\r")
    terminal.wait_prompt()
    assert "\n'daAda'" in terminal.enter("name[1:] + name")
    terminal.type(LOOPS)
    terminal.expect("begun")
    terminal.process.sendintr()
    terminal.expect("KeyboardInterrupt")
    terminal.wait_prompt()
    assert "\n'Ada'" in terminal.enter("name")
    assert "str(object='')" in terminal.enter("?str")
    terminal.type("exit(3)\r")
    assert terminal.wait_end() == 3


def test_a_new_session_is_closed_and_a_named_one_goes_on(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    terminal = open_terminal("--connect", service.served.url)
    terminal.wait_prompt()
    terminal.type("\x04")
    assert terminal.wait_end() == 0
    assert " open " not in say(service, tmp_path, "session", "ls")

    terminal = open_terminal("--connect", service.served.url, "--session", "mine")
    assert "goes on when you leave" in terminal.wait_prompt()
    terminal.enter("x = 6")
    terminal.type("import sys; sys.exit('fare' + 'well')\r")
    terminal.expect("farewell")
    assert terminal.wait_end() == 1
    assert say(service, tmp_path, "exec", "mine", "-c", "x * 7") == "42\n"

    terminal = open_terminal("--connect", service.served.url, "--session", "mine")
    terminal.wait_prompt()
    assert "\n'66'" in terminal.enter("str(x) * 2")


def test_ctrl_c_at_the_prompt_is_for_its_own_code_alone(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    first = open_terminal("--connect", service.served.url, "--session", "mine")
    first.wait_prompt()
    second = open_terminal("--connect", service.served.url, "--session", "mine")
    second.wait_prompt()
    first.type("print('be' + 'gun'); _ = input('go' + '? ')\r")
    first.expect("go? ")
    second.type("'never' + 'run'\r")
    while json.loads(say(service, tmp_path, "session", "info", "mine"))["queued"] == 0:
        pass  # asking again takes its time
    second.process.sendintr()
    second.expect("KeyboardInterrupt")
    second.wait_prompt()
    first.type("\r")
    first.wait_prompt()

    assert "\n'still here'" in first.enter("'still ' + 'here'")


def test_a_session_that_is_lost_is_told_and_a_new_one_opened(
    service: Serving, open_terminal: Open
) -> None:
    terminal = open_terminal("--connect", service.served.url, "--session", "mine")
    terminal.wait_prompt()
    terminal.enter("x = 1")
    shown = terminal.enter("import os; os.abort()")

    assert "The session is lost" in shown
    assert "SIGABRT" in shown
    assert "NameError" in terminal.enter("x")


# --- a connection that is dropped ---------------------------------------------------------------


@attrs.define
class Cutter:
    """A proxy in a thread of its own."""

    proxy: CuttingProxy
    token: trio.lowlevel.TrioToken

    def go_down(self) -> None:
        def down() -> None:
            self.proxy.is_down = True
            self.proxy.cut_all()

        trio.from_thread.run_sync(down, trio_token=self.token)

    def come_up(self) -> None:
        self.proxy.is_down = False


@contextmanager
def cutter(port: int) -> Iterator[Cutter]:
    ready = threading.Event()
    made: list[tuple[Cutter, trio.Event]] = []

    async def serve() -> None:
        async with cutting_proxy(port) as proxy:
            done = trio.Event()
            made.append((Cutter(proxy, trio.lowlevel.current_trio_token()), done))
            ready.set()
            await done.wait()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    assert ready.wait(LIMIT_S)
    found, done = made[0]
    try:
        yield found
    finally:
        trio.from_thread.run_sync(done.set, trio_token=found.token)
        thread.join()


def test_a_prompt_survives_a_dropped_connection_and_says_so(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with cutter(service.served.port) as cut:
        terminal = open_terminal("--connect", cut.proxy.url)
        terminal.wait_prompt()
        terminal.enter("import os, time; kept = 'still ' + 'here'")
        # At the prompt.
        cut.go_down()
        terminal.expect("connection) >>>")
        cut.come_up()
        terminal.expect(">>>")
        assert "\n'still here'" in terminal.enter("kept")
        # While code runs.
        terminal.type(
            f"if 1:\rprint('be' + 'gun')\rwhile not os.path.exists({str(go)!r}): pass\r\r"
        )
        terminal.expect("begun")
        cut.go_down()
        terminal.expect("[the connection is lost")
        go.touch()
        cut.come_up()
        terminal.expect("[connected again]")
        terminal.wait_prompt()
        assert "\n'still here'" in terminal.enter("kept")


def test_ctrl_c_without_a_connection_interrupts_later_and_twice_leaves(
    service: Serving, open_terminal: Open
) -> None:
    with cutter(service.served.port) as cut:
        terminal = open_terminal("--connect", cut.proxy.url)
        terminal.wait_prompt()
        terminal.type(LOOPS)
        terminal.expect("begun")
        cut.go_down()
        terminal.expect("[the connection is lost")
        terminal.process.sendintr()
        terminal.expect("interrupted as soon as there is one")
        cut.come_up()
        terminal.expect("KeyboardInterrupt")
        terminal.wait_prompt()
        # What is not taken is given up at once.
        cut.go_down()
        terminal.expect("connection) >>>")
        terminal.type("'never' + 'run'\r")
        terminal.process.expect(r"\x1b\[\?2004l")
        terminal.process.kill(signal.SIGINT)  # the terminal may not send it yet
        terminal.wait_prompt()
        cut.come_up()
        terminal.expect(">>>")
        terminal.type(LOOPS)
        terminal.expect("begun")
        cut.go_down()
        terminal.expect("[the connection is lost")
        terminal.process.sendintr()
        terminal.expect("interrupted as soon as there is one")
        terminal.process.sendintr()
        status = terminal.wait_end()
        assert status == 130, terminal.process.before


def test_a_service_that_is_not_there_is_told(open_terminal: Open, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("t" * 43)
    terminal = open_terminal("--connect", "http://127.0.0.1:1", "--token-file", str(token))
    terminal.expect("http://127.0.0.1:1 cannot be reached")
    assert terminal.wait_end() == 1


def test_a_prompt_needs_a_terminal(service: Serving, tmp_path: Path) -> None:
    done = run(COMMAND, "--connect", service.served.url)

    assert done.returncode == 2
    assert b"pyrepl3 exec SESSION - < FILE" in done.stderr


# --- commands whose connection is lost ------------------------------------------------------------


def test_exec_says_that_the_connection_is_lost_and_is_interrupted_when_it_is_back(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    say(service, tmp_path, "session", "create", "--name", "mine")
    with cutter(service.served.port) as cut:
        terminal = open_terminal("exec", "mine", "-c", RUNS_ON, "--connect", cut.proxy.url)
        terminal.expect("begun")
        cut.go_down()
        terminal.expect("[the connection is lost; trying again")
        cut.come_up()
        terminal.expect("[connected again]")
        terminal.process.sendintr()
        terminal.expect("KeyboardInterrupt")
        assert terminal.wait_end() == 130


def test_ctrl_c_leaves_exec_where_there_is_no_connection(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    say(service, tmp_path, "session", "create", "--name", "mine")
    with cutter(service.served.port) as cut:
        terminal = open_terminal("exec", "mine", "-c", RUNS_ON, "--connect", cut.proxy.url)
        terminal.expect("begun")
        cut.go_down()
        terminal.expect("[the connection is lost; trying again")
        terminal.process.sendintr()
        terminal.expect("[left without a connection: what runs there may go on]")
        status = terminal.wait_end()
        assert "lost" not in terminal.process.before
        assert status == 130


def test_a_second_ctrl_c_leaves_exec_where_nobody_answers(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    say(service, tmp_path, "session", "create", "--name", "mine")
    url = service.served.url
    terminal = open_terminal("exec", "--connect", url, "mine", "-c", RUNS_ON)
    terminal.expect("begun")
    service.process.send_signal(signal.SIGSTOP)
    try:
        terminal.process.sendintr()
        terminal.process.expect_exact("[it has not stopped yet; Ctrl-C once more leaves]")
        terminal.process.sendintr()
        assert terminal.wait_end() == 130
    finally:
        service.process.send_signal(signal.SIGCONT)


def test_ctrl_c_leaves_attach_and_logs_where_there_is_no_connection(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    say(service, tmp_path, "session", "create", "--name", "mine")
    with cutter(service.served.port) as cut:
        where = ("--connect", cut.proxy.url)
        runner = open_terminal("exec", "--connect", service.served.url, "mine", "-c", RUNS_ON)
        runner.expect("begun")
        follower = open_terminal("session", "attach", "mine", *where)
        reader = open_terminal("session", "logs", "mine", "-f", *where)
        follower.process.expect_exact("begun")
        reader.process.expect_exact("begun")
        cut.go_down()
        for terminal in (follower, reader):
            terminal.process.expect_exact("[the connection is lost; trying again")
            terminal.process.sendintr()
            status = terminal.wait_end()
            assert "is being interrupted" not in terminal.process.before
            assert status == 130
        runner.process.sendintr()
        runner.expect("KeyboardInterrupt")


def test_a_service_that_was_started_anew_is_told_where_its_sessions_are_missed(
    tmp_path: Path, open_terminal: Open
) -> None:
    with serving(tmp_path) as first:
        say(first, tmp_path, "session", "create", "--name", "mine")
        with cutter(first.served.port) as cut:
            where = ("--connect", cut.proxy.url)
            runner = open_terminal("exec", "mine", "-c", RUNS_ON, *where)
            reader = open_terminal("session", "logs", "mine", "-f", *where)
            for terminal in (runner, reader):
                terminal.expect("begun")
            cut.go_down()
            with serving(tmp_path) as second:
                cut.proxy.target = ("127.0.0.1", second.served.port)
                cut.come_up()
                for terminal in (runner, reader):
                    terminal.process.expect_exact("or the service was started anew")
                    assert terminal.wait_end() == 1
                    assert "code: SESSION_LOST" in terminal.process.before


# --- session attach -----------------------------------------------------------------------------


def test_what_another_runs_is_followed_answered_and_interrupted(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    url = service.served.url
    prompt = open_terminal("--connect", url, "--session", "mine")
    prompt.wait_prompt()
    prompt.type("print('be' + 'fore'); name = input('who' + '? ')\r")
    prompt.expect("who? ")

    follower = open_terminal("session", "attach", "mine", "--connect", url)
    # From the beginning of what runs.
    follower.process.expect_exact("before\r\n")
    follower.process.expect_exact("who? ")
    follower.process.sendline("Ada")
    prompt.wait_prompt()
    prompt.type("name * 2\r")
    follower.process.expect_exact("'AdaAda'")
    prompt.wait_prompt()
    prompt.type("import getpass; word = getpass.getpass('se' + 'cret? ')\r")
    follower.process.expect_exact("secret? ")
    follower.process.sendline("hush-hush")
    prompt.wait_prompt()
    prompt.type("word.upper()\r")
    follower.process.expect_exact("'HUSH-HUSH'")
    assert "hush-hush" not in follower.process.before
    prompt.wait_prompt()
    follower.process.sendline("nobody")
    follower.process.expect_exact("nobody asks for a line")
    prompt.type(LOOPS)
    follower.process.expect_exact("begun")
    follower.process.sendintr()
    follower.process.expect_exact("KeyboardInterrupt")
    prompt.expect("KeyboardInterrupt")
    follower.process.sendeof()
    assert follower.wait_end() == 0
    assert say(service, tmp_path, "exec", "mine", "-c", "name") == "'Ada'\n"


def test_two_ctrl_c_leave_and_the_session_goes_on(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    say(service, tmp_path, "session", "create", "--name", "mine")
    follower = open_terminal("session", "attach", "mine", "--connect", service.served.url)
    follower.process.expect_exact("[attached to mine")
    follower.process.sendintr()
    follower.process.expect_exact("nothing runs; Ctrl-C once more leaves")
    follower.process.sendintr()
    assert follower.wait_end() == 130
    assert say(service, tmp_path, "exec", "mine", "-c", "'here'") == "'here'\n"


def test_the_end_of_a_session_ends_the_following_of_it(
    service: Serving, open_terminal: Open, tmp_path: Path
) -> None:
    say(service, tmp_path, "session", "create", "--name", "mine")
    follower = open_terminal("session", "attach", "mine", "--connect", service.served.url)
    follower.process.expect_exact("[attached to mine")
    say(service, tmp_path, "exec", "mine", "-c", "print('last words')")
    say(service, tmp_path, "session", "close", "mine")
    follower.process.expect_exact("last words")
    follower.process.expect_exact("the session is gone")
    assert follower.wait_end() == 0
    follower = open_terminal("session", "attach", "mine", "--connect", service.served.url)
    follower.process.expect_exact("code: SESSION_LOST")
    assert follower.wait_end() == 1
