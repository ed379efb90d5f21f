"""Unit tests: the command line, from words to what is wanted."""

import pytest

from pyrepl3.cli.arguments import (
    RECORD,
    Command,
    Doctor,
    Interact,
    RunCode,
    RunFile,
    RunInput,
    Serve,
    ShowHelp,
    ShowServeHelp,
    ShowSpecHelp,
    ShowVersion,
    SpecCheck,
    parse,
)
from pyrepl3.cli.usage import UsageError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Interact()),
        (["--help"], ShowHelp()),
        (["-h"], ShowHelp()),
        (["help"], ShowHelp()),
        (["run", "--help"], ShowHelp()),
        (["doctor", "-h"], ShowHelp()),
        (["--version"], ShowVersion()),
        (["-V"], ShowVersion()),
        (["-c", "print(1)"], RunCode("print(1)", ())),
        (["-cprint(1)", "a"], RunCode("print(1)", ("a",))),
        (["-c", "", "-c", "--help"], RunCode("", ("-c", "--help"))),
        (["run", "a.py", "--help", "-c"], RunFile("a.py", ("--help", "-c"))),
        (["run", "--", "-odd.py", "x"], RunFile("-odd.py", ("x",))),
        (["run", "-", "x"], RunInput(("x",))),
        (["-"], RunInput(())),
        (["-", "-c"], RunInput(("-c",))),
        (["doctor"], Doctor(as_json=False)),
        (["doctor", "--json"], Doctor(as_json=True)),
    ],
)
def test_words_are_understood(words: list[str], expected: Command) -> None:
    assert expected == parse(words)


@pytest.mark.parametrize(
    ("words", "what", "how"),
    [
        (["-c"], "-c needs", "pyrepl3 -c"),
        (["run"], "run needs", "pyrepl3 run"),
        (["run", "-x"], "looks like an option", "run -- -x"),
        (["script.py"], "no command 'script.py'", "pyrepl3 run script.py"),
        (["docter"], "no command 'docter'", "did you mean: pyrepl3 doctor"),
        (["--nonsense"], "no option --nonsense", "--help"),
        (["doctor", "--xml"], "--xml", "--json"),
        (["frobnicate"], "no command 'frobnicate'", "the commands are"),
    ],
)
def test_what_is_not_understood_says_how_it_could_be(words: list[str], what: str, how: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)

    assert what in caught.value.what
    assert how in caught.value.how


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([RECORD, "t"], Interact(record_trace="t")),
        ([RECORD, "t", "-c", "1", RECORD], RunCode("1", (RECORD,), record_trace="t")),
        ([f"{RECORD}=t", "-"], RunInput((), record_trace="t")),
        ([RECORD, "t", "run", "a.py"], RunFile("a.py", (), record_trace="t")),
        (["run", RECORD, "t", "a.py", "x"], RunFile("a.py", ("x",), record_trace="t")),
        (["run", f"{RECORD}=t", "--", "-a.py"], RunFile("-a.py", (), record_trace="t")),
        (["run", RECORD, "t", "-"], RunInput((), record_trace="t")),
        (["run", "a.py", RECORD, "t"], RunFile("a.py", (RECORD, "t"))),
    ],
)
def test_what_runs_code_may_record(words: list[str], expected: Command) -> None:
    assert expected == parse(words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["spec", "--help"], ShowSpecHelp()),
        (["spec", "help"], ShowSpecHelp()),
        (["spec", "check", "-h"], ShowSpecHelp()),
        (["spec", "check", "t"], SpecCheck(recordings=("t",))),
        (["spec", "check", "t", "u", "--json"], SpecCheck(recordings=("t", "u"), as_json=True)),
        (
            ["spec", "check", "--min-coverage", "95", "t", "--keep", "d"],
            SpecCheck(recordings=("t",), min_coverage=95, keep="d"),
        ),
        (
            ["spec", "check", "--min-coverage=99.5%", "--keep=d", "--", "--json"],
            SpecCheck(recordings=("--json",), min_coverage=99.5, keep="d"),
        ),
    ],
)
def test_recordings_are_checked(words: list[str], expected: Command) -> None:
    assert expected == parse(words)


@pytest.mark.parametrize(
    ("words", "what", "how"),
    [
        ([RECORD], "needs a value", "FILE"),
        ([RECORD, "", "-c", "1"], "needs a value", "FILE"),
        ([f"{RECORD}="], "needs a value", "FILE"),
        ([RECORD, "t", "doctor"], "cannot be given here", "run script.py"),
        ([RECORD, "t", "--help"], "cannot be given here", "run script.py"),
        ([RECORD, "t", RECORD, "u"], "twice", "one file"),
        ([RECORD, "t", "run", RECORD, "u", "a.py"], "cannot be given here", "run script.py"),
        (["run", RECORD, "t"], "run needs", "script.py"),
        (["spec"], "spec needs", "spec check TRACE"),
        (["spec", "chek"], "'chek'", "spec check TRACE"),
        (["spec", "check"], "needs a recording", "spec check TRACE"),
        (["spec", "check", "--xml", "t"], "--xml", "--json"),
        (["spec", "check", "t", "--keep"], "--keep needs", "--keep DIR"),
        (["spec", "check", "t", "--min-coverage", "all"], "'all' is none", "PERCENT"),
        (["spec", "check", "t", "--min-coverage", "101"], "'101' is none", "PERCENT"),
        (["spec", "check", "t", "--min-coverage=nan"], "'nan' is none", "PERCENT"),
    ],
)
def test_what_cannot_be_recorded_or_checked_says_how_it_could_be(
    words: list[str], what: str, how: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)

    assert what in caught.value.what
    assert how in caught.value.how


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["serve"], Serve()),
        (["serve", "-h"], ShowServeHelp()),
        (["serve", "--port", "0", "--host=::1"], Serve(port=0, host="::1")),
        (["serve", "--token-file", "t"], Serve(token_file="t")),
        (["serve", "--token-fd", "3"], Serve(token_fd=3)),
        (["serve", "--tls-cert", "c", "--tls-key", "k"], Serve(tls_cert="c", tls_key="k")),
        (
            ["serve", "--allow-host", "a", "--allow-host=b", "--allow-origin", "https://a"],
            Serve(allowed_hosts=("a", "b"), allowed_origins=("https://a",)),
        ),
        (["serve", "--insecure-bind"], Serve(insecure_bind=True)),
        (["serve", "--min-idle", "4", "--max-sessions=9"], Serve(min_idle=4, max_sessions=9)),
        ([RECORD, "t", "serve"], Serve(record_trace="t")),
        (["serve", RECORD, "t"], Serve(record_trace="t")),
    ],
)
def test_clients_are_served(words: list[str], expected: Command) -> None:
    assert parse(words) == expected


@pytest.mark.parametrize(
    ("words", "what", "how"),
    [
        (["serve", "--port", "http"], "takes a whole number, and 'http'", "--port PORT"),
        (["serve", "--port"], "--port needs a value", "pyrepl3 serve"),
        (["serve", "8765"], "serve does not know 8765", "--help shows all"),
        (["serve", "--token", "x"], "a token is never an argument", "--token-file FILE"),
        (["serve", "--token=x"], "a token is never an argument", "--token-file FILE"),
        (["serve", "--token-file", "t", "--token-fd", "3"], "both there", "one of them"),
        ([RECORD, "t", "serve", RECORD, "u"], "cannot be given here", RECORD),
        (["sevre"], "there is no command 'sevre'", "did you mean: pyrepl3 serve"),
    ],
)
def test_what_cannot_be_served_says_how_it_could_be(words: list[str], what: str, how: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert what in caught.value.what
    assert how in caught.value.how
    assert "x" not in caught.value.what.split()
