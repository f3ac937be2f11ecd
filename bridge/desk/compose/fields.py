"""The form field of each property of a post: one table, for every post type.

Which properties a kind has is :data:`bridge.micropub.post.POST_TYPES`, as ``q=config`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from bridge.micropub.post import POST_TYPES, PostType

#: The input for a value: one line, an address, a text, a time, a place, files, one of several
#: words, tags, or one value per line.
Widget: TypeAlias = Literal[
    "line", "url", "text", "moment", "place", "files", "choice", "tags", "lines"
]


class FormField(Struct, frozen=True):
    """One property in a form. ``accept`` is the type of its files, ``add`` the label
    of the input for more of them.
    """

    name: str
    label: str
    widget: Widget
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    accept: str = ""
    add: str = ""


RSVPS = (("yes", "Yes"), ("no", "No"), ("maybe", "Perhaps"), ("interested", "Interested"))
_READ = (("to-read", "To read"), ("reading", "Reading"), ("finished", "Finished"))
_STARS = (("5", "5 of 5"), ("4", "4 of 5"), ("3", "3 of 5"), ("2", "2 of 5"), ("1", "1 of 5"))
_WORK = "A title, or the address of a page about it."

FIELDS: dict[str, FormField] = {
    field.name: field
    for field in (
        FormField("in-reply-to", "In reply to", "url", "The address of the page that you answer."),
        FormField("like-of", "Page that you like", "url"),
        FormField("repost-of", "Page to repost", "url"),
        FormField("bookmark-of", "Page to bookmark", "url"),
        FormField("rsvp", "Will you come?", "choice", choices=RSVPS),
        FormField("read-of", "What you read", "line", _WORK),
        FormField("read-status", "How far?", "choice", choices=_READ),
        FormField("watch-of", "What you watched", "line", _WORK),
        FormField("listen-of", "What you listened to", "line", _WORK),
        FormField("play-of", "What you played", "line", _WORK),
        FormField("jam-of", "The song", "line", _WORK),
        FormField("ate", "What you ate", "line"),
        FormField("drank", "What you drank", "line"),
        FormField("item", "What you review", "line", "Its name."),
        FormField("rating", "Rating", "choice", choices=_STARS),
        FormField("name", "Title", "line"),
        FormField("start", "Begins", "moment"),
        FormField("end", "Ends", "moment"),
        FormField("checkin", "Where you are", "place"),
        FormField("ingredient", "Ingredients", "lines", "One on each line."),
        FormField("instructions", "Instructions", "text"),
        FormField("yield", "How many it serves", "line"),
        FormField("duration", "How long it takes", "line"),
        FormField("nutrition", "Nutrition", "line"),
        FormField("content", "Text", "text"),
        FormField("photo", "Photos", "files", accept="image/*", add="Add photos"),
        FormField("video", "Videos", "files", accept="video/*", add="Add videos"),
        FormField("audio", "Sound", "files", accept="audio/*", add="Add sound"),
        FormField("category", "Tags", "tags", "Separate tags with commas."),
        FormField("summary", "Summary", "line", "For lists and feeds."),
        FormField("location", "Place", "place"),
        FormField(
            "visibility",
            "Who finds it",
            "choice",
            choices=(("public", "Everyone"), ("unlisted", "Only people who have its address")),
        ),
        FormField("published", "Date", "moment"),
        FormField(
            "lang", "Language", "line", "A code such as de or pt-BR, if it is not your site’s."
        ),
    )
}

#: Fields that are rarely needed are behind "More".
MORE = ("summary", "location", "visibility", "published", "lang")
#: Fields of every kind that apps are not offered: Pelican has a word for it, Micropub has none.
_OURS = frozenset({"lang"})
#: The value that the pressed button sets.
_BY_BUTTON = frozenset({"post-status"})

KINDS: dict[str, PostType] = {each.type: each for each in POST_TYPES}
#: The kinds with a button of their own; the others are behind "Other kinds".
COMMON = tuple(
    KINDS[name]
    for name in (
        *("note", "article", "photo", "reply", "like"),
        *("repost", "bookmark", "rsvp", "event", "checkin"),
    )
)


def kind_named(name: str) -> PostType:
    """The post type of a name; ``note`` for an unknown one."""
    return KINDS.get(name, KINDS["note"])


def fields_of(kind: PostType, also: Iterable[str] = ()) -> list[FormField]:
    """The fields of a kind in the order of a form, and those of further properties that a post has.

    Required fields come first, except for text and files.
    """
    names = {*kind.properties, *_OURS, *also} - _BY_BUTTON
    return [field for name, field in FIELDS.items() if name in names]
