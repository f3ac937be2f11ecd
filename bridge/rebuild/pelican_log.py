"""What Pelican's log says about files: exit code 0 does not mean that every post was built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: ``[12:00:00] ERROR    what happened          generators.py:721`` (the time not on every line).
_RECORD = re.compile(r"^(?:\[[\d:]+\])?\s*(ERROR|CRITICAL)\s+(.*?)(?:\s+\w+\.py:\d+)?\s*$")
_END = re.compile(r"[\s:,;'\")\]]|$")


@dataclass(frozen=True, slots=True)
class LoggedError:
    """One error. ``file`` is the source file that it names (a path in the checkout)."""

    reason: str
    file: str | None


@dataclass(frozen=True, slots=True)
class Sources:
    """Where source files are: the checkout, and Pelican's content folder in it."""

    checkout: Path
    content: str

    def named_in(self, message: str) -> str | None:
        """The source file that a message names, by its whole path or from the content folder."""
        root = f"{self.checkout}/"
        start = message.find(root)
        if start >= 0:
            return self._longest(message[start + len(root) :], "")
        for word in re.finditer(r"(?<!\S)['\"]?(?:\./)?(?=\w)", message):
            found = self._longest(message[word.end() :], f"{self.content}/")
            if found:
                return found
        return None

    def _longest(self, text: str, prefix: str) -> str | None:
        """The longest beginning of a text that is a file: names may hold spaces."""
        for end in reversed([match.start() for match in _END.finditer(text)]):
            if end and (self.checkout / (prefix + text[:end])).is_file():
                return prefix + text[:end]
        return None


def errors(log: str, sources: Sources) -> Iterator[LoggedError]:
    """Every error in what a run of Pelican printed, in order."""
    for line in log.splitlines():
        match = _RECORD.match(line)
        if match:
            reason = match[2].replace(f"{sources.checkout}/", "")
            yield LoggedError(reason, sources.named_in(match[2]))
