"""A one-use code for a browser, asked of a service for whoever has its token.

Owns that one request. It waits as plain Python does: for scripts and the command, which have
nothing else to do meanwhile.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any

import attrs

from pyrepl3.remote.addresses import ServiceAddress
from pyrepl3.remote.told_errors import as_error, not_connected

PATH = "/v1/browser/codes"
TIMEOUT_S = 30.0
ANSWER_BYTES = 64 * 2**10


@attrs.frozen
class BrowserLink:
    """A link that signs a browser in, once, and for how long it is good."""

    url: str = attrs.field(repr=False)
    expires_in_s: float


def ask_for_link(
    address: ServiceAddress, token: str, *, ssl_context: ssl.SSLContext | None = None
) -> BrowserLink:
    """A new one, to the service's console under the very address that was given.

    The code is in the fragment, which browsers send to nobody.
    Raises ServiceUnreachable, Unauthorized, RateLimited and the like.
    """
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        context = ssl_context or ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            address.host, address.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
    try:
        headers = {"Authorization": f"Bearer {token}", "Host": address.authority}
        connection.request("POST", address.prefix + PATH, b"", headers)
        answer = connection.getresponse()
        fields = _fields(answer.read(ANSWER_BYTES), answer.status)
    except (OSError, http.client.HTTPException) as error:
        raise not_connected(str(address), error) from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.CREATED or not isinstance(fields.get("code"), str):
        raise as_error(fields)
    return BrowserLink(f"{address}/#code={fields['code']}", float(fields.get("expires_in_s", 0)))


def _fields(body: bytes, status: int) -> Mapping[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        return fields
    return {"title": "the answer is none of this service's", "status": status}
