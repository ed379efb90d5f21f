"""The embedded supervisor as the command wants it: one session, and no limits of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pyrepl3.config import DEFAULT_TEMPLATE, Config, Limits, PoolConfig, Template
from pyrepl3.supervisor import Supervisor, open_supervisor

CODE_BYTES = 8 * 2**20
"""What a frame of the link has room for."""
START_TIMEOUT_S = 60.0
"""A command waits for its one session rather longer than a service would."""


def command_config(record_trace: str | None = None, *, branches: int = 0) -> Config:
    """The caller's environment and directory; no deadline, no limit of output or memory.

    ``branches``: as many as there may be of its one session at a time.
    """
    return Config(
        # One session at most: nothing is started that a command would only have to end.
        pool=PoolConfig(
            min_idle=0,
            max_sessions=1 + branches,
            acquire_timeout_s=START_TIMEOUT_S,
            start_timeout_s=START_TIMEOUT_S,
        ),
        templates={DEFAULT_TEMPLATE: Template(env=dict(os.environ), cwd=_directory())},
        limits=Limits(
            memory_bytes=None,
            execution_timeout_s=None,
            output_bytes=None,
            open_files=None,
            code_bytes=CODE_BYTES,
        ),
        record_trace=record_trace,
    )


@asynccontextmanager
async def open_service(
    record_trace: str | None = None, *, branches: int = 0
) -> AsyncGenerator[Supervisor]:
    """Run the supervisor for the length of the block."""
    async with open_supervisor(command_config(record_trace, branches=branches)) as supervisor:
        yield supervisor


def _directory() -> str | None:
    """The working directory; None, for the one that is inherited, where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None
