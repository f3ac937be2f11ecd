"""Commit messages and their trailers: the audit trail (which client, which action, which post)."""

from __future__ import annotations

import re
import unicodedata

_SUBJECT_LENGTH = 72
_ACTION = "Micropub-Action"
_ONCE = "Micropub-Once"
_URL = "Post-URL"


def commit_message(
    action: str, subject: str, *, url: str, client_id: str | None, once: str = ""
) -> str:
    """A subject line and trailers.

    ``subject`` is any text, cut to a line. ``once`` names the request, so that it is known should
    it come again. A client chooses its own ``client_id``: it must not be
    able to begin a trailer of its own.
    """
    trailers = {
        _ACTION: action,
        "Micropub-Client": client_id or "unknown",
        _URL: url,
        **({_ONCE: once} if once else {}),
    }
    lines = (f"{name}: {_line(value)}" for name, value in trailers.items())
    return "\n".join([shorten(_line(subject), _SUBJECT_LENGTH), "", *lines, ""])


def is_ours(message: str) -> bool:
    """Whether a commit was made by a bridge."""
    return f"\n{_ACTION}: " in message


def once_of(message: str) -> tuple[str, str] | None:
    """The name of the request that a commit came of, and the post's URL; ``None`` without one."""
    # The subject is made of the post's own words.
    trailers = message.partition("\n\n")[2]
    found = {
        name: re.findall(rf"^{name}: (\S+)$", trailers, re.MULTILINE) for name in (_ONCE, _URL)
    }
    return (found[_ONCE][-1], found[_URL][-1]) if found[_ONCE] and found[_URL] else None


def _line(text: str) -> str:
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    return re.sub(r" +", " ", visible).strip()


def shorten(text: str, length: int) -> str:
    """At most ``length`` characters; an ellipsis at a word's end where something is cut."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    return (head.rsplit(" ", 1)[0] if " " in head[length // 2 :] else head) + "…"
