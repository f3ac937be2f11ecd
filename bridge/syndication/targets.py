"""Which targets a new post is copied to where its author selects none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from bridge.micropub.post import Post, discover
from bridge.settings import Target
from bridge.syndication.bluesky.records import post_at
from bridge.syndication.compose.composer import source_of
from bridge.syndication.compose.post_page import PostPage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANSWERS = frozenset({"reply", "like", "repost", "rsvp"})
#: URLs of statuses at ActivityPub servers: Mastodon, Pleroma, Misskey and others.
_STATUS = re.compile(
    r"^https?://[^/]+/(?:@[\w.@-]+/(?:statuses/)?\w+|users/[\w.-]+/statuses/\w+|notice/\w+"
    r"|objects/[\w-]+|notes/\w+|p/[\w.-]+/\d+)/?$"
)


def default_targets(targets: Iterable[Target], post: Post) -> tuple[str, ...]:
    """The uids of the targets selected for a new post without ``mp-syndicate-to``.

    A response is copied only to the network of what it responds to, and an unlisted post not to
    targets with public visibility.
    """
    kind = discover(post)
    about = source_of(post, PostPage(), "", _EPOCH).about
    unlisted = str(post.first("visibility") or "").strip().lower() == "unlisted"
    chosen = []
    for target in targets:
        if not target.default or (unlisted and target.type == "bluesky"):
            continue
        if kind in _ANSWERS and not any(_is_in_network(target, url) for url in about):
            continue
        chosen.append(target.uid)
    return tuple(chosen)


def _is_in_network(target: Target, url: str) -> bool:
    """Whether ``url`` looks like a post in the target's network."""
    if target.type == "bluesky":
        return post_at(url) is not None
    return target.type == "mastodon" and post_at(url) is None and bool(_STATUS.search(url))
