"""End-to-end tests: the REPL, on a terminal of its own."""

import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import psutil
import pytest

from tests.end_to_end.command_driver import LIMIT_S, environment, wait_gone

READY = "\x1b\\[\\?2004h"
"""Bracketed paste is switched on: the prompt takes keys."""
ESCAPES = r"(?:\x1b\[[0-9;?]*[a-zA-Z])*"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Terminal:
    """A terminal with the REPL on it. What is awaited never occurs in what is typed."""

    def __init__(self, state: Path, **variables: str) -> None:
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "pyrepl3.cli"],
            env=environment(
                TERM="xterm",
                XDG_STATE_HOME=str(state),
                # Nobody here answers where the cursor is.
                PROMPT_TOOLKIT_NO_CPR="1",
                **variables,
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
        """Type, without Enter."""
        self.process.send(keys)

    def expect(self, text: str) -> None:
        """Wait until it is shown, in whatever colours."""
        self.process.expect(ESCAPES.join(re.escape(character) for character in text))

    def wait_end(self) -> int | None:
        """The exit status."""
        self.process.expect(pexpect.EOF)
        self.process.close()
        return self.process.exitstatus


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, NO_COLOR="1")
    opened.banner = opened.wait_prompt()
    yield opened
    opened.process.close(force=True)


def test_the_prompt_ends_with_its_terminal(terminal: Terminal) -> None:
    """As by SIGHUP, which it may be quicker to hear of than of that."""
    terminal.enter("x = 1")
    terminal.process.ptyproc.fileobj.close()
    status = os.waitpid(terminal.process.pid, 0)[1]
    terminal.process.closed = terminal.process.ptyproc.closed = True
    terminal.process.ptyproc.terminated = terminal.process.terminated = True

    assert os.waitstatus_to_exitcode(status) == 129


def test_values_are_echoed_and_variables_stay(terminal: Terminal) -> None:
    terminal.enter("x = 20")

    assert "\n'4242'" in terminal.enter("str(x + 22) * 2")
    assert "None" not in terminal.enter("None").split("\n", 1)[-1]
    assert "\n'4242!'" in terminal.enter("_ + '!'")


def test_a_block_of_several_lines_is_indented_and_run_by_an_empty_line(
    terminal: Terminal,
) -> None:
    terminal.type("def double(n):\r")
    terminal.type("if n:\rreturn n * 2\r\r")
    terminal.wait_prompt()

    assert "\n246" in terminal.enter("double(123)")


def test_backspace_at_the_beginning_of_a_line_takes_the_line_break_alone(
    terminal: Terminal,
) -> None:
    terminal.type("if True:\r")
    terminal.type("word = 'kept'\r")
    terminal.type("\x7f\x7f * 2\r\r")
    terminal.wait_prompt()

    assert "\n'keptkept'" in terminal.enter("word")


def test_a_transaction_is_begun_and_ended_at_the_prompt(terminal: Terminal) -> None:
    terminal.enter("word = 'kept'")
    assert "[a transaction is open" in terminal.enter("%begin")
    terminal.enter("word = 'other'")
    assert "%commit" in terminal.enter("%begin")
    assert "[rolled back: " in terminal.enter("%rollback")
    assert "\n'keptkept'" in terminal.enter("word * 2")
    assert "no transaction is open" in terminal.enter("%commit")
    terminal.enter("%begin")
    shown = terminal.enter("word = 'x'; import os; os._exit(3)")
    assert "[rolled back: " in shown
    assert "lost" not in shown
    assert "\n'keptkept'" in terminal.enter("word * 2")
    terminal.enter("%begin")
    assert "[committed]" in terminal.enter("%commit")


def test_a_transaction_is_seen_at_the_prompt_as_long_as_it_is_open(terminal: Terminal) -> None:
    terminal.type("%begin\r")
    terminal.expect("(transaction) >>>")
    terminal.type("import os; os._exit(3)\r")
    terminal.expect("when the transaction began, which has ended")
    terminal.wait_prompt()
    assert "(transaction)" not in terminal.enter("1")


def test_a_transaction_in_a_branch_ends_with_it(terminal: Terminal) -> None:
    terminal.enter("%fork")
    terminal.enter("%begin")
    terminal.enter("%back")

    assert "(transaction)" not in terminal.enter("1")
    assert "no transaction is open" in terminal.enter("%commit")


def test_ctrl_c_ends_a_fork_that_hangs(terminal: Terminal) -> None:
    terminal.enter("import os, time; os.register_at_fork(before=lambda: time.sleep(60))")
    terminal.type("%fork\r")
    time.sleep(0.5)
    terminal.process.sendintr()
    terminal.expect("its variables are lost then")
    terminal.process.sendintr()
    terminal.expect("A new session is open")
    terminal.wait_prompt()


def test_the_prompt_tells_what_it_can(terminal: Terminal) -> None:
    shown = terminal.enter("%help")
    assert "%history N" in shown
    assert "Ctrl-D" in shown


def test_what_ran_is_undone_and_redone_at_the_prompt(terminal: Terminal) -> None:
    assert "no history is kept" in terminal.enter("%history")
    assert "no history is kept" in terminal.enter("%undo")
    assert "from here on 5" in terminal.enter("%history 5")
    assert "nothing that can be undone" in terminal.enter("%history")
    terminal.enter("word = 'one'")
    terminal.enter("word = 'two'")
    terminal.enter("word = 'three'")
    assert "[undone: cell 3: word = 'three']" in terminal.enter("%undo")
    assert "nothing was undone" in terminal.enter("%undo never")
    assert "[undone: cell 2: word = 'two']" in terminal.enter("%undo 1")
    listed = terminal.enter("%history")
    assert "MiB  cell 1: word = 'one'" in listed
    assert "cell 3: word = 'three' (undone)" in listed
    assert "of 256.0 MiB for 5" in listed
    assert "[there again: cell 2: word = 'two']" in terminal.enter("%redo")
    assert "\n'twotwo'" in terminal.enter("word * 2")
    assert "nothing" in terminal.enter("%redo")
    assert "no history is kept from here on" in terminal.enter("%history 0")


def test_what_begins_as_a_request_and_is_none_says_what_there_is(terminal: Terminal) -> None:
    assert "[there is no %hist: did you mean %history?]" in terminal.enter("%hist")
    assert "%begin %commit" in terminal.enter("%never")
    assert "%fork stands alone" in terminal.enter("%fork 3")
    assert "%history 10 keeps" in terminal.enter("%history never")
    terminal.enter("%history 2")
    assert "nothing is left to undo" in terminal.enter("%undo")
    assert "does not go back to 7" in terminal.enter("%undo 7")
    assert "nothing to redo" in terminal.enter("%redo")


def test_ctrl_c_ends_a_request_that_hangs_in_the_users_code(terminal: Terminal) -> None:
    terminal.enter("import time; hang = property(lambda own: time.sleep(60))")
    terminal.enter("Hangs = type('Hangs', (), {'__call__': print, '__signature__': hang})")
    terminal.enter("kept = Hangs()")
    terminal.type("?kept\r")
    time.sleep(0.5)
    terminal.process.sendintr()
    terminal.wait_prompt()

    assert "Hangs object" in terminal.enter("kept")


def test_a_branch_is_tried_and_left_at_the_prompt(terminal: Terminal) -> None:
    assert "this is no branch" in terminal.enter("%back")
    terminal.enter("word = 'one'")
    assert "in a branch" in terminal.enter("%fork")
    terminal.enter("word = 'two'")
    terminal.enter("%fork")
    assert "'twotwo'" in terminal.enter("word * 2")
    shown = terminal.enter("import os; os._exit(3)")
    assert "back in the session" in shown
    assert "'twotwo'" in terminal.enter("word * 2")
    assert "back in the session" in terminal.enter("%back")
    assert "'oneone'" in terminal.enter("word * 2")


def test_a_roll_back_at_the_prompt_says_what_it_does_not_undo(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.enter(f"import os; os.chdir({str(tmp_path)!r})")
    terminal.enter("%begin")
    terminal.enter("os.mkdir('made')")
    assert "not undone" not in terminal.enter("1 + 1")
    shown = terminal.enter("%rollback")
    assert "[rolled back: " in shown
    assert shown.count("/made was made]") == 1
    terminal.enter("%begin")
    assert "not undone" not in terminal.enter("%rollback")
    terminal.enter("%begin")
    terminal.enter("os.rmdir('made')")
    assert "/made was removed]" in terminal.enter("os._exit(3)")


def test_what_code_does_to_the_names_is_shown_where_it_is_asked_for(terminal: Terminal) -> None:
    assert "[+ " not in terminal.enter("x = 1")
    assert "%report ends that" in terminal.enter("%report")
    assert "[~ x: int, 28 bytes]" in terminal.enter("x = 2")
    assert "[+ y: int, 28 bytes]" in terminal.enter("y = 2; 1 / 0")
    assert "not told any more" in terminal.enter("%report")
    assert "[- " not in terminal.enter("del y")


def test_an_error_is_shown_with_its_line(terminal: Terminal) -> None:
    shown = terminal.enter("1 / 0")

    assert "ZeroDivisionError: division by zero" in shown
    assert "Traceback (most recent call last)" in shown
    assert "\x1b[3" not in terminal.process.before.split("Traceback")[1]


def test_errors_are_coloured_on_a_terminal(tmp_path: Path) -> None:
    opened = Terminal(tmp_path)
    opened.wait_prompt()
    opened.enter("1 / 0")

    assert "\x1b[" in opened.process.before.split("most recent call last")[1].split("division")[0]
    opened.process.close(force=True)


def test_tab_completes_from_the_live_session(terminal: Terminal) -> None:
    terminal.enter("quite_a_long_name = 'found' * 2")
    terminal.type("quite_a_l\t")
    terminal.expect("ong_name")
    terminal.type(".upp\t")
    terminal.expect("er")

    assert "\n'FOUNDFOUND'" in terminal.enter("()")


def test_a_name_is_inspected(terminal: Terminal) -> None:
    terminal.enter("def f(first, second=2): 'What f does.'")

    shown = terminal.enter("?f")
    assert "f(first, second=2)" in shown
    assert "What f does." in shown
    assert "f(first, second=2)" in terminal.enter("f?")
    assert "no name 'nothing_such'" in terminal.enter("?nothing_such")


@pytest.mark.parametrize("busy", ["pass", "time.sleep(60)"])
def test_ctrl_c_interrupts_what_runs_and_keeps_the_session(terminal: Terminal, busy: str) -> None:
    terminal.enter("import time; kept = 'still ' + 'here'")
    terminal.type(f"if kept:\rprint('be' + 'gun')\rwhile True: {busy}\r\r")
    terminal.expect("begun")
    terminal.process.sendintr()
    terminal.expect("KeyboardInterrupt")
    terminal.wait_prompt()

    assert "\n'still here'" in terminal.enter("kept")


def test_code_that_will_not_stop_is_ended_by_a_second_ctrl_c_and_said_so(
    terminal: Terminal,
) -> None:
    terminal.enter("import time")
    terminal.type(
        "while True:\rtry:\rprint('st' + 'art'); time.sleep(60)\r"
        "\x7fexcept KeyboardInterrupt:\rprint('ig' + 'nored')\r\r"
    )
    terminal.expect("start")
    terminal.process.sendintr()
    terminal.expect("ignored")
    terminal.process.sendintr()
    terminal.expect("its variables are lost")
    terminal.expect("A new session is open")
    terminal.wait_prompt()

    assert "NameError" in terminal.enter("time")


def test_ctrl_c_at_the_prompt_clears_the_line(terminal: Terminal) -> None:
    terminal.type("never_run = 1")
    terminal.expect("never_run = 1")
    terminal.process.sendintr()
    terminal.wait_prompt()
    assert "NameError" in terminal.enter("never_run")

    terminal.process.sendintr()
    assert "Ctrl-D or exit() leaves." in terminal.wait_prompt()


def test_input_and_getpass_ask_at_the_terminal(terminal: Terminal) -> None:
    terminal.type("name = input('who' + '? ')\r")
    terminal.expect("who? ")
    terminal.type("Ada\r")
    terminal.wait_prompt()
    assert "\n'daAda'" in terminal.enter("name[1:] + name")

    terminal.type("import getpass; word = getpass.getpass('se' + 'cret? ')\r")
    terminal.expect("secret? ")
    # The prompt comes after the echo is off: what is typed now is never shown.
    terminal.type("hush-hush\r")
    assert "hush" not in terminal.wait_prompt()
    assert "\n'HUSH-HUSH'" in terminal.enter("word.upper()")


def test_the_end_of_input_at_an_input_is_an_eof_error(terminal: Terminal) -> None:
    terminal.type("input('go' + '? ')\r")
    terminal.expect("go? ")
    terminal.process.sendeof()

    assert "EOFError" in terminal.wait_prompt()


def test_ctrl_c_ends_an_input(terminal: Terminal) -> None:
    terminal.type("input('go' + '? ')\r")
    terminal.expect("go? ")
    terminal.process.sendintr()

    assert "KeyboardInterrupt" in terminal.wait_prompt()
    assert "\n55" in terminal.enter("5 * 11")


def test_output_streams_while_code_runs(terminal: Terminal) -> None:
    terminal.type("import time; print('fir' + 'st'); time.sleep(2); print('sec' + 'ond')\r")
    terminal.process.expect_exact("first", timeout=1.5)
    terminal.expect("second")


def test_a_death_is_said_and_a_new_session_opened(terminal: Terminal) -> None:
    terminal.enter("x = 1")

    shown = terminal.enter("import os; os.abort()")
    assert "The session is lost" in shown
    assert "SIGABRT" in shown
    assert "NameError" in terminal.enter("x")


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ("\x04", 0),
        ("exit(3)\r", 3),
        ("quit()\r", 0),
        ("exit\r", 0),
        ("import sys; sys.exit('fare' + 'well')\r", 1),
    ],
)
def test_leaving_has_its_status_and_runs_exit_handlers(
    terminal: Terminal, typed: str, status: int
) -> None:
    terminal.enter("import atexit; _ = atexit.register(print, 'good' + 'bye')")
    below = psutil.Process(terminal.process.pid).children(recursive=True)
    terminal.type(typed)
    terminal.expect("goodbye")

    assert terminal.wait_end() == status
    assert below
    assert wait_gone(below) == []


def test_history_is_kept_privately_and_comes_back(tmp_path: Path) -> None:
    first = Terminal(tmp_path, NO_COLOR="1")
    first.wait_prompt()
    first.enter("'remem' + 'bered'")
    first.type("\x04")
    assert first.wait_end() == 0
    path = tmp_path / "pyrepl3" / "history"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600

    second = Terminal(tmp_path, NO_COLOR="1")
    second.wait_prompt()
    second.type("\x1b[A")
    second.expect("'remem' + 'bered'")
    second.type("\r")
    second.expect("'remembered'")
    second.process.close(force=True)


def test_a_history_that_cannot_be_written_costs_no_prompt(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("a file where the folder should be")
    opened = Terminal(state, NO_COLOR="1")

    assert "not kept this time" in opened.wait_prompt()
    assert "\n246" in opened.enter("123 * 2")
    opened.process.close(force=True)


def test_plots_are_saved_as_files_and_their_paths_told(terminal: Terminal) -> None:
    pytest.importorskip("matplotlib")
    terminal.enter("import matplotlib.pyplot as plt")
    terminal.type("_ = plt.plot([1, 2, 3])\r")
    terminal.process.expect(r"\[picture saved: (\S+\.png)\]")
    assert terminal.process.match is not None
    path = Path(terminal.process.match[1])

    assert path.read_bytes().startswith(b"\x89PNG")
    path.unlink()


def test_a_request_to_terminate_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    below = psutil.Process(terminal.process.pid).children(recursive=True)
    terminal.process.kill(15)

    assert terminal.wait_end() == 143
    assert "\x1b[?2004l" in terminal.process.before
    assert wait_gone(below) == []
