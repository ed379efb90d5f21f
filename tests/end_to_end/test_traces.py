"""End-to-end tests: one trace from a client's span through the service to a session's own spans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import pyrepl3
from pyrepl3.serving import Served
from pyrepl3.telemetry.tracing import Tracing

from .websocket_driver import TOKEN, connect, serve

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"

IN_SESSION = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("mine")
"""
OWN = """
with tracer.start_as_current_span("own"): pass
span = exporter.get_finished_spans()[-1]
[f"{span.context.trace_id:032x}", span.parent and f"{span.parent.span_id:016x}"]
"""
OWN_AWAITED = "import asyncio\nawait asyncio.sleep(0)\n" + OWN


class Spans:
    """What was exported, and a tracer for the client's own."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("client")

    @property
    def all(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == name]


def own_id(span: ReadableSpan) -> str:
    return f"{span.get_span_context().span_id:016x}"


def trace_id(span: ReadableSpan) -> str:
    return f"{span.get_span_context().trace_id:032x}"


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


@asynccontextmanager
async def traced() -> AsyncIterator[tuple[Served, Spans]]:
    spans = Spans()
    async with serve() as (supervisor, served):
        with supervisor.observers.joined_by(Tracing(spans.provider)):
            yield served, spans


@pytest.mark.parametrize("code", [OWN, OWN_AWAITED], ids=["plain", "awaited"])
async def test_one_trace_leads_from_the_clients_header_to_the_sessions_spans(code: str) -> None:
    async with traced() as (served, spans), connect(served) as client:
        opened = await client.ask("open_session", traceparent=TRACEPARENT)
        session = opened["session"]
        # In one and the same execution it is imported and used.
        await client.ask(
            "execute",
            session=session,
            execution="e",
            code=IN_SESSION + code,
            traceparent=TRACEPARENT,
        )
        own_trace, own_parent = (await client.outcome("e"))["value"]

        (execute,), (queued,), (running,) = map(spans.named, ("execute", "queued", "running"))
        (acquire,) = spans.named("acquire")
        assert {trace_id(span) for span in spans.all} == {TRACE}
        assert parent_id(execute) == parent_id(acquire) == SPAN
        assert parent_id(queued) == parent_id(running) == own_id(execute)
        assert (own_trace, own_parent) == (TRACE, own_id(execute))
        assert execute.attributes is not None
        assert execute.attributes["pyrepl3.session"] == session
        assert execute.attributes["pyrepl3.execution"] == "e"
        assert execute.attributes["pyrepl3.principal"] == "ada"
        assert execute.attributes["pyrepl3.outcome"] == "ok"
        assert execute.status.is_ok or execute.status.is_unset

        # The next one is in no trace of its client's, and what was attached is gone.
        alone = await client.run(session, code, "f")
        last = spans.named("execute")[-1]
        assert parent_id(last) is None
        assert trace_id(last) != TRACE
        assert alone["value"] == [trace_id(last), own_id(last)]


async def test_the_clients_current_span_travels_by_itself() -> None:
    async with traced() as (served, spans):
        with spans.tracer.start_as_current_span("request") as request:
            async with (
                pyrepl3.Client(served.url, TOKEN) as client,
                client.session() as session,
            ):
                execution = await session.run(IN_SESSION + OWN)
        wanted = f"{request.get_span_context().trace_id:032x}"

        assert execution.value[0] == wanted
        assert {trace_id(span) for span in spans.all} == {wanted}
        assert parent_id(spans.named("execute")[0]) == own_id(spans.named("request")[0])


async def test_an_embedded_session_is_below_the_span_that_is_current() -> None:
    spans = Spans()
    config = pyrepl3.Config(pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=1))
    async with pyrepl3.open_supervisor(config) as supervisor, supervisor.session() as session:
        with spans.tracer.start_as_current_span("mine") as mine:
            unobserved = await session.run(IN_SESSION + OWN)
            with supervisor.observers.joined_by(Tracing(spans.provider)):
                observed = await session.run(OWN)
        alone = await session.run(OWN)

    context = mine.get_span_context()
    wanted = f"{context.trace_id:032x}"
    assert unobserved.value == [wanted, f"{context.span_id:016x}"]
    assert observed.value == [wanted, own_id(spans.named("execute")[0])]
    assert alone.value[0] != wanted
    assert alone.value[1] is None


async def test_an_execution_that_fails_is_an_error_of_which_no_code_is_told() -> None:
    async with traced() as (served, spans), connect(served) as client:
        session = (await client.ask("open_session"))["session"]
        await client.run(session, "raise ValueError('canary-7d1f')", "e")
        (execute,) = spans.named("execute")
        told = execute.to_json()

    assert execute.status.status_code is trace.StatusCode.ERROR
    assert execute.status.description == "error"
    assert parent_id(execute) is None
    assert "canary-7d1f" not in told
    assert "ValueError" not in told


@pytest.mark.parametrize("text", ["", "x", "00-" + "0" * 32 + f"-{SPAN}-01", TRACEPARENT + "\n"])
async def test_what_is_no_traceparent_is_ignored(text: str) -> None:
    async with serve() as (_, served), connect(served) as client:
        session = (await client.ask("open_session", traceparent=text))["session"]
        await client.ask(
            "execute",
            session=session,
            execution="e",
            code="'__traceparent__' in globals()",
            traceparent=text,
        )
        assert (await client.outcome("e"))["value"] is False


async def test_code_without_opentelemetry_finds_it_under_a_name() -> None:
    async with serve() as (_, served), connect(served) as client:
        session = (await client.ask("open_session"))["session"]
        code = "import sys\n[__traceparent__, 'opentelemetry' in sys.modules]"
        await client.ask(
            "execute", session=session, execution="e", code=code, traceparent=TRACEPARENT
        )
        assert (await client.outcome("e"))["value"] == [TRACEPARENT, False]
        after = await client.run(session, "'__traceparent__' in globals()", "f")
        assert after["value"] is False
        hooks = "[type(each).__name__ for each in sys.meta_path]"
        assert "_ImportTrigger" not in (await client.run(session, hooks, "g"))["value"]
