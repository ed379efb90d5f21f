"""Drives a real Chromium by its DevTools protocol: what a person does, and what the page shows.

Owns the browser's process and the conversation with it. A page's problems (exceptions, errors in
the log, violations of its policy) and all that it asks for are kept for the tests to judge.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WHY_SKIPPED = "there is no Chromium on this machine (Debian: apt-get install chromium)"
START_LINE = b"DevTools listening on "
SOON_S = 20.0
"""For everything that a page should do by itself: far more than it takes."""
LARGEST_MESSAGE_BYTES = 64 * 2**20
KEYS = {
    "Enter": ("Enter", "Enter", 13, "\r"),
    "Tab": ("Tab", "Tab", 9, ""),
    "ArrowUp": ("ArrowUp", "ArrowUp", 38, ""),
    "c": ("c", "KeyC", 67, ""),
    "d": ("d", "KeyD", 68, ""),
}
FALSE = (None, False, "", 0)
"""In JavaScript; an element comes as an empty map, and is true there."""
MODIFIERS = {"Control": 2, "Shift": 8}


@contextmanager
def chromium() -> Iterator[str]:
    """A browser without a window; the address of its DevTools."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [
            *(CHROMIUM, "--headless=new", "--remote-debugging-port=0", "--no-first-run"),
            *("--disable-gpu", "--disable-background-networking", "--disable-component-update"),
            *("--disable-dev-shm-usage", f"--user-data-dir={profile}", "about:blank"),
        ]
        if os.geteuid() == 0:
            words.insert(1, "--no-sandbox")  # Chromium's own does not start for root
        with subprocess.Popen(
            words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                assert process.stderr is not None
                while not (line := process.stderr.readline()).startswith(START_LINE):
                    assert line, "Chromium ended at once"
                yield line.removeprefix(START_LINE).decode().strip()
            finally:
                os.killpg(process.pid, signal.SIGKILL)


class PageFailed(Exception):
    """What was evaluated has thrown."""


@attrs.define(eq=False)
class Browser:
    """A conversation with Chromium; all its pages share it."""

    _socket: WebSocketConnection
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    _answers: dict[int, tuple[trio.Event, list[dict[str, Any]]]] = attrs.field(factory=dict)
    _pages: dict[str, Page] = attrs.field(factory=dict)

    async def read(self) -> None:
        """Everything that Chromium tells, to whom it is for."""
        while True:
            try:
                message = json.loads(await self._socket.get_message())
            except ConnectionClosed:
                return
            if "id" in message:
                event, answer = self._answers[message["id"]]
                answer.append(message)
                event.set()
            elif message.get("sessionId") in self._pages:
                self._pages[message["sessionId"]].hear(message["method"], message["params"])

    async def ask(self, method: str, session: str | None = None, **fields: Any) -> dict[str, Any]:
        """One command, and what came of it."""
        number = next(self._numbers)
        event, answer = self._answers[number] = (trio.Event(), [])
        message = {"id": number, "method": method, "params": fields}
        if session is not None:
            message["sessionId"] = session
        await self._socket.send_message(json.dumps(message))
        await event.wait()
        del self._answers[number]
        if "error" in answer[0]:
            raise PageFailed(f"{method}: {answer[0]['error']}")
        result: dict[str, Any] = answer[0]["result"]
        return result

    @asynccontextmanager
    async def context(self) -> AsyncIterator[str]:
        """Cookies and storage of its own, as of a person who has not been here before."""
        made = await self.ask("Target.createBrowserContext")
        try:
            yield made["browserContextId"]
        finally:
            with trio.move_on_after(SOON_S, shield=True):
                await self.ask(
                    "Target.disposeBrowserContext", browserContextId=made["browserContextId"]
                )

    async def open(self, context: str, *, width: int = 1000, height: int = 800) -> Page:
        """An empty page."""
        target = await self.ask("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.ask(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = Page(self, attached["sessionId"])
        self._pages[attached["sessionId"]] = page
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            await page.ask(f"{domain}.enable")
        await page.ask(
            "Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True
        )
        await page.resize(width, height)
        return page


@attrs.define(eq=False)
class Page:
    """A tab."""

    browser: Browser
    session: str
    problems: list[str] = attrs.field(factory=list)
    asked_for: list[str] = attrs.field(factory=list)
    """The address of everything that it loads or opens."""
    frames: list[str] = attrs.field(factory=list)
    """Those that Chromium keeps apart from the page, as they have an origin of their own."""

    def hear(self, method: str, told: dict[str, Any]) -> None:
        """Chromium tells of it."""
        if method == "Network.requestWillBeSent":
            self.asked_for.append(told["request"]["url"])
        elif method == "Target.attachedToTarget":
            self.frames.append(told["sessionId"])
        elif method == "Network.webSocketCreated":
            self.asked_for.append(told["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
            self.problems.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Audits.issueAdded" and "ContentSecurityPolicy" in told["issue"]["code"]:
            self.problems.append(json.dumps(told["issue"]["details"]))

    async def ask(self, method: str, **fields: Any) -> dict[str, Any]:
        """One command for this page."""
        return await self.browser.ask(method, self.session, **fields)

    async def go(self, url: str) -> None:
        """Open that address, and wait until the page has loaded."""
        answer = await self.ask("Page.navigate", url=url)
        assert not answer.get("errorText"), answer
        await self.until("document.readyState === 'complete'")

    async def resize(self, width: int, height: int) -> None:
        """As seen on a screen of that many CSS pixels."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def prefer(self, scheme: str) -> None:
        """Of `light` and `dark`, what this person likes."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.ask("Emulation.setEmulatedMedia", features=features)

    async def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression comes to, as JSON; a promise is waited for."""
        answer = await self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise PageFailed(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, expression: str, *, within_s: float = SOON_S) -> Any:
        """The value of an expression, as soon as it is true: for what happens by itself."""
        value = None
        with trio.move_on_after(within_s):
            while value in FALSE:
                try:
                    value = await self.evaluate(expression)
                except PageFailed as failure:
                    # Between two documents there is nowhere to evaluate anything.
                    if "context" not in str(failure):
                        raise
                if value in FALSE:
                    await trio.sleep(0.02)
        assert value not in FALSE, (
            f"{expression} has not come true; the page shows:\n{await self.text()}"
        )
        return value

    async def text(self, selector: str = "body") -> str:
        """What can be read there."""
        found = await self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText")
        return str(found)

    async def shows(self, text: str, selector: str = "body", **settings: Any) -> None:
        """Until that can be read there. What is hidden has a text too, that nobody reads."""
        where = f"document.querySelector({json.dumps(selector)})"
        reads = f"{where}.innerText.includes({json.dumps(text)})"
        await self.until(f"{where}?.checkVisibility() && {reads}", **settings)

    async def click(self, selector: str) -> None:
        """With the mouse, in the middle of the first such element, once it is to be seen."""
        found = json.dumps(selector)
        box = await self.until(
            f"""(() => {{
              const found = document.querySelector({found});
              if (!found || found.disabled) return null;
              found.scrollIntoView({{ block: "center" }});
              const {{ x, y, width, height }} = found.getBoundingClientRect();
              return width ? [x + width / 2, y + height / 2] : null;
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    async def click_text(self, text: str, selector: str = "button") -> None:
        """The button with that text."""
        await self.until(
            f"""(() => {{
              const named = (one) => one.innerText === {json.dumps(text)} && !one.disabled;
              const all = [...document.querySelectorAll({json.dumps(selector)})];
              document.querySelector("[data-wanted]")?.removeAttribute("data-wanted");
              all.find(named)?.setAttribute("data-wanted", "");
              return document.querySelector("[data-wanted]") !== null;
            }})()"""
        )
        await self.click("[data-wanted]")

    async def write(self, text: str) -> None:
        """Where the focus is."""
        await self.ask("Input.insertText", text=text)

    async def press(self, key: str, *modifiers: str) -> None:
        """A key, with others held."""
        name, code, number, text = KEYS[key]
        held = sum(MODIFIERS[modifier] for modifier in modifiers)
        fields = {
            "key": name,
            "code": code,
            "windowsVirtualKeyCode": number,
            "modifiers": held,
        }
        await self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **fields)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **fields)

    async def frame_evaluate(self, expression: str) -> Any:
        """What an expression comes to in the page's newest frame, which has a process of its own;
        None while there is no such frame."""
        if not self.frames:
            return None
        answer = await self.browser.ask(
            "Runtime.evaluate", self.frames[-1], expression=expression, returnByValue=True
        )
        return answer["result"].get("value")

    async def picture(self, path: Path) -> None:
        """What can be seen, as PNG."""
        size = await self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": math.ceil(size[1]), "scale": 1}
        shot = await self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        await trio.Path(path).write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def drive(devtools: str) -> AsyncIterator[Browser]:
    """The conversation with a browser that runs."""
    async with (
        open_websocket_url(devtools, max_message_size=LARGEST_MESSAGE_BYTES) as socket,
        trio.open_nursery() as nursery,
    ):
        browser = Browser(socket)
        nursery.start_soon(browser.read)
        yield browser
        nursery.cancel_scope.cancel()
