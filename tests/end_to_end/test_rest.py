"""End-to-end tests: sessions and executions over REST, on a real port and real workers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import trio

from pyrepl3.serving import Served
from pyrepl3.wire.client_requests import NAME_IN_WORDS

from . import websocket_driver
from .faults.oracle import eventually
from .rest_driver import ADMIN, LIMITED, OTHER, Rest, client, problem, raw, serve, server_sent

NDJSON = {"Accept": "application/x-ndjson"}
SSE = {"Accept": "text/event-stream"}


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as served:
        yield served


@pytest.fixture
async def rest(served: Served) -> AsyncIterator[Rest]:
    async with client(served) as rest:
        yield rest


def executions(session: str, execution: str = "") -> str:
    return f"/v1/sessions/{session}/executions" + (f"/{execution}" if execution else "")


# --- sessions -----------------------------------------------------------------------------------


async def test_a_session_is_opened_used_and_closed(rest: Rest) -> None:
    wish = {"name": "mine", "metadata": {"a": "\ud800", "n": 2**53}, "idle_timeout_s": 60}
    opened = await rest.http.post("/v1/sessions", content=json.dumps(wish))
    session = opened.json()["session"]
    end = await rest.run("mine", "print('é'); 6 * 7")
    listed = (await rest.http.get("/v1/sessions")).json()["sessions"]
    described = (await rest.http.get(f"/v1/sessions/{session}")).json()
    change = {"metadata": {"b": 1}, "unknown": True}
    changed = (await rest.http.patch("/v1/sessions/mine", json=change)).json()
    closed = await rest.http.delete("/v1/sessions/mine")
    again = await rest.http.delete(opened.headers["location"])
    after = await rest.http.post(executions(session), json={"code": "1"})

    assert opened.status_code == 201
    assert opened.headers["location"] == f"/v1/sessions/{session}"
    assert opened.json()["name"] == "mine"
    assert (end["type"], end["value"], end["session"]) == ("result", 42, session)
    assert end["logs"] == {"stdout": "é\n", "stderr": "", "truncated": False}
    assert described["metadata"] == wish["metadata"]
    assert [each["session"] for each in listed] == [session]
    assert changed["metadata"] == {"b": 1}
    assert (closed.status_code, closed.content) == (204, b"")
    assert again.status_code == 204
    problem(after, 410, "SESSION_LOST")
    assert (await rest.http.get(f"/v1/sessions/{session}")).json()["standing"] == "closed"


async def test_a_session_may_be_opened_with_nothing_said(rest: Rest) -> None:
    assert (await rest.http.post("/v1/sessions")).status_code == 201
    assert (await rest.http.post("/v1/sessions", content=b"{}")).status_code == 201


async def test_the_outcome_of_code_that_fails_is_no_problem(rest: Rest) -> None:
    session = await rest.open()
    failed = await rest.run(session, "print('before'); 1 / 0")
    url = executions(session)
    late = await rest.http.post(url, json={"code": "while True: pass", "timeout_s": 0.1})
    died = await rest.run(session, "import os; print('last'); os._exit(3)")

    assert (failed["type"], failed["name"], failed["code"]) == ("error", "ZeroDivisionError", None)
    assert failed["logs"]["stdout"] == "before\n"
    assert (late.status_code, late.json()["code"]) == (200, "EXECUTION_TIMEOUT")
    assert (died["code"], died["state"]) == ("WORKER_DIED", "lost")
    assert died["details"]["exit_status"] == 3, died


async def test_what_is_displayed_is_in_the_outcome(rest: Rest) -> None:
    end = await rest.run(await rest.open(), "display('shown'); 7")

    assert [display["data"] for display in end["displays"]] == [{"text/plain": "'shown'"}]


async def test_an_input_is_answered_and_only_once(rest: Rest) -> None:
    session = await rest.open()
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            await rest.until(f"/v1/sessions/{session}", lambda told: told["last_seq"] == 2)
            told = await rest.http.get(f"/v1/sessions/{session}/events")
            event = json.loads(told.text.splitlines()[-1])
            body = {"input": event["input"], "data": "Ada"}
            first = await rest.http.post(f"/v1/sessions/{session}/input", json=body)
            second = await rest.http.post(f"/v1/sessions/{session}/input", json=body)
            assert first.json() == {"session": session, "input": event["input"]}
            problem(second, 409, "ALREADY_ANSWERED")

        nursery.start_soon(answer)
        end = await rest.run(session, "input('who? ')")

    assert end["value"] == "Ada"
    none = await rest.http.post(
        f"/v1/sessions/{session}/input", json={"input": "none", "data": None}
    )
    problem(none, 404, "EXECUTION_NOT_FOUND")


async def test_a_transaction_is_begun_and_ended_once_under_its_key(rest: Rest) -> None:
    session = await rest.open()
    url = f"/v1/sessions/{session}"
    await rest.run(session, "x = 1")
    keyed = {"Idempotency-Key": "k1"}
    begun = [await rest.http.post(f"{url}/begin", headers=keyed) for _ in range(2)]
    described = (await rest.http.get(url)).json()
    another = await rest.http.post(f"{url}/begin")
    conflict = await rest.http.post(f"{url}/commit", headers=keyed)
    await rest.run(session, "x = 2")
    rolled_back = await rest.http.post(f"{url}/rollback")
    none = await rest.http.post(f"{url}/commit")
    bad = await rest.http.post(f"{url}/commit", headers={"Idempotency-Key": "a b"})

    assert [each.json() for each in begun] == [{"session": session, "in_transaction": True}] * 2
    assert described["in_transaction"] is True
    problem(another, 409, "TRANSACTION_ACTIVE")
    problem(conflict, 409, "ID_CONFLICT")
    assert rolled_back.json() == {"session": session, "in_transaction": False}
    problem(none, 409, "NO_TRANSACTION")
    problem(bad, 400, "BAD_MESSAGE")
    assert (await rest.run(session, "x"))["value"] == 1


async def test_executions_are_undone_and_redone_once_under_a_key(rest: Rest) -> None:
    wish = {"history": {"count": 5}}
    session = (await rest.http.post("/v1/sessions", json=wish)).json()["session"]
    url = f"/v1/sessions/{session}"
    for number in range(3):
        sent = {"code": f"x = {number}"}
        key = {"Idempotency-Key": f"e{number}"}
        await rest.http.post(executions(session), json=sent, headers=key)
    history = (await rest.http.get(f"{url}/history")).json()
    keyed = {"Idempotency-Key": "k1"}
    undone = [await rest.http.post(f"{url}/undo", headers=keyed) for _ in range(2)]
    conflict = await rest.http.post(f"{url}/redo", headers=keyed)
    further = await rest.http.post(f"{url}/undo", json={"to": "e0"})
    too_far = await rest.http.post(f"{url}/undo", json={"to": "e7"})
    redone = await rest.http.post(f"{url}/redo")
    after = (await rest.http.get(f"{url}/history")).json()
    changed = await rest.http.patch(url, json={"history": {"count": 1, "bytes": 2**24}})
    bad = await rest.http.patch(url, json={"history": {"count": 64}})
    fewer = (await rest.http.get(f"{url}/history")).json()

    assert [each["execution"] for each in history["entries"]] == ["e0", "e1", "e2"]
    assert history["private_bytes"] == sum(each["private_bytes"] for each in history["entries"])
    assert [each.json() for each in undone] == [{"session": session, "execution": "e2"}] * 2
    problem(conflict, 409, "ID_CONFLICT")
    assert further.json()["execution"] == "e1"
    problem(too_far, 404, "EXECUTION_NOT_FOUND")
    assert redone.json() == {"session": session, "execution": "e1"}
    assert [each["execution"] for each in after["entries"]] == ["e0", "e1"]
    assert [each["execution"] for each in after["undone"]] == ["e2"]
    assert changed.json()["history_count"] == 1
    problem(bad, 400, "BAD_MESSAGE")
    assert (fewer["count"], fewer["bytes"], fewer["dropped"]) == (1, 2**24, 2)
    assert (await rest.run(session, "x"))["value"] == 1


async def test_code_without_a_session_has_a_policy_and_a_guard_too(rest: Rest) -> None:
    dry = {"code": "x = 1; x", "transaction_policy": "rollback_always"}
    crash = {"code": "import os; os._exit(3)", "guard": True}
    tried, survived, again, lost = [
        (await rest.http.post("/v1/executions", json=each)).json()
        for each in (dry, crash, {**crash, "guard": "auto"}, {"code": crash["code"]})
    ]

    assert (tried["value"], tried["state"]) == (1, "rolled_back")
    for outcome in (survived, again):
        assert (outcome["code"], outcome["state"]) == ("WORKER_DIED", "rolled_back")
    assert (lost["code"], lost["state"]) == ("WORKER_DIED", "lost")


async def test_a_request_without_the_body_that_it_needs_is_told_so(rest: Rest) -> None:
    session = await rest.open()
    for answer in (
        await rest.http.post(f"/v1/sessions/{session}/fork"),
        await rest.http.post("/v1/executions"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_MESSAGE")
        assert "no body" in answer.json()["why"]


async def test_code_without_a_session_reports_its_names_where_it_is_asked_to(rest: Rest) -> None:
    wish = {"code": "x = [1]", "report_namespace": True}
    told = (await rest.http.post("/v1/executions", json=wish)).json()
    silent = (await rest.http.post("/v1/executions", json={"code": "x = [1]"})).json()

    assert [each["name"] for each in told["namespace"]["added"]] == ["x"]
    assert "namespace" not in silent


async def test_an_execution_has_a_policy_and_a_guard_or_those_of_its_session(rest: Rest) -> None:
    session = await rest.open()
    url = executions(session)
    dry = {"code": "x = 1; x", "transaction_policy": "rollback_always"}
    tried = (await rest.http.post(url, json=dry)).json()
    crash = {"code": "import os; os._exit(3)", "guard": True}
    survived = (await rest.http.post(url, json=crash)).json()
    never = await rest.http.post(url, json={"code": "1", "transaction_policy": "never"})
    guarded = (await rest.http.post("/v1/sessions", json={"guard": True})).json()["session"]

    assert (tried["value"], tried["state"]) == (1, "rolled_back")
    assert (survived["code"], survived["state"]) == ("WORKER_DIED", "rolled_back")
    problem(never, 400, "BAD_MESSAGE")
    assert (await rest.run(guarded, crash["code"]))["state"] == "rolled_back"


async def test_an_execution_tells_of_names_and_of_what_is_not_undone(
    rest: Rest, tmp_path: Path
) -> None:
    session = await rest.open()
    dry = {"transaction_policy": "rollback_always", "report_namespace": True}
    code = {"code": f"x = 1; import os; os.mkdir('{tmp_path}/made')", **dry}
    tried = (await rest.http.post(executions(session), json=code)).json()
    plain = await rest.run(session, "x = 1")
    wish = {"report_namespace": True}
    telling = (await rest.http.post("/v1/sessions", json=wish)).json()["session"]
    never = await rest.http.post(executions(session), json={"code": "1", "report_namespace": 1})

    report = tried["namespace"]
    assert [entry["name"] for entry in report["added"]] == ["x", "os"]
    assert report["is_undone"] is True
    assert tried["uncovered"] == [{"kind": "directory_made", "detail": f"{tmp_path}/made"}]
    assert not {"namespace", "uncovered"} & plain.keys()
    assert (await rest.run(telling, "x = 1"))["namespace"]["added"][0]["type"] == "int"
    problem(never, 400, "BAD_MESSAGE")


async def test_a_guard_may_be_automatic_and_names_what_a_crash_undid(rest: Rest) -> None:
    opened = await rest.http.post("/v1/sessions", json={"guard": "auto"})
    session = opened.json()["session"]
    await rest.run(session, "held = bytearray(2**27)")
    ids = [(await rest.run(session, "n = 1"))["execution"] for _ in range(2)]
    crash = await rest.run(session, "import os; os._exit(3)")
    never = await rest.http.post(executions(session), json={"code": "1", "guard": "never"})

    assert crash["state"] == "rolled_back"
    assert crash["lost_since"][-1] == ids[-1]
    problem(never, 400, "BAD_MESSAGE")


async def test_variables_are_copied_where_that_is_allowed(rest: Rest) -> None:
    body = {"allow_copy": True, "limits": {"copied_bytes": 2**20}}
    session = (await rest.http.post("/v1/sessions", json=body)).json()["session"]
    await rest.run(
        session,
        "import threading; stop = threading.Event(); x = 1\n"
        "threading.Thread(target=stop.wait, daemon=True).start()",
    )
    url = executions(session)
    dry = {"code": "x = 2; x", "transaction_policy": "rollback_always"}
    copied = (await rest.http.post(url, json=dry)).json()
    refused = (await rest.http.post(url, json={**dry, "allow_copy": False})).json()
    begun = await rest.http.post(f"/v1/sessions/{session}/begin")
    await rest.run(session, "x = 3")
    await rest.http.post(f"/v1/sessions/{session}/rollback")
    await rest.run(session, "held = bytearray(2**20)")
    large = (await rest.http.post(url, json=dry)).json()

    assert (copied["value"], copied["state"]) == (2, "rolled_back")
    assert copied["by_reference"] == ["stop"]
    assert (refused["code"], refused.get("by_reference")) == ("SNAPSHOT_UNAVAILABLE", None)
    assert begun.status_code == 200
    assert large["code"] == "SNAPSHOT_UNAVAILABLE"
    assert (await rest.run(session, "x"))["value"] == 1


async def test_an_interrupt_is_answered_with_what_came_of_it(rest: Rest) -> None:
    session = await rest.open()
    url = f"/v1/sessions/{session}/interrupt"
    nothing = await rest.http.post(url)
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            await rest.until(executions(session, "e"), lambda e: e.get("state") == "running")
            answer = await rest.http.post(url, json={"execution": "e"})
            assert answer.json() == {
                "session": session,
                "execution": "e",
                "by": "signal",
                "state": "kept",
            }

        nursery.start_soon(interrupt)
        end = await rest.run(session, "while True: pass", **{"Idempotency-Key": "e"})

    assert nothing.json()["by"] == "nothing"
    assert (end["code"], end["state"]) == ("INTERRUPTED", "kept")
    problem(await rest.http.post(url, json={"execution": "e"}), 404, "EXECUTION_NOT_FOUND")


# --- whose it is --------------------------------------------------------------------------------


async def test_anothers_session_is_as_one_that_is_not_there(served: Served, rest: Rest) -> None:
    session = await rest.open(name="mine")
    async with client(served, OTHER) as other:
        for name in (session, "mine", "none"):
            at = f"/v1/sessions/{name}"
            answers = [
                await other.http.get(at),
                await other.http.patch(at, json={}),
                await other.http.delete(at),
                await other.http.post(f"{at}/interrupt"),
                await other.http.post(f"{at}/input", json={"input": "i", "data": ""}),
                await other.http.get(f"{at}/events"),
                await other.http.post(f"{at}/executions", json={"code": "1"}),
                await other.http.get(f"{at}/executions/e"),
                await other.http.get(f"{at}/executions/e/events"),
                await other.http.get(f"{at}/files"),
                await other.http.get(f"{at}/files/a"),
                await other.http.put(f"{at}/files/a", content=b"a"),
                await other.http.delete(f"{at}/files/a"),
            ]
            told = [problem(answer, 404, "SESSION_NOT_FOUND") for answer in answers]
            assert {each["what"] for each in told} == {f"there is no session {name}"}
            assert "`pyrepl3 session ls`, list_sessions, GET /v1/sessions" in told[0]["how"]
        assert (await other.http.get("/v1/sessions")).json() == {"sessions": []}
    assert (await rest.run(session, "1"))["value"] == 1


async def test_the_pools_figures_are_for_admins(served: Served, rest: Rest) -> None:
    problem(await rest.http.get("/v1/pool"), 404, "NOT_FOUND")
    async with client(served, ADMIN) as admin:
        figures = (await admin.http.get("/v1/pool")).json()

    assert figures["leased"] == 0
    assert set(figures) >= {"idle", "waiting", "hits", "misses", "hit_rate", "open_breakers"}


async def test_a_principal_has_no_more_sessions_than_it_may(served: Served) -> None:
    async with client(served, LIMITED) as limited:
        await limited.open()
        told = problem(await limited.http.post("/v1/sessions"), 429, "RATE_LIMITED")

    assert told["details"] == {"limit": 1}
    assert "`pyrepl3 session ls`, list_sessions, GET /v1/sessions" in told["how"]
    assert told["retryable"]


async def test_who_comes_without_a_token_is_told_how_on_every_method(served: Served) -> None:
    """A refused HEAD has no body; the endpoint goes on after each."""
    async with client(served, None) as stranger, client(served) as rest:
        session = await rest.open()
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD"):
            answer = await stranger.http.request(method, "/v1/sessions")
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["connection"] == "close"
            if method != "HEAD":
                problem(answer, 401, "UNAUTHORIZED")
            assert (await rest.http.get(f"/v1/sessions/{session}")).status_code == 200


async def test_the_description_is_open_to_who_asks_under_the_right_name(served: Served) -> None:
    async with client(served, None) as stranger:
        for path in ("/docs", "/openapi.json"):
            answer = await stranger.http.get(path)
            head = await stranger.http.head(path)
            wrong = await stranger.http.get(path, headers={"Host": "evil.example"})
            foreign = await stranger.http.get(path, headers={"Origin": "http://evil.example"})

            assert answer.status_code == 200
            assert head.headers["content-length"] == str(len(answer.content))
            problem(wrong, 421, "MISDIRECTED_HOST")
            problem(foreign, 403, "FORBIDDEN_ORIGIN")
        page = await stranger.http.get("/docs")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")


# --- ids, and what is sent again ----------------------------------------------------------------


async def test_the_same_key_runs_once_and_another_body_is_a_conflict(rest: Rest) -> None:
    session = await rest.open()
    await rest.run(session, "runs = 0")
    key = {"Idempotency-Key": "k"}
    ends = [await rest.run(session, "runs += 1; runs", **key) for _ in range(3)]
    other = await rest.http.post(executions(session), json={"code": "2"}, headers=key)
    streamed = await rest.http.post(
        executions(session), json={"code": "runs += 1; runs"}, headers={**key, **NDJSON}
    )
    await rest.http.delete(f"/v1/sessions/{session}")
    after = await rest.run(session, "runs += 1; runs", **key)

    assert [end["value"] for end in ends] == [1, 1, 1]
    assert ends[0] == ends[1] == after
    problem(other, 409, "ID_CONFLICT")
    events = [json.loads(line) for line in streamed.text.splitlines()]
    assert [event["type"] for event in events] == ["started", "result"]


@pytest.mark.parametrize("key", ["", "a b", "é".encode("latin-1"), "x" * 129])
async def test_a_key_that_is_none_is_refused(rest: Rest, key: Any) -> None:
    answer = await rest.http.post(
        executions(await rest.open()), json={"code": "1"}, headers={"Idempotency-Key": key}
    )

    told = problem(answer, 400, "BAD_MESSAGE")
    assert told["why"].endswith(NAME_IN_WORDS)
    assert told["how"].startswith("/docs")


async def test_an_id_is_the_same_execution_over_websocket_and_rest(
    served: Served, rest: Rest
) -> None:
    session = await rest.open(name="both")
    async with websocket_driver.connect(served, token=websocket_driver.TOKEN) as socket:
        await socket.ask("attach", session=session)
        by_socket = await socket.run(session, "import os; os.urandom(4).hex()", "one")
        same = await rest.run(
            session, "import os; os.urandom(4).hex()", **{"Idempotency-Key": "one"}
        )
        by_rest = await rest.run(session, "os.urandom(4).hex()", **{"Idempotency-Key": "two"})
        seen = await socket.outcome("two")
        again = await socket.ask(
            "execute", session=session, execution="two", code="os.urandom(4).hex()"
        )
        conflict = await rest.http.post(
            executions(session), json={"code": "9"}, headers={"Idempotency-Key": "one"}
        )

    assert same["value"] == by_socket["value"]
    assert by_rest["value"] == seen["value"]
    assert (again["type"], again["again"]) == ("accepted", True)
    problem(conflict, 409, "ID_CONFLICT")


async def test_a_one_shot_runs_in_a_session_of_its_own_that_ends_with_it(rest: Rest) -> None:
    ends = [
        (await rest.http.post("/v1/executions", json={"code": "x = globals().get('x', 0) + 1; x"}))
        for _ in range(2)
    ]
    asks = await rest.http.post("/v1/executions", json={"code": "input()"})

    assert [end.json()["value"] for end in ends] == [1, 1]
    assert asks.json()["code"] == "STDIN_UNAVAILABLE"
    listed = (await rest.http.get("/v1/sessions")).json()["sessions"]
    assert {each["standing"] for each in listed} == {"closed"}


async def test_a_one_shot_with_a_key_runs_once_however_often_it_is_sent(rest: Rest) -> None:
    body = {"code": "import os; os.urandom(4).hex()", "env": {"A": "b"}}
    key = {"Idempotency-Key": "k" * 128}
    values = []
    async with trio.open_nursery() as nursery:

        async def once() -> None:
            answer = await rest.http.post("/v1/executions", json=body, headers=key)
            values.append(answer.json()["value"])

        for _ in range(5):
            nursery.start_soon(once)
    await once()

    assert len(values) == 6
    assert len(set(values)) == 1
    for other in ({**body, "code": "1"}, {**body, "env": {"A": "c"}}, {"code": body["code"]}):
        answer = await rest.http.post("/v1/executions", json=other, headers=key)
        problem(answer, 409, "ID_CONFLICT")


async def test_a_one_shot_that_is_refused_gives_its_session_back(rest: Rest) -> None:
    key = {"Idempotency-Key": "k"}
    body = {"code": "1" * 100, "limits": {"code_bytes": 10}}
    for _ in range(2):
        answer = await rest.http.post("/v1/executions", json=body, headers=key)
        problem(answer, 413, "CODE_TOO_LARGE")
        listed = (await rest.http.get("/v1/sessions")).json()["sessions"]
        assert {each["standing"] for each in listed} == {"closed"}


async def test_a_one_shot_without_a_key_is_interrupted_when_its_client_leaves(
    rest: Rest, served: Served
) -> None:
    """Nobody could come back for its outcome; and its session is soon given back."""
    async with client(served) as leaver, trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: leaver.http.post("/v1/executions", json={"code": "while True: pass"})
        )
        found = await rest.until(
            "/v1/sessions", lambda told: any(each["running"] for each in told["sessions"])
        )
        (session,) = found["sessions"]
        await rest.until(f"/v1/sessions/{session['session']}", lambda told: told["attached"])
        nursery.cancel_scope.cancel()
    await rest.until(f"/v1/sessions/{session['session']}", lambda told: not told["running"])


# --- waits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disconnect", ["continue", "interrupt"])
@pytest.mark.parametrize("wait_s", ["0", "0.05"])
async def test_a_wait_that_lapses_says_where_the_outcome_will_be(
    rest: Rest, wait_s: str, on_disconnect: str
) -> None:
    """And is no departure: what runs goes on, also where that would interrupt it."""
    session = await rest.open(name="n/1", on_disconnect=on_disconnect)
    later = await rest.http.post(
        executions(session),
        params={"wait_s": wait_s},
        json={"code": "input()"},
        headers={"Idempotency-Key": "e?1"},
    )
    at = later.headers["location"]
    await rest.until(at, lambda told: told["state"] == "running")
    past = await rest.http.get(f"/v1/sessions/{session}/events")
    asked = await rest.until(f"/v1/sessions/{session}", lambda told: told["last_seq"] == 2)
    events = (await rest.http.get(f"/v1/sessions/{session}/events")).text.splitlines()
    line = {"input": json.loads(events[-1])["input"], "data": "here"}
    await rest.http.post(f"/v1/sessions/{session}/input", json=line)
    ended = await rest.until(at, lambda told: told["state"] == "ended")
    at_once = await rest.http.post(
        executions(session),
        params={"wait_s": "0"},
        json={"code": "input()"},
        headers={"Idempotency-Key": "e?1"},
    )

    assert later.status_code == 202
    assert later.json()["outcome"] is None
    assert at == executions(session, "e%3F1")
    assert past.status_code == 200
    assert asked["running"] == "e?1"
    assert ended["outcome"]["value"] == "here"
    assert (at_once.status_code, at_once.json()) == (200, ended["outcome"])


async def leave_in_the_middle(rest: Rest, served: Served, session: str, **headers: str) -> None:
    """Of an execution `e`, that waits for nothing but time."""
    code = "import time\nprint('up', flush=True)\ntime.sleep(0.3)\n'done'"
    async with client(served) as leaver, trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: leaver.http.post(
                executions(session),
                json={"code": code},
                headers={"Idempotency-Key": "e", **headers},
            )
        )
        await rest.until(
            f"/v1/sessions/{session}", lambda told: told["attached"] and told["last_seq"] >= 2
        )
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("accept", ["application/json", *NDJSON.values(), *SSE.values()])
async def test_an_execution_goes_on_when_its_client_leaves(
    rest: Rest, served: Served, accept: str
) -> None:
    session = await rest.open()
    await leave_in_the_middle(rest, served, session, Accept=accept)
    ended = await rest.until(executions(session, "e"), lambda told: told["state"] == "ended")

    assert ended["outcome"]["value"] == "done"
    assert (await rest.http.get(f"/v1/sessions/{session}")).json()["attached"] == 0


@pytest.mark.parametrize("accept", ["application/json", *NDJSON.values()])
async def test_or_is_interrupted_where_its_session_was_opened_so(
    rest: Rest, served: Served, accept: str
) -> None:
    session = await rest.open(on_disconnect="interrupt")
    await leave_in_the_middle(rest, served, session, Accept=accept)
    ended = await rest.until(executions(session, "e"), lambda told: told["state"] == "ended")

    assert ended["outcome"]["code"] == "INTERRUPTED"


# --- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [NDJSON, SSE])
async def test_events_come_while_the_code_still_runs(rest: Rest, headers: dict[str, str]) -> None:
    """It waits for an answer, that is sent once its question has come."""
    session = await rest.open()
    told = ""
    async with rest.http.stream(
        "POST", executions(session), json={"code": "input('x')"}, headers=headers
    ) as answer:
        assert answer.headers["content-type"].startswith(headers["Accept"])
        async for text in answer.aiter_text():
            told += text
            if '"type":"input"' in told and "answered" not in told:
                inputs = [line for line in told.splitlines() if '"type":"input"' in line]
                event = json.loads(inputs[0][inputs[0].index("{") :])
                line = {"input": event["input"], "data": "answered"}
                await rest.http.post(f"/v1/sessions/{session}/input", json=line)
    events = (
        server_sent(told) if headers is SSE else [json.loads(line) for line in told.splitlines()]
    )

    assert [event["type"] for event in events] == ["started", "input", "result"]
    assert [event["seq"] for event in events] == [1, 2, 3]
    assert events[-1]["value"] == "answered"


async def test_a_stream_is_taken_up_where_it_was_left(rest: Rest) -> None:
    session = await rest.open()
    await rest.run(session, "print(1)")
    await rest.run(session, "print(2)", **{"Idempotency-Key": "two"})
    url = f"/v1/sessions/{session}/events"

    async def seqs(url: str, **options: Any) -> list[int]:
        text = (await rest.http.get(url, **options)).text
        return [json.loads(line)["seq"] for line in text.splitlines()]

    assert await seqs(url) == [1, 2, 3, 4, 5, 6]
    assert await seqs(url, params={"since": 4}) == [5, 6]
    assert await seqs(url, params={"since": 1}, headers={"Last-Event-ID": "5"}) == [6]
    assert await seqs(url, headers={"Last-Event-ID": "nonsense"}) == [1, 2, 3, 4, 5, 6]
    assert await seqs(url, params={"since": 99}) == []
    assert await seqs(executions(session, "two") + "/events") == [4, 5, 6]
    assert await seqs(executions(session, "two") + "/events", params={"since": 5}) == [6]
    assert await seqs(executions(session, "two") + "/events", params={"since": 6}) == []
    problem(await rest.http.get(url, params={"since": -1}), 400, "BAD_MESSAGE")
    problem(
        await rest.http.get(executions(session, "none") + "/events"), 404, "EXECUTION_NOT_FOUND"
    )
    problem(await rest.http.get(executions(session, "none")), 404, "EXECUTION_NOT_FOUND")


async def test_a_followed_session_tells_to_its_end(rest: Rest) -> None:
    session = await rest.open()
    async with trio.open_nursery() as nursery:

        async def use() -> None:
            await rest.until(f"/v1/sessions/{session}", lambda told: told["attached"] == 1)
            await rest.run(session, "1")
            await rest.http.delete(f"/v1/sessions/{session}")

        nursery.start_soon(use)
        answer = await rest.http.get(
            f"/v1/sessions/{session}/events", params={"follow": "true"}, headers=SSE
        )

    types = [event["type"] for event in server_sent(answer.text)]
    assert types == ["started", "result", "session_closed"]


async def test_what_the_journal_has_forgotten_is_told_as_a_gap() -> None:
    from pyrepl3 import JournalConfig

    journal = JournalConfig(
        memory_bytes=4096, least_memory_bytes=1024, disk_bytes=0, total_disk_bytes=0
    )
    async with serve(hosting={"journal": journal}) as served, client(served) as rest:
        session = await rest.open()
        await rest.run(session, "for n in range(300): print('x' * 100, flush=True)")
        answer = await rest.http.get(f"/v1/sessions/{session}/events")
        events = [json.loads(line) for line in answer.text.splitlines()]

    assert events[0]["type"] == "gap"
    assert events[0]["from_seq"] == 1
    assert events[0]["to_seq"] + 1 == events[1]["seq"]
    assert events[-1]["type"] == "result"


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'{"code": 1}',
        b'{"code": "1", "code": "2"}',
        b'{"code": "1", "timeout_s": NaN}',
        b'{"code": "1", "timeout_s": 1e999}',
        b'{"code": "1", "timeout_s": 0}',
        b'{"code": "1", "x": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"code": "1", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"code": "1", "x": ' + b"9" * 10_000 + b"}",
        b'{"code": "\xff"}',
        b"{}",
    ],
)
async def test_a_body_that_is_not_as_it_has_to_be_is_told_so(rest: Rest, body: bytes) -> None:
    session = await rest.open()
    told = problem(await rest.http.post(executions(session), content=body), 400, "BAD_MESSAGE")
    assert told["how"] == "/docs has what may be asked"
    problem(await rest.http.post("/v1/executions", content=body), 400, "BAD_MESSAGE")


async def test_a_body_over_its_bound_is_not_read(served: Served, rest: Rest) -> None:
    session = await rest.open()
    whole = await rest.http.post(executions(session), json={"code": "1" * 9_000_000})
    problem(whole, 413, "MESSAGE_TOO_LARGE")
    for framing, body in (
        (f"Content-Length: {2**40}", b""),
        ("Transfer-Encoding: chunked", b"100000\r\n%s\r\n" % (b"x" * 2**20) * 9),
    ):
        answer = await raw(served, "POST", executions(session), framing, body=body)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"MESSAGE_TOO_LARGE"' in answer
    problem(
        await rest.http.post(executions(session), json={"code": "1" * 8_000_000}),
        413,
        "CODE_TOO_LARGE",
    )


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/sessions", "GET, HEAD, OPTIONS, POST"),
        ("/v1/sessions/s", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/v1/sessions/s/files/a/b", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/v1/sessions/s/executions", "OPTIONS, POST"),
        ("/v1/executions", "OPTIONS, POST"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_method_that_is_not_there_is_told_which_are(
    rest: Rest, path: str, allowed: str
) -> None:
    wrong = await rest.http.request("TRACE", path)
    options = await rest.http.options(path)

    problem(wrong, 405, "BAD_MESSAGE")
    assert (options.status_code, options.content) == (204, b"")
    assert wrong.headers["allow"] == options.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path",
    [
        *("/v1", "/v2/sessions", "/v1/ws", "/v1/sessions/a/b/c"),
        *("/_openapi", "/_openapi/openapi.json", "/schema"),
    ],
)
async def test_a_path_that_is_not_there_is_told_so(rest: Rest, path: str) -> None:
    problem(await rest.http.get(path), 404, "NOT_FOUND")


async def test_what_the_pool_cannot_give_is_told_with_when_to_come_again() -> None:
    async with (
        serve(pool={"max_sessions": 1, "acquire_timeout_s": 0.05}) as served,
        client(served) as rest,
    ):
        session = await rest.open(limits={"queued_executions": 1})
        problem(await rest.http.post("/v1/sessions"), 503, "POOL_EXHAUSTED")
        problem(await rest.http.post("/v1/executions", json={"code": "1"}), 503, "POOL_EXHAUSTED")
        answers = [
            await rest.http.post(
                executions(session), json={"code": "input()"}, params={"wait_s": 0}
            )
            for _ in range(3)
        ]

        assert [answer.status_code for answer in answers] == [202, 202, 429]
        problem(answers[-1], 429, "QUEUE_FULL")
        problem(await rest.http.post("/v1/sessions", json={"template": "x"}), 400, "CONFIG_INVALID")
        wrong = await rest.http.post("/v1/sessions", json={"name": "x y"})
        told = problem(wrong, 400, "BAD_MESSAGE")
        assert told["why"] == f"the body is not as it has to be: name: {NAME_IN_WORDS}"


# --- under a prefix, over TLS, and the end ------------------------------------------------------


async def test_it_is_usable_behind_a_proxy_that_leaves_its_prefix_or_takes_it_off() -> None:
    async with serve(path_prefix="/python") as served, client(served) as rest:
        for prefix in ("/python", ""):
            opened = await rest.http.post(f"{prefix}/v1/sessions")
            session = opened.json()["session"]
            later = await rest.http.post(
                f"{prefix}{executions(session)}", json={"code": "1"}, params={"wait_s": 0}
            )
            described = (await rest.http.get(f"{prefix}/openapi.json")).json()

            assert opened.headers["location"] == f"/python/v1/sessions/{session}"
            if later.status_code == 202:
                assert later.headers["location"].startswith(f"/python/v1/sessions/{session}/")
            assert described["servers"] == [{"url": "/python"}]
        problem(await rest.http.get("/pythonic/docs"), 404, "NOT_FOUND")


async def test_draining_answers_what_runs_and_takes_nothing_more(served: Served) -> None:
    async with client(served) as rest, client(served) as idle:
        session = await idle.open()
        ends: list[httpx2.Response] = []
        async with trio.open_nursery() as nursery:

            async def run() -> None:
                code = "import time; time.sleep(0.3); 'done'"
                ends.append(await rest.http.post(executions(session), json={"code": code}))

            nursery.start_soon(run)
            await idle.until(f"/v1/sessions/{session}", lambda told: told["attached"])
            await served.drain()

        assert ends[0].json()["value"] == "done"
        assert ends[0].headers["connection"] == "close"
        with pytest.raises(httpx2.ConnectError):
            await rest.http.get("/v1/sessions")


async def test_a_client_that_comes_and_goes_leaves_no_descriptor_behind(served: Served) -> None:
    process = psutil.Process()
    async with client(served) as rest:
        session = await rest.open()
        await rest.run(session, "1")

    async def use() -> None:
        async with client(served) as rest:
            await rest.run(session, "1")
            await rest.http.get(f"/v1/sessions/{session}/files")
            with trio.move_on_after(0.05):
                await rest.http.get(f"/v1/sessions/{session}/events", params={"follow": "true"})

    await use()
    before = process.num_fds()
    for _ in range(10):
        await use()
    await eventually(lambda: process.num_fds() <= before)
