"""Messages of the worker link as bytes: one msgpack map to a frame.

Owns which msgpack is used: the interpreter's own where it has the C extension, else the service's
copy in pure Python, loaded under a private name by boot. Must not know what the messages mean.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from ..wire.frames import encode_frame


def _find_msgpack() -> Any:
    try:
        own = import_module("msgpack")
        # The pure version of the user's environment would share the user's builtins.
        if own.Packer.__module__.endswith("_cmsgpack"):
            return own
    except (ImportError, AttributeError):
        own = None
    try:
        private = import_module("_pyrepl3_msgpack")
    except ImportError:
        if own is None:
            raise
        return own
    _isolate(import_module(private.Packer.__module__))
    return private


def _isolate(module: Any) -> None:
    """Give it copies of the modules that it uses, which user code may patch."""
    for name, value in list(vars(module).items()):
        if type(value) is ModuleType:
            copied = ModuleType(value.__name__)
            vars(copied).update(vars(value))
            setattr(module, name, copied)


_msgpack = _find_msgpack()
_packb = _msgpack.packb
_unpackb = _msgpack.unpackb


def encode_message(message: dict[str, Any]) -> bytes:
    """The whole frame of a message.

    Raises FrameTooLarge; UnicodeEncodeError for a string with lone surrogates.
    """
    return encode_frame(_packb(message, use_bin_type=True))


def pack(value: object) -> bytes:
    """One value as msgpack, for frames that are put together by hand."""
    packed: bytes = _packb(value, use_bin_type=True)
    return packed


def decode_message(body: bytes) -> dict[str, Any]:
    """The map in a frame's body. Raises ValueError where it is none."""
    # The service passes lone surrogates on; Python's compiler is the one to refuse them.
    message = _unpackb(body, raw=False, unicode_errors="surrogatepass")
    if type(message) is not dict:
        raise ValueError(f"a message is a map, not {type(message).__name__}")
    return message
