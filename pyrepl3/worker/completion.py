"""Answers to editors: completions, what a name is, whether a cell is complete.

Owns how a piece of code is looked up in the live namespace. No property of the user's is called
for it: attributes are looked up statically. Loaded with the first question.
"""

import ast
import builtins
import codeop
import inspect
import keyword
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .interrupts import runs_user_code
from .values import cut, encodable

MATCHES = 1000
"""The most completions in an answer."""
TEXT_CHARACTERS = 64 * 2**10
"""The most text in the answer to `inspect`."""

_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\.?$|$")
_IMPORT = re.compile(r"^\s*(?:import\s+(?:[\w.]+\s*,\s*)*|from\s+)([\w.]*)$")
_FROM_IMPORT = re.compile(r"^\s*from\s+([\w.]+)\s+import\s+(?:\(?[\w\s,]*,\s*)?(\w*)$")
_OPENING = re.compile(r"#|([A-Za-z]{0,2})(\"\"\"|'''|\"|')")
_REST_OF = {
    "#": re.compile(r"[^\n]*\n"),
    '"': re.compile(r'(?:[^"\\\n]|\\.)*["\n]', re.DOTALL),
    "'": re.compile(r"(?:[^'\\\n]|\\.)*['\n]", re.DOTALL),
    '"""': re.compile(r'(?:[^\\]|\\.)*?"""', re.DOTALL),
    "'''": re.compile(r"(?:[^\\]|\\.)*?'''", re.DOTALL),
}
_INDEXED = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\[$")
_MISSING = object()

Message = dict[str, Any]


def answer(request: Message, names: dict[str, Any]) -> Message:
    """The answer to one request, but for its id."""
    if request["type"] == "is_complete":
        status, indent = completeness(request["code"])
        return {"type": "completeness", "status": status, "indent": indent}
    code, cursor = request["code"], request["cursor_pos"]
    if request["type"] == "inspect":
        found, text = describe(code, cursor, names)
        return {"type": "inspected", "found": found, "text": encodable(cut(text, TEXT_CHARACTERS))}
    matches, start = complete(code[:cursor], names)
    return {
        "type": "completed",
        "matches": [encodable(match) for match in matches[:MATCHES]],
        "cursor_start": start,
        "cursor_end": min(cursor, len(code)),
    }


def nothing(request: Message) -> Message:
    """As `answer`, where nobody wants to wait for one."""
    if request["type"] == "is_complete":
        return {"type": "completeness", "status": "incomplete", "indent": ""}
    if request["type"] == "inspect":
        return {"type": "inspected", "found": False, "text": ""}
    cursor = min(request["cursor_pos"], len(request["code"]))
    return {"type": "completed", "matches": [], "cursor_start": cursor, "cursor_end": cursor}


def complete(before: str, names: dict[str, Any]) -> tuple[list[str], int]:
    """What could stand in place of the last word, and where that word starts."""
    literal = _open_literal(before)
    if literal is not None:
        word = before[literal.end() :]
        return _keys(before[: literal.start()], word, names), len(before) - len(word)
    line = before.rpartition("\n")[2]
    imported = _FROM_IMPORT.match(line)
    if imported is not None:
        word = imported[2]
        return _members_to_import(imported[1], word), len(before) - len(word)
    module = _IMPORT.match(line)
    if module is not None:
        word = module[1].rpartition(".")[2]
        return _modules(module[1]), len(before) - len(word)
    found = _DOTTED.search(before)
    path = found[0] if found is not None else ""
    owner_path, dot, word = path.rpartition(".")
    start = len(before) - len(word)
    if dot:
        owner = _resolve(owner_path, names)
        candidates = [] if owner is _MISSING else _attributes(owner)
    elif before[:start].endswith("."):
        # An attribute of something that is no plain name: finding it would run code.
        candidates = []
    else:
        candidates = [*names, *vars(builtins), *keyword.kwlist]
    return _starting_with(word, candidates), start


def _open_literal(before: str) -> re.Match[str] | None:
    """How the string or the comment begins that the cursor is in, where nothing is a name."""
    at = 0
    while (opening := _OPENING.search(before, at)) is not None:
        rest = _REST_OF[opening[2] or "#"].match(before, opening.end())
        if rest is None:
            inside = before[opening.end() :].replace("{{", "").replace("}}", "")
            formats = "f" in (opening[1] or "").lower() and inside.count("{") > inside.count("}")
            return None if formats else opening
        at = rest.end()
    return None


def _keys(owner: str, word: str, names: dict[str, Any]) -> list[str]:
    """Of a dict that this string is an index of: those that are written as they are."""
    indexed = _INDEXED.search(owner)
    value = _resolve(indexed[1], names) if indexed is not None else None
    if type(value) is not dict:
        return []
    keys = [key for key in list(value) if type(key) is str and key.startswith(word)]
    return sorted(key for key in keys if repr(key)[1:-1] == key)


def describe(code: str, cursor: int, names: dict[str, Any]) -> tuple[bool, str]:
    """The signature and the docstring of the name at the cursor."""
    end = cursor
    while end < len(code) and (code[end].isalnum() or code[end] == "_"):
        end += 1
    before = code[:end].rstrip("( ")
    found = _DOTTED.search(before)
    path = found[0].rstrip(".") if found is not None else ""
    value = _resolve(path, names) if path else _MISSING
    if value is _MISSING:
        return False, ""
    try:
        lines = [_signature(path, value)]
        documentation = _of_user(inspect.getdoc, value)
    except KeyboardInterrupt:
        return True, path  # its own code had to be interrupted: no more can be known
    if documentation:
        lines += ["", documentation]
    return True, "\n".join(lines)


def completeness(code: str) -> tuple[str, str]:
    """``complete``, ``incomplete`` with the indent of the next line, or ``invalid``."""
    compiler = codeop.Compile()
    compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compiled = codeop._maybe_compile(compiler, code, "<input>", "exec")  # type: ignore[attr-defined]
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            return "invalid", ""
    lines = code.split("\n")
    is_block = len(lines) > 1 and lines[-1].startswith((" ", "\t")) and lines[-1].strip()
    if compiled is not None and not is_block:
        return "complete", ""
    return "incomplete", _next_indent(lines)


def _next_indent(lines: list[str]) -> str:
    last = next((line for line in reversed(lines) if line.strip()), "")
    indent = last[: len(last) - len(last.lstrip())]
    return indent + "    " if last.rstrip().endswith(":") else indent


@runs_user_code
def _resolve(path: str, names: dict[str, Any]) -> Any:
    first, *rest = path.split(".")
    value = names.get(first, vars(builtins).get(first, _MISSING))
    for name in rest:
        if value is _MISSING:
            return _MISSING
        value = _static_attribute(value, name)
    return value


@runs_user_code
def _static_attribute(owner: Any, name: str) -> Any:
    if isinstance(owner, ModuleType):
        return vars(owner).get(name, _MISSING)
    value = inspect.getattr_static(owner, name, _MISSING)
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    if isinstance(value, property) or inspect.isdatadescriptor(value):
        return _MISSING
    return value


@runs_user_code
def _attributes(owner: Any) -> list[str]:
    if isinstance(owner, ModuleType):
        return list(vars(owner))
    return [name for name in _of_user(dir, owner) or () if type(name) is str]


def _members_to_import(module_name: str, word: str) -> list[str]:
    """Of modules that are loaded: importing one for its names would run its code."""
    module = sys.modules.get(module_name)
    members = _attributes(module) if module is not None else []
    return _starting_with(word, [*members, *_submodules(module)])


def _modules(path: str) -> list[str]:
    parent, dot, word = path.rpartition(".")
    if dot:
        return _starting_with(word, _submodules(sys.modules.get(parent)))
    installed = [module.name for module in pkgutil.iter_modules()]
    return _starting_with(word, [*sys.builtin_module_names, *sys.stdlib_module_names, *installed])


def _submodules(module: Any) -> list[str]:
    path = getattr(module, "__path__", None)
    return [] if path is None else [each.name for each in pkgutil.iter_modules(path)]


@runs_user_code
def _of_user(function: Callable[[Any], Any], value: Any) -> Any:
    """What may run user code; None where that raises."""
    try:
        return function(value)
    except Exception:
        return None


def _starting_with(word: str, candidates: list[str]) -> list[str]:
    """Sorted; names with underscores only for a word that has them."""
    matches = {name for name in candidates if type(name) is str and name.startswith(word)}
    if not word.startswith("_"):
        matches = {name for name in matches if not name.startswith("_")}
    return sorted(matches)


@runs_user_code
def _signature(path: str, value: Any) -> str:
    if callable(value):
        signature = _of_user(inspect.signature, value)
        text = None if signature is None else _of_user(str, signature)
        return f"{path}{text or '(...)'}"
    return f"{path}: {type(value).__name__}"
