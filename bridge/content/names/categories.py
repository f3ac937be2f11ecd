"""The Pelican category of a post: a channel that the client names, or one for its kind."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.content.names.titles import label
from bridge.content.site_view import SiteView
from bridge.errors import InvalidRequest
from bridge.micropub.post import Post, Properties
from bridge.micropub.post_type import discover


def category_for(
    post: Post, commands: Properties, categories: Mapping[str, str], site: SiteView
) -> str:
    """The name of the post's Pelican category.

    ``categories`` maps post types to names. ``mp-channel`` goes before the kind of post. Raises
    :class:`InvalidRequest` for a channel whose name leaves nothing to make an address of.
    """
    channel = next((c for c in commands.get("channel", ()) if isinstance(c, str) and c.strip()), "")
    if channel:
        name = label(channel)
        if not site.can_be_category(name):
            raise InvalidRequest(f"The channel {channel[:60]!r} cannot be a category of this site.")
        return name
    kind = discover(post)
    return categories.get(kind) or categories["note"]
