"""Contract tests: the memory of a session that is copied again and again comes into huge pages."""

import mmap
import time
from pathlib import Path

import msgpack
import pytest
from zygote_driver import DrivenWorker, ready_zygote

from pyrepl3.wire.frames import encode_frame
from pyrepl3.worker.huge_pages import LEAST_BYTES, QUICK_S, HugePages, small_paged_regions

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
pytestmark = pytest.mark.skipif(
    not ENABLED.exists() or "[never]" in ENABLED.read_text(),
    reason="this kernel has no huge pages",
)


@pytest.fixture
def held() -> mmap.mmap:
    memory = mmap.mmap(-1, 8 * LEAST_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, len(memory), 4096):
        memory[offset] = 7
    return memory


def bytes_in_small_pages() -> int:
    return sum(size for _, size in small_paged_regions())


def test_memory_is_moved_once_it_is_worth_it_and_keeps_what_it_holds(held: mmap.mmap) -> None:
    before = bytes_in_small_pages()
    assert before >= 7 * LEAST_BYTES
    pages = HugePages()
    pages.note_fork(QUICK_S)
    assert not pages.is_due
    pages.note_fork(3600.0)
    assert pages.is_due
    while pages.is_due:
        pages.move_some()

    assert bytes_in_small_pages() <= before - 7 * LEAST_BYTES
    assert held[::4096] == b"\7" * (len(held) // 4096)
    pages.note_fork(QUICK_S)
    assert not pages.is_due


def test_what_costs_more_than_it_saved_so_far_is_left_as_it_is(held: mmap.mmap) -> None:
    before = bytes_in_small_pages()
    pages = HugePages()
    pages.note_fork(QUICK_S + 0.001)
    pages.note_fork(QUICK_S + 0.001)
    while pages.is_due:
        pages.move_some()

    assert bytes_in_small_pages() == before


def huge_bytes(worker: DrivenWorker) -> int:
    lines = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()
    (line,) = [each for each in lines if each.startswith("AnonHugePages:")]
    return int(line.split()[1]) * 1024


def test_a_session_that_is_guarded_again_and_again_is_copied_in_huge_pages() -> None:
    with ready_zygote() as zygote:
        worker = zygote.start()
        fill = "for i in range(0, len(held), 4096): held[i] = 1"
        worker.run(f"held = bytearray(200 * 2**20)\n{fill}\nheld[4096]")
        for number in range(2, 100):
            time.sleep(0.1)
            execute = {
                "type": "execute",
                "execution": f"e{number}",
                "number": number,
                "code": "held[8192]",
                "filename": None,
                "silent": False,
                "allow_input": False,
                "transaction_policy": "commit_always",
                "guard": True,
            }
            worker.protocol.sendall(encode_frame(msgpack.packb(execute)))
            while (message := worker.receive())["type"] not in ("result", "error"):
                pass
            assert message["value"] == 1
            if huge_bytes(worker) > 150 * 2**20:
                return
    raise AssertionError("it was never moved")
