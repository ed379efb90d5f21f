"""What one session has beyond its template's settings: working directory, variables, limits.

Pure: says what must be told to the worker and to the session's actor. A template's memory and
descriptors are the most that its sessions can have, as a process cannot raise what it was given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from pyrepl3.config import Guard, Limits, Template, TransactionPolicy, check_report
from pyrepl3.errors import ConfigInvalid
from pyrepl3.messages import Narrow

_FIXED_AT_START = ("memory_bytes", "open_files")

ENVIRONMENT_CHARACTERS = 2**20
"""The most of one session's ``env``: in any script it fits into a frame."""


@attrs.frozen
class SessionSettings:
    """The overrides of one session, checked against its template."""

    template_limits: Limits
    cwd: str | None
    env: Mapping[str, str]
    own_limits: Limits | None
    policy: TransactionPolicy = "commit_always"
    """Of executions that name none; ``guard`` and ``allow_copy``, too."""
    guard: Guard = False
    allow_copy: bool = False
    report_namespace: bool = False
    """Of executions that do not say."""

    @classmethod
    def of(
        cls,
        template_limits: Limits,
        *,
        cwd: str | os.PathLike[str] | None,
        env: Mapping[str, str] | None,
        limits: Limits | None,
        policy: TransactionPolicy = "commit_always",
        guard: Guard = False,
        allow_copy: bool = False,
        report_namespace: bool = False,
    ) -> SessionSettings:
        """Raises ConfigInvalid."""
        checked = Template(cwd=cwd, env=env or {}, limits=limits)
        _check_size(checked.env)
        if limits is not None:
            for name in _FIXED_AT_START:
                _check_not_raised(name, getattr(limits, name), getattr(template_limits, name))
        return cls(
            template_limits,
            checked.cwd,
            checked.env,
            limits,
            policy,
            guard,
            allow_copy,
            report_namespace,
        )

    @property
    def limits(self) -> Limits:
        """The limits that hold."""
        return self.own_limits or self.template_limits

    def of_branch(self) -> SessionSettings:
        """Those of a session that is forked from this one: what the process has, it has."""
        return attrs.evolve(self, template_limits=self.limits, cwd=None, env={}, own_limits=None)

    def reports(self, asked: bool | None) -> bool:
        """Whether an execution tells of the names; None: it does not say. Raises ConfigInvalid."""
        check_report(asked)
        return self.report_namespace if asked is None else asked

    def worker_fields(self) -> Mapping[str, Any] | None:
        """What the worker must be told, or None."""
        lowered = {
            name: getattr(self.limits, name)
            for name in _FIXED_AT_START
            if getattr(self.limits, name) != getattr(self.template_limits, name)
        }
        if self.cwd is None and not self.env and not lowered:
            return None
        return {"cwd": self.cwd, "env": dict(self.env), "limits": lowered}

    def narrowed(self) -> Narrow | None:
        """What the session's actor must be told, or None."""
        return None if self.own_limits is None else Narrow(self.own_limits)

    def check_answer(self, answer: Mapping[str, Any]) -> None:
        """Raises ConfigInvalid when the worker could not do it."""
        if answer["type"] == "failed":
            raise ConfigInvalid(
                what="the session cannot be set up as asked",
                why=f"{answer['name']}: {answer['value']}",
                how="Check cwd, env and limits of this session",
                details={"cwd": self.cwd, "env": sorted(self.env)},
            )


def _check_size(env: Mapping[str, str]) -> None:
    characters = sum(len(name) + len(value) for name, value in env.items())
    if characters > ENVIRONMENT_CHARACTERS:
        raise ConfigInvalid(
            what=f"env has {characters} characters",
            why=f"the limit is {ENVIRONMENT_CHARACTERS}",
            how="Put the data into a file, and its name into env",
            details={"characters": characters, "limit": ENVIRONMENT_CHARACTERS},
        )


def _check_not_raised(name: str, own: int | None, template: int | None) -> None:
    if template is not None and (own is None or own > template):
        raise ConfigInvalid(
            what=f"Limits.{name}={own} is over the template's {template}",
            why="a process cannot raise what it was started with",
            how="Lower it, or make a template with more",
            details={"field": name, "value": own, "template": template},
        )
