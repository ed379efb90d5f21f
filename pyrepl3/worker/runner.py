"""One execution: from its source to the message that ends it.

Owns the order of things in an execution, and that it ends with exactly one `result` or `error`.
User code runs only inside the functions marked ``runs_user_code``. Must not know the link's bytes.
"""

import sys
from collections.abc import Callable
from contextvars import copy_context
from posix import getpid
from resource import RUSAGE_SELF, getrusage
from time import perf_counter, process_time
from typing import Any

from .bundles import bundle_of
from .compiler import CO_COROUTINE, Cell, Compiler
from .display import DISPLAYS
from .forks import leave_forked_child
from .interrupts import Interrupts, call_user, runs_user_code
from .namespace import Namespace
from .sources import Sources
from .stdin import Questions
from .streams import Output
from .tracebacks import (
    exception_name,
    exception_value,
    exit_status,
    format_exception,
    strip_runtime_frames,
)
from .traces import Trace
from .values import is_a, json_value, safe_repr

Message = dict[str, Any]


@runs_user_code
def _run_parts(interrupts: Interrupts, cell: Cell, names: dict[str, Any]) -> Any:
    if interrupts.pending:
        # Came between the compilation and here.
        interrupts.deliver()
    if cell.statements is not None:
        exec(cell.statements, names)
    if cell.expression is not None:
        return eval(cell.expression, names)
    return None


@runs_user_code
async def _await_parts(cell: Cell, names: dict[str, Any]) -> Any:
    value = None
    for code in cell:
        if code is not None:
            value = eval(code, names)
            if code.co_flags & CO_COROUTINE:
                value = await value
    return value if cell.expression is not None else None


def _run_traced(trace: Trace, interrupts: Interrupts, cell: Cell, names: dict[str, Any]) -> Any:
    trace.begin()
    try:
        return _run_parts(interrupts, cell, names)
    finally:
        trace.end()


async def _await_traced(trace: Trace, cell: Cell, names: dict[str, Any]) -> Any:
    trace.begin()
    try:
        return await _await_parts(cell, names)
    finally:
        trace.end()


class Runner:
    """Runs the executions of one session, one after the other."""

    def __init__(
        self,
        *,
        namespace: Namespace,
        output: Output,
        questions: Questions,
        interrupts: Interrupts,
        run_in_loop: Callable[[Any, Any], Any],
    ) -> None:
        self._namespace = namespace
        self._output = output
        self._questions = questions
        self._interrupts = interrupts
        self._run_in_loop = run_in_loop
        self._compiler = Compiler()
        self._sources = Sources()
        self._context = copy_context()
        self._count = 0
        self.adopt_process()

    def adopt_process(self) -> None:
        """This process is the session's; one that it forks is not."""
        self._pid = getpid()

    @property
    def count(self) -> int:
        """How many executions there were."""
        return self._count

    def adopt_session(self, count: int) -> None:
        """After a take-over: what was run since the snapshot is counted all the same."""
        self._count = max(self._count, count)
        self.adopt_process()

    def refuse(self, request: Message, code: str, why: str) -> Message:
        """The message that ends an execution of which nothing runs."""
        return {
            "type": "error",
            "execution": request["execution"],
            "name": "Refused",
            "value": why,
            "traceback": [],
            "code": code,
            "state": "kept",
            "exit_status": None,
            "execution_count": self._count,
            "duration_s": 0.0,
            "usage": {"cpu_s": 0.0, "max_rss_bytes": 0},
        }

    def execute(self, request: Message) -> Message:
        """Run the code of an `execute`; the message that ends it, for the caller to send."""
        execution, number = request["execution"], request["number"]
        if not request.get("silent"):
            self._count += 1
        started_s, cpu_started_s = perf_counter(), process_time()
        self._output.tag(execution)
        self._questions.begin(execution, allow_input=request.get("allow_input", False))
        DISPLAYS.execution = execution
        try:
            if not self._interrupts.begin(number):
                raise KeyboardInterrupt
            message = self._run(request)
        except BaseException as error:
            message = self._failure(error)
        finally:
            self._interrupts.end()
            self._questions.end()
        message["execution"] = execution
        message["execution_count"] = self._count
        message["duration_s"] = perf_counter() - started_s
        message["usage"] = {
            "cpu_s": process_time() - cpu_started_s,
            "max_rss_bytes": getrusage(RUSAGE_SELF).ru_maxrss * 1024,
        }
        self._output.flush()
        return message

    def finish(self) -> None:
        """The message was sent; what is printed from now on belongs to no execution."""
        DISPLAYS.execution = None
        self._output.tag(None)

    def _run(self, request: Message) -> Message:
        silent = bool(request.get("silent"))
        own_name = f"<silent {request['number']}>" if silent else f"<cell {self._count}>"
        filename = request.get("filename") or own_name
        source = request["code"]
        kept = self._sources.keep(filename, source)
        try:
            cell: Cell = call_user(self._compiler.compile, source, filename)
        except BaseException:
            self._sources.restore(kept)
            raise
        self._sources.watch(kept, cell)
        try:
            value = self._run_cell(cell, request.get("traceparent"))
            if getpid() != self._pid:
                leave_forked_child(self._output, None)
            message = self._success(None if silent else value)
            for hook in DISPLAYS.after_cell:
                call_user(hook)
            return message
        except BaseException as error:
            if getpid() != self._pid:
                leave_forked_child(self._output, error)
            self._sources.restore(kept)
            self._show_after_failure()
            raise

    def _run_cell(self, cell: Cell, traceparent: str | None) -> Any:
        self._namespace.prepare()
        names = self._namespace.names
        if traceparent is not None:
            return self._run_traced(cell, Trace(traceparent, names))
        if cell.needs_loop:
            return self._run_in_loop(_await_parts(cell, names), self._context)
        return self._context.run(_run_parts, self._interrupts, cell, names)

    def _run_traced(self, cell: Cell, trace: Trace) -> Any:
        names = self._namespace.names
        if cell.needs_loop:
            return self._run_in_loop(_await_traced(trace, cell, names), self._context)
        return self._context.run(_run_traced, trace, self._interrupts, cell, names)

    def _show_after_failure(self) -> None:
        for hook in DISPLAYS.after_cell:
            try:
                call_user(hook)
            except BaseException as failure:
                # The cell's own exception is the one to report.
                del failure

    def _success(self, value: object) -> Message:
        message: Message = {"type": "result", "value": None, "has_value": False, "repr": "",
                            "data": {}, "metadata": {}, "state": "kept"}  # fmt: skip
        if value is not None:
            text = safe_repr(value)
            data, metadata = bundle_of(value, text)
            message.update(
                value=json_value(value), has_value=True, repr=text, data=data, metadata=metadata
            )
            self._namespace.remember(value)
        return message

    def _failure(self, error: BaseException) -> Message:
        code = None
        if is_a(error, KeyboardInterrupt) and self._interrupts.came_from_service:
            code = "INTERRUPTED"
        elif error is self._questions.refusal:
            code = "STDIN_UNAVAILABLE"
        sys.last_type, sys.last_value = type(error), error
        sys.last_traceback = strip_runtime_frames(error)
        sys.last_exc = error  # type: ignore[attr-defined,unused-ignore]
        try:
            lines, value = format_exception(error), exception_value(error)
        except KeyboardInterrupt:
            lines, value = ["[the traceback was interrupted]\n"], ""
        return {
            "type": "error",
            "name": exception_name(error),
            "value": value,
            "traceback": lines,
            "code": code,
            "state": "kept",
            "exit_status": exit_status(error) if is_a(error, SystemExit) else None,
        }
