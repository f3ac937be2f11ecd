"""Errors that Pelican logs, and goes on: posts that it passes over, mostly."""

from __future__ import annotations

import logging
import sys

from bridge.rebuild.pelican_log import LoggedError, Sources


class Logged(logging.Handler):
    """Collects the errors of one build."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(logging.ERROR)
        self._sources = sources
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error, with the exception that Pelican does not mention."""
        error = sys.exc_info()[1]
        why = f": {type(error).__name__}: {error}" if error is not None else ""
        self._messages.append(f"{record.getMessage()}{why}")

    def take(self) -> list[LoggedError]:
        """The errors so far; from here on it collects anew."""
        messages, self._messages = self._messages, []
        root = f"{self._sources.checkout}/"
        return [
            LoggedError(message.replace(root, ""), self._sources.named_in(message))
            for message in messages
        ]
