"""Changes to a text, recorded so that they can be undone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct, field


class TextChange(Struct, frozen=True):
    """A replacement: its position in the result, and the original text."""

    place: int
    length: int
    sent: str = ""


TextChanges: TypeAlias = tuple[TextChange, ...]


def restore(written: str, changes: Iterable[TextChange]) -> str:
    """The original text, from one with these changes."""
    parts, end = [], 0
    for change in changes:
        parts += [written[end : change.place], change.sent]
        end = change.place + change.length
    return "".join([*parts, written[end:]])


class ChangedText(Struct):
    """The text written so far, and how it differs from what was sent."""

    written: list[str] = field(default_factory=list)
    changes: list[TextChange] = field(default_factory=list)
    length: int = 0

    def keep(self, text: str) -> None:
        """Write what was sent."""
        self.written.append(text)
        self.length += len(text)

    def replace(self, sent: str, text: str) -> None:
        """Write something in place of what was sent."""
        if sent != text:
            self.changes.append(TextChange(self.length, len(text), sent))
        self.keep(text)
