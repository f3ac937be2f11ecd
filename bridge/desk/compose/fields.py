"""The form field of each property of a post: one table, for every post type.

Which properties a kind has is :data:`bridge.micropub.post.POST_TYPES`, as apps are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bridge.micropub.post import POST_TYPES, PostType

#: How a value is typed: one line, an address, a text, a moment, a place, files, one of several
#: words, tags, or one value a line.
Widget: TypeAlias = Literal[
    "line", "url", "text", "moment", "place", "files", "choice", "tags", "lines"
]


@dataclass(frozen=True, slots=True)
class Field:
    """One property in a form. ``accept`` is the type of its files."""

    name: str
    label: str
    widget: Widget
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    accept: str = ""


_RSVP = (("yes", "Yes"), ("no", "No"), ("maybe", "Perhaps"), ("interested", "Interested"))
_READ = (("to-read", "To read"), ("reading", "Reading"), ("finished", "Finished"))
_STARS = tuple((str(stars), f"{stars} of 5") for stars in range(5, 0, -1))
_WORK = "A title, or the address of a page about it."

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("in-reply-to", "In reply to", "url", "The address of the page that you answer."),
        Field("like-of", "Page that you like", "url"),
        Field("repost-of", "Page to repost", "url"),
        Field("bookmark-of", "Page to bookmark", "url"),
        Field("rsvp", "Will you come?", "choice", choices=_RSVP),
        Field("read-of", "What you read", "line", _WORK),
        Field("read-status", "How far?", "choice", choices=_READ),
        Field("watch-of", "What you watched", "line", _WORK),
        Field("listen-of", "What you listened to", "line", _WORK),
        Field("play-of", "What you played", "line", _WORK),
        Field("jam-of", "The song", "line", _WORK),
        Field("ate", "What you ate", "line"),
        Field("drank", "What you drank", "line"),
        Field("item", "What you review", "line", "Its name."),
        Field("rating", "Rating", "choice", choices=_STARS),
        Field("name", "Title", "line"),
        Field("start", "Begins", "moment"),
        Field("end", "Ends", "moment"),
        Field("checkin", "Where you are", "place"),
        Field("ingredient", "Ingredients", "lines", "One on each line."),
        Field("instructions", "Instructions", "text"),
        Field("yield", "How many it serves", "line"),
        Field("duration", "How long it takes", "line"),
        Field("nutrition", "Nutrition", "line"),
        Field("content", "Text", "text"),
        Field("photo", "Photos", "files", accept="image/*"),
        Field("video", "Videos", "files", accept="video/*"),
        Field("audio", "Sound", "files", accept="audio/*"),
        Field("category", "Tags", "tags", "Separate tags with commas."),
        Field("summary", "Summary", "line", "For lists and feeds."),
        Field("location", "Place", "place"),
        Field(
            "visibility",
            "Who finds it",
            "choice",
            choices=(("public", "Everyone"), ("unlisted", "Only people who have its address")),
        ),
        Field("published", "Date", "moment"),
        Field("lang", "Language", "line", "A code such as de or pt-BR, if it is not your site’s."),
    )
}

#: Fields that are rarely needed are behind "More".
MORE = ("summary", "location", "visibility", "published", "lang")
#: Fields of every kind that apps are not told of: Micropub has no word for it, Pelican has.
_OURS = frozenset({"lang"})
#: Which button is pressed says it.
_BY_BUTTON = frozenset({"post-status"})

KINDS: dict[str, PostType] = {each.type: each for each in POST_TYPES}
#: The kinds that are a press away; the others stand behind "Other kinds".
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


def fields_of(kind: PostType, also: Iterable[str] = ()) -> list[Field]:
    """The fields of a kind in the order of a form, and those of further properties that a post has.

    What a kind cannot do without comes first, apart from its text and files.
    """
    wanted = {*kind.properties, *_OURS, *also} - _BY_BUTTON
    return [field for name, field in FIELDS.items() if name in wanted]
