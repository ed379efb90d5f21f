"""``pyrepl3 console``: a link that signs a browser in to a service's page, once.

Owns how the link reaches a browser. Must not know what is on the page.
"""

from __future__ import annotations

import html
import os
import webbrowser
from pathlib import Path

from pyrepl3.cli import descriptors
from pyrepl3.cli.descriptors import STDOUT
from pyrepl3.cli.remote_arguments import ShowConsole
from pyrepl3.cli.statuses import FAILED
from pyrepl3.remote.addresses import default_token_file, find_address, find_token
from pyrepl3.remote.browser_codes import BrowserLink, ask_for_link

OWNER_ONLY = 0o600
PAGE_NAME = "console.html"
PAGE = """\
<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}"><title>PyREPL3</title>
<p>The console is at <a href="{url}">this address</a>.</p>
"""


def show(command: ShowConsole) -> int:
    """Print the link, or open it; the exit status. Raises PyreplError."""
    token = find_token(None, command.token_file)
    link = ask_for_link(find_address(command.url), token)
    if command.opens:
        if _open(link):
            return 0
        descriptors.say("pyrepl3: no browser could be opened here; the link is:\n")
    if not descriptors.say(f"{link.url}\n", STDOUT):
        return FAILED
    if descriptors.is_terminal(STDOUT):
        descriptors.say(f"It signs in once, and within {link.expires_in_s / 60:g} minutes.\n")
    return FAILED if command.opens else 0


def _open(link: BrowserLink) -> bool:
    """By a page that this user alone can read: any user of the machine can read the arguments of
    every process, a browser's too."""
    try:
        path = _write(default_token_file().parent, PAGE.format(url=html.escape(link.url)))
    except OSError:
        return False
    return webbrowser.open(path.as_uri())


def _write(folder: Path, page: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / PAGE_NAME
    path.unlink(missing_ok=True)  # whoever made it, and whatever its mode
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    with os.fdopen(descriptor, "w") as file:
        file.write(page)
    return path
