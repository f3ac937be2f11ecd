"""Imports mentions from an export of webmention.io or from another bridge's files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict

from bridge.errors import InvalidRequest
from bridge.webmention.incoming.inbox import Record
from bridge.webmention.mention import KINDS, Mention, line, paragraphs, web_url

_MOST = 100_000
#: Activity names of webmention.io's older API (``links``), with the ``wm-property`` for each.
_ACTIVITIES = {
    "reply": "in-reply-to",
    "like": "like-of",
    "repost": "repost-of",
    "bookmark": "bookmark-of",
    "rsvp": "rsvp",
    "link": "mention-of",
}


def records_of(data: bytes) -> Iterator[Record]:
    """The mentions in an export, as records in the state ``approved``.

    Accepts webmention.io's ``mentions.jf2`` (a feed with ``children``) and ``mentions.json`` (an
    object with ``links``), a list of JF2 entries, or a single entry; raises :class:`InvalidRequest`
    for anything else. Skips entries without a usable source and target.
    """
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The file is not JSON: {error}.") from error
    every = parsed
    if isinstance(parsed, dict):
        every = parsed.get("children", parsed.get("links", [parsed]))
    if not isinstance(every, list) or not all(isinstance(each, dict) for each in every):
        raise InvalidRequest("The file is neither a JF2 feed nor a list of JF2 entries.")
    for entry in every[:_MOST]:
        record = _record(entry if "wm-target" in entry else _of_links(entry))
        if record is not None:
            yield record


def _of_links(link: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an entry of webmention.io's older API to JF2."""
    data, activity = _table(link.get("data")), _table(link.get("activity"))
    return {
        "url": data.get("url") or link.get("source"),
        "published": data.get("published"),
        "author": data.get("author"),
        "name": data.get("name"),
        "content": {"html": "", "text": data.get("content")},
        "wm-property": _ACTIVITIES.get(str(activity.get("type")), "mention-of"),
        "wm-source": link.get("source"),
        "wm-target": link.get("target"),
        "wm-received": link.get("verified_date"),
    }


def _record(entry: Mapping[str, Any]) -> Record | None:
    source, target = web_url(entry.get("wm-source")), web_url(entry.get("wm-target"))
    if not source or not target or entry.get("wm-private"):
        return None
    kind = str(entry.get("wm-property"))
    kind = kind if kind in KINDS else "mention-of"
    url, card = web_url(entry.get("url")) or source, _table(entry.get("author"))
    jf2: dict[str, Any] = {
        "type": "entry",
        "url": url,
        "author": _author(card, url),
        "wm-property": kind,
        "wm-source": source,
        "wm-target": target,
        "wm-via": "import",
        "wm-children": [],
        ("in-reply-to" if kind == "rsvp" else kind): target,
        **_contents(entry, kind),
    }
    mention = Mention(kind, url, jf2, web_url(card.get("photo")), vouched=True)
    received = _moment(entry.get("wm-received")) or datetime.now(UTC)
    if received.tzinfo is None:
        received = received.replace(tzinfo=UTC)
    seconds = received.timestamp()
    return Record(
        source=source, target=target, received=seconds, changed=seconds, state="approved",
        mention=asdict(mention),
    )  # fmt: skip


def _author(card: Mapping[str, Any], url: str) -> dict[str, str]:
    """The h-card of the author of the response at ``url``."""
    author = {"type": "card", "name": line(str(card.get("name") or ""), 100) or _host(url)}
    if address := web_url(card.get("url")):
        author["url"] = address
    return author


def _contents(entry: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The properties of a response that are stored beside its author and URLs."""
    found: dict[str, Any] = {}
    content = entry.get("content")
    text = content.get("text") if isinstance(content, dict) else content
    if isinstance(text, str) and kind not in {"like-of", "repost-of"} and paragraphs(text):
        found["content"] = {"text": paragraphs(text)}
    if isinstance(name := entry.get("name"), str) and kind == "mention-of" and name.strip():
        found["name"] = line(name, 100)
    if kind == "rsvp":
        found["rsvp"] = line(str(entry.get("rsvp") or "yes"), 20)
    if published := _moment(entry.get("published")):
        found["published"] = published.isoformat()
    return found


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if 1 < moment.year < 9999 else None


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]
