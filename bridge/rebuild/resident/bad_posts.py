"""The posts to leave out: those that Pelican skips (it logs an error and goes on), and the one on
whose page a template fails.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from pelican.contents import Content

from bridge.rebuild.local.pelican_log import LoggedError, LogSummary, SourcePaths
from bridge.rebuild.resident.pelican.planning import Collision, PlannedPage
from bridge.rebuild.resident.reuse.pages import PageFailed


def suspects(error: Collision | PageFailed, checkout: Path) -> tuple[str, ...]:
    """Source files in the checkout that may be at fault, likeliest first.

    Where two pages collide, the posts behind both are: those of the shorter listing first, posts
    written by hand before those that the bridge has checked, new before old.
    """
    if isinstance(error, PageFailed):
        contents = error.contents
    else:
        lists = sorted((list(_behind(page)) for page in (error.first, error.second)), key=len)
        contents = [content for behind in lists for content in sorted(behind, key=_trust)]
    root = f"{checkout}/"
    paths = (content.source_path or "" for content in contents)
    return tuple(dict.fromkeys(path.removeprefix(root) for path in paths if path.startswith(root)))


def _behind(page: PlannedPage) -> Iterator[Content]:
    """The posts that a page exists for."""
    if page.content is not None:
        yield page.content
        return
    for name in ("elements", "articles", "dates"):
        if name in page.local:
            yield from page.local[name]
            return


def _trust(content: Content) -> tuple[bool, float]:
    when = getattr(content, "date", None)
    return "mf2" in content.metadata, -when.timestamp() if when is not None else 0.0


class LoggedErrors(logging.Handler):
    """Collects the errors of one build."""

    def __init__(self, sources: SourcePaths) -> None:
        super().__init__(logging.ERROR)
        self._sources = sources
        self._messages: list[str] = []
        #: What was logged before the first build, while settings and plugins were loaded.
        self.at_start = LogSummary()

    def emit(self, record: logging.LogRecord) -> None:
        """Record an error, with the exception, which Pelican leaves out."""
        text, error = record.getMessage(), sys.exc_info()[1]
        if text.startswith("Could not process ") and error is not None:
            why = f"{type(error).__name__}: {error}"
            text = " ".join(f"{text.splitlines()[0]}: {why}".split())
        self._messages.append(text)

    def __len__(self) -> int:
        """How many errors there have been so far."""
        return len(self._messages)

    def summary(self) -> LogSummary:
        """A summary of the errors so far."""
        return LogSummary.of(self._errors(self._messages))

    def end_start(self) -> None:
        """Settings and plugins are loaded: what is logged from here on is a build's."""
        self.at_start = LogSummary.of(self.take())

    def take(self) -> list[LoggedError]:
        """The errors so far, which are forgotten then."""
        messages, self._messages = self._messages, []
        return self._errors(messages)

    def _errors(self, messages: list[str]) -> list[LoggedError]:
        root = f"{self._sources.checkout}/"
        return [
            LoggedError(message.replace(root, ""), self._sources.named_in(message))
            for message in messages
        ]
