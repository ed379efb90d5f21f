"""Unit tests: what TLC writes, and what a configuration names, is read whole."""

from __future__ import annotations

from pyrepl3.conformance.tlc_config import ModelConfig, read_config, with_one_property
from pyrepl3.conformance.tlc_messages import Message, State, messages, read_findings


def message(code: int, severity: int, text: str) -> str:
    return f"@!@!@STARTMSG {code}:{severity} @!@!@\n{text}\n@!@!@ENDMSG {code} @!@!@\n"


def lines(*parts: str) -> list[str]:
    return "".join(parts).splitlines(keepends=True)


def test_lines_outside_of_any_message_are_left_out() -> None:
    found = list(messages(lines("Parsing file A.tla\n", message(2185, 0, "Starting..."))))

    assert found == [Message(2185, 0, "Starting...\n")]


def test_a_message_that_starts_within_anothers_line_is_taken_out_of_it() -> None:
    inner = message(5001, 0, "File not found.")
    found = list(messages(lines(message(1000, 1, f"The exception was\n: {inner}"))))

    assert found == [
        Message(5001, 0, "File not found.\n"),
        Message(1000, 1, "The exception was\n: \n"),
    ]


def test_a_message_cut_off_by_a_kill_is_left_out() -> None:
    whole = message(2185, 0, "Starting...")
    found = list(messages(lines(whole, "@!@!@STARTMSG 2200:0 @!@!@\nProgr")))

    assert found == [Message(2185, 0, "Starting...\n")]


def test_the_end_of_a_search_gives_counts_and_depth() -> None:
    findings = read_findings(
        messages(
            lines(
                message(
                    2200, 0, "Progress(3) at noon: 19 states generated, 7 distinct states found"
                ),
                message(2199, 0, "1,019 states generated, 1,007 distinct states found, 0 left"),
                message(2194, 0, "The depth of the complete state graph search is 31."),
            )
        )
    )

    assert (findings.generated, findings.distinct, findings.depth) == (1019, 1007, 31)
    assert findings.complaint == ""


def test_a_violated_invariant_comes_with_its_states() -> None:
    findings = read_findings(
        messages(
            lines(
                message(2110, 1, "Invariant AtMostOne is violated."),
                message(2217, 4, "1: <Initial predicate>\n/\\ n = 0\n"),
                message(
                    2217, 4, "2: <Take line 1, col 5 to line 2, col 6 of module T>\n/\\ n = 1\n"
                ),
            )
        )
    )

    assert findings.violated == "AtMostOne"
    assert findings.complaint == "Invariant AtMostOne is violated."
    assert findings.trace == (State(1, "Init", "/\\ n = 0"), State(2, "Take", "/\\ n = 1"))


def test_an_initial_state_that_breaks_an_invariant_is_a_trace_of_one_state() -> None:
    text = "Invariant AtMostOne is violated by the initial state:\n/\\ n = 2\n/\\ m = 0\n"
    findings = read_findings(messages(lines(message(2107, 1, text))))

    assert findings.violated == "AtMostOne"
    assert findings.trace == (State(1, "Init", "/\\ n = 2\n/\\ m = 0"),)


def test_an_endless_counterexample_tells_where_its_loop_starts() -> None:
    findings = read_findings(
        messages(lines(message(2122, 4, "3: Back to state: <Take line 11, col 5 of module T>")))
    )

    assert findings.back_to == 3


def test_a_configuration_names_definitions_under_either_spelling_of_its_keywords() -> None:
    config = read_config(
        r"""
        \* INVARIANT NotThis
        SPECIFICATION Spec
        CONSTANT Slots = {s1, s2}
        INVARIANTS TypeOK  AtMostOne (* PROPERTY NorThat *)
        INVARIANT AtLeastOne
        PROPERTY Ends
        SYMMETRY Symmetric
        CHECK_DEADLOCK TRUE
        """
    )

    assert config == ModelConfig(
        specification="Spec",
        invariants=("TypeOK", "AtMostOne", "AtLeastOne"),
        properties=("Ends",),
        others=("Symmetric",),
    )


def test_a_configuration_with_one_property_keeps_all_else() -> None:
    text = "PROPERTY A\nCONSTANT N = 3\nPROPERTIES B C\nSPECIFICATION Spec\n"

    assert with_one_property(text, "B") == "CONSTANTS N = 3\nSPECIFICATION Spec\nPROPERTIES B\n"
