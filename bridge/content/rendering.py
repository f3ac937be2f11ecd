"""Markdown as the site itself reads it: at once where that is quick, else apart and for a time.

While Python-Markdown is at work, nothing else in the process is; and nothing can stop it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markdown import Markdown
from pelican.readers import MarkdownReader

from bridge.content.effort import is_quick
from bridge.errors import InvalidRequest, Unavailable

log = logging.getLogger(__name__)

_PROGRAM = "bridge.content.markdown_apart"
_PROJECT = Path(__file__).parents[2]
#: The process ends by itself when it has used its processor time (:mod:`markdown_apart`); this ends
#: one that waits for something. On a busy machine the same text may take ten times as long.
_SECONDS = 50.0
#: Each takes a processor and one of the threads that all requests share.
_APART = threading.BoundedSemaphore(2)


class SiteMarkdown:
    """The Markdown of a site with these settings, which were read from ``settings_file``.

    ``lock`` is held while it is at work in this process: it may share extensions with a reader.
    """

    def __init__(
        self, settings: Mapping[str, Any], settings_file: Path, lock: threading.Lock
    ) -> None:
        self._settings = settings
        self._settings_file = settings_file
        self._lock = lock
        self._markdown: Markdown | None = None

    def render(self, text: str) -> str:
        """The HTML of a body.

        Raises :class:`InvalidRequest` if the site's Markdown cannot read it, or not in time, and
        :class:`Unavailable` while it has too much to do.
        """
        return self._at_once(text) if is_quick(text) else self._apart(text)

    def _at_once(self, text: str) -> str:
        with self._lock:
            if self._markdown is None:
                self._markdown = new_markdown(self._settings)
            try:
                return convert(self._markdown, text)
            except Exception as error:
                raise _unreadable(error) from error

    def _apart(self, text: str) -> str:
        if not _APART.acquire(blocking=False):
            raise Unavailable("The bridge is at work on other long posts.", retry_after=10)
        try:
            told = _ask(self._settings_file, text)
        finally:
            _APART.release()
        if "error" in told:
            raise _unreadable(told["error"])
        return told["html"]


def new_markdown(settings: Mapping[str, Any]) -> Markdown:
    """Markdown as these settings have it; Pelican's reader completes their list of extensions."""
    return Markdown(**MarkdownReader(dict(settings)).settings["MARKDOWN"])


def convert(markdown: Markdown, text: str) -> str:
    """The HTML of a body. Raises whatever the site's extensions do."""
    markdown.reset()
    # The header keeps Python-Markdown from reading the body's first lines as metadata.
    return markdown.convert(f"Title: x\n\n{text}")


def _ask(settings_file: Path, text: str) -> dict[str, str]:
    """What the program in a process of its own says; at its limits it says nothing."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    search = [*filter(None, [ours.get("PYTHONPATH")]), str(_PROJECT)]
    try:
        ended = subprocess.run(
            # Nothing is imported from wherever the bridge was started.
            [sys.executable, "-P", "-W", "ignore", "-m", _PROGRAM],
            input=json.dumps({"settings": str(settings_file), "text": text}).encode(),
            capture_output=True,
            env={**ours, "PYTHONPATH": os.pathsep.join(search)},
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _endless() from error
    if ended.returncode != 0:
        log.info("Markdown ended with %d: %s", ended.returncode, ended.stderr.decode()[-500:])
        raise _endless()
    told: dict[str, str] = json.loads(ended.stdout)
    return told


def _endless() -> InvalidRequest:
    return InvalidRequest(
        "This content takes the site's Markdown too long to read: split the post, or see that "
        "each bracket in it is closed."
    )


def _unreadable(error: object) -> InvalidRequest:
    return InvalidRequest(f"The site's Markdown cannot read this content: {error}.")
