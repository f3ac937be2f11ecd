"""Post types and post type discovery (indieweb.org/post-type-discovery).

The same tables as in ``bridge.micropub.post``, which the plugin cannot import; a test compares
them.
"""

from __future__ import annotations

#: Properties that need a URL, or a cited thing of which something is known, to count, with the
#: type that each makes, in order of precedence.
BY_URL = {
    "repost-of": "repost",
    "like-of": "like",
    "in-reply-to": "reply",
    "bookmark-of": "bookmark",
    "read-of": "read",
    "listen-of": "listen",
    "watch-of": "watch",
}
#: Properties by which a cited thing without a URL is known.
THING = ("name", "author", "uid", "content", "summary")
#: Properties that count with any value, in order of precedence.
BY_PRESENCE = {
    "read-of": "read",
    "listen-of": "listen",
    "watch-of": "watch",
    "checkin": "checkin",
    "video": "video",
    "audio": "audio",
    "photo": "photo",
    "rating": "review",
    "play-of": "play",
    "jam-of": "jam",
    "ate": "eat",
    "drank": "drink",
}
#: Root classes that determine the type.
ROOTS = {
    **{"h-event": "event", "h-review": "review", "h-recipe": "recipe", "h-product": "product"},
    "h-resume": "resume",
}
#: Valid values of ``rsvp``.
RSVP = frozenset({"yes", "no", "maybe", "interested"})
#: All post types.
KINDS = frozenset(
    {"note", "article", "rsvp", *BY_URL.values(), *BY_PRESENCE.values(), *ROOTS.values()}
)
