"""End-to-end tests: the web console, in a real Chromium, as a person uses it."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
import trio
import trustme

from pyrepl3.remote.addresses import find_address
from pyrepl3.remote.browser_codes import ask_for_link
from pyrepl3.serving import Served

from .browser_driver import CHROMIUM, WHY_SKIPPED, Browser, Page, chromium, drive
from .cutting_proxy import CuttingProxy, cutting_proxy
from .websocket_driver import OTHER, TOKEN, connect, serve

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED)

LOST = "WebSocket connection to", "net::ERR_"
"""What Chromium itself logs of a connection that is refused or cut: expected where a test cuts."""


@pytest.fixture(scope="module")
def devtools() -> Iterator[str]:
    """One browser for all tests here; each has cookies and storage of its own."""
    with chromium() as address:
        yield address


@attrs.define
class Console:
    """The page, for whoever is signed in, and the service behind it."""

    page: Page
    served: Served
    url: str
    """Under which the page knows it: the service's, or a proxy's."""
    browser: Browser
    context: str

    async def open_session(self, name: str) -> None:
        await self.page.click("#open-name")
        await self.page.write(name)
        await self.page.press("Enter")
        await self.page.shows(name, ".session-head")

    async def run(self, code: str) -> None:
        """Send it, as a person does."""
        await self.page.click(".composer-code")
        await self.page.write(code)
        await self.page.press("Enter", "Shift")

    async def shows(self, text: str, *, cell: int = 1, part: str = ".outputs") -> None:
        await self.page.shows(text, f".cell:nth-of-type({cell}) {part}")

    async def outputs(self, cell: int = 1) -> str:
        return await self.page.text(f".cell:nth-of-type({cell}) .outputs")


async def ask_for_code(served: Served, token: str = TOKEN) -> str:
    """As `pyrepl3 console` does."""
    link = await trio.to_thread.run_sync(ask_for_link, find_address(served.url), token)
    url, _, code = link.url.partition("#code=")
    assert url == f"{served.url}/"
    return code


def check(page: Page, *, but: tuple[str, ...] = ()) -> None:
    """Nothing went wrong on the page, and it asked nobody but its own service."""
    assert [told for told in page.problems if not any(part in told for part in but)] == []
    asked = {urlsplit(url) for url in page.asked_for}
    assert {url.scheme for url in asked} <= {"http", "ws", "data"}
    own = urlsplit(next(url for url in page.asked_for if url.startswith("http"))).netloc
    assert {url.netloc for url in asked if url.scheme != "data"} == {own}


@asynccontextmanager
async def console(devtools: str, *, proxied: bool = False) -> AsyncIterator[Console]:
    """Signed in by a link."""
    with trio.fail_after(120):
        async with (
            serve() as (_, served),
            cutting_proxy(served.port) as proxy,
            drive(devtools) as browser,
            browser.context() as context,
        ):
            url = proxy.url if proxied else served.url
            page = await browser.open(context)
            await page.go(f"{url}/#code={await ask_for_code(served)}")
            await page.shows("connected", "#connection")
            yield Console(page, served, url, browser, context)


# --- coming in ----------------------------------------------------------------------------------


async def test_a_link_signs_in_once_and_leaves_no_code_behind(devtools: str) -> None:
    async with serve() as (_, served), drive(devtools) as browser:
        link = f"{served.url}/#code={await ask_for_code(served)}"
        async with browser.context() as context:
            page = await browser.open(context)
            await page.go(link)
            await page.shows("ada", "#principal")
            assert await page.evaluate("location.href") == f"{served.url}/"
            assert await page.evaluate("document.cookie") == ""
            cookies = (await page.ask("Network.getCookies"))["cookies"]
            assert [
                (each["name"], each["httpOnly"], each["sameSite"], each["path"]) for each in cookies
            ] == [(f"pyrepl3_{served.port}", True, "Strict", "/")]
            history = await page.ask("Page.getNavigationHistory")
            assert not [each for each in history["entries"] if "code=" in each["url"]]
            assert not [url for url in page.asked_for if "code=" in url.partition("#")[0]]
            check(page)
        async with browser.context() as another:
            page = await browser.open(another)
            await page.go(link)
            await page.shows("was used already", "#told")
            await page.shows("Sign in", "#sign-in")
            assert "UNAUTHORIZED" in await page.text("#told")
            assert not [told for told in page.problems if "401" not in told]


@pytest.mark.parametrize("secret", ["code", "token"])
async def test_a_code_is_typed_or_a_token_pasted(secret: str, devtools: str) -> None:
    async with (
        serve() as (_, served),
        drive(devtools) as browser,
        browser.context() as context,
    ):
        page = await browser.open(context)
        await page.go(f"{served.url}/")
        await page.shows("Sign in", "#sign-in")
        await page.click("#secret")
        typed = await ask_for_code(served, OTHER) if secret == "code" else OTHER
        await page.write(typed.lower() if secret == "code" else typed)
        await page.press("Enter")
        await page.shows("eve", "#principal")
        await page.shows("There is none yet", ".sessions")

        check(page)
        assert OTHER not in await page.evaluate("document.documentElement.outerHTML")
        assert not [url for url in page.asked_for if OTHER in url]


@pytest.mark.parametrize("wrong", ["AAAA-BBBB-CCCC-DDDD", "no token of this service", "ü" * 40])
async def test_a_wrong_code_or_token_is_told(wrong: str, devtools: str) -> None:
    async with (
        serve() as (_, served),
        drive(devtools) as browser,
        browser.context() as context,
    ):
        page = await browser.open(context)
        await page.go(f"{served.url}/")
        await page.click("#secret")
        await page.write(wrong)
        await page.press("Enter")
        await page.shows("why", "#told")
        told = await page.text("#told")

        assert "how" in told
        assert wrong not in told
        assert await page.evaluate("document.querySelector('#work').hidden")
        assert await page.evaluate("document.querySelector('#told [role=alert]') !== null")


async def test_who_signs_out_sees_nothing_any_more(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run("print('can' + 'ary')")
        await its.shows("canary")
        await its.page.click("#sign-out")
        await its.page.shows("Sign in", "#sign-in")

        assert "canary" not in await its.page.evaluate("document.documentElement.outerHTML")
        assert await its.page.evaluate("JSON.stringify(sessionStorage)") in ("{}",)
        await its.page.go(f"{its.url}/")
        await its.page.shows("Sign in", "#sign-in")
        check(its.page)


# --- running code -------------------------------------------------------------------------------


async def test_output_is_seen_before_the_code_ends(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run(
            "import sys\nprint('begun', flush=True)\nprint('to stderr', file=sys.stderr)\n"
            "input('go on?')\nprint('done')\n6 * 7"
        )
        await its.shows("begun")
        await its.shows("to stderr", part=".stderr")
        await its.shows("running", part=".status")
        assert "done" not in await its.outputs()
        await its.page.press("Enter")
        await its.shows("done")
        await its.shows("42", part=".value")
        await its.shows("ms", part=".status")
        await its.shows("[1]", part=".count")
        check(its.page)


async def test_input_is_asked_for_and_a_password_is_not_shown(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run(
            "import getpass\nname = input('who? ')\nword = getpass.getpass('word? ')\n"
            "print(name, len(word))\ninput('more? ')"
        )
        await its.page.until("document.activeElement.matches('.input-prompt input')")
        assert await its.page.evaluate("document.activeElement.type") == "text"
        await its.page.write("Ada")
        await its.page.press("Enter")
        await its.page.until("document.activeElement.type === 'password'")
        await its.page.write("hush")
        await its.page.press("Enter")
        await its.shows("Ada 4")
        await its.page.click_text("End of input")
        await its.shows("EOFError")
        outputs = await its.outputs()

        assert "who? Ada" in outputs
        assert "hush" not in await its.page.evaluate("document.documentElement.outerHTML")
        check(its.page)


async def test_an_error_shows_its_traceback_and_a_death_what_it_cost(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run("def f():\n    return 1 / 0\n\nf()")
        await its.shows("ZeroDivisionError: division by zero", part=".traceback")
        await its.shows("line 2, in f", part=".traceback")
        await its.run("import os; print('last words', flush=True); os.abort()")
        await its.shows("its process ended", cell=2, part=".status")
        await its.shows("The variables are lost", cell=2)
        await its.page.shows("It has ended by itself", ".note.end")
        assert await its.page.evaluate("document.querySelector('.composer-code').disabled")
        check(its.page)


async def test_text_is_as_a_terminal_shows_it(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run(
            r"import sys" + "\n"
            r"print('10%\r20%\r100%', '\x1b[1;31mred\x1b[0m', 'abc\b\bX', '\x1b[2Jclean')"
            + "\n"
            + r"sys.stdout.write('\x1b[3'); sys.stdout.flush()"
            + "\n"
            + r"sys.stdout.write('2mgreen\x1b[0m\r\nlast'); print('<b>text</b>')"
        )
        await its.shows("<b>text</b>")

        assert (await its.outputs()).strip().split("\n") == [
            "100% red aX clean",
            "green",
            "last<b>text</b>",
        ]
        assert await its.page.text(".ansi-red.bold") == "red"
        assert await its.page.text(".ansi-green") == "green"
        check(its.page)


async def test_very_much_output_does_not_stop_the_page(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run("for number in range(60_000): print('line number', number, '.' * 40)")
        await its.shows("line number 59999")
        shown = await its.page.evaluate("document.querySelector('.terminal').textContent.length")

        assert shown < 2_000_000
        await its.shows("is not shown any more")
        await its.run("'still here'")
        await its.shows("still here", cell=2)
        check(its.page)


async def test_pictures_are_shown_as_pictures(devtools: str) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><script>alert()</script>'
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run(
            "import matplotlib.pyplot as plt\n_ = plt.plot([1, 3, 2])\n"
            f"class Drawn:\n    def _repr_svg_(self):\n        return '{svg}</svg>'\n\nDrawn()"
        )
        await its.page.until("document.querySelectorAll('img.picture').length === 2")
        await its.page.until(
            "[...document.querySelectorAll('img.picture')].every((one) => one.naturalWidth > 0)"
        )
        sizes = await its.page.evaluate(
            "[...document.querySelectorAll('img.picture')].map((one) => one.naturalWidth)"
        )

        assert 30 in sizes
        assert max(sizes) > 300
        check(its.page)


HTML = """<h3 id='title'>made by code</h3><script>
const tried = [];
const attempt = (name, what) => {
  try {
    what();
    tried.push(name + ": reached");
  } catch (error) {
    tried.push(name + ": " + error.name);
  }
};
attempt("page", () => parent.document.body);
attempt("cookie", () => document.cookie);
attempt("storage", () => sessionStorage.length);
attempt("top", () => { top.location.href = "/nowhere"; });
const note = (text) => document.body.append(text);
note(tried.join(", "));
fetch("SERVICE/v1/browser/session").then(() => note(" fetched"), () => note(" no network"));
</script>"""


async def test_html_runs_in_a_frame_that_reaches_nothing(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        html = HTML.replace("SERVICE", its.url)
        await its.run(f"class Made:\n    def _repr_html_(self):\n        return {html!r}\n\nMade()")
        await its.page.until("document.querySelector('iframe.html')?.style.height")
        while "network" not in (
            told := str(await its.page.frame_evaluate("document.body?.innerText"))
        ):
            assert "fetched" not in told
            await trio.sleep(0.02)

        assert "made by code" in told
        for name in ("page", "cookie", "storage", "top"):
            assert f"{name}: SecurityError" in told, told
        assert await its.page.evaluate("location.pathname") == "/"
        sandbox = "document.querySelector('iframe.html').getAttribute('sandbox')"
        assert await its.page.evaluate(sandbox) == "allow-scripts"
        await its.page.until("parseInt(document.querySelector('iframe.html').style.height) > 60")
        # What the frame tried is told in the log, and nothing else.
        tries = ("Unsafe attempt to initiate navigation", "connect-src", "ContentSecurityPolicy")
        check(its.page, but=(*tries, "v1/browser/session"))


@pytest.mark.parametrize("how", ["key", "button"])
async def test_an_interrupt_keeps_the_session(how: str, devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run("kept = 7\nimport time\nprint('begun', flush=True)\ntime.sleep(600)")
        await its.shows("begun")
        if how == "key":
            await its.page.press("c", "Control")
        else:
            await its.page.click(".cell .stop")
        await its.shows("interrupted", part=".status")
        await its.run("kept")
        await its.shows("7", cell=2)
        check(its.page)


async def test_what_is_sent_while_code_runs_waits_and_runs_in_order(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run("first = input('go on?')")
        await its.page.until("document.querySelector('.input-prompt')")
        await its.run("first + '!'")
        await its.shows("waits behind 1", cell=2, part=".status")
        await its.page.click(".input-prompt input")
        await its.page.write("so")
        await its.page.press("Enter")
        await its.shows("so!", cell=2, part=".value")
        check(its.page)


# --- sessions -----------------------------------------------------------------------------------


async def test_a_session_is_closed_and_another_opened(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("one")
        await its.page.click_text("Close session")
        await its.page.shows("It was closed.", ".note.end")
        await its.page.shows("closed", ".session-item .standing")
        await its.page.click("#open")
        await its.page.until("document.querySelector('.session-head h2').innerText !== 'one'")
        await its.run("1 + 1")
        await its.shows("2", part=".value")
        await its.page.click_text("one\nclosed", ".session-item")
        await its.page.shows("It was closed.", ".note.end")
        check(its.page)


async def test_a_session_from_elsewhere_is_there_with_all_that_it_told(devtools: str) -> None:
    async with console(devtools) as its, connect(its.served) as client:
        session = (await client.ask("open_session", name="theirs"))["session"]
        await client.run(session, "print('from elsewhere'); x = 5", "e1")
        await its.page.shows("theirs", "#sessions")
        await its.page.click("#sessions button")
        await its.shows("from elsewhere")
        await its.shows("sent by another client", part=".code")
        await its.run("x + 1")
        await its.shows("6", cell=2, part=".value")
        assert (await client.until(type="result", value=6))["session"] == session
        await client.ask("execute", session=session, execution="e2", code="print('and live')")
        await its.shows("and live", cell=3)
        check(its.page)


async def test_a_page_loaded_anew_shows_all_again(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run("print('before'); answer = input('still there? ')")
        await its.page.until("document.querySelector('.input-prompt')")
        await its.page.go(f"{its.url}/?again")
        await its.page.until("document.querySelector('.input-prompt')")
        assert "print('before')" in await its.page.text(".cell .code")
        assert await its.outputs() != ""
        await its.page.click(".input-prompt input")
        await its.page.write("yes")
        await its.page.press("Enter")
        await its.run("answer")
        await its.shows("yes", cell=2, part=".value")
        check(its.page)


async def test_a_refusal_is_told_with_why_and_how(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.page.click("#open-name")
        await its.page.write("mine")
        await its.page.press("Enter")
        await its.page.shows("there is a session 'mine' already", "#told .what")
        told = await its.page.text("#told")

        assert "each of a principal's sessions has a name of its own" in told
        assert "ID_CONFLICT" in told
        await its.page.click_text("Dismiss")
        await its.page.until("document.querySelector('#told').innerText === ''")
        check(its.page)


async def test_a_pool_with_no_room_is_told(devtools: str) -> None:
    async with console(devtools) as its, connect(its.served) as client:
        for _ in range(4):
            await client.ask("open_session")
        await its.page.click("#open")
        await its.page.shows("Opening", "#open")
        await its.page.shows("POOL_EXHAUSTED", "#told")
        assert "how" in await its.page.text("#told")
        await its.page.shows("New session", "#open")
        check(its.page)


async def test_a_link_opened_where_the_page_is_open_signs_in_anew(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("adas")
        code = await ask_for_code(its.served, OTHER)
        await its.page.evaluate(f"location.hash = 'code={code}'")
        await its.page.shows("eve", "#principal")
        await its.page.shows("There is none yet", ".sessions")

        assert await its.page.evaluate("location.hash") == ""
        assert "adas" not in await its.page.text()
        check(its.page)


# --- where it is served -------------------------------------------------------------------------


async def test_it_works_under_a_prefix(devtools: str) -> None:
    async with (
        serve(path_prefix="/tools/python") as (_, served),
        drive(devtools) as browser,
        browser.context() as context,
    ):
        page = await browser.open(context)
        await page.go(f"{served.url}/tools/python#code={await ask_for_code(served)}")
        await page.shows("connected", "#connection")
        its = Console(page, served, f"{served.url}/tools/python", browser, context)
        await its.open_session("mine")
        await its.run("6 * 7")
        await its.shows("42", part=".value")

        assert await page.evaluate("location.pathname") == "/tools/python/"
        paths = {urlsplit(url).path for url in page.asked_for if not url.startswith("data:")}
        assert [path for path in paths if not path.startswith("/tools/python")] == []
        check(page)


async def test_over_tls_the_cookie_is_for_tls_alone(devtools: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    own.cert_chain_pems[0].write_to_path(certificate)
    own.private_key_pem.write_to_path(key)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with (
        serve(tls_cert=str(certificate), tls_key=str(key)) as (_, served),
        drive(devtools) as browser,
        browser.context() as context,
    ):
        link = await trio.to_thread.run_sync(
            partial(ask_for_link, find_address(served.url), TOKEN, ssl_context=trusting)
        )
        page = await browser.open(context)
        await page.ask("Security.setIgnoreCertificateErrors", ignore=True)
        await page.go(link.url)
        await page.shows("connected", "#connection")
        its = Console(page, served, served.url, browser, context)
        await its.open_session("mine")
        await its.run("6 * 7")
        await its.shows("42", part=".value")

        cookies = (await page.ask("Network.getCookies"))["cookies"]
        assert [(each["name"], each["secure"]) for each in cookies] == [
            (f"__Host-pyrepl3_{served.port}", True)
        ]
        assert {urlsplit(url).scheme for url in page.asked_for} <= {"https", "wss", "data"}


# --- connections that are lost --------------------------------------------------------------------


COUNTING = (
    "import time\nfor number in range(300):\n    print(number, flush=True)\n    time.sleep(0.01)"
)


async def test_a_cut_connection_loses_and_doubles_nothing(devtools: str) -> None:
    async with (
        serve() as (_, served),
        cutting_proxy(served.port) as proxy,
        drive(devtools) as browser,
        browser.context() as context,
    ):
        page = await browser.open(context)
        await page.go(f"{proxy.url}/#code={await ask_for_code(served)}")
        its = Console(page, served, proxy.url, browser, context)
        await its.open_session("mine")
        await its.run("runs = globals().get('runs', 0) + 1\n" + COUNTING)
        for number in (20, 120, 200):
            await its.shows(f"\n{number}\n")
            proxy.cut_all()
        await its.shows("\n299")
        await its.shows(" s", part=".status")
        await its.run("runs")
        await its.shows("1", cell=2, part=".value")

        printed = [line for line in (await its.outputs()).split("\n") if line]
        assert printed == [str(number) for number in range(300)]
        assert proxy.connections > 3
        check(page, but=LOST)


async def cut_before_the_answer(proxy: CuttingProxy, kind: bytes) -> None:
    """The service takes the next such request, and its answer is lost with the connection."""
    has_cut = False

    def cuts(data: bytes) -> bool:
        nonlocal has_cut
        if not has_cut and b'"type": "' + kind + b'"' in data.replace(b'":"', b'": "'):
            has_cut = True
            return True
        return False

    proxy.cuts = cuts


@pytest.mark.parametrize("kind", ["session_opened", "accepted", "input_taken", "session_ended"])
async def test_a_request_whose_answer_was_lost_is_done_once(kind: str, devtools: str) -> None:
    async with (
        serve() as (_, served),
        cutting_proxy(served.port) as proxy,
        drive(devtools) as browser,
        browser.context() as context,
    ):
        page = await browser.open(context)
        await page.go(f"{proxy.url}/#code={await ask_for_code(served)}")
        await page.shows("connected", "#connection")
        its = Console(page, served, proxy.url, browser, context)
        await cut_before_the_answer(proxy, kind.encode())
        await page.click("#open")
        await page.until("document.querySelector('.composer-code')")
        await its.run(
            "runs = globals().get('runs', 0) + 1\nline = input('line? ')\nprint(runs, line)"
        )
        await page.until("document.querySelector('.input-prompt')")
        await page.click(".input-prompt input")
        await page.write("once")
        await page.press("Enter")
        await its.shows("1 once")
        await page.click_text("Close session")
        await page.shows("It was closed.", ".note.end")
        await page.shows("connected", "#connection")

        assert proxy.connections > 2
        assert await page.evaluate("document.querySelectorAll('.cell').length") == 1
        async with connect(served) as client:
            assert len((await client.ask("list_sessions"))["sessions"]) == 1
        assert await page.text("#told") == ""
        check(page, but=LOST)


async def test_a_service_that_is_gone_is_told_and_found_again(devtools: str) -> None:
    async with (
        serve() as (_, served),
        cutting_proxy(served.port) as proxy,
        drive(devtools) as browser,
        browser.context() as context,
    ):
        page = await browser.open(context)
        await page.go(f"{proxy.url}/#code={await ask_for_code(served)}")
        its = Console(page, served, proxy.url, browser, context)
        await its.open_session("mine")
        proxy.is_down = True
        proxy.cut_all()
        await page.shows("no connection", "#connection")
        await its.run("'sent while it was gone'")
        await its.shows("sending", part=".status")
        proxy.is_down = False
        await page.click_text("Connect now")
        await its.shows("sent while it was gone", part=".value")
        await page.shows("connected", "#connection")
        check(page, but=LOST)


# --- how it looks -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_narrow_screen_and_is_readable(scheme: str, devtools: str) -> None:
    async with console(devtools) as its:
        await its.page.resize(360, 640)
        await its.page.prefer(scheme)
        await its.open_session("a-rather-long-name-of-a-session-that-somebody-has-chosen")
        await its.run("print('x' * 500)\n1 / 0")
        await its.shows("ZeroDivisionError")

        assert await its.page.evaluate("document.documentElement.scrollWidth") <= 360
        colours = await its.page.evaluate(
            "(() => { const its = getComputedStyle(document.body);"
            " return [its.color, its.backgroundColor]; })()"
        )
        text, page = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
        assert (text > page) == (scheme == "dark")
        assert abs(text - page) > 400
        check(its.page)


async def test_everything_can_be_reached_by_keyboard_and_has_a_name(devtools: str) -> None:
    async with console(devtools) as its:
        await its.open_session("mine")
        await its.run("input('who? ')")
        await its.page.until("document.querySelector('.input-prompt')")
        tree = (await its.page.ask("Accessibility.getFullAXTree"))["nodes"]
        roles = ("button", "textbox", "combobox", "checkbox")
        controls = [
            node
            for node in tree
            if not node["ignored"] and node.get("role", {}).get("value") in roles
        ]
        assert len(controls) > 6
        assert [node for node in controls if not node.get("name", {}).get("value")] == []

        await its.page.evaluate("document.body.focus(); document.activeElement.blur()")
        reached = set()
        for _ in range(25):
            await its.page.press("Tab")
            reached.add(
                await its.page.evaluate(
                    "document.activeElement.id || document.activeElement.className"
                )
            )
        assert {"sign-out", "open-name", "open", "composer-code", "session-item"} <= reached
        check(its.page)
