"""AT Protocol records for Bluesky. Pure functions (https://atproto.com/specs/record-key)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from bridge.syndication.compose.images import Photo
from bridge.syndication.compose.text import Facet

POST = "app.bsky.feed.post"
LIKE = "app.bsky.feed.like"
REPOST = "app.bsky.feed.repost"
#: Accepted by the newest lexicon and by present servers (app.bsky.embed.images).
IMAGE_BYTES = 1_000_000
IMAGE_SIDE = 2_000
_TID = "234567abcdefghijklmnopqrstuvwxyz"


class Ref(Struct, frozen=True):
    """A reference to a version of a record (com.atproto.repo.strongRef)."""

    uri: str
    cid: str

    def as_json(self) -> dict[str, str]:
        """The reference as JSON."""
        return {"uri": self.uri, "cid": self.cid}


def post_at(url: str) -> tuple[str, str] | None:
    """The account (handle or DID) and record key in the URL of a Bluesky post, or ``None``."""
    if match := re.fullmatch(rf"at://([^/]+)/{re.escape(POST)}/([\w.~:-]+)", url):
        return match[1], match[2]
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    match = re.fullmatch(r"/profile/([^/]+)/post/([\w.~:-]+)/?", parts.path)
    return (match[1], match[2]) if match and parts.scheme in {"http", "https"} else None


def page_of(did: str, rkey: str) -> str:
    """The URL of a post's page; with the DID, since handles change."""
    return f"https://bsky.app/profile/{did}/post/{rkey}"


def tid(when: datetime, *parts: str) -> str:
    """A record key derived from a time and these texts (atproto.com/specs/tid).

    Posts are dated to the second; the lower bits come from a hash of the texts, so that two posts
    of one second have different keys.
    """
    seed = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")
    seconds = max(0, int(when.timestamp()))
    micros = seconds * 1_000_000 + (seed >> 10) % 1_000_000
    number = (micros & (1 << 53) - 1) << 10 | seed & 1023
    return "".join(_TID[number >> shift & 31] for shift in range(60, -1, -5))


def created_at(published: datetime, now: datetime) -> str:
    """The ``createdAt`` of a copy: the post's date if that is within a day, else now, since
    feeds are sorted by it.
    """
    own = abs((now - published).total_seconds()) < 86_400 and published <= now
    when = (published if own else now).astimezone(UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def post_record(
    text: str,
    facets: Iterable[Facet],
    *,
    created: str,
    language: str = "",
    embed: Mapping[str, Any] | None = None,
    reply: tuple[Ref, Ref] | None = None,
) -> dict[str, Any]:
    """An ``app.bsky.feed.post`` record; ``reply`` are references to the parent and the root
    post.
    """
    record: dict[str, Any] = {"$type": POST, "text": text, "createdAt": created}
    if found := [each.as_json() for each in facets]:
        record["facets"] = found
    if language:
        record["langs"] = [language]
    if embed:
        record["embed"] = dict(embed)
    if reply is not None:
        record["reply"] = {"root": reply[1].as_json(), "parent": reply[0].as_json()}
    return record


def images_embed(images: Iterable[tuple[Mapping[str, Any], str, Photo]]) -> dict[str, Any]:
    """``app.bsky.embed.images`` from blobs, alt texts and the photos (for their sizes)."""
    return {
        "$type": "app.bsky.embed.images",
        "images": [
            {
                "image": dict(blob),
                "alt": alt,
                "aspectRatio": {"width": photo.width, "height": photo.height},
            }
            for blob, alt, photo in images
        ],
    }


def card_embed(
    url: str, title: str, description: str, thumb: Mapping[str, Any] | None
) -> dict[str, Any]:
    """``app.bsky.embed.external``: a link card, which no server makes by itself."""
    external: dict[str, Any] = {"uri": url, "title": title, "description": description}
    if thumb is not None:
        external["thumb"] = dict(thumb)
    return {"$type": "app.bsky.embed.external", "external": external}
