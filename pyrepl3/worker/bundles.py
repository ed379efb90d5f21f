"""MIME bundles: a value as text, HTML, pictures, by the ``_repr_*_`` methods that Jupyter knows.

Owns which methods are asked and what a bundle may hold. A method that fails costs its own entry
and no other. Must not know messages; a bundle that is too large for one is cut here.
"""

from binascii import b2a_base64
from collections.abc import Mapping
from functools import partial
from typing import Any

from .interrupts import call_user
from .values import encodable, json_value, safe_repr

BUNDLE_BYTES = 8 * 2**20
"""The most a bundle holds, so that its frame stays under 10 MiB."""

METHODS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
    "_repr_javascript_": "application/javascript",
    "_repr_pdf_": "application/pdf",
}
_CANARY = "_ipython_canary_method_should_not_exist_"
_PLAIN_TYPES = frozenset(
    (int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset,
     type(None), range, slice, type(_CANARY.join), type(encodable))
)  # fmt: skip

Formatter = Any
FORMATTERS: dict[type, dict[str, Formatter]] = {}
"""Formatters for classes without methods of their own, such as matplotlib's Figure."""


def bundle_of(value: object, plain: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data and the metadata of a value. ``text/plain`` is always there.

    Raises KeyboardInterrupt alone.
    """
    plain = safe_repr(value) if plain is None else plain
    kind = type(value)
    if kind in _PLAIN_TYPES or isinstance(value, type):
        return {"text/plain": plain}, {}
    data: dict[str, Any] = {"text/plain": plain}
    metadata: dict[str, Any] = {}
    if _has_any_attribute(value):
        return data, metadata
    for mime, formatter in _formatters(kind).items():
        _add(data, metadata, mime, _ask(formatter, value))
    for name, mime in METHODS.items():
        method = _method(value, name)
        if method is not None:
            _add(data, metadata, mime, _ask(method))
    method = _method(value, "_repr_mimebundle_")
    if method is not None:
        _add_bundle(data, metadata, _ask(method, include=None, exclude=None))
    return fit(data), metadata


def clean(data: Mapping[Any, Any]) -> dict[str, Any]:
    """A bundle that came from user code, with what a message can hold of it."""
    cleaned: dict[str, Any] = {}
    _add_bundle(cleaned, {}, data)
    return fit(cleaned)


def fit(data: dict[str, Any]) -> dict[str, Any]:
    """The bundle within `BUNDLE_BYTES`: the largest entries give way to a note."""
    sizes = {mime: _size(content) for mime, content in data.items()}
    if sum(sizes.values()) <= BUNDLE_BYTES:
        return data
    fitted = dict(data)
    for mime in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if sum(sizes.values()) <= BUNDLE_BYTES:
            break
        note = f" [{mime} left out: {sizes[mime]} bytes are too large for one message]"
        if mime == "text/plain":
            fitted[mime] = fitted[mime][:10_000] + note
        else:
            del fitted[mime]
            fitted["text/plain"] = str(fitted.get("text/plain", "")) + note
        sizes[mime] = len(note)
    return fitted


def _size(content: object) -> int:
    if type(content) is str:
        return len(content) if content.isascii() else len(content.encode("utf-8"))
    # json_value bounds everything else.
    return 0


def _has_any_attribute(value: object) -> bool:
    """Objects that answer to every name (mocks, proxies) would claim every method."""
    try:
        return call_user(getattr, value, _CANARY, None) is not None
    except KeyboardInterrupt:
        raise
    except BaseException:
        return True


def _method(value: object, name: str) -> Any:
    try:
        method = call_user(getattr, value, name, None)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None
    return method if callable(method) else None


def _ask(method: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return call_user(partial(method, *arguments, **options))
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def _formatters(kind: type) -> dict[str, Formatter]:
    found: dict[str, Formatter] = {}
    if FORMATTERS:
        for base in reversed(type.__dict__["__mro__"].__get__(kind)):
            found.update(FORMATTERS.get(base, {}))
    return found


def _add(data: dict[str, Any], metadata: dict[str, Any], mime: str, content: Any) -> None:
    """Add one entry; a method may answer (content, metadata of this entry)."""
    if type(content) is tuple and len(content) == 2:
        content, extra = content
        extra = json_value(extra)
        if type(extra) is dict and extra:
            metadata[mime] = extra
    if content is None:
        return
    if isinstance(content, (bytes, bytearray, memoryview)):
        data[mime] = b2a_base64(content, newline=False).decode("ascii")
    elif isinstance(content, str):
        data[mime] = encodable(str.__str__(content))
    elif (copied := json_value(content)) is not None:
        data[mime] = copied


def _add_bundle(data: dict[str, Any], metadata: dict[str, Any], bundle: Any) -> None:
    if type(bundle) is tuple and len(bundle) == 2:
        bundle, extra = bundle
        extra = json_value(extra)
        if type(extra) is dict:
            metadata.update(extra)
    if not isinstance(bundle, dict):
        return
    for mime, content in dict.items(bundle):
        if type(mime) is str:
            _add(data, metadata, encodable(mime), content)
