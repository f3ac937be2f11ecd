"""Collects the errors that Pelican logs without failing, mostly about posts that it skips."""

from __future__ import annotations

import logging
import sys

from bridge.rebuild.local.pelican_log import LoggedError, LogSummary, SourcePaths


class LoggedErrors(logging.Handler):
    """Collects the errors of one build."""

    def __init__(self, sources: SourcePaths) -> None:
        super().__init__(logging.ERROR)
        self._sources = sources
        self._messages: list[str] = []
        #: What was logged before the first build, while settings and plugins were loaded.
        self.at_start = LogSummary()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error, with the exception, which Pelican leaves out."""
        text, error = record.getMessage(), sys.exc_info()[1]
        if text.startswith("Could not process ") and error is not None:
            why = f"{type(error).__name__}: {error}"
            text = " ".join(f"{text.splitlines()[0]}: {why}".split())
        self._messages.append(text)

    def __len__(self) -> int:
        """How many errors there have been so far."""
        return len(self._messages)

    def said(self) -> LogSummary:
        """What the errors so far say."""
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
