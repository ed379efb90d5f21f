"""Unit tests: what might have come where a spec did not allow what came, before TLC is asked."""

from __future__ import annotations

from pyrepl3.conformance.continuations import GUESSES_AN_ACTION, NEW, guesses, in_words
from pyrepl3.conformance.vocabulary import POOL_FIELDS, SESSION_FIELDS

OPEN = {"of": "pool", "action": "Open", "templates": ["a"]}
RUN = [
    OPEN,
    {"of": "pool", "action": "Acquire", "waiter": 7, "template": "a", "live": 0, "waiting": 1},
    {"of": "pool", "action": "Start", "session": "s1", "template": "a", "live": 1, "waiting": 1},
]


def test_every_action_is_guessed_with_the_names_nearby_and_new_ones() -> None:
    guessed = guesses(RUN, 2, POOL_FIELDS)

    assert {guess["action"] for guess in guessed} == set(POOL_FIELDS)
    hand_overs = [guess for guess in guessed if guess["action"] == "HandOver"]
    assert {(guess["waiter"], guess["session"]) for guess in hand_overs} == {
        (7, "s1"),
        (8, "s1"),
        (7, NEW),
        (8, NEW),
    }
    assert {"action": "ShutDown"} in guessed


def test_where_nothing_is_known_numbers_begin_and_truths_are_both_tried() -> None:
    guessed = guesses([OPEN], 1, SESSION_FIELDS)

    assert [guess for guess in guessed if guess["action"] == "Hand"] == [
        {"action": "Hand", "job": 1}
    ]
    closes = [guess["graceful"] for guess in guessed if guess["action"] == "Close"]
    assert closes == [True, False]


def test_no_action_has_more_guesses_than_tlc_can_take_at_once() -> None:
    many = [{"action": "Acquire", "waiter": n, "template": f"t{n}"} for n in range(1000)]
    guessed = guesses([OPEN, *many], 500, POOL_FIELDS)

    assert len(guessed) <= GUESSES_AN_ACTION * len(POOL_FIELDS)
    nearest = next(guess for guess in guessed if guess["action"] == "Cancel")
    assert nearest["waiter"] > 500


def test_a_new_name_is_told_only_where_no_name_of_the_recording_would_do() -> None:
    starts = [{"action": "Start", "session": name, "template": "a"} for name in ("s2", NEW)]

    assert list(in_words(starts)) == ["Start (session s2, template a)"]
    assert list(in_words(starts[1:])) == [f"Start (session {NEW}, template a)"]


def test_of_many_events_a_few_are_told_and_how_many_more_there_are() -> None:
    cancels = [{"action": "Cancel", "waiter": number} for number in range(5)]

    assert list(in_words(cancels)) == [
        "Cancel (waiter 0)",
        "Cancel (waiter 1)",
        "Cancel (waiter 2)",
        "2 more Cancel",
    ]
