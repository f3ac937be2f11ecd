"""Texts of others on the owner's terminal, and in the log.

A post, a plugin or a stranger's page may hold codes that control a terminal, or line ends that
make a line of the log look like one of the bridge's own.
"""

from __future__ import annotations

import logging
import re

#: Control characters but tab, line separators, and what changes the direction of what follows.
_CONTROL = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str, *, indent: str | None = None) -> str:
    """The text with escapes in place of control characters: ``\\x1b``.

    With ``indent`` lines stay lines; all but the first begin with it.
    """
    lines = [text] if indent is None else text.split("\n")
    escaped = (_CONTROL.sub(lambda found: repr(found[0])[1:-1], line) for line in lines)
    return f"\n{indent}".join(escaped)


class LogFormat(logging.Formatter):
    """Only the first line of a record begins like one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written."""
        return visible(super().format(record), indent="    ")
