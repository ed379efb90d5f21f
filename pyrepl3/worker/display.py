"""``display()``, ``update_display()`` and ``DisplayHandle``, with Jupyter's meaning.

Owns the `display` messages. Must not know what draws. ``after_cell`` holds what libraries want
done at the end of each cell, such as showing the figures that were left open.
"""

import builtins
from binascii import hexlify
from collections.abc import Callable, Mapping
from posix import urandom
from typing import Any

from ..wire.frames import FrameTooLarge
from .bundles import bundle_of, clean
from .streams import Output
from .values import encodable, json_value


class DisplayHandle:
    """Names a display, so that it can be updated later."""

    def __init__(self, display_id: str | None = None) -> None:
        self.display_id = _new_id() if display_id is None else display_id

    def __repr__(self) -> str:
        return f"<DisplayHandle display_id={self.display_id}>"

    def display(self, obj: object, **options: Any) -> None:
        """Show a value under this id."""
        _display(obj, display_id=self.display_id, **options)

    def update(self, obj: object, **options: Any) -> None:
        """Replace what is shown under this id."""
        update_display(obj, display_id=self.display_id, **options)


class Displays:
    """Where this process's display messages go. ``execution`` is None between executions."""

    def __init__(self) -> None:
        self.output: Output | None = None
        self.execution: str | None = None
        self.after_cell: list[Callable[[], None]] = []

    def publish(
        self,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any],
        *,
        display_id: str | None = None,
        update: bool = False,
    ) -> None:
        """Send one display, after everything that was printed before it."""
        output = self.output
        if output is None:
            return
        output.flush()
        if output.link is None:
            return
        message = {
            "type": "display",
            "execution": self.execution,
            "data": data,
            "metadata": metadata,
            "display_id": display_id,
            "update": update,
        }
        try:
            output.link.send(message)
        except FrameTooLarge:
            message["metadata"] = {}
            output.link.send(message)
        if output.interrupts.pending:
            output.interrupts.deliver()


DISPLAYS = Displays()
"""The one of this process: ``display`` is a builtin, and has no other way to it."""


def _display(
    *objs: object,
    include: Any = None,
    exclude: Any = None,
    metadata: Mapping[str, Any] | None = None,
    transient: Mapping[str, Any] | None = None,
    display_id: str | bool | None = None,
    raw: bool = False,
    clear: bool = False,
    update: bool = False,
    **options: Any,
) -> DisplayHandle | None:
    """Show values as rich output; a handle where a ``display_id`` is given, or asked by True."""
    if display_id is None and transient is not None:
        display_id = transient.get("display_id")
    if display_id is True:
        display_id = _new_id()
    identity = None if display_id is None or display_id is False else encodable(str(display_id))
    if update and identity is None:
        raise TypeError("display_id required for update_display")
    extra = json_value(dict(metadata)) if metadata else None
    for value in objs:
        data, entry_metadata = _raw_bundle(value) if raw else bundle_of(value)
        data = _chosen(data, include, exclude)
        if extra:
            entry_metadata = {**entry_metadata, **extra}
        DISPLAYS.publish(data, entry_metadata, display_id=identity, update=update)
    return None if identity is None else DisplayHandle(identity)


def update_display(obj: object, *, display_id: str, **options: Any) -> None:
    """Replace what is shown under ``display_id``."""
    options["update"] = True
    _display(obj, display_id=display_id, **options)


def install_display(output: Output) -> None:
    """Make the names builtins of the session."""
    DISPLAYS.output = output
    _display.__name__ = _display.__qualname__ = "display"
    for name, value in (
        ("display", _display),
        ("update_display", update_display),
        ("DisplayHandle", DisplayHandle),
    ):
        setattr(builtins, name, value)


def _raw_bundle(value: object) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(value, dict):
        raise TypeError("display(raw=True) takes a dict of MIME types")
    return clean(value), {}


def _chosen(data: dict[str, Any], include: Any, exclude: Any) -> dict[str, Any]:
    if include:
        data = {mime: content for mime, content in data.items() if mime in include}
    if exclude:
        data = {mime: content for mime, content in data.items() if mime not in exclude}
    return data


def _new_id() -> str:
    return hexlify(urandom(16)).decode("ascii")
