"""The navigation of the owner's pages, and notices for the next page."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from msgspec import Struct, field

from bridge.runtime.expiring_map import ExpiringMap


class Section(Struct, frozen=True):
    """One entry of the navigation.

    ``name`` is what the section's templates set as ``here``, so that the entry is marked there;
    ``order`` sorts the entries: Write 10, Posts 20, Files 30, Mentions 40, Syndication 50.
    """

    name: str
    path: str
    label: str
    order: int


class Notice(Struct, frozen=True):
    """A message on the next page, once: a sentence, and perhaps a button or a link.

    ``action`` is where the button posts to, with ``fields`` and the page's own CSRF value;
    ``link`` is an address and its words.
    """

    text: str
    button: str = ""
    action: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    link: tuple[str, str] | None = None


SECTIONS = web.AppKey("sections", list[Section])
NOTICES = web.AppKey("notices", ExpiringMap[Notice])


def add_section(app: web.Application, section: Section) -> None:
    """Add an entry to the navigation of the owner's pages.

    Only what is switched on is added. Call it before the application starts.
    """
    known = app[SECTIONS]
    known.append(section)
    known.sort(key=lambda each: each.order)


def show_next(app: web.Application, session: int, notice: Notice) -> None:
    """Show a notice on the next page of this session."""
    app[NOTICES].put(str(session), notice)
