"""PyREPL3 runs code in pooled, isolated, stateful sessions, each in a process of its own.

async with pyrepl3.open_supervisor() as supervisor:
    async with supervisor.session() as session:
        execution = await session.run("x = 20\\nx + 22")
        print(execution.text)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pyrepl3.client.editing import Completeness as Completeness
    from pyrepl3.client.editing import Completion as Completion
    from pyrepl3.client.editing import Inspection as Inspection
    from pyrepl3.client.execution import Execution as Execution
    from pyrepl3.client.execution import Logs as Logs
    from pyrepl3.client.execution import RichResult as RichResult
    from pyrepl3.client.history import History as History
    from pyrepl3.client.history import HistoryEntry as HistoryEntry
    from pyrepl3.client.session import Session as Session
    from pyrepl3.config import Config as Config
    from pyrepl3.config import EndpointConfig as EndpointConfig
    from pyrepl3.config import HostingConfig as HostingConfig
    from pyrepl3.config import JournalConfig as JournalConfig
    from pyrepl3.config import Limits as Limits
    from pyrepl3.config import PoolConfig as PoolConfig
    from pyrepl3.config import Template as Template
    from pyrepl3.config import Timeouts as Timeouts
    from pyrepl3.effects import NameEntry as NameEntry
    from pyrepl3.effects import NamespaceReport as NamespaceReport
    from pyrepl3.effects import Uncovered as Uncovered
    from pyrepl3.errors import AlreadyAnswered as AlreadyAnswered
    from pyrepl3.errors import BadMessage as BadMessage
    from pyrepl3.errors import Code as Code
    from pyrepl3.errors import CodeTooLarge as CodeTooLarge
    from pyrepl3.errors import ConfigInvalid as ConfigInvalid
    from pyrepl3.errors import ExecutionFailed as ExecutionFailed
    from pyrepl3.errors import ExecutionNotFound as ExecutionNotFound
    from pyrepl3.errors import ForbiddenOrigin as ForbiddenOrigin
    from pyrepl3.errors import IdConflict as IdConflict
    from pyrepl3.errors import InternalError as InternalError
    from pyrepl3.errors import MessageTooLarge as MessageTooLarge
    from pyrepl3.errors import MisdirectedHost as MisdirectedHost
    from pyrepl3.errors import NotFound as NotFound
    from pyrepl3.errors import NoTransaction as NoTransaction
    from pyrepl3.errors import PoolDegraded as PoolDegraded
    from pyrepl3.errors import PoolExhausted as PoolExhausted
    from pyrepl3.errors import PyreplError as PyreplError
    from pyrepl3.errors import QueueFull as QueueFull
    from pyrepl3.errors import RateLimited as RateLimited
    from pyrepl3.errors import ServiceUnreachable as ServiceUnreachable
    from pyrepl3.errors import SessionLost as SessionLost
    from pyrepl3.errors import SessionNotFound as SessionNotFound
    from pyrepl3.errors import ShuttingDown as ShuttingDown
    from pyrepl3.errors import SnapshotNotFound as SnapshotNotFound
    from pyrepl3.errors import SnapshotUnavailable as SnapshotUnavailable
    from pyrepl3.errors import StorageFull as StorageFull
    from pyrepl3.errors import StorageIo as StorageIo
    from pyrepl3.errors import TransactionActive as TransactionActive
    from pyrepl3.errors import Unauthorized as Unauthorized
    from pyrepl3.errors import UnknownType as UnknownType
    from pyrepl3.errors import UnsupportedVersion as UnsupportedVersion
    from pyrepl3.errors import WorkerSpawnFailed as WorkerSpawnFailed
    from pyrepl3.events import Display as Display
    from pyrepl3.events import DroppedEntry as DroppedEntry
    from pyrepl3.events import Error as Error
    from pyrepl3.events import Event as Event
    from pyrepl3.events import Gap as Gap
    from pyrepl3.events import HistoryTrimmed as HistoryTrimmed
    from pyrepl3.events import InputRequested as InputRequested
    from pyrepl3.events import InterruptOutcome as InterruptOutcome
    from pyrepl3.events import Output as Output
    from pyrepl3.events import Result as Result
    from pyrepl3.events import Started as Started
    from pyrepl3.events import Usage as Usage
    from pyrepl3.pool.pool_statistics import PoolStatistics as PoolStatistics
    from pyrepl3.remote.client import Client as Client
    from pyrepl3.remote.session import RemoteSession as RemoteSession
    from pyrepl3.remote.sync_client import SyncClient as SyncClient
    from pyrepl3.remote.sync_client import SyncSession as SyncSession
    from pyrepl3.snapshots.snapshot_messages import SnapshotInfo as SnapshotInfo
    from pyrepl3.supervisor import Statistics as Statistics
    from pyrepl3.supervisor import Supervisor as Supervisor
    from pyrepl3.supervisor import open_supervisor as open_supervisor

# `import pyrepl3` stays light: a module is loaded when one of its names is first used.
_HOME_OF = {
    "AlreadyAnswered": "pyrepl3.errors",
    "BadMessage": "pyrepl3.errors",
    "Client": "pyrepl3.remote.client",
    "Code": "pyrepl3.errors",
    "CodeTooLarge": "pyrepl3.errors",
    "Completeness": "pyrepl3.client.editing",
    "Completion": "pyrepl3.client.editing",
    "Config": "pyrepl3.config",
    "ConfigInvalid": "pyrepl3.errors",
    "Display": "pyrepl3.events",
    "DroppedEntry": "pyrepl3.events",
    "EndpointConfig": "pyrepl3.config",
    "Error": "pyrepl3.events",
    "Event": "pyrepl3.events",
    "Execution": "pyrepl3.client.execution",
    "ExecutionFailed": "pyrepl3.errors",
    "ExecutionNotFound": "pyrepl3.errors",
    "ForbiddenOrigin": "pyrepl3.errors",
    "Gap": "pyrepl3.events",
    "History": "pyrepl3.client.history",
    "HistoryEntry": "pyrepl3.client.history",
    "HistoryTrimmed": "pyrepl3.events",
    "HostingConfig": "pyrepl3.config",
    "IdConflict": "pyrepl3.errors",
    "InputRequested": "pyrepl3.events",
    "Inspection": "pyrepl3.client.editing",
    "InternalError": "pyrepl3.errors",
    "InterruptOutcome": "pyrepl3.events",
    "JournalConfig": "pyrepl3.config",
    "Limits": "pyrepl3.config",
    "Logs": "pyrepl3.client.execution",
    "MessageTooLarge": "pyrepl3.errors",
    "MisdirectedHost": "pyrepl3.errors",
    "NameEntry": "pyrepl3.effects",
    "NamespaceReport": "pyrepl3.effects",
    "NoTransaction": "pyrepl3.errors",
    "NotFound": "pyrepl3.errors",
    "Output": "pyrepl3.events",
    "PoolConfig": "pyrepl3.config",
    "PoolDegraded": "pyrepl3.errors",
    "PoolExhausted": "pyrepl3.errors",
    "PoolStatistics": "pyrepl3.pool.pool_statistics",
    "PyreplError": "pyrepl3.errors",
    "QueueFull": "pyrepl3.errors",
    "RateLimited": "pyrepl3.errors",
    "RemoteSession": "pyrepl3.remote.session",
    "Result": "pyrepl3.events",
    "RichResult": "pyrepl3.client.execution",
    "ServiceUnreachable": "pyrepl3.errors",
    "Session": "pyrepl3.client.session",
    "SessionLost": "pyrepl3.errors",
    "SessionNotFound": "pyrepl3.errors",
    "ShuttingDown": "pyrepl3.errors",
    "SnapshotInfo": "pyrepl3.snapshots.snapshot_messages",
    "SnapshotNotFound": "pyrepl3.errors",
    "SnapshotUnavailable": "pyrepl3.errors",
    "Started": "pyrepl3.events",
    "Statistics": "pyrepl3.supervisor",
    "StorageFull": "pyrepl3.errors",
    "StorageIo": "pyrepl3.errors",
    "Supervisor": "pyrepl3.supervisor",
    "SyncClient": "pyrepl3.remote.sync_client",
    "SyncSession": "pyrepl3.remote.sync_client",
    "Template": "pyrepl3.config",
    "Timeouts": "pyrepl3.config",
    "TransactionActive": "pyrepl3.errors",
    "Unauthorized": "pyrepl3.errors",
    "Uncovered": "pyrepl3.effects",
    "UnknownType": "pyrepl3.errors",
    "UnsupportedVersion": "pyrepl3.errors",
    "Usage": "pyrepl3.events",
    "WorkerSpawnFailed": "pyrepl3.errors",
    "open_supervisor": "pyrepl3.supervisor",
}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'pyrepl3' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
