"""What requests say in their path, query and headers: types, bounds, descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from litestar.params import HeaderParameter, PathParameter, QueryParameter

from pyrepl3.wire.client_requests import NAME_CHARACTERS

DAY_S = 86_400
PRINTABLE = r"^[!-~]+$"

SessionPath = Annotated[str, PathParameter(description="A session's id, or its name.")]
SnapshotPath = Annotated[str, PathParameter(description="A snapshot's name.")]
ExecutionPath = Annotated[str, PathParameter(description="An execution's id.")]
FilePath = Annotated[
    str, PathParameter(description="Below the directory that the session was started in.")
]
Since = Annotated[int, QueryParameter(ge=0, description="Events from behind that number on.")]
Follow = Annotated[bool, QueryParameter(description="Whether to wait for what comes.")]
WaitS = Annotated[
    float,
    QueryParameter(
        ge=0,
        le=DAY_S,
        description="How long to wait for its end, in seconds; then 202. Left out: a day.",
    ),
]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=NAME_CHARACTERS,
        pattern=PRINTABLE,
        description="Its id: sent again under the same one, it runs once.",
    ),
]
RequestKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=NAME_CHARACTERS,
        pattern=PRINTABLE,
        description="Sent again under the same one, it is done once, and answered as it was.",
    ),
]

SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "Idempotency-Key": {
        "type": "string",
        "minLength": 1,
        "maxLength": NAME_CHARACTERS,
        "pattern": PRINTABLE,
    },
}
"""Of those that are null where they are left out: the framework describes that, too, which nobody
can send, and none of their bounds."""
