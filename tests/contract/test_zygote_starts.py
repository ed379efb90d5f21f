"""Contract tests: what a worker is when the zygote has started it."""

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest
from zygote_driver import DrivenZygote, ready_zygote, start_zygote


@pytest.fixture
def zygote() -> Iterator[DrivenZygote]:
    with ready_zygote() as zygote:
        yield zygote


def test_a_ready_zygote_says_its_pid_and_version() -> None:
    with start_zygote() as zygote:
        message, descriptors = zygote.hear()

    version = ".".join(map(str, sys.version_info[:3]))
    expected = {"type": "zygote_ready", "pid": zygote.process.pid, "version": version}
    assert expected == message
    assert descriptors == []


def test_a_worker_leads_its_own_session_and_process_group(zygote: DrivenZygote) -> None:
    worker = zygote.start()

    code = "import os; [os.getpid(), os.getsid(0), os.getpgrp(), os.getppid()]"
    assert [worker.pid] * 3 + [zygote.process.pid] == worker.run(code)


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_a_worker_has_only_its_own_descriptors(spawn: str) -> None:
    with ready_zygote(spawn=spawn) as zygote:
        sibling = zygote.start()
        worker = zygote.start()
        code = (
            "import os\n"
            "def kind(fd):\n"
            "    try: return os.readlink(f'/proc/self/fd/{fd}')\n"
            "    except FileNotFoundError: return None\n"
            "[kind(fd) for fd in map(int, os.listdir('/proc/self/fd')) if kind(fd)]"
        )
        targets = worker.run(code)
        others = set(sibling.run(code)) & set(targets)

    # The control page has the same name in each; it is a memory file of its own.
    assert {"/dev/null", "/memfd:pyrepl3-control (deleted)"} >= others
    sockets = [each for each in targets if each.startswith("socket:")]
    pipes = [each for each in targets if each.startswith("pipe:")]
    assert (len(sockets), len(pipes)) == (1, 2)


def test_programs_that_a_worker_runs_get_neither_protocol_nor_control_page(
    zygote: DrivenZygote,
) -> None:
    worker = zygote.start()

    code = "import subprocess; subprocess.run(['ls', '/proc/self/fd'], capture_output=True).stdout"
    listed = worker.run(f"{code}.split().__len__()")
    # 0, 1, 2 and what ls itself opened.
    assert listed == 4


def test_a_worker_has_pythons_own_signal_handling_back(zygote: DrivenZygote) -> None:
    worker = zygote.start()

    code = (
        "import signal\n"
        "names = 'SIGCHLD', 'SIGTERM', 'SIGHUP'\n"
        "[int(signal.getsignal(getattr(signal, name))) for name in names]"
        " + [signal.set_wakeup_fd(-1)]"
    )
    assert worker.run(code) == [signal.SIG_DFL] * 3 + [-1]


def test_a_worker_collects_garbage_as_usual(zygote: DrivenZygote) -> None:
    assert zygote.start().run("import gc; gc.isenabled()") is True


def test_siblings_have_random_numbers_of_their_own() -> None:
    code = "import random, tempfile\n[random.random(), next(tempfile._get_candidate_names())]"
    warmup = "import random, tempfile; random.seed(1); next(tempfile._get_candidate_names())"
    with ready_zygote(warmup_code=warmup) as zygote:
        values = [tuple(zygote.start().run(code)) for _ in range(3)]

    assert len({number for number, _ in values}) == 3
    assert len({name for _, name in values}) == 3


def test_siblings_have_numpy_random_numbers_of_their_own() -> None:
    pytest.importorskip("numpy", reason="numpy is not installed for this interpreter")
    with ready_zygote(
        preload=["numpy"], warmup_code="import numpy; numpy.random.seed(1)"
    ) as zygote:
        values = {zygote.start().run("import numpy; numpy.random.random()") for _ in range(3)}

    assert len(values) == 3


def test_what_was_preloaded_is_there() -> None:
    with ready_zygote(preload=["decimal"], warmup_code="answer = 42") as zygote:
        worker = zygote.start()
        assert worker.run("import sys; ['decimal' in sys.modules, answer]") == [True, 42]


def test_sessions_begin_in_the_templates_directory(tmp_path: os.PathLike[str]) -> None:
    with ready_zygote(cwd=str(tmp_path)) as zygote:
        first, second = zygote.start(), zygote.start()
        first.run("import os; os.chdir('/')")

        assert second.run("import os; os.getcwd()") == str(tmp_path)


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_limits_are_the_workers_and_not_the_zygotes(spawn: str) -> None:
    limits = {"memory_bytes": 2**28, "open_files": 77}
    with ready_zygote(spawn=spawn, limits=limits) as zygote:
        code = "from resource import *\n[getrlimit(RLIMIT_DATA)[0], getrlimit(RLIMIT_NOFILE)[0]]"
        assert zygote.start().run(code) == [2**28, 77]
        assert zygote.start().run("1 + 1") == 2


def test_a_worker_keeps_the_limit_of_open_files_where_none_is_set(zygote: DrivenZygote) -> None:
    import resource

    code = "from resource import *; list(getrlimit(RLIMIT_NOFILE))"
    assert list(resource.getrlimit(resource.RLIMIT_NOFILE)) == zygote.start().run(code)


def test_an_exec_start_keeps_its_configuration_out_of_the_environment() -> None:
    with ready_zygote(spawn="exec", preload=["decimal"], warmup_code="answer = 42") as zygote:
        worker = zygote.start()
        code = "import os, sys; [[n for n in os.environ if 'PYREPL' in n], answer]"
        assert worker.run(code) == [[], 42]


def test_an_exec_that_fails_is_a_failed_start(tmp_path: os.PathLike[str]) -> None:
    """An interpreter that is replaced by something that cannot be run, under a live zygote."""
    python = f"{tmp_path}/python"
    os.symlink(sys.executable, python)
    with ready_zygote(python, spawn="exec") as zygote:
        os.unlink(python)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            zygote.tell({"type": "start", "id": 7}, [theirs.fileno()] * 4)
            message, _ = zygote.hear()

    assert (message["type"], message["id"]) == ("start_failed", 7)
    assert message["errno"] == errno.ENOENT


def test_a_start_without_its_descriptors_fails_and_the_zygote_goes_on(
    zygote: DrivenZygote,
) -> None:
    zygote.tell({"type": "start", "id": 7})
    message, _ = zygote.hear()

    assert (message["type"], message["errno"]) == ("start_failed", errno.EBADF)
    assert zygote.start().run("1 + 1") == 2


def test_too_many_descriptors_fail_the_start_and_the_zygote_goes_on() -> None:
    """A zygote that has no descriptor left cannot even receive those of the request."""
    warmup = (
        "import resource, os\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.dup(0))\n"
        "except OSError: os.close(held.pop()); os.close(held.pop()); os.close(held.pop())\n"
    )
    with ready_zygote(warmup_code=warmup) as zygote:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for start in (1, 2):
                zygote.tell({"type": "start", "id": start}, [theirs.fileno()] * 4)
                message, _ = zygote.hear()
                assert ("start_failed", start) == (message["type"], message["id"])
                assert message["errno"] == errno.EMFILE
