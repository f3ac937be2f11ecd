"""Parses responses to a copy. Only public ones whose authors have not opted out are returned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from bridge.syndication.backfeed.opt_outs import allows_at_bluesky, allows_at_mastodon
from bridge.syndication.bluesky.records import page_of, post_at
from bridge.syndication.mastodon.client import moment, plain

_DEEPEST = 60
#: Longer texts, or ones with more tags, are reduced to their first lines without parsing.
_LONGEST = 50_000
_TAGS = 300


class Response(Struct, frozen=True):
    """One response. ``kind`` is a ``wm-property``; ``own``: it is by the owner's account."""

    kind: str
    url: str
    author: str
    author_url: str
    photo: str = ""
    text: str = ""
    published: str = ""
    own: bool = False


class CopyAnswers(Struct, frozen=True):
    """All responses to a copy.

    ``counts`` is by ``wm-property``; ``seen`` is a marker to pass to the next search, to find out
    cheaply whether there is anything new. ``is_missing``: the network answers as it should, and
    says that there is no such copy.
    """

    responses: tuple[Response, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    seen: str = ""
    is_missing: bool = False


def from_statuses(
    statuses: Iterable[Mapping[str, Any]], owner: str, *, kind: str = "in-reply-to"
) -> Iterator[Response]:
    """Replies at Mastodon. Private ones are skipped even if the server returns them."""
    for status in statuses:
        account = status.get("account")
        if status.get("visibility") != "public" or not isinstance(account, dict):
            continue
        url = status.get("url") or status.get("uri")
        is_own = str(account.get("id", "")) == owner
        if not isinstance(url, str) or not (is_own or allows_at_mastodon(account)):
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
    """Likes and reposts at Mastodon, which are identified by their authors."""
    for account in accounts:
        if allows_at_mastodon(account) and account.get("id"):
            yield Response(
                kind,
                f"{copy}#{word}-by-{account['id']}",
                _name(account),
                str(account.get("url") or ""),
                photo=str(account.get("avatar_static") or account.get("avatar") or ""),
            )


def _words(status: Mapping[str, Any], url: str) -> str:
    """The text of a status without the mentions at its start, which name whom it replies to."""
    content = str(status.get("content") or "")[:_LONGEST]
    # An HTML parser would use several kilobytes of memory per tag.
    if content.count("<") > _TAGS:
        text = plain(content)
    else:
        # The HTML libraries are imported only when there is a response to parse.
        from bridge.syndication.compose.page import read_html  # noqa: PLC0415

        text = read_html(content, url)[0].text
    return re.sub(r"^(?:@[\w.-]+(?:@[\w.-]+)?[ \n]+)+", "", text) or text


def _name(account: Mapping[str, Any]) -> str:
    return str(account.get("display_name") or account.get("acct") or account.get("username") or "")


def from_thread(thread: object, owner: str, hidden: frozenset[str]) -> Iterator[Response]:
    """Replies at Bluesky, without the post itself. ``hidden`` are the DIDs of authors who
    opted out.
    """
    stack = [(thread, 0)]
    while stack:
        node, depth = stack.pop()
        if not isinstance(node, dict) or depth > _DEEPEST:
            continue
        replies = node.get("replies")
        stack += [(each, depth + 1) for each in (replies if isinstance(replies, list) else [])]
        post = node.get("post")
        # A deleted or blocked post has no ``post`` key.
        if depth and isinstance(post, dict):
            yield from from_posts([post], owner, hidden)


def from_posts(
    posts: Iterable[Mapping[str, Any]],
    owner: str,
    hidden: frozenset[str],
    kind: str = "in-reply-to",
) -> Iterator[Response]:
    """Posts at Bluesky that reply or quote."""
    for post in posts:
        author, record = post.get("author"), post.get("record")
        named = post_at(str(post.get("uri", "")))
        if named is None or not isinstance(author, dict) or not isinstance(record, dict):
            continue
        did = str(author.get("did", ""))
        if did in hidden or (did != owner and not allows_at_bluesky(author)):
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
        if did and did not in hidden and allows_at_bluesky(actor):
            yield Response(
                kind,
                f"{copy}#{word}-by-{did}",
                str(actor.get("displayName") or actor.get("handle") or did),
                f"https://bsky.app/profile/{_known_as(actor)}",
                photo=str(actor.get("avatar") or ""),
            )


def _known_as(actor: Mapping[str, Any]) -> str:
    """The author's handle, as in the URLs that Bridgy uses, so that a response received from
    both is stored once; the DID where there is no valid handle.
    """
    handle = str(actor.get("handle") or "")
    return handle if "." in handle and handle != "handle.invalid" else str(actor.get("did", ""))


def dids_in(thread: object) -> set[str]:
    """The DIDs of all authors in a thread."""
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
