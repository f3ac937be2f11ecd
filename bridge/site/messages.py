"""The messages between the bridge and the site's process: plain data only.

On the pipe each has a header (:class:`Frame`) with its length, kind and number; a question and its
answer have the same number.
"""

from __future__ import annotations

import os
import struct
from datetime import datetime
from pathlib import PurePath
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from bridge.content.rules import Rendered
from bridge.errors import (
    InsufficientStorage,
    InvalidRequest,
    SiteBroken,
    SiteLate,
    Unavailable,
)

#: A kind of list that Pelican makes of posts.
Sort: TypeAlias = Literal["category", "author", "tag"]
#: One file of one list: ``category feeds/notes.atom.xml``.
Listing: TypeAlias = str


class _Message(msgspec.Struct, frozen=True, tag=True, tag_field="message"):
    """One kind of message."""


class Start(_Message, frozen=True):
    """The first message: which site, and how the bridge uses it.

    ``settings``, ``content``, ``uploads`` and ``run_in``, the current folder, are paths in
    ``checkout``; ``content`` is ``""`` where Pelican's own ``PATH`` decides. ``template`` is
    ``[content] path``. ``is_owners``: it is the owner's clone, which must not be changed.
    ``siteurl`` stands in for an empty SITEURL. A question about a text holds up others for
    ``patience`` seconds, or ``hurried`` if some are waiting; then it goes on beside them, with at
    most ``most_slow`` like it. Where there are so many, it is refused: after ``patience`` seconds,
    or ``hurried`` if it is one of several of an app, and another app waits.
    """

    checkout: str
    settings: str
    content: str = ""
    uploads: str = ""
    template: str = ""
    siteurl: str = ""
    run_in: str = ""
    is_owners: bool = False
    patience: float = 1.5
    hurried: float = 0.25
    most_slow: int = 4


class SiteFacts(msgspec.Struct, frozen=True):
    """What the bridge has to know of the site's settings.

    ``siteurl`` has no slash at its end, ``author`` is who writes the site. ``intrasite`` is
    INTRASITE_LINK_REGEX, ``suffixes`` are those of files that a reader reads, ``fingerprint`` names
    everything that an address depends on, ``by_formatting`` says whether many posts can be
    described without reading each of them.
    ``problems`` are what Pelican logged while it loaded settings and plugins. ``values`` are some
    settings as they are, for commands that look at a site. ``missing_locales`` are named by the
    settings, and not on this machine. ``looks_at_posts``: whether settings or plugins have looked
    into the folder of posts, and may change with a new folder there. ``drafts_until_due``: Pelican
    makes drafts of posts with a date in the future (``WITH_FUTURE_DATES = False``).
    ``named_content`` is the folder that their PATH names, ``""`` where it names none, or the repo's
    root; the bridge uses ``content`` all the same.
    """

    siteurl: str
    author: str
    timezone: str
    content: str
    default_status: str
    formatted_fields: tuple[str, ...]
    intrasite: str
    output: str
    suffixes: tuple[str, ...]
    fingerprint: str
    by_formatting: bool
    problems: tuple[str, ...]
    values: dict[str, Any]
    missing_locales: tuple[str, ...] = ()
    looks_at_posts: bool = True
    drafts_until_due: bool = False
    named_content: str = ""


class Location(msgspec.Struct, frozen=True):
    """Where a post lives. ``url`` is absolute where the site knows its SITEURL.

    ``save_as`` is the path in the output folder, ``status`` Pelican's (``published``, ``draft``,
    ``hidden``), ``date`` with its zone, ``None`` for a draft without one, ``category`` the name of
    the Pelican category, which may come from the folder.
    """

    url: str
    save_as: str
    status: str
    date: datetime | None
    category: str = ""


class Listed(msgspec.Struct, frozen=True):
    """A list that a post is on, and the lists that would want the same file.

    ``numbered``: a later page of one list can be the first of another, so that it depends on how
    many posts are on each (:class:`LaterPages`).
    """

    listing: Listing
    conflicting: tuple[Listing, ...]
    numbered: bool = False


class Candidate(msgspec.Struct, frozen=True):
    """One place that a post may get. ``slug`` is ``None`` where the file has none and needs none.

    ``reserved``: the site writes another page there. ``in_yaml``: the site's reader needs the front
    matter in YAML. ``listed`` is empty for what is on no list.
    """

    slug: str | None
    path: str
    location: Location
    reserved: bool
    in_yaml: bool = False
    listed: tuple[Listed, ...] = ()


class Locate(msgspec.Struct, frozen=True):
    """Where would this file be? ``text`` is its whole text.

    ``path`` is the file's path, ``""`` for a new post, which gets one by ``[content] path``.
    ``slug_from`` are texts to make the slug of, the first that gives one; without any the file's
    own ``Slug`` counts. Candidates begin with the number ``first`` (``slug-3`` is number 3).
    """

    text: str
    path: str = ""
    slug_from: tuple[str, ...] = ()
    first: int = 1


class PostQuestions(_Message, frozen=True):
    """All questions about one post, in one message.

    ``slugs`` are texts to make slugs of, ``names`` lists that may or may not have pages of their
    own, ``texts`` bodies (with the suffix of their format) of which the site's reader makes HTML.
    """

    slugs: tuple[str, ...] = ()
    names: tuple[tuple[Sort, str], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    place: Locate | None = None


class Answer(_Message, frozen=True):
    """The answers to :class:`PostQuestions`, in its order; of ``names`` their slugs, ``""`` for
    those that cannot have pages.

    ``places`` and ``whole``, what the site makes of the whole file, answer a question with a
    ``place``.
    """

    slugs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    texts: tuple[Rendered, ...] = ()
    places: tuple[Candidate, ...] = ()
    whole: Rendered = Rendered("")


class LaterPages(_Message, frozen=True):
    """Which lists would want a page of this list, once there is one post more than ``posts``?"""

    listing: Listing
    posts: int


class ConflictingLists(_Message, frozen=True):
    """``listings`` want the same file; so does each of ``large`` with at least that many posts."""

    listings: tuple[Listing, ...] = ()
    large: tuple[tuple[Listing, int], ...] = ()


class Source(msgspec.Struct, frozen=True):
    """A file of the content folder. ``blob`` is the id of its bytes."""

    path: str
    blob: str
    data: bytes


class Describe(_Message, frozen=True):
    """What are these files? Answered by :class:`Described`."""

    files: tuple[Source, ...]


class IndexedPost(_Message, frozen=True):
    """One post, as far as queries need it.

    ``url`` is absolute, ``save_as`` the path of its page in the output. ``published`` is in seconds
    since the epoch. ``status`` is Pelican's (``published``, ``draft``, ``hidden``), ``type`` the
    discovered post type, ``channel`` Pelican's category, ``categories`` its tags, ``aliases`` the
    URLs at which it once lived, ``text`` what ``filter`` looks through, ``listings`` the lists that
    it is on and whose file another list may want. ``found`` are properties that Pelican knows and
    the file's own headers do not give: a title from the first heading, a date from the file's name.
    """

    path: str
    blob: str
    url: str
    save_as: str
    status: str
    type: str
    published: float
    channel: str
    categories: tuple[str, ...]
    aliases: tuple[str, ...]
    text: str
    listings: tuple[Listing, ...] = ()
    found: dict[str, list[str]] = {}


class ReservedPage(_Message, frozen=True):
    """A file that is not a post, whose page no post may have: ``save_as`` in the output."""

    path: str
    save_as: str


def shown_if_not_utf8(path: str) -> str:
    """How to show the path of a file that no message can carry, since its bytes are not UTF-8;
    ``""`` where one can.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode(errors="backslashreplace")
    return ""


class Unread(_Message, frozen=True):
    """A file that should be a post and of which Pelican makes none, with the reason."""

    path: str
    reason: str


class Described(_Message, frozen=True):
    """Answers :class:`Describe`, in its order; ``None`` for what is neither post nor page."""

    files: tuple[IndexedPost | ReservedPage | Unread | None, ...]


class Refusal(_Message, frozen=True):
    """No answer. ``invalid``: the question cannot be answered; ``slow``: it costs too much
    processor time; ``late``: it took too long without; ``busy``: too many such questions at once;
    ``full``: the disk is; ``broken``: the site itself cannot be read.
    """

    kind: Literal["invalid", "slow", "late", "busy", "full", "broken"]
    reason: str = ""


class Ready(_Message, frozen=True):
    """The answer to :class:`Start`. ``confined``: whether the kernel confines the process."""

    facts: SiteFacts
    confined: bool = False


class Denied(_Message, frozen=True):
    """Files outside of the site that its code has tried to read, and may not."""

    paths: tuple[str, ...]


class SiteReport(msgspec.Struct, frozen=True):
    """How the site can be read, for the owner.

    ``problem`` says why its newest settings are not in use, ``""`` if they are. ``warnings`` are
    what Pelican logged while it loaded them. ``denied`` are files that the site's code may not
    read; ``confined`` is false where nothing keeps it from that, ``None`` where it has not been
    loaded yet. ``unread`` are files of which Pelican makes no post. ``indexing``: how many files
    the index has described, while it does. ``reading``: whether the settings are being read for the
    first time, so that nothing else is known yet. ``in_submodules``: how many posts are in
    submodules, which the bridge does not change.
    """

    problem: str = ""
    confined: bool | None = None
    warnings: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()
    indexing: int | None = None
    reading: bool = False
    in_submodules: int = 0


Question: TypeAlias = PostQuestions | LaterPages | Describe
Reply: TypeAlias = Answer | ConflictingLists | Described | Refusal | Ready | Denied


def refused(
    refusal: Refusal,
) -> InvalidRequest | Unavailable | InsufficientStorage | SiteBroken:
    """The error that a client gets for a refusal."""
    match refusal.kind:
        case "invalid":
            return InvalidRequest(refusal.reason)
        case "slow":
            return InvalidRequest(
                f"This content takes the site too long to read ({refusal.reason}): split the post,"
                " or check that each bracket in it is closed."
            )
        case "late":
            return SiteLate(
                "The site's own code has not read this content in time: the machine is busy, or"
                " that code is waiting for something. Try again in a moment.",
                retry_after=10,
            )
        case "busy":
            return Unavailable(
                f"The site cannot answer just now, try again: {refusal.reason}.", retry_after=10
            )
        case "full":
            return InsufficientStorage(refusal.reason)
        case "broken":
            return SiteBroken(refusal.reason)


def invalid_answer() -> Unavailable:
    """The error that a client gets where a reply does not match its question."""
    return Unavailable("The site's own code gave an invalid answer.", retry_after=5)


def is_inside(save_as: str) -> bool:
    """Whether this is the path of a file in the output: the bridge looks for it there."""
    return not save_as.startswith("/") and "\0" not in save_as and ".." not in save_as.split("/")


def may_be_at(question: Locate, candidate: Candidate, content: str, template: str) -> bool:
    """Whether a candidate is valid for the file in the question. ``content`` is the content folder
    with a slash, ``template`` that of new paths.

    The site's code names the file that is committed and pushed: it is a post in the content
    folder, not what the host of the repo would run.
    """
    path = candidate.path
    suffix = PurePath(question.path or template).suffix
    hidden = any(name.startswith(".") for name in path.removeprefix(content).split("/"))
    is_post = path.startswith(content) and path.endswith(suffix) and not hidden
    is_as_before = bool(question.path) and path == question.path
    return (is_post or is_as_before) and is_inside(candidate.location.save_as)


_HEADER = struct.Struct("!IIBII")
#: The number of the answer to the first message, and of messages that answer no question.
UNASKED = 0
#: A question that is answered at once, one about a text, and one about many files.
QUICK, TEXT, MANY = 0, 1, 2
_LONGEST = 1 << 28


class Frame(NamedTuple):
    """One message. ``milliseconds`` is how much processor time the answer may take, ``app`` a
    number of the app that needs it; 0: none.
    """

    number: int
    kind: int
    milliseconds: int
    body: bytes
    app: int = 0

    def pack(self) -> bytes:
        """The bytes on the pipe."""
        head = len(self.body), self.number, self.kind, self.milliseconds, self.app
        return _HEADER.pack(*head) + self.body


class Frames:
    """Splits what is read from a pipe into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """The messages that are complete with these bytes. Raises ``ValueError`` for no message."""
        self._buffer += data
        found: list[Frame] = []
        while len(self._buffer) >= _HEADER.size:
            length, number, kind, milliseconds, app = _HEADER.unpack_from(self._buffer)
            if length > _LONGEST:
                raise ValueError("this is not a message")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[_HEADER.size : end])
            found.append(Frame(number, kind, milliseconds, body, app))
            del self._buffer[:end]
        return found


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a pipe that may take less than everything at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
