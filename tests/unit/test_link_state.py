"""Unit tests: what a client sends again on a new connection, and what it takes twice."""

from __future__ import annotations

from typing import Any

from pyrepl3.remote.link_state import Answered, LinkState, Told, ToSend


def opened(state: LinkState, session: str = "s", name: str = "n") -> None:
    asked = state.ask("open_session", {"name": name})
    answer = {"type": "session_opened", "reply_to": asked["id"], "session": session}
    assert state.take(answer) == Answered(asked["id"], answer)


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

    assert state.reconnected() == [asked[2]]


def test_sessions_are_attached_to_again_from_where_they_were_and_before_anything_else() -> None:
    state = LinkState()
    opened(state)
    state.take(event(1))
    state.take(event(2))
    asked = state.ask("execute", {"session": "s"})

    attach, again = state.reconnected()

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
    assert state.reconnected() == []


def test_where_nothing_is_said_of_since_what_was_before_is_not_wanted() -> None:
    state = LinkState()
    asked = state.ask("attach", {"session": "mine"})
    state.take({"type": "attached", "reply_to": asked["id"], "session": "s", "seq": 7})

    assert state.take(event(7)) is None
    assert state.take(event(8)) == Told("s", event(8))


def test_a_session_that_is_gone_on_a_new_connection_is_told_as_its_last_event() -> None:
    state = LinkState()
    opened(state)
    (attach,) = state.reconnected()
    gone = refused(attach["id"], "SESSION_NOT_FOUND")

    assert state.take(gone) == Told("s", gone)


def test_a_session_whose_answer_was_lost_is_found_by_its_name() -> None:
    state = LinkState()
    asked = state.ask("open_session", {"name": "n"}, has_own_name=True)
    assert state.reconnected() == [asked]

    meaning = state.take(refused(asked["id"], "ID_CONFLICT"))

    attach = {"type": "attach", "id": asked["id"], "session": "n", "since": 0}
    assert meaning == ToSend(attach)
    assert state.reconnected() == [attach]
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
    second = state.ask("open_session", {"name": "n"})
    state.reconnected()
    conflicts.append(refused(second["id"], "ID_CONFLICT"))
    assert state.take(conflicts[1]) == Answered(second["id"], conflicts[1])


def test_a_session_that_nobody_waits_for_any_more_is_closed() -> None:
    state = LinkState()
    asked = state.ask("open_session", {"name": "n"})
    state.forget(asked["id"])
    assert state.reconnected() == []

    asked = state.ask("open_session", {"name": "n"})
    state.forget(asked["id"])
    meaning = state.take({"type": "session_opened", "reply_to": asked["id"], "session": "s"})

    assert isinstance(meaning, ToSend)
    assert (meaning.message["type"], meaning.message["session"]) == ("close_session", "s")
    assert state.take(event(1)) is None
    ended = {"type": "session_ended", "reply_to": meaning.message["id"], "session": "s"}
    assert state.take(ended) == Answered(meaning.message["id"], ended)
    assert state.reconnected() == []
