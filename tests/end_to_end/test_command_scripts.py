"""End-to-end tests: scripts run by the command come out as python runs them, byte for byte."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command_driver import COMMAND, LIMIT_S, PYTHON, SCRIPTS, environment, run

INPUT = "Ada\nsecond line\nthird\nfour-and more\nrest 1\nno newline at the end ÿ".encode()

SMALL_PROGRAMS = {
    "print": "print(1)",
    "nothing": "",
    "no value is echoed": "6 * 7",
    "arguments": "import sys; print(sys.argv, sys.path[0], __name__)",
    "names": "print(sorted(globals()))",
    "status": "import sys; sys.exit(7)",
    "status beyond a byte": "import sys; sys.exit(256 + 9)",
    "negative status": "import sys; sys.exit(-1)",
    "status None": "import sys; sys.exit(None)",
    "status True": "import sys; sys.exit(True)",
    "message": "import sys; sys.exit('that is all, café')",
    "message that looks like a status": "import sys; sys.exit('1')",
    "tuple": "raise SystemExit('a', 2)",
    "quit": "quit(3)",
    "os._exit": "import os; os._exit(9)",
    "caught interrupt": "try:\n raise KeyboardInterrupt\nexcept KeyboardInterrupt: print('ok')",
    "unicode": "print('é 日本 😀 \\u2028')",
    "lone surrogate": "print('\\udcff')",
    "bytes": "import sys; sys.stdout.buffer.write(bytes(range(256)))",
    "both streams": "import sys; print('out'); print('err', file=sys.stderr)",
    "input": "print(input('? ')); print(input())",
    "end of input": "import sys; print(repr(sys.stdin.read())); input()",
    "lines": "import sys\nfor line in sys.stdin: print(repr(line))",
    "child reads the input": "import subprocess; print(subprocess.check_output(['cat']))",
    "exit handler fails": "import atexit\natexit.register(lambda: 1/0)\nprint('end')",
    "exit handler after a failure": "import atexit\natexit.register(print, 'bye')\n1/0",
    "thread": "import threading as t, time\n"
    "t.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()\nprint('early')",
    "daemon thread": "import threading as t, time\n"
    "t.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('early')",
    "exception in a thread": "import threading as t\nt.Thread(target=lambda: 1/0).start()",
    "own excepthook": "import sys\nsys.excepthook = lambda *a: print('mine', a[0])\n1/0",
    "future": "from __future__ import annotations\nx: nonsense = 1\nprint(__annotations__)",
    "closed output": "import sys; sys.stdout.close()",
    "broken modules": "import sys; sys.modules.clear(); print('still here')",
}
"""Programs whose output and exit status must be python's."""

FAILING_PROGRAMS = {
    "uncaught": "def f():\n    return 1 / 0\n\nf()\n",
    "chained": "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e\n",
    "syntax": "x = 1\nif x\n",
    "group": "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])\n",
    "notes": "e = ValueError('v')\ne.add_note('a note')\nraise e\n",
    "import": "import no_such_module_at_all\n",
    "recursion in repr": "class E(Exception):\n    pass\nraise E('é', 1)\n",
}
"""Scripts whose standard error must be python's, too."""


@pytest.mark.parametrize("name", SMALL_PROGRAMS)
def test_code_comes_out_as_python_runs_it(name: str) -> None:
    code = SMALL_PROGRAMS[name]
    words = ("-c", code, "one", "--two")

    expected, actual = run(PYTHON, *words, stdin=INPUT), run(COMMAND, *words, stdin=INPUT)

    assert (expected.stdout, expected.returncode) == (actual.stdout, actual.returncode)
    assert bool(expected.stderr) == bool(actual.stderr), actual.stderr.decode()


@pytest.mark.parametrize("name", FAILING_PROGRAMS)
def test_a_failing_script_reports_what_python_reports(name: str, tmp_path: Path) -> None:
    path = tmp_path / "script é.py"
    path.write_text(FAILING_PROGRAMS[name], "utf-8")

    expected, actual = run(PYTHON, str(path)), run(COMMAND, "run", str(path))

    assert expected.stderr.decode() == actual.stderr.decode()
    assert expected.returncode == actual.returncode == 1


def test_a_program_that_does_everything_comes_out_the_same(tmp_path: Path) -> None:
    script = str(SCRIPTS / "everything.py")
    variables = {"EXPECTED_CWD": str(tmp_path)}

    expected = run(PYTHON, script, "a", "--b", stdin=INPUT, cwd=tmp_path, variables=variables)
    actual = run(COMMAND, "run", script, "a", "--b", stdin=INPUT, cwd=tmp_path, variables=variables)

    assert expected.stdout.decode() == actual.stdout.decode()
    assert expected.stderr.decode() == actual.stderr.decode()
    assert expected.returncode == actual.returncode == 42


@pytest.mark.parametrize("words", [(), ("-",), ("-", "one", "--two"), ("run", "-", "x")])
def test_a_piped_program_runs_as_pythons_standard_input(words: tuple[str, ...]) -> None:
    program = b"import sys\nprint(sys.argv, 6 * 7, sys.path[0] == '')\nprint(input())\n"
    python_words = words[1:] if words[:1] == ("run",) else words

    expected = run(PYTHON, *python_words, stdin=program)
    actual = run(COMMAND, *words, stdin=program)

    assert expected.stdout == actual.stdout
    assert b"EOFError" in actual.stderr
    assert expected.returncode == actual.returncode == 1


def test_a_file_that_is_not_there_is_a_wrong_command_line(tmp_path: Path) -> None:
    actual = run(COMMAND, "run", str(tmp_path / "none.py"))

    assert actual.returncode == 2
    expected = f"can't open file '{tmp_path}/none.py': [Errno 2] No such file or directory"
    assert expected in actual.stderr.decode()


@pytest.mark.parametrize(
    ("source", "status", "output"),
    [
        ("# -*- coding: latin-1 -*-\nprint('é')\n".encode("latin-1"), 0, "é\n"),
        (b"\xef\xbb\xbfprint('bom')\r\nprint(2)\r\n", 0, "bom\n2\n"),
        (b"print('\xff')\n", 1, ""),
        (b"# coding: no-such-one\n", 1, ""),
        (b"print(1)\0\n", 1, ""),
    ],
)
def test_the_encoding_of_a_script_is_found_as_python_finds_it(
    source: bytes, status: int, output: str, tmp_path: Path
) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(source)

    expected, actual = run(PYTHON, str(path)), run(COMMAND, "run", str(path))

    assert (expected.stdout.decode(), expected.returncode) == (output, status)
    assert (actual.stdout.decode(), actual.returncode) == (output, status)
    assert (b"SyntaxError" in expected.stderr) == (b"SyntaxError" in actual.stderr)


@pytest.mark.parametrize(
    "code",
    ["while True: print('x' * 1000)", "print('x')"],
    ids=["while it prints", "at its end"],
)
def test_a_reader_that_goes_away_is_a_broken_pipe_to_the_script(code: str) -> None:
    with subprocess.Popen(
        [*COMMAND, "-c", "import time; time.sleep(0.5)\n" + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(timeout=LIMIT_S)

    assert b"BrokenPipeError" in errors
    assert process.returncode in (1, 120)


@pytest.mark.parametrize(("name", "number"), [("SIGSEGV", 11), ("SIGKILL", 9), ("SIGABRT", 6)])
def test_a_death_by_signal_is_told_with_its_status(name: str, number: int) -> None:
    code = f"import os, signal; print('before', flush=True); os.kill(os.getpid(), signal.{name})"

    actual = run(COMMAND, "-c", code)

    assert actual.returncode == 128 + number
    assert actual.stdout == b"before\n"
    assert name in actual.stderr.decode()


def test_output_is_seen_line_by_line_while_the_script_runs() -> None:
    code = "import time; print('now'); time.sleep(30)"
    with subprocess.Popen(
        [*COMMAND, "-c", code], stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        assert process.poll() is None
        process.kill()


def test_input_is_asked_for_when_the_script_asks() -> None:
    code = "print('ready', flush=True); print(input()[::-1], flush=True); print(input())"
    with subprocess.Popen(
        [*COMMAND, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"abc\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"cba\n"
        process.stdin.write(b"last\n")
        process.stdin.close()
        assert process.stdout.read() == b"last\n"
        assert process.wait(LIMIT_S) == 0


def test_closed_streams_do_not_confuse_it() -> None:
    command = " ".join(f"'{word}'" for word in [*COMMAND, "-c", "print(1)"])

    done = subprocess.run(
        ["sh", "-c", f"{command} <&- >&- 2>&-"], timeout=LIMIT_S, env=environment()
    )

    assert done.returncode == 0


def test_the_interpreter_is_the_commands_own() -> None:
    code = "import sys; print(sys.executable, sys.version_info[:3])"

    assert run(COMMAND, "-c", code).stdout == (
        f"{sys.executable} {tuple(sys.version_info[:3])}\n".encode()
    )


def test_the_package_is_the_command_too() -> None:
    actual = run([sys.executable, "-m", "pyrepl3"], "-c", "print(6 * 7)")

    assert (actual.stdout, actual.stderr, actual.returncode) == (b"42\n", b"", 0)
