"""The models: which there are, what each must come to, and what was recorded of it.

Owns ``models.json``. Must not know how a model is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import attrs

Size = Literal["small", "large"]

SPEC = Path(__file__).parents[1]
TIME_LIMITS_S: Mapping[Size, float] = {"small": 300.0, "large": 7200.0}
"""Generous: a model that takes this long has lost its way, not its race."""

_OPTIONAL = {"recorded", "heap_mb", "timeout_s"}
_REQUIRED = {"spec", "size", "exit_status"}


class ModelsInvalid(Exception):
    """``models.json``, or a name that was asked for, is not right."""


@attrs.frozen
class Recorded:
    """What a model came to when it was last announced."""

    distinct: int | None = None
    generated: int | None = None
    depth: int | None = None
    """Of the search."""
    trace: int | None = None
    """States in the counterexample; None without one."""


@attrs.frozen(kw_only=True)
class Model:
    """One configuration of one spec; its file's first line says what for."""

    name: str
    spec: str
    size: Size
    exit_status: int
    """TLC's; a variant that is broken on purpose must end with its 11, 12 or 13."""
    recorded: Recorded | None = None
    heap_mb: int | None = None
    timeout_s: float | None = None

    @property
    def time_limit_s(self) -> float:
        return self.timeout_s if self.timeout_s is not None else TIME_LIMITS_S[self.size]


@attrs.frozen
class Models:
    """The whole file, and the directory that it describes."""

    directory: Path
    models: Mapping[str, Model]
    mutants: Mapping[str, Sequence[str]]
    """For each spec the models that its mutants must survive, in the order in which to try."""

    def module(self, model: Model) -> Path:
        """The module of a model: its own if it has one, else the spec itself."""
        own = self.directory / "models" / f"{model.name}.tla"
        return own if own.exists() else self.directory / f"{model.spec}.tla"

    def config(self, model: Model) -> Path:
        return self.directory / "models" / f"{model.name}.cfg"

    def chosen(self, names: Iterable[str], size: Size | Literal["all"]) -> list[Model]:
        """The models of these names; without names, all of a size. Raises ModelsInvalid."""
        wanted = list(names)
        if unknown := [name for name in wanted if name not in self.models]:
            raise ModelsInvalid(f"no such model: {', '.join(unknown)}; see models.json")
        if wanted:
            return [self.models[name] for name in wanted]
        return [model for model in self.models.values() if size in ("all", model.size)]


def read_models(directory: Path = SPEC) -> Models:
    """Read ``models.json``. Raises ModelsInvalid."""
    path = directory / "models.json"
    try:
        content = json.loads(path.read_text())
        models = {name: _model(name, entry) for name, entry in content["models"].items()}
        mutants = dict(content.get("mutants", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelsInvalid(f"{path.name}: {type(error).__name__}: {error}") from error
    for name in (name for names in mutants.values() for name in names):
        if name not in models:
            raise ModelsInvalid(f"{path.name}: mutants name a model that is not there: {name}")
    return Models(directory, models, mutants)


def write_recorded(models: Models, recorded: Mapping[str, Recorded]) -> None:
    """Write what these models came to, and leave the rest of the file as it is."""
    path = models.directory / "models.json"
    content = json.loads(path.read_text())
    for name, counts in recorded.items():
        told = attrs.asdict(counts, filter=lambda _, value: value is not None)
        content["models"][name]["recorded"] = told
    path.write_text(json.dumps(content, indent=2) + "\n")


def _model(name: str, entry: Mapping[str, Any]) -> Model:
    keys = set(entry)
    if not keys >= _REQUIRED or keys - _REQUIRED - _OPTIONAL:
        raise ValueError(f"{name} must have {sorted(_REQUIRED)}, and has {sorted(keys)}")
    if entry["size"] not in get_args(Size):
        raise ValueError(f"{name} is neither small nor large: {entry['size']!r}")
    recorded = entry.get("recorded")
    return Model(
        name=name,
        spec=str(entry["spec"]),
        size=cast(Size, entry["size"]),
        exit_status=int(entry["exit_status"]),
        recorded=None if recorded is None else Recorded(**recorded),
        heap_mb=entry.get("heap_mb"),
        timeout_s=entry.get("timeout_s"),
    )
