"""What the bridge asks of a site: a protocol, for the site's own process and for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bridge.site.messages import (
    Answer,
    Ask,
    IndexedPost,
    LaterPages,
    ReservedPage,
    Rivals,
    SiteFacts,
    Source,
    Unread,
)


class SiteReader(Protocol):
    """A site's settings, readers and plugins, loaded. Answers are plain data.

    Every question has a deadline. Raises :class:`~bridge.errors.InvalidRequest` for what Pelican
    would make no page of, or what takes too long, and :class:`~bridge.errors.Unavailable` where
    the site cannot answer just now.
    """

    @property
    def facts(self) -> SiteFacts:
        """What the settings say, as they were loaded."""
        ...

    async def ask(self, question: Ask) -> Answer:
        """Everything that there is to know about one post."""
        ...

    async def rivals(self, question: LaterPages) -> Rivals:
        """The lists that would want a page of another list."""
        ...

    async def describe(
        self, files: Sequence[Source]
    ) -> list[IndexedPost | ReservedPage | Unread | None]:
        """What each of these files is."""
        ...

    async def close(self) -> None:
        """Leave nothing running."""
        ...
