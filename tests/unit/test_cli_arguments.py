"""Unit tests: the command line, from words to what is wanted."""

import pytest

from pyrepl3.cli.arguments import (
    Command,
    Doctor,
    Interact,
    RunCode,
    RunFile,
    RunInput,
    ShowHelp,
    ShowVersion,
    UsageError,
    parse,
)


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
