"""Contract tests: a copy of a worker is a zygote, from which workers with its state are forked."""

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from zygote_driver import (
    WAIT_S,
    DrivenWorker,
    DrivenZygote,
    eventually,
    is_alive,
    ready_zygote,
)

from pyrepl3.wire.frames import encode_frame
from pyrepl3.worker.handover import MARK, WORD_BYTES
from pyrepl3.worker.snapshots import LEAVE


@pytest.fixture
def zygote() -> Iterator[DrivenZygote]:
    with ready_zygote() as zygote:
        yield zygote
        while COPIES:
            COPIES.pop().close()


class Copy(DrivenZygote):
    """A zygote that is a copy of a worker, with its pid and our end of its control socket."""

    pid: int
    pidfd: int

    def close(self) -> None:
        """Hang up, and see that it ends; its reaping is its parent's."""
        for worker in self.workers:
            worker.close()
        self.control.close()
        os.close(self.pidfd)
        assert eventually(lambda: not is_alive(self.pid))


COPIES: list[Copy] = []
"""Those of the test that runs."""


def ask_to_branch(
    worker: DrivenWorker, *, is_held_up: bool = False
) -> tuple[dict[str, Any], socket.socket]:
    """What it answers, and our end of the control socket that it was passed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(WAIT_S)
    service = os.pidfd_open(os.getpid())
    spared, until_spared = os.pipe()
    frame = encode_frame(msgpack.packb({"type": "branch", "id": 7}))
    socket.send_fds(worker.protocol, [frame], [theirs.fileno(), service, spared])
    theirs.close()
    for each in (service, spared, *([] if is_held_up else [until_spared])):
        os.close(each)
    answer = worker.receive()
    if is_held_up:
        worker.begin("1")
        assert not select.select([worker.protocol], [], [], 0.2)[0], "it waits until it is spared"
        os.close(until_spared)
        assert worker.receive()["type"] == "result"
    return answer, ours


def branch(zygote: DrivenZygote, worker: DrivenWorker) -> Copy:
    """A copy that outlives the worker, closed by the fixture."""
    answer, control = ask_to_branch(worker)
    assert answer["type"] == "branched", answer
    zygote.tell({"type": "spare", "id": 9, "worker": worker.pid, "pid": answer["pid"]})
    message, descriptors = zygote.hear()
    assert message == {"type": "spared", "id": 9, "pid": answer["pid"]}
    copy = Copy(zygote.process, control)
    copy.pid, copy.pidfd = answer["pid"], descriptors[0]
    COPIES.append(copy)
    ready, _ = copy.hear()
    assert (ready["type"], ready["pid"]) == ("zygote_ready", copy.pid)
    return copy


def test_branches_have_the_memory_of_the_moment_each_its_own(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.run("x = [1]")
    copy = branch(zygote, worker)
    worker.run("x.append(2)")
    first, second = copy.start(), copy.start()

    assert first.run("x.append(3); x") == [1, 3]
    assert second.run("x") == [1]
    assert worker.run("x") == [1, 2]


def test_a_branch_is_a_session_as_any_other(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    copy = branch(zygote, worker)
    other = copy.start()

    code = "import os; [os.getpid(), os.getsid(0), os.getpgrp(), os.getppid()]"
    assert other.run(code) == [other.pid] * 3 + [copy.pid]
    kinds = (
        "sorted(os.readlink(f'/proc/self/fd/{fd}').partition(':')[0]"
        " for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')"
        " or os.path.islink(f'/proc/self/fd/{fd}'))"
    )
    worker.run("import os")
    assert other.run(kinds) == worker.run(kinds)


def test_branches_have_random_numbers_of_their_own(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.run("import random; random.seed(1)")
    copy = branch(zygote, worker)
    numbers = [each.run("random.random()") for each in (worker, copy.start(), copy.start())]

    assert len(set(numbers)) == 3


def test_each_branch_reads_a_file_from_where_it_was(zygote: DrivenZygote, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("one\ntwo\nthree\n")
    worker = zygote.start()
    worker.run(f"f = open({str(file)!r}, 'rb', buffering=0); f.readline()")
    copy = branch(zygote, worker)
    worker.run("f.read()")
    first, second = copy.start(), copy.start()

    assert first.run("f.readline().decode()") == "two\n"
    assert first.run("f.readline().decode()") == "three\n"
    assert second.run("f.readline().decode()") == "two\n"


def test_asyncio_tasks_go_on_in_each_branch(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.run(
        "import asyncio\nn = 0\nasync def count():\n"
        "    global n\n    while True:\n        await asyncio.sleep(0.001); n += 1\n"
        "task = asyncio.ensure_future(count()); await asyncio.sleep(0)"
    )
    copy = branch(zygote, worker)
    for each in (worker, copy.start(), copy.start()):
        assert each.run("before = n; await asyncio.sleep(0.05); n > before") is True
        code = "await asyncio.get_running_loop().run_in_executor(None, lambda: 5)"
        assert each.run(code) == 5


def test_the_copy_outlives_the_worker_and_ends_with_its_control_socket(
    zygote: DrivenZygote,
) -> None:
    worker = zygote.start()
    worker.run("x = 5")
    copy = branch(zygote, worker)
    worker.protocol.close()
    assert worker.is_dead()
    assert zygote.hear()[0]["type"] == "exited"

    other = copy.start()
    assert other.run("x") == 5
    copy.control.close()

    assert other.is_dead()
    assert eventually(lambda: not is_alive(copy.pid))


def test_a_copy_that_is_not_spared_dies_with_its_worker(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    answer, control = ask_to_branch(worker)
    signal.pidfd_send_signal(worker.pidfd, signal.SIGKILL)

    assert zygote.hear()[0]["type"] == "exited"
    assert eventually(lambda: not is_alive(answer["pid"]))
    control.close()


def test_a_worker_goes_on_when_its_copy_is_spared(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    answer, control = ask_to_branch(worker, is_held_up=True)

    assert answer["type"] == "branched"
    control.close()


def test_a_worker_with_no_descriptor_left_is_not_copied_and_goes_on(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.run(
        "import os, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\nheld = []\n"
        "try:\n    while True: held.append(os.dup(0))\nexcept OSError: pass\n"
    )
    answer, control = ask_to_branch(worker)

    assert (answer["type"], answer["name"]) == ("failed", "SNAPSHOT_UNAVAILABLE")
    control.close()
    worker.run("for each in held: os.close(each)")
    branch(zygote, worker)


def test_copies_that_have_ended_cost_the_zygote_nothing(zygote: DrivenZygote) -> None:
    worker = zygote.start()

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{zygote.process.pid}/fd"))

    branch(zygote, worker).close()
    COPIES.clear()
    before = descriptors()
    for _ in range(5):
        branch(zygote, worker).close()
        COPIES.clear()

    assert descriptors() <= before


def test_only_a_workers_own_child_is_spared(zygote: DrivenZygote) -> None:
    worker, other = zygote.start(), zygote.start()
    child = worker.run("import subprocess; p = subprocess.Popen(['sleep', '60']); p.pid")
    for whose, pid in ((other.pid, child), (worker.pid, other.pid), (1, child), (worker.pid, 1)):
        zygote.tell({"type": "spare", "id": 3, "worker": whose, "pid": pid})
        assert zygote.hear() == ({"type": "not_spared", "id": 3}, [])


def test_the_end_of_a_branch_is_reported_by_the_copy_and_its_orphans_die(
    zygote: DrivenZygote,
) -> None:
    worker = zygote.start()
    copy = branch(zygote, worker)
    other = copy.start()
    child = other.run(
        "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True).pid"
    )
    other.begin("import os; os._exit(3)")

    report = copy.hear()[0]
    assert (report["type"], report["pid"], report["status"]) == ("exited", other.pid, 3)
    assert eventually(lambda: not is_alive(child))
    assert worker.run("1 + 1") == 2


def test_a_branch_can_be_branched(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.run("x = 1")
    copy = branch(zygote, worker)
    other = copy.start()
    other.run("x += 1")
    again = branch(copy, other)

    assert again.start().run("x") == 2


def test_nothing_is_copied_while_threads_run(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.run(
        "import threading; e = threading.Event(); t = threading.Thread(target=e.wait, name='eve');"
        " t.start()"
    )
    answer, control = ask_to_branch(worker)

    assert (answer["type"], answer["name"]) == ("failed", "SNAPSHOT_UNAVAILABLE")
    assert "eve" in answer["value"]
    control.close()
    worker.run("e.set(); t.join()")
    branch(zygote, worker)


def test_a_branch_counts_on_and_takes_snapshots_of_its_own(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.run("x = 1")
    copy = branch(zygote, worker)
    other = copy.start()
    begin = encode_frame(msgpack.packb({"type": "begin", "id": 1}))
    other.protocol.sendall(begin)
    assert other.receive() == {"type": "begun", "id": 1}
    other.run("x = 2")
    other.begin("import os; os.kill(os.getpid(), 9)")

    report, descriptors = copy.hear()
    assert (report["type"], report["signal"]) == ("exited", signal.SIGKILL)
    assert report["survivor"] > 0
    mark = b"the mark"
    os.pwrite(other.control_page, mark, MARK * WORD_BYTES)
    other.protocol.sendall(mark)
    signal.pidfd_send_signal(descriptors[0], LEAVE)
    assert other.run("x") == 1
    os.close(descriptors[0])
