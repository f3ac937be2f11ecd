"""The site as ``content/`` sees it: cached answers, and guesses where none is cached.

Writing a post needs to know what the site makes of its texts and names. It is written with guesses
first (a name can have pages, a text is harmless); then everything that was guessed is asked at
once, together with the place of the file that came of it. Only where a guess was wrong the post is
written again, and asked about again: nearly every post takes one question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from bridge.content.file import PelicanFile
from bridge.content.links import IntrasiteLinks
from bridge.content.rules import Rendered
from bridge.errors import Conflict
from bridge.site.messages import Answer, Ask, Locate, SiteFacts, Sort
from bridge.site.protocol import SiteReader

_T = TypeVar("_T")
#: Each round learns something; a post has a body, and another if the first is not harmless.
_ROUNDS = 6
_HARMLESS = Rendered("")


class KnownSite:
    """A :class:`~bridge.content.rules.SiteView` that notes what it had to guess."""

    def __init__(self, facts: SiteFacts) -> None:
        self.zone = ZoneInfo(facts.timezone)
        self.author = facts.author
        self.default_status = facts.default_status
        self.formatted_fields: Set[str] = frozenset(facts.formatted_fields)
        self.links = IntrasiteLinks(facts.intrasite)
        self._slugs: dict[str, str] = {}
        self._names: dict[tuple[Sort, str], str] = {}
        self._texts: dict[tuple[str, str], Rendered] = {}
        self._guessed_slugs: dict[str, None] = {}
        self._guessed_names: dict[tuple[Sort, str], None] = {}
        self._guessed_texts: dict[tuple[str, str], None] = {}

    def slugify(self, text: str) -> str:
        """What Pelican makes of a title; guessed, the title."""
        if text not in self._slugs:
            self._guessed_slugs[text] = None
        return self._slugs.get(text, text)

    def can_be_category(self, name: str) -> bool:
        """Whether a category of this name can have pages; guessed, it can."""
        return bool(self._slug_of("category", name))

    def tag_slug(self, name: str) -> str:
        """The slug of a tag, ``""`` where it can have no pages; guessed, one of its own."""
        return self._slug_of("tag", name)

    def can_be_author(self, name: str) -> bool:
        """Whether an author of this name can have pages; guessed, they can."""
        return bool(self._slug_of("author", name))

    def render(self, text: str, suffix: str = "md") -> Rendered:
        """What the site makes of a body; guessed, nothing that could do harm."""
        if not text.strip():
            return _HARMLESS
        if (suffix, text) not in self._texts:
            self._guessed_texts[suffix, text] = None
        return self._texts.get((suffix, text), _HARMLESS)

    def questions(self) -> Ask:
        """What was guessed since the last time that something was learned."""
        return Ask(
            tuple(self._guessed_slugs), tuple(self._guessed_names), tuple(self._guessed_texts)
        )

    def learn(self, asked: Ask, answer: Answer) -> None:
        """Take in the answer to :meth:`questions`."""
        self._slugs.update(zip(asked.slugs, answer.slugs, strict=True))
        self._names.update(zip(asked.names, answer.names, strict=True))
        self._texts.update(zip(asked.texts, answer.texts, strict=True))
        for guessed in (self._guessed_slugs, self._guessed_names, self._guessed_texts):
            guessed.clear()

    def _slug_of(self, sort: Sort, name: str) -> str:
        if (sort, name) not in self._names:
            self._guessed_names[sort, name] = None
        return self._names.get((sort, name), name)


@dataclass(frozen=True, slots=True)
class Settled:
    """A post's file, written with no guess left, and what the site says of it."""

    file: PelicanFile
    question: Locate
    answer: Answer


async def without_guesses(reader: SiteReader, work: Callable[[KnownSite], _T]) -> _T:
    """The result of something that asks about a site, once everything it asks is known.

    Raises what ``work`` and the site do.
    """
    known = KnownSite(reader.facts)
    for _ in range(_ROUNDS):
        result = await asyncio.to_thread(work, known)
        asked = known.questions()
        if asked == Ask():
            return result
        known.learn(asked, await reader.ask(asked))
    raise _endless()


async def settle(
    reader: SiteReader, write: Callable[[KnownSite], PelicanFile], place: Callable[[str], Locate]
) -> Settled:
    """Write a post's file, and find out where it will be. ``place`` asks about a file's text.

    Raises what ``write`` and the site do.
    """
    known = KnownSite(reader.facts)
    question, answer = None, Answer()
    for _ in range(_ROUNDS):
        try:
            # A text of a megabyte takes a second, in which other requests are answered.
            file = await asyncio.to_thread(write, known)
        except Exception:
            # It may have come of a guess.
            if (asked := known.questions()) == Ask():
                raise
            known.learn(asked, await reader.ask(asked))
            continue
        wanted, asked = place(file.text()), known.questions()
        if asked == Ask() and wanted == question and question is not None:
            return Settled(file, question, answer)
        question = wanted
        whole = _with_question(asked, question)
        answer = await reader.ask(whole)
        known.learn(asked, answer)
    raise _endless()


def _with_question(asked: Ask, place: Locate) -> Ask:
    """The same questions, and one about a place."""
    return Ask(asked.slugs, asked.names, asked.texts, place)


def _endless() -> Conflict:
    return Conflict(
        "The site's settings give another answer each time: does a plugin give random results?"
    )


async def more_places(reader: SiteReader, settled: Settled) -> Settled:
    """The same with the next candidates; without any if there are no more."""
    question = settled.question
    further = msgspec.structs.replace(question, first=question.first + len(settled.answer.places))
    if not settled.answer.places or not settled.answer.places[0].slug:
        return Settled(settled.file, further, Answer())
    return Settled(settled.file, further, await reader.ask(Ask(place=further)))
