"""PyREPL3 runs code in pooled, isolated, stateful sessions, each in a process of its own.

    async with pyrepl3.open_supervisor() as supervisor:
        async with supervisor.session() as session:
            execution = await session.run("x = 20\\nx + 22")
            print(execution.text)
"""

from pyrepl3.client.editing import Completeness as Completeness
from pyrepl3.client.editing import Completion as Completion
from pyrepl3.client.editing import Inspection as Inspection
from pyrepl3.client.execution import Execution as Execution
from pyrepl3.client.execution import Logs as Logs
from pyrepl3.client.execution import RichResult as RichResult
from pyrepl3.client.session import Session as Session
from pyrepl3.config import Config as Config
from pyrepl3.config import Limits as Limits
from pyrepl3.config import PoolConfig as PoolConfig
from pyrepl3.config import Template as Template
from pyrepl3.config import Timeouts as Timeouts
from pyrepl3.errors import AlreadyAnswered as AlreadyAnswered
from pyrepl3.errors import Code as Code
from pyrepl3.errors import CodeTooLarge as CodeTooLarge
from pyrepl3.errors import ConfigInvalid as ConfigInvalid
from pyrepl3.errors import ExecutionFailed as ExecutionFailed
from pyrepl3.errors import ExecutionNotFound as ExecutionNotFound
from pyrepl3.errors import InternalError as InternalError
from pyrepl3.errors import PoolDegraded as PoolDegraded
from pyrepl3.errors import PoolExhausted as PoolExhausted
from pyrepl3.errors import PyreplError as PyreplError
from pyrepl3.errors import QueueFull as QueueFull
from pyrepl3.errors import SessionLost as SessionLost
from pyrepl3.errors import ShuttingDown as ShuttingDown
from pyrepl3.errors import WorkerSpawnFailed as WorkerSpawnFailed
from pyrepl3.events import Display as Display
from pyrepl3.events import Error as Error
from pyrepl3.events import Event as Event
from pyrepl3.events import Gap as Gap
from pyrepl3.events import InputRequested as InputRequested
from pyrepl3.events import InterruptOutcome as InterruptOutcome
from pyrepl3.events import Output as Output
from pyrepl3.events import Result as Result
from pyrepl3.events import Started as Started
from pyrepl3.events import Usage as Usage
from pyrepl3.pool.pool_statistics import PoolStatistics as PoolStatistics
from pyrepl3.supervisor import Statistics as Statistics
from pyrepl3.supervisor import Supervisor as Supervisor
from pyrepl3.supervisor import open_supervisor as open_supervisor

__version__ = "0.1.0"
