"""What Enter, Tab and Backspace do in a piece of Python.

Owns the rules of lines and indents. Must not know where the answers come from.
"""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus, has_selection
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from pyrepl3.client.editing import Completeness

INDENT = "    "


def make_key_bindings(completeness: Callable[[str], Completeness]) -> KeyBindings:
    """The bindings; ``completeness`` says whether code can run."""
    bindings = KeyBindings()
    editing = has_focus(DEFAULT_BUFFER) & ~has_selection

    @bindings.add("enter", filter=editing)
    def run_or_continue(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion:
            buffer.complete_state = None
            return
        _enter(buffer, completeness)

    @bindings.add("escape", "enter", filter=editing)
    def next_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=True)

    @bindings.add("tab", filter=editing & Condition(_in_indent))
    def indent(event: KeyPressEvent) -> None:
        column = event.current_buffer.document.cursor_position_col
        event.current_buffer.insert_text(" " * (len(INDENT) - column % len(INDENT)))

    @bindings.add("backspace", filter=editing & Condition(_in_indent))
    def dedent(event: KeyPressEvent) -> None:
        column = event.current_buffer.document.cursor_position_col
        event.current_buffer.delete_before_cursor(_dedent(column))

    return bindings


def is_request(text: str) -> bool:
    """Whether a line is one for the REPL rather than for Python (``?name``, ``name?``,
    ``%begin``)."""
    return text.lstrip().startswith(("?", "%")) or text.rstrip().endswith("?")


def _in_indent() -> bool:
    """Whether only spaces stand before the cursor; an empty line at the top has no indent."""
    document = get_app().current_buffer.document
    before = document.current_line_before_cursor
    return bool(before or document.line_count > 1) and not before.strip(" ")


def _dedent(column: int) -> int:
    """How many characters Backspace takes: back to the last stop, or a line's own beginning."""
    return (column - 1) % len(INDENT) + 1 if column else 1


def _enter(buffer: Buffer, completeness: Callable[[str], Completeness]) -> None:
    document = buffer.document
    if not document.text.strip() or is_request(document.text):
        buffer.validate_and_handle()
        return
    if not document.on_last_line:
        buffer.newline(copy_margin=True)
        return
    answer = completeness(document.text)
    if answer.status == "incomplete":
        buffer.insert_text("\n" + answer.indent)
    else:
        # A last line of spaces only ends a block: it is no part of it.
        buffer.document = Document(document.text.rstrip())
        buffer.validate_and_handle()
