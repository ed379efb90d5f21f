"""Unit tests: what a client sends again on a new connection, and what it takes twice."""

from __future__ import annotations

from typing import Any

import pytest

from pyrepl3.remote.link_state import Answered, LinkState, Message, Told, ToSend


def opened(state: LinkState, session: str = "s", name: str = "n") -> None:
    asked = state.ask("open_session", {"name": name})
    answer = {"type": "session_opened", "reply_to": asked["id"], "session": session}
    assert state.take(answer) == Answered(asked["id"], answer)


def sent(state: LinkState, kind: str, **fields: Any) -> dict[str, Any]:
    """A request that is on its way."""
    asked = state.ask(kind, fields)
    state.sent(asked["id"])
    return asked


def resumed(state: LinkState) -> list[Message]:
    """What a new connection begins with, where nothing is unanswerable."""
    resumption = state.reconnected()
    assert resumption.unanswerable == []
    return resumption.messages


def event(seq: int, session: str = "s") -> dict[str, Any]:
    return {"type": "output", "session": session, "seq": seq}


def refused(id: int, code: str) -> dict[str, Any]:
    return {"type": "refused", "reply_to": id, "code": code}


def test_an_answer_is_of_its_request_and_comes_once() -> None:
    state = LinkState()
    first, second = state.ask("ping", {}), state.ask("ping", {})

    assert first["id"] != second["id"]
    assert state.take({"type": "pong", "reply_to": second["id"]}) == Answered(
        second["id"], {"type": "pong", "reply_to": second["id"]}
    )
    assert state.take({"type": "pong", "reply_to": second["id"]}) is None
    assert state.take({"type": "pong", "reply_to": "somebody's"}) is None


def test_what_was_not_answered_is_sent_again_in_its_order() -> None:
    state = LinkState()
    asked = [state.ask("execute", {"session": "s", "execution": str(n)}) for n in range(3)]
    state.take({"type": "accepted", "reply_to": asked[1]["id"]})
    state.forget(asked[0]["id"])

    assert resumed(state) == [asked[2]]


def test_sessions_are_attached_to_again_from_where_they_were_and_before_anything_else() -> None:
    state = LinkState()
    opened(state)
    state.take(event(1))
    state.take(event(2))
    asked = state.ask("execute", {"session": "s"})

    attach, again = resumed(state)

    assert (attach["type"], attach["session"], attach["since"]) == ("attach", "s", 2)
    assert again == asked
    assert state.take({"type": "attached", "reply_to": attach["id"], "session": "s"}) is None


def test_an_event_is_told_once_though_it_comes_on_two_connections() -> None:
    state = LinkState()
    opened(state)

    assert state.take(event(1)) == Told("s", event(1))
    assert state.take(event(1)) is None
    gap = {"type": "gap", "session": "s", "from_seq": 2, "to_seq": 5, "bytes": 9}
    assert state.take(gap) == Told("s", gap)
    assert state.take(event(4)) is None
    assert state.take(event(6)) == Told("s", event(6))


def test_events_of_sessions_that_are_not_followed_are_nobodys() -> None:
    state = LinkState()
    assert state.take(event(1)) is None
    opened(state)
    state.unfollow("s")

    assert state.take(event(1)) is None
    assert resumed(state) == []


def test_the_service_is_told_of_a_session_that_is_not_followed_any_more() -> None:
    state = LinkState()
    opened(state)
    detach = state.unfollow("s")

    assert detach is not None
    assert (detach["type"], detach["session"]) == ("detach", "s")
    assert state.unfollow("s") is None


def test_where_nothing_is_said_of_since_what_was_before_is_not_wanted() -> None:
    state = LinkState()
    asked = state.ask("attach", {"session": "mine"})
    state.take({"type": "attached", "reply_to": asked["id"], "session": "s", "seq": 7})

    assert state.take(event(7)) is None
    assert state.take(event(8)) == Told("s", event(8))


def test_a_session_that_is_gone_on_a_new_connection_is_told_as_its_last_event() -> None:
    state = LinkState()
    opened(state)
    (attach,) = resumed(state)
    gone = refused(attach["id"], "SESSION_NOT_FOUND")

    assert state.take(gone) == Told("s", gone)
    assert resumed(state) == []


def test_a_session_that_has_ended_is_not_attached_to_again() -> None:
    state = LinkState()
    opened(state)
    last = {"type": "session_closed", "session": "s", "seq": 1, "reason": "closed"}

    assert state.take(last) == Told("s", last)
    assert resumed(state) == []
    assert state.unfollow("s") is None


def test_a_session_whose_answer_was_lost_is_found_by_its_name() -> None:
    state = LinkState()
    asked = state.ask("open_session", {"name": "n"}, has_own_name=True)
    state.sent(asked["id"])
    assert resumed(state) == [asked]

    meaning = state.take(refused(asked["id"], "ID_CONFLICT"))

    attach = {"type": "attach", "id": asked["id"], "session": "n", "since": 0}
    assert meaning == ToSend(attach)
    assert resumed(state) == [attach]
    answer = {"type": "attached", "reply_to": asked["id"], "session": "s", "seq": 3}
    assert state.take(answer) == Answered(asked["id"], answer)
    assert state.take(event(1)) == Told("s", event(1))


def test_a_name_that_another_session_has_is_no_session_of_ours() -> None:
    state = LinkState()
    conflicts = []
    first = state.ask("open_session", {"name": "n"}, has_own_name=True)
    conflicts.append(refused(first["id"], "ID_CONFLICT"))
    assert state.take(conflicts[0]) == Answered(first["id"], conflicts[0])
    # One that others use too, though it was asked for twice.
    second = sent(state, "open_session", name="n")
    state.reconnected()
    conflicts.append(refused(second["id"], "ID_CONFLICT"))
    assert state.take(conflicts[1]) == Answered(second["id"], conflicts[1])


def test_a_session_that_nobody_waits_for_any_more_is_closed() -> None:
    state = LinkState()
    asked = sent(state, "open_session", name="n")
    state.forget(asked["id"])
    assert state.owed == [asked["id"]]
    meaning = state.take({"type": "session_opened", "reply_to": asked["id"], "session": "s"})

    assert isinstance(meaning, ToSend)
    assert (meaning.message["type"], meaning.message["session"]) == ("close_session", "s")
    assert state.take(event(1)) is None
    assert state.owed == [meaning.message["id"]]
    ended = {"type": "session_ended", "reply_to": meaning.message["id"], "session": "s"}
    assert state.take(ended) == Answered(meaning.message["id"], ended)
    assert state.owed == []
    assert resumed(state) == []


def test_one_that_is_found_by_its_name_is_closed_as_well() -> None:
    state = LinkState()
    asked = state.ask("open_session", {"name": "n"}, has_own_name=True)
    state.sent(asked["id"])
    state.reconnected()
    state.take(refused(asked["id"], "ID_CONFLICT"))
    state.forget(asked["id"])
    meaning = state.take({"type": "attached", "reply_to": asked["id"], "session": "s", "seq": 3})

    assert isinstance(meaning, ToSend)
    assert (meaning.message["type"], meaning.message["session"]) == ("close_session", "s")


@pytest.mark.parametrize("has_own_name", [True, False])
def test_one_that_a_lost_connection_may_have_opened_is_closed_by_its_own_name(
    has_own_name: bool,
) -> None:
    state = LinkState()
    never_sent = state.ask("open_session", {"name": "m"}, has_own_name=True)
    asked = state.ask("open_session", {"name": "n"}, has_own_name=has_own_name)
    state.sent(asked["id"])
    for each in (never_sent, asked):
        state.forget(each["id"])
    named = [(each["type"], each["session"]) for each in resumed(state)]

    assert named == ([("close_session", "n")] if has_own_name else [])


def test_a_session_that_was_attached_to_for_nobody_is_let_go_of() -> None:
    state = LinkState()
    asked = sent(state, "attach", session="s")
    state.forget(asked["id"])
    answer = {"type": "attached", "reply_to": asked["id"], "session": "s", "seq": 3}
    meaning = state.take(answer)

    assert isinstance(meaning, ToSend)
    assert (meaning.message["type"], meaning.message["session"]) == ("detach", "s")
    # But not where somebody else here follows it.
    opened(state)
    asked = sent(state, "attach", session="s")
    state.forget(asked["id"])
    assert state.take({**answer, "reply_to": asked["id"]}) is None


# --- what must not be done twice ----------------------------------------------------------------


def test_an_execution_is_sent_again_with_the_last_event_that_was_known_at_first() -> None:
    state = LinkState()
    opened(state)
    state.take(event(4))
    first = sent(state, "execute", session="s", execution="a")
    second = state.ask("execute", {"session": "s", "execution": "b"})
    assert "again_since" not in first
    state.take(event(9))
    _, *again = resumed(state)

    assert [each.get("again_since") for each in again] == [4, None]
    assert [each["execution"] for each in again] == ["a", "b"]
    state.sent(second["id"])
    assert [each["again_since"] for each in resumed(state)[1:]] == [4, 4]


def test_an_answer_to_an_input_says_that_it_is_sent_again() -> None:
    state = LinkState()
    asked = sent(state, "input_response", session="s", input="i", data="Ada")
    assert "again" not in asked

    assert resumed(state)[0]["again"] is True


def started(seq: int, execution: str) -> dict[str, Any]:
    return {"type": "started", "session": "s", "seq": seq, "execution": execution}


def test_an_interrupt_of_what_runs_is_sent_again_for_what_ran_then_alone() -> None:
    state = LinkState()
    opened(state)
    state.take(started(1, "a"))
    asked = sent(state, "interrupt", session="s", execution=None)
    state.take({"type": "result", "session": "s", "seq": 2, "execution": "a"})
    state.take(started(3, "b"))
    _, again = resumed(state)

    assert (again["id"], again["execution"]) == (asked["id"], "a")


@pytest.mark.parametrize("last", ["result", "error", "gap"])
def test_an_interrupt_of_nobody_knows_what_is_not_sent_again(last: str) -> None:
    state = LinkState()
    opened(state)
    state.take(started(1, "a"))
    state.take({"type": last, "session": "s", "seq": 2, "to_seq": 2})
    asked = sent(state, "interrupt", session="s", execution=None)
    resumption = state.reconnected()

    assert resumption.unanswerable == [asked["id"]]
    assert [each["type"] for each in resumption.messages] == ["attach"]
    # One that was never sent hits nothing twice.
    asked = state.ask("interrupt", {"session": "s", "execution": None})
    assert resumed(state)[1] == asked


def test_what_was_not_sent_at_all_is_not_kept() -> None:
    state = LinkState()
    asked = state.ask("open_session", {"name": "n"})
    state.drop(asked["id"])

    assert state.owed == []
    assert resumed(state) == []


@pytest.mark.parametrize("kind", ["begin", "commit", "rollback", "undo", "redo"])
def test_what_changes_the_state_besides_code_is_sent_again_under_its_key(kind: str) -> None:
    state = LinkState()
    opened(state)
    state.take(event(1))
    asked = sent(state, kind, session="s", key="k")
    state.take(event(2))
    _, again = resumed(state)

    assert again == {**asked, "again_since": 1}


def test_without_a_key_it_cannot_come_twice() -> None:
    state = LinkState()
    asked = sent(state, "commit", session="s")

    assert state.reconnected().unanswerable == [asked["id"]]
