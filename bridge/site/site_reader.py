"""The protocol of a site's process: its first message, the questions of the bridge, and the time
limits of the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from bridge.settings import Settings, prefix_of
from bridge.site.messages import (
    Answer,
    ConflictingLists,
    IndexedPost,
    LaterPages,
    PostQuestions,
    ReservedPage,
    SiteFacts,
    Source,
    Start,
    Unread,
)

#: A question about this many files or fewer does not queue behind those of an index.
HANDFUL = 50


class SiteReader(Protocol):
    """A site's settings, readers and plugins, loaded. Answers are plain data.

    Every question has a deadline. Raises :class:`~bridge.errors.InvalidRequest` for what Pelican
    would make no page of, or what takes too long, and :class:`~bridge.errors.Unavailable` where
    the site cannot answer just now.
    """

    @property
    def facts(self) -> SiteFacts:
        """The settings as they were loaded."""
        ...

    def expect(self) -> None:
        """Prepare for a question about a new post, which may follow; returns at once."""
        ...

    async def ask(self, question: PostQuestions) -> Answer:
        """The answers about one post."""
        ...

    async def conflicting_lists(self, question: LaterPages) -> ConflictingLists:
        """The lists that would want a page of another list."""
        ...

    async def describe(
        self, files: Sequence[Source]
    ) -> list[IndexedPost | ReservedPage | Unread | None]:
        """What each of these files is."""
        ...

    async def close(self) -> None:
        """End the process, if there is one."""
        ...


class ProcessGone(Exception):
    """The process ended before it had answered."""


class Overdue(ProcessGone):
    """The question was not answered in time, so the process was killed."""


class AnswerLimits(Struct, frozen=True):
    """How long answers may take, in seconds.

    ``loading``: settings and plugins. ``quick``: questions for which no text is read. ``text``: the
    processor time for a text, ``each_of_many`` that for each further one. ``overdue``: how late an
    answer may be before the process is killed. ``moving``: how long a new version waits for answers
    about the one before it.
    """

    loading: float = 60.0
    quick: float = 2.0
    text: float = 10.0
    each_of_many: float = 2.0
    overdue: float = 30.0
    moving: float = 5.0


USUAL_LIMITS = AnswerLimits()


def start_of(settings: Settings, checkout: Path) -> Start:
    """The first message to the site's process. The site is read in ``checkout``."""
    content = settings.content.folder
    return Start(
        checkout=str(checkout),
        settings=settings.site.settings,
        # An empty value would mean the folder that the site's settings name.
        content=content or ".",
        uploads=f"{prefix_of(content)}{settings.media.folder}",
        template=settings.content.path,
        siteurl=settings.site.me,
        run_in=settings.run_in,
    )
