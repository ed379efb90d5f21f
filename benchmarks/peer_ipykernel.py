"""The peer: ipykernel through jupyter_client's blocking client.

Owns everything that knows Jupyter. Must not know what is measured with it, nor anything of
PyREPL3. It is an optional extra: import it only where `Bench.peers` holds.
"""

import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from queue import Empty
from types import TracebackType
from typing import Any, Self

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

ANSWER_LIMIT_S = 60.0
DEATH_POLL_S = 0.005


class Kernel(AbstractContextManager["Kernel"]):
    """One kernel and its client. Leaving the context shuts it down at once."""

    def __init__(self) -> None:
        self.manager: KernelManager = KernelManager()
        self.manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    @property
    def pid(self) -> int:
        """The kernel's process id."""
        provisioner: Any = self.manager.provisioner
        return int(provisioner.pid)

    def wait_ready(self) -> None:
        """Until the kernel has answered its first request."""
        self.client.wait_for_ready(timeout=ANSWER_LIMIT_S)

    def send(self, code: str, *, allow_stdin: bool = False) -> None:
        """Send one execute request, and wait for nothing."""
        self.client.execute(code, allow_stdin=allow_stdin)

    def wait_reply(self) -> dict[str, Any]:
        """The next ``execute_reply``."""
        reply: dict[str, Any] = self.client.get_shell_msg(timeout=ANSWER_LIMIT_S)
        return reply

    def wait_published(self, kind: str) -> dict[str, Any]:
        """The next message of that type on IOPub, what comes before it dropped."""
        while True:
            message: dict[str, Any] = self.client.get_iopub_msg(timeout=ANSWER_LIMIT_S)
            if message["msg_type"] == kind:
                return message

    def wait_idle(self) -> None:
        """Until the kernel says that it is idle: nothing more of this execution comes."""
        while self.wait_published("status")["content"]["execution_state"] != "idle":
            pass

    def wait_input_request(self) -> None:
        """Until the code asks for a line of input."""
        self.client.get_stdin_msg(timeout=ANSWER_LIMIT_S)

    def run(self, code: str) -> None:
        """Execute, and wait for the reply and for all that is published before it."""
        self.send(code)
        self.wait_reply()
        self.wait_idle()

    def wait_printed(self, characters: int) -> int:
        """How many of ``characters`` arrive by IOPub before the kernel is idle again."""
        seen = 0
        while seen < characters:
            message: dict[str, Any] = self.client.get_iopub_msg(timeout=ANSWER_LIMIT_S)
            if message["msg_type"] == "stream":
                seen += len(message["content"]["text"])
            elif message["content"].get("execution_state") == "idle":
                break
        return seen

    def drain(self) -> None:
        """Drop what has been published so far."""
        try:
            while True:
                self.client.get_iopub_msg(timeout=0)
        except Empty:
            return

    def interrupt(self) -> None:
        """As jupyter_client does it: SIGINT to the kernel's process."""
        self.manager.interrupt_kernel()

    def wait_death(self) -> None:
        """Until a poll finds the process gone: there is no other way to be told quickly."""
        deadline = time.perf_counter() + ANSWER_LIMIT_S
        while self.manager.is_alive() and time.perf_counter() < deadline:
            time.sleep(DEATH_POLL_S)


def started_kernel() -> Kernel:
    """A kernel that has run its first cell, so that what follows measures it warm."""
    with ExitStack() as undo:
        kernel = undo.enter_context(Kernel())
        kernel.wait_ready()
        kernel.run("1+1")
        undo.pop_all()
        return kernel


class KernelFleet(AbstractContextManager["KernelFleet"]):
    """Kernels started together; ``started_s`` is how long until every one had run ``1+1``."""

    def __init__(self, count: int) -> None:
        with ExitStack() as undo:
            began = time.perf_counter()
            self.kernels = [undo.enter_context(Kernel()) for _ in range(count)]
            for kernel in self.kernels:
                kernel.wait_ready()
                kernel.send("1+1")
            for kernel in self.kernels:
                kernel.wait_reply()
            self.started_s = time.perf_counter() - began
            self.undo = undo.pop_all()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo.close()


def run_side_by_side(kernels: Sequence[Kernel], code: str, each: int) -> list[float]:
    """One request in flight on each kernel until each has answered ``each``: seconds of each."""
    latencies: list[float] = []
    poller = zmq.Poller()
    left: dict[Any, int] = {}
    sent: dict[Any, float] = {}
    kernel_of = {kernel.client.shell_channel.socket: kernel for kernel in kernels}
    for shell, kernel in kernel_of.items():
        poller.register(shell, zmq.POLLIN)
        left[shell] = each
        sent[shell] = time.perf_counter()
        kernel.send(code)
    while left:
        for shell, _ in poller.poll(int(ANSWER_LIMIT_S * 1000)):
            kernel = kernel_of[shell]
            kernel.wait_reply()
            now = time.perf_counter()
            latencies.append(now - sent[shell])
            kernel.drain()
            left[shell] -= 1
            if left[shell]:
                sent[shell] = now
                kernel.send(code)
            else:
                del left[shell]
                poller.unregister(shell)
    return latencies
