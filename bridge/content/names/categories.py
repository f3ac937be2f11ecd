"""The Pelican category of a post: a channel that the client names, or one for its kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from bridge.content.names.labels import label
from bridge.errors import InvalidRequest
from bridge.micropub.post import Post, Properties
from bridge.micropub.post_type import discover

if TYPE_CHECKING:
    from bridge.content.rules import SiteRules

#: Post type (post type discovery) to category; ``[content.categories]`` changes single ones.
DEFAULT_CATEGORIES: Mapping[str, str] = MappingProxyType(
    {
        "note": "notes",
        "article": "articles",
        "reply": "replies",
        "like": "likes",
        "repost": "reposts",
        "bookmark": "bookmarks",
        "rsvp": "rsvps",
        "photo": "photos",
        "video": "videos",
        "audio": "audio",
        "checkin": "checkins",
        "event": "events",
        "review": "reviews",
        "read": "reads",
        "watch": "watches",
        "listen": "listens",
        "recipe": "recipes",
        "product": "products",
        "resume": "resumes",
    }
)


def category_for(post: Post, commands: Properties, rules: SiteRules) -> str:
    """The name of the post's Pelican category.

    ``mp-channel`` goes before the kind of post. Raises :class:`InvalidRequest` for a channel whose
    name leaves nothing to make an address of.
    """
    channel = next((c for c in commands.get("channel", ()) if isinstance(c, str) and c.strip()), "")
    if channel:
        name = label(channel)
        if not rules.site.can_be_category(name):
            raise InvalidRequest(f"The channel {channel[:60]!r} cannot be a category of this site.")
        return name
    kind = discover(post)
    return rules.categories.get(kind) or DEFAULT_CATEGORIES.get(kind) or rules.categories["note"]
