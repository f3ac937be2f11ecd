"""What ``git log`` says of each request: the audit trail (who asked, what for, which post)."""

from __future__ import annotations

import re
import unicodedata

_SUBJECT_LENGTH = 72
_ACTION = "Micropub-Action"


def commit_message(action: str, subject: str, *, url: str, client_id: str | None) -> str:
    """A subject line and trailers.

    ``subject`` is any text, cut to a line. A client chooses its own ``client_id``: it must not be
    able to begin a trailer of its own.
    """
    trailers = {
        _ACTION: action,
        "Micropub-Client": client_id or "unknown",
        "Post-URL": url,
    }
    lines = (f"{name}: {_line(value)}" for name, value in trailers.items())
    return "\n".join([shorten(_line(subject), _SUBJECT_LENGTH), "", *lines, ""])


def is_ours(message: str) -> bool:
    """Whether a commit was made by a bridge."""
    return f"\n{_ACTION}: " in message


def _line(text: str) -> str:
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    return re.sub(r" +", " ", visible).strip()


def shorten(text: str, length: int) -> str:
    """At most ``length`` characters; an ellipsis at a word's end where something is cut."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    return (head.rsplit(" ", 1)[0] if " " in head[length // 2 :] else head) + "…"
