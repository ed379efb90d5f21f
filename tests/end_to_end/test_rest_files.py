"""End-to-end tests: files of a session's directory, up and down over REST."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from pyrepl3.serving import Served

from .faults.oracle import eventually
from .rest_driver import LIMIT_S, TOKEN, Rest, client, problem, raw, serve


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as served:
        yield served


@pytest.fixture
async def rest(served: Served) -> AsyncIterator[Rest]:
    async with client(served) as rest:
        yield rest


def digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


async def test_a_file_goes_up_and_its_code_and_its_client_read_it(
    rest: Rest, tmp_path: Path
) -> None:
    session = await rest.open(tmp_path)
    at = f"/v1/sessions/{session}/files"
    data = bytes(range(256)) * 10
    up = await rest.http.put(f"{at}/a/b%20%C3%A9.bin", content=data)
    seen = await rest.run(session, "len(open('a/b é.bin', 'rb').read())")
    await rest.run(session, "open('made.txt', 'w').write('by code')")
    down = await rest.http.get(f"{at}/a/b é.bin")
    made = await rest.http.get(f"{at}/made.txt")
    top = (await rest.http.get(at)).json()
    below = (await rest.http.get(f"{at}/a")).json()
    head = await rest.http.head(f"{at}/made.txt")
    gone = await rest.http.delete(f"{at}/made.txt")

    assert up.status_code == 201
    assert up.json() == {
        "path": "a/b é.bin",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert up.headers["repr-digest"] == down.headers["repr-digest"] == digest(data)
    assert seen["value"] == len(data)
    assert (down.content, down.headers["content-type"]) == (data, "application/octet-stream")
    assert made.content == b"by code"
    assert (head.headers["content-length"], head.headers["repr-digest"]) == (
        "7",
        digest(b"by code"),
    )
    assert [(each["name"], each["kind"], each["bytes"]) for each in top["entries"]] == [
        ("a", "directory", None),
        ("made.txt", "file", 7),
    ]
    assert [each["name"] for each in below["entries"]] == ["b é.bin"]
    assert (gone.status_code, (tmp_path / "made.txt").exists()) == (204, False)
    problem(await rest.http.get(f"{at}/made.txt"), 404, "NOT_FOUND")
    problem(await rest.http.delete(f"{at}/made.txt"), 404, "NOT_FOUND")
    problem(await rest.http.delete(f"{at}/a"), 400, "BAD_MESSAGE")


async def test_a_checksum_that_is_not_right_has_nothing_written(rest: Rest, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("before")
    at = f"/v1/sessions/{await rest.open(tmp_path)}/files/kept"
    for name in ("Repr-Digest", "Content-Digest"):
        for wrong in (digest(b"other"), "sha-256=:nonsense!:", "sha-256=abc", "sha-256=:YQ==:"):
            answer = await rest.http.put(at, content=b"after", headers={name: wrong})
            problem(answer, 400, "BAD_MESSAGE")
            assert os.listdir(tmp_path) == ["kept"]
            assert (tmp_path / "kept").read_text() == "before"
        right = f"unknown=:YQ==:, {digest(b'after')}"
        answer = await rest.http.put(at, content=b"after", headers={name: right})
        assert answer.status_code == 201
        assert (tmp_path / "kept").read_text() == "after"
        (tmp_path / "kept").write_text("before")


async def test_a_large_file_is_streamed_both_ways(rest: Rest, tmp_path: Path) -> None:
    """50 MB, chunked up, and never in memory as a whole."""
    import psutil

    process = psutil.Process()
    at = f"/v1/sessions/{await rest.open(tmp_path)}/files/large"
    piece = os.urandom(2**20)
    expected = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            expected.update(piece)
            yield piece

    before = process.memory_info().rss
    up = await rest.http.put(at, content=pieces())
    came = hashlib.sha256()
    async with rest.http.stream("GET", at) as down:
        async for data in down.aiter_bytes():
            came.update(data)
    grown = process.memory_info().rss - before

    assert up.json()["bytes"] == 50 * 2**20
    assert up.json()["sha256"] == expected.hexdigest() == came.hexdigest()
    assert grown < 25 * 2**20


async def test_an_upload_that_is_cut_in_the_middle_leaves_nothing(
    served: Served, rest: Rest, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("before")
    session = await rest.open(tmp_path)
    head = (
        f"PUT /v1/sessions/{session}/files/kept HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: 1000000\r\n\r\n"
    )
    with trio.fail_after(LIMIT_S):
        async with await trio.open_tcp_stream(served.host, served.port) as stream:
            await stream.send_all(head.encode() + b"x" * 500_000)
            await eventually(lambda: len(os.listdir(tmp_path)) == 2)
        await eventually(lambda: os.listdir(tmp_path) == ["kept"])

    assert (tmp_path / "kept").read_text() == "before"


async def test_a_download_that_nobody_finishes_leaves_no_descriptor(
    served: Served, rest: Rest, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    session = await rest.open(tmp_path)
    request = (
        f"GET /v1/sessions/{session}/files/large HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()

    def opened() -> int:
        return sum(
            os.path.realpath(f"/proc/self/fd/{number}") == str(tmp_path / "large")
            for number in os.listdir("/proc/self/fd")
        )

    with trio.fail_after(LIMIT_S):
        for size in (0, 1, 100_000):
            async with await trio.open_tcp_stream(served.host, served.port) as stream:
                await stream.send_all(request)
                if size:
                    await stream.receive_some(size)
            await eventually(lambda: not opened())


async def test_a_file_over_its_bound_is_not_written(tmp_path: Path) -> None:
    async with serve(upload_bytes=1000) as served, client(served) as rest:
        at = f"/v1/sessions/{await rest.open(tmp_path)}/files/large"
        told = await rest.http.put(at, content=b"x" * 1001)
        fits = await rest.http.put(f"{at}.fits", content=b"x" * 1000)
        body = b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"
        streamed = await raw(served, "PUT", at, "Transfer-Encoding: chunked", body=body)
        expecting = await raw(served, "PUT", at, "Expect: 100-continue", f"Content-Length: {2**40}")

    problem(told, 413, "MESSAGE_TOO_LARGE")
    assert fits.status_code == 201
    assert streamed.startswith(b"HTTP/1.1 413 ")
    assert expecting.startswith(b"HTTP/1.1 413 ")
    assert os.listdir(tmp_path) == ["large.fits"]


async def test_nothing_outside_of_the_directory_is_reached(rest: Rest, tmp_path: Path) -> None:
    """Neither by the path, nor through links that the session's code puts there."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "secret").write_text("hidden")
    session = await rest.open(inside)
    await rest.run(
        session,
        "import os\nos.symlink('../outside', 'way')\nos.symlink('../outside/secret', 'end')",
    )
    at = f"/v1/sessions/{session}/files"
    for path in ("..%2foutside%2fsecret", "a%2f..%2f..%2foutside%2fsecret", "%2e%2e/outside"):
        for method in ("GET", "PUT", "DELETE"):
            answer = await rest.http.request(method, f"{at}/{path}", content=b"")
            assert answer.status_code in (400, 404), (method, path, answer.text)
            assert "hidden" not in answer.text
    for path in ("way/secret", "end", "way"):
        problem(await rest.http.get(f"{at}/{path}"), 404, "NOT_FOUND")
    problem(await rest.http.put(f"{at}/way/new", content=b"x"), 404, "NOT_FOUND")
    problem(await rest.http.delete(f"{at}/way/secret"), 404, "NOT_FOUND")
    replaced = await rest.http.put(f"{at}/end", content=b"new")

    assert replaced.status_code == 201
    assert (outside / "secret").read_text() == "hidden"
    assert stat.S_ISREG((inside / "end").lstat().st_mode)
    assert os.listdir(outside) == ["secret"]


async def test_a_file_is_read_whatever_its_name_and_after_its_sessions_end(
    rest: Rest, tmp_path: Path
) -> None:
    (tmp_path / os.fsdecode(b"\xff\xfe ?#%")).write_bytes(b"odd")
    session = await rest.open(tmp_path)
    at = f"/v1/sessions/{session}/files"
    (entry,) = (await rest.http.get(at)).json()["entries"]
    await rest.http.delete(f"/v1/sessions/{session}")
    answer = await rest.http.get(f"{at}/%ff%fe%20%3F%23%25")
    missing = await rest.http.get(f"{at}/%ff")

    assert entry["name"] == "\udcff\udcfe ?#%"
    assert answer.content == b"odd"
    problem(missing, 404, "NOT_FOUND")
