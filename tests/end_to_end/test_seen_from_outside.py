"""End-to-end tests: what a service shows of itself over HTTP: its health, its figures, its log."""

from __future__ import annotations

import logging

import httpx2
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

import pyrepl3
from pyrepl3.endpoint.access import Principal, Tokens
from pyrepl3.serving import Served, open_endpoint

from .faults.oracle import eventually
from .websocket_driver import connect, serve

ADMIN = "admin-" + "a" * 40
USER = "user-" + "u" * 40
TOKENS = Tokens.of([(ADMIN, Principal(name="root", role="admin")), (USER, Principal(name="ada"))])
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def client(served: Served, token: str | None = ADMIN) -> httpx2.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=30, trust_env=False)


async def figures(http: httpx2.AsyncClient) -> dict[tuple[str, ...], float]:
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def small(**pool: int) -> pyrepl3.Config:
    return pyrepl3.Config(
        pool=pyrepl3.PoolConfig(**{"min_idle": 1, "max_sessions": 2, **pool}),
        endpoint=pyrepl3.EndpointConfig(port=0),
    )


async def test_whoever_asks_whether_it_lives_needs_no_token_and_is_told_no_more() -> None:
    async with serve() as (_, served), client(served, None) as http:
        lives, ready = await http.get("/healthz"), await http.get("/readyz")

        assert (lives.status_code, lives.text) == (200, "ok\n")
        assert (ready.status_code, ready.text) == (200, "ok\n")
        assert ready.headers["content-type"] == "text/plain; charset=utf-8"
        assert (await http.get("/healthz", headers={"Host": "evil.test"})).status_code == 421


async def test_a_service_whose_sessions_are_all_in_use_is_not_ready_until_one_is_closed() -> None:
    async with (
        pyrepl3.open_supervisor(small(min_idle=0, max_sessions=1)) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
        client(served) as http,
    ):
        session = (await http.post("/v1/sessions")).json()["session"]
        ready = await http.get("/readyz")

        assert (ready.status_code, ready.text) == (503, "not ready\n")
        assert ready.headers["retry-after"] == "1"
        assert (await http.get("/healthz")).status_code == 200
        await http.delete(f"/v1/sessions/{session}")
        with trio.fail_after(10):
            while True:
                if (await http.get("/readyz")).status_code == 200:
                    break
                await trio.sleep(0.02)


async def test_figures_are_for_admins_and_to_others_there_are_none() -> None:
    async with (
        pyrepl3.open_supervisor(small()) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
        client(served, USER) as user,
        client(served, None) as stranger,
    ):
        for path in ("/metrics", "/v1/pool"):
            refused = await user.get(path)
            assert (refused.status_code, refused.json()["code"]) == (404, "NOT_FOUND")
            assert (await stranger.get(path)).status_code == 401


async def test_figures_agree_with_what_was_asked_over_rest_and_refused() -> None:
    async with (
        pyrepl3.open_supervisor(small()) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
        client(served) as http,
        client(served, "wrong" * 10) as stranger,
    ):
        session = (await http.post("/v1/sessions")).json()["session"]
        for code in ("1", "2", "1/0"):
            answer = await http.post(f"/v1/sessions/{session}/executions", json={"code": code})
            assert answer.status_code == 200
        assert (await http.get("/v1/sessions/nobody")).status_code == 404
        assert (await stranger.get("/v1/sessions")).status_code == 401
        found = await figures(http)

    executions = "/v1/sessions/{session}/executions"
    assert found["pyrepl3_executions_total", "ok"] == 2
    assert found["pyrepl3_executions_total", "error"] == 1
    requests = "pyrepl3_http_request_duration_seconds_count"
    assert found[requests, "POST", executions, "200"] == 3
    assert found[requests, "GET", "/v1/sessions/{session}", "404"] == 1
    assert found["pyrepl3_admissions_refused_total", "UNAUTHORIZED"] == 1


async def test_connections_and_refused_requests_of_a_websocket_are_counted() -> None:
    async with serve() as (_, served):
        async with connect(served) as ada:
            opened = await ada.ask("open_session")
            await ada.run(opened["session"], "1", "e1")
            refused = await ada.ask("execute", session=opened["session"], code="2", execution="e1")
            assert refused["code"] == "ID_CONFLICT"
            assert served.metrics is not None
            page = served.metrics.render().body.decode()

        assert 'pyrepl3_requests_refused_total{code="ID_CONFLICT"} 1.0' in page
        assert "pyrepl3_websocket_connections_open 1.0" in page
        await eventually(lambda: "connections_open 0.0" in served.metrics.render().body.decode())


async def test_a_request_is_logged_by_its_route_with_whose_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "pyrepl3")
    async with (
        pyrepl3.open_supervisor(small()) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
        client(served, USER) as http,
    ):
        await http.post("/v1/executions", json={"code": "'canary-code'"})

    requests = [
        record.msg.fields
        for record in caplog.records
        if getattr(record.msg, "event", "") == "request answered"
    ]
    assert [(each["route"], each["status"]) for each in requests] == [("/v1/executions", 200)]
    assert requests[0]["principal"] == "ada"
    assert "canary" not in caplog.text


async def test_a_trace_of_a_request_over_rest_goes_down_to_the_session() -> None:
    async with serve() as (_, served), client(served, "ada-" + "a" * 40) as http:
        answer = await http.post(
            "/v1/executions",
            json={"code": "__traceparent__"},
            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        )

    assert answer.json()["value"].split("-")[1] == TRACE
