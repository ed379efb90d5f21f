"""One request of a browser on its connection: its body in, within bounds, and the answer out.

Owns that. Must not know what is asked for: `browser_requests.py` decides it.
"""

from __future__ import annotations

from http import HTTPStatus

import trio

from pyrepl3.endpoint.access import Head
from pyrepl3.endpoint.browser_requests import BODY_BYTES, BrowserAnswer, BrowserRequest
from pyrepl3.endpoint.http_connection import BadBody, ClientLeft, HttpConnection, RequestHead
from pyrepl3.errors import BadMessage, MessageTooLarge

BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


async def receive(
    connection: HttpConnection, head: RequestHead, asked: Head, path: str, *, within_s: float
) -> BrowserRequest:
    """All of the request. Raises ClientLeft, BadMessage, MessageTooLarge."""
    body = b""
    try:
        with trio.fail_after(within_s):
            while not connection.is_read:
                body += await connection.read_body()
                if len(body) > BODY_BYTES:
                    raise _too_large()
    except BadBody as error:
        raise BadMessage(
            what="the request was not understood",
            why=str(error),
            how="Send a body as the head of the request says",
        ) from error
    except trio.TooSlowError as error:
        raise ClientLeft from error
    return BrowserRequest(
        path=path,
        head=asked,
        cookie=head.headers.get("cookie"),
        if_none_match=head.headers.get("if-none-match"),
        body=body,
    )


async def send(connection: HttpConnection, head: RequestHead, answer: BrowserAnswer) -> None:
    """Answer in full. Raises ClientLeft."""
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    if answer.status not in BODILESS:
        headers.append((b"Content-Length", str(len(answer.body)).encode()))
    body = b"" if head.method == "HEAD" else answer.body
    start = connection.head_bytes(answer.status, headers)
    await connection.write(start + connection.body_bytes(body, is_last=True))


def _too_large() -> MessageTooLarge:
    return MessageTooLarge(
        what="the request was not read to its end",
        why=f"its body has more than {BODY_BYTES} bytes",
        how='Send {"code": "…"}, and nothing else',
        details={"limit": BODY_BYTES},
    )
