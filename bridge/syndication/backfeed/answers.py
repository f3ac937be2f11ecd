"""Parses responses to a copy: those that are public, and whose authors have not opted out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.syndication.backfeed.opt_outs import may_be_shown, may_show
from bridge.syndication.bluesky.records import page_of, post_at
from bridge.syndication.mastodon.client import moment, plain

_DEEPEST = 60
#: Of a longer text, or one of more tags than people write, no more is made than a few lines.
_LONGEST = 50_000
_TAGS = 300


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. ``kind`` is a ``wm-property``, ``own``: the owner has written it there."""

    kind: str
    url: str
    author: str
    author_url: str
    photo: str = ""
    text: str = ""
    published: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class CopyAnswers:
    """Everything that a copy has been answered. ``counts`` by ``wm-property``; ``seen`` tells, if
    it is asked for again, whether there is something new."""

    responses: tuple[Response, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    seen: str = ""


def from_statuses(
    statuses: Iterable[Mapping[str, Any]], owner: str, *, kind: str = "in-reply-to"
) -> Iterator[Response]:
    """Replies at Mastodon. What is not public is left out here, whatever the server shows."""
    for status in statuses:
        account = status.get("account")
        if status.get("visibility") != "public" or not isinstance(account, dict):
            continue
        url = status.get("url") or status.get("uri")
        is_own = str(account.get("id", "")) == owner
        if not isinstance(url, str) or not (is_own or may_show(account)):
            continue
        content = "\n".join(
            filter(None, [str(status.get("spoiler_text") or ""), _words(status, url)])
        )
        when = moment(status.get("created_at"))
        yield Response(
            kind,
            url,
            _name(account),
            str(account.get("url") or ""),
            photo=str(account.get("avatar_static") or account.get("avatar") or ""),
            text=content,
            published=when.isoformat() if when else "",
            own=is_own,
        )


def from_people(
    accounts: Iterable[Mapping[str, Any]], copy: str, kind: str, word: str
) -> Iterator[Response]:
    """Likes and reposts at Mastodon: each is known by its author."""
    for account in accounts:
        if may_show(account) and account.get("id"):
            yield Response(
                kind,
                f"{copy}#{word}-by-{account['id']}",
                _name(account),
                str(account.get("url") or ""),
                photo=str(account.get("avatar_static") or account.get("avatar") or ""),
            )


def _words(status: Mapping[str, Any], url: str) -> str:
    """The text, without the accounts that it begins with: whom it answers."""
    content = str(status.get("content") or "")[:_LONGEST]
    # A parser makes millions of elements of some kilobytes that are written for it.
    if content.count("<") > _TAGS:
        text = plain(content)
    else:
        # Its libraries are loaded when there is an answer to read: no start waits for them.
        from bridge.syndication.compose.page import read_html  # noqa: PLC0415

        text = read_html(content, url)[0].text
    return re.sub(r"^(?:@[\w.-]+(?:@[\w.-]+)?[ \n]+)+", "", text) or text


def _name(account: Mapping[str, Any]) -> str:
    return str(account.get("display_name") or account.get("acct") or account.get("username") or "")


def from_thread(thread: object, owner: str, hidden: frozenset[str]) -> Iterator[Response]:
    """Replies at Bluesky, below the post itself; ``hidden`` are the DIDs of those who mind."""
    stack = [(thread, 0)]
    while stack:
        node, depth = stack.pop()
        if not isinstance(node, dict) or depth > _DEEPEST:
            continue
        replies = node.get("replies")
        stack += [(each, depth + 1) for each in (replies if isinstance(replies, list) else [])]
        post = node.get("post")
        # What is gone or blocked has no post.
        if depth and isinstance(post, dict):
            yield from from_posts([post], owner, hidden)


def from_posts(
    posts: Iterable[Mapping[str, Any]],
    owner: str,
    hidden: frozenset[str],
    kind: str = "in-reply-to",
) -> Iterator[Response]:
    """Posts at Bluesky that answer, or quote."""
    for post in posts:
        author, record = post.get("author"), post.get("record")
        named = post_at(str(post.get("uri", "")))
        if named is None or not isinstance(author, dict) or not isinstance(record, dict):
            continue
        did = str(author.get("did", ""))
        if did in hidden or (did != owner and not may_be_shown(author)):
            continue
        when = moment(record.get("createdAt"))
        who = did if did == owner else _known_as(author)
        yield Response(
            kind,
            page_of(who, named[1]),
            str(author.get("displayName") or author.get("handle") or did),
            f"https://bsky.app/profile/{who}",
            photo=str(author.get("avatar") or ""),
            text=str(record.get("text") or ""),
            published=when.isoformat() if when else "",
            own=did == owner,
        )


def from_actors(
    actors: Iterable[Mapping[str, Any]], copy: str, kind: str, word: str, hidden: frozenset[str]
) -> Iterator[Response]:
    """Likes and reposts at Bluesky."""
    for actor in actors:
        did = str(actor.get("did", ""))
        if did and did not in hidden and may_be_shown(actor):
            yield Response(
                kind,
                f"{copy}#{word}-by-{did}",
                str(actor.get("displayName") or actor.get("handle") or did),
                f"https://bsky.app/profile/{_known_as(actor)}",
                photo=str(actor.get("avatar") or ""),
            )


def _known_as(actor: Mapping[str, Any]) -> str:
    """The handle, as in addresses that people and Bridgy use, so that what comes both ways is one;
    the DID of who has none."""
    handle = str(actor.get("handle") or "")
    return handle if "." in handle and handle != "handle.invalid" else str(actor.get("did", ""))


def dids_in(thread: object) -> set[str]:
    """Everybody who has written in a thread."""
    found, stack = set[str](), [thread]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            post = node.get("post")
            author = post.get("author") if isinstance(post, dict) else None
            if isinstance(author, dict) and isinstance(author.get("did"), str):
                found.add(author["did"])
            replies = node.get("replies")
            stack += replies if isinstance(replies, list) else []
    return found
