"""When a post is due: reads the few header lines that say so, tolerantly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime

_HEADER_LIMIT = 64_000


def due(path: str, data: bytes) -> datetime | None:
    """The time before which a post must not be built, ``None`` for any time.

    Only posts that the bridge made wait (they have an ``Mf2:`` line): a post by hand is built as
    Pelican's own settings say. Drafts are built at once, since no one is led to them.
    """
    if not path.endswith(".md") or b"mf2:" not in data[:_HEADER_LIMIT].lower():
        return None
    headers = dict(_headers(data[:_HEADER_LIMIT]))
    if "mf2" not in headers or headers.get("status", "").lower() == "draft":
        return None
    try:
        moment = datetime.fromisoformat(headers.get("date", ""))
    except ValueError:
        return None
    # A date without offset is in the time of this machine: its owner wrote it by hand.
    return moment.astimezone() if moment.tzinfo is None else moment


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """``key: value`` lines up to the first blank one; of a repeated key the last is the first."""
    lines = data.decode("utf-8-sig", errors="replace").splitlines()
    block = itertools.takewhile(str.strip, lines)
    for line in reversed(list(block)):
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip().lower(), value.strip()
