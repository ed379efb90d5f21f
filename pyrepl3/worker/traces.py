"""The trace that an execution belongs to, for the session's own OpenTelemetry, if it has that.

Owns the name ``__traceparent__``, and that spans which the code makes are below its client's. A
variable of the environment would be the whole process's, and outlive the execution. Never imports
OpenTelemetry: where the code does, in the midst of an execution, that is heard of.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

NAME = "__traceparent__"
_API = "opentelemetry.trace"


class Trace:
    """Of one execution that has one. `begin` and `end` are called where the code runs, in its
    context: that is where OpenTelemetry looks."""

    def __init__(self, traceparent: str, names: dict[str, Any]) -> None:
        self._traceparent = traceparent
        self._names = names
        self._trigger: _ImportTrigger | None = None
        self._context: Any = None
        self._token: Any = None

    def begin(self) -> None:
        """Before the code."""
        self._names[NAME] = self._traceparent
        if _API in sys.modules:
            self._attach()
        else:
            self._trigger = _ImportTrigger(self._attach)
            sys.meta_path.insert(0, self._trigger)

    def end(self) -> None:
        """After the code, whatever came of it."""
        self._names.pop(NAME, None)
        if self._trigger in sys.meta_path:
            sys.meta_path.remove(self._trigger)
        if self._token is not None:
            try:
                self._context.detach(self._token)
            except Exception as error:
                del error  # as in _attach

    def _attach(self) -> None:
        try:
            api, self._context = sys.modules[_API], sys.modules["opentelemetry.context"]
            _, trace_id, span_id, flags = self._traceparent.split("-")[:4]
            parent = api.SpanContext(
                int(trace_id, 16), int(span_id, 16), True, api.TraceFlags(int(flags, 16))
            )
            context = api.set_span_in_context(api.NonRecordingSpan(parent))
            self._token = self._context.attach(context)
        except Exception as error:
            # Another version of OpenTelemetry has it elsewhere; the code must not fail for that.
            del error


class _ImportTrigger:
    """Finds what others would, and hears when it has been imported."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _API:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        loader: Any = spec.loader if spec is not None else None
        if loader is None:
            return None
        execute = loader.exec_module

        def execute_and_tell(module: ModuleType) -> None:
            execute(module)
            self._then()

        loader.exec_module = execute_and_tell
        return spec
