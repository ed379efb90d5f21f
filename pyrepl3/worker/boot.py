"""How a worker or a zygote starts: by path, in an interpreter that may lack PyREPL3.

Run as ``PYTHON .../pyrepl3/worker/boot.py ROLE [--msgpack-path=FOLDER] [ARGUMENT...]`` where ROLE
is ``worker`` (exec start; see ``main.main_from_environment``) or ``zygote`` (the rest of the
arguments go to ``zygote_main.main``). Owns how the runtime's own files are imported: as the
synthetic package ``_pyrepl3``, whose modules share one private copy of the builtins, so that user
code which deletes a builtin cannot break them. ``--msgpack-path`` is the service's msgpack folder,
used where the interpreter has no msgpack with its C extension. Must not know what a worker does.
"""

import sys

# Python puts this file's folder first; user code expects the working directory there instead.
if not sys.flags.safe_path:
    sys.path[0] = ""

import builtins
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

PACKAGE = "_pyrepl3"
MSGPACK_PACKAGE = "_pyrepl3_msgpack"
MSGPACK_OPTION = "--msgpack-path="

PRIVATE_BUILTINS = dict(vars(builtins))
"""Shared by all modules of the runtime; frames of the runtime are known by it."""


class RuntimeLoader(SourceFileLoader):
    """Loads a module of the runtime with the private builtins."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = PRIVATE_BUILTINS
        super().exec_module(module)


class RuntimeFinder:
    """Finds the modules of ``_pyrepl3`` and ``_pyrepl3_msgpack``, and no others."""

    def __init__(self, msgpack_path: str | None) -> None:
        self._msgpack_path = msgpack_path

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(PACKAGE):
            return None
        if name == MSGPACK_PACKAGE:
            return self._msgpack_spec()
        if path is None:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = RuntimeLoader(spec.loader.name, spec.loader.path)
        return spec

    def _msgpack_spec(self) -> ModuleSpec | None:
        if self._msgpack_path is None:
            return None
        file = f"{self._msgpack_path}/__init__.py"
        loader = RuntimeLoader(MSGPACK_PACKAGE, file)
        spec = ModuleSpec(MSGPACK_PACKAGE, loader, origin=file, is_package=True)
        spec.submodule_search_locations = [self._msgpack_path]
        spec.has_location = True
        return spec


def install_runtime_package(msgpack_path: str | None) -> None:
    """Make ``_pyrepl3`` importable; its ``__init__`` (the service's) is never executed."""
    package = ModuleType(PACKAGE)
    package.__path__ = [__file__.rsplit("/", 2)[0]]
    sys.modules[PACKAGE] = package
    sys.meta_path.insert(0, RuntimeFinder(msgpack_path))


def boot(arguments: list[str]) -> None:
    """Start the role that the arguments name. Neither role returns."""
    role = arguments[0] if arguments else ""
    rest = [each for each in arguments[1:] if not each.startswith(MSGPACK_OPTION)]
    paths = [
        each.removeprefix(MSGPACK_OPTION)
        for each in arguments[1:]
        if each.startswith(MSGPACK_OPTION)
    ]
    install_runtime_package(paths[-1] if paths else None)
    if role == "worker":
        import_module(f"{PACKAGE}.worker.main").main_from_environment()
    elif role == "zygote":
        import_module(f"{PACKAGE}.worker.zygote_main").main(rest)
    else:
        sys.exit(f"boot.py: the role is worker or zygote, not {role!r}")


if __name__ == "__main__":
    boot(sys.argv[1:])
