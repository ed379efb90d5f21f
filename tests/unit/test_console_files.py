"""Unit tests: the console's files as they are served, and that they need nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pyrepl3
from pyrepl3.console.files import TYPES, find

STATIC = Path(pyrepl3.__file__).parent / "console" / "static"
NAMES = sorted(path.name for path in STATIC.iterdir())


def path_of(name: str) -> str:
    return "/" if name == "index.html" else f"/console/{name}"


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_served_as_what_it_is(name: str) -> None:
    file = find(path_of(name))

    assert file is not None
    assert file.body == (STATIC / name).read_bytes()
    assert file.content_type == TYPES[name.rpartition(".")[2]]
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert file.headers["Referrer-Policy"] == "no-referrer"
    assert file.headers["Cache-Control"] == "no-cache"
    assert file is find(path_of(name))


@pytest.mark.parametrize(
    "path",
    [
        *("", "//", "/index.html", "/console", "/console/", "/console/index.html"),
        *("/console//console.css", "/console/console.css/"),
        *("/console/../files.py", "/console/%2e%2e/files.py"),
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    assert find(path) is None


def test_who_has_a_file_need_not_get_it_again() -> None:
    page, style = find("/"), find("/console/console.css")
    assert page is not None
    assert style is not None

    assert page.etag != style.etag
    for known in (page.etag, f'"x", {page.etag}', f"W/{page.etag}", "*"):
        assert page.is_known_to(known)
    for unknown in (None, "", '"x"', page.etag.strip('"'), style.etag):
        assert not page.is_known_to(unknown)


def policy_of(path: str) -> dict[str, str]:
    file = find(path)
    assert file is not None
    parts = (part.partition(" ") for part in file.headers["Content-Security-Policy"].split("; "))
    return {name: value for name, _, value in parts}


def test_the_page_may_load_and_reach_this_service_alone() -> None:
    policy = policy_of("/")

    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["form-action"] == "'none'"
    assert not re.search(r"unsafe|\*|https?:", " ".join(policy.values()))


def test_the_frame_may_run_scripts_and_reach_nothing() -> None:
    policy = policy_of("/console/frame.html")

    assert policy["sandbox"] == "allow-scripts"  # and not allow-same-origin
    assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert "connect-src" not in policy
    assert "frame-src" not in policy
    assert not re.search(r"\*|https?:", " ".join(policy.values()))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_names_others_relatively_and_none_from_elsewhere(name: str) -> None:
    """So that it works under any prefix of a proxy, and without the Internet."""
    text = (STATIC / name).read_text()

    named = re.findall(r"""(?:src|href)="([^"#]+)"|from "([^"]+)"|url\(([^)]+)\)""", text)
    for found in ("".join(groups) for groups in named):
        assert not re.match(r"/|[a-z]+:(?!image)", found), found
    outside = [url for url in re.findall(r"https?://[^\s\"'`)]+", text) if "www.w3.org" not in url]
    assert outside == []


def test_the_page_has_no_script_or_style_of_its_own_text() -> None:
    """Its policy would refuse them."""
    page = (STATIC / "index.html").read_text()

    assert not re.search(r"<style|style=|\bon[a-z]+=|<script(?![^>]*src=)", page)
