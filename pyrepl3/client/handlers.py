"""What a caller of `run` wants to be told while it runs, and its answers to `input()`.

Owns how a user's functions are called. Must not know where events come from: of this process or
over the network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from pyrepl3.client.calls import call
from pyrepl3.errors import AlreadyAnswered, SessionLost
from pyrepl3.events import Display, Event, InputRequested, Output

OnInput = Callable[[str], "str | Awaitable[str | None] | None"]
OnOutput = Callable[[Output], object]
OnDisplay = Callable[[Display], object]


@attrs.frozen
class Handlers:
    """All three, each plain or async, or None."""

    on_input: OnInput | None
    on_output: OnOutput | None
    on_display: OnDisplay | None

    @property
    def there_are(self) -> bool:
        """Whether anything is handled at all."""
        return (self.on_input, self.on_output, self.on_display) != (None, None, None)

    async def react(self, event: Event) -> None:
        """Call whoever wants it. Raises what that raises."""
        if isinstance(event, Output) and self.on_output is not None:
            await call(self.on_output, event)
        elif isinstance(event, Display) and self.on_display is not None:
            await call(self.on_display, event)
        elif isinstance(event, InputRequested) and self.on_input is not None:
            try:
                line = await call(self.on_input, event.prompt)
            except EOFError:
                line = None
            try:
                await event.respond(line)
            except (AlreadyAnswered, SessionLost):
                # Another client was quicker, or it has ended: what follows tells.
                return
