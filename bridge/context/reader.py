"""Parses a page for a reply context in a subprocess."""

from __future__ import annotations

from email.message import Message
from typing import Any

from bridge.net.fetch import Fetched
from bridge.net.link_rels import charset_of
from bridge.net.sandboxed_parse import parse_in_subprocess

#: Not imported here: HTML parsers need a third as much memory as the rest of the bridge.
_CITE = "bridge.context.cite:cite"
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_SECONDS = 40.0


async def read_cite(page: Fetched) -> dict[str, Any] | None:
    """The h-cite of a page, or ``None`` if it is not HTML or has nothing to cite."""
    kind = Message()
    kind["Content-Type"] = page.headers.get("Content-Type", "")
    if kind.get_content_type() not in _HTML:
        return None
    charset = charset_of(kind.get_content_charset())
    cite: dict[str, Any] | None = await parse_in_subprocess(
        _CITE, page.url, charset, page=page.body, seconds=_SECONDS
    )
    return cite
