"""One text through a site's Markdown. Run as a program: JSON in, JSON out.

Python-Markdown can be kept busy for hours by a text of some kilobytes that is made for it, so a
text that could is rendered in a process of its own, which limits itself and can be killed
(:mod:`bridge.content.rendering`).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from pathlib import Path

from bridge.content.rendering import convert, new_markdown
from bridge.content.site_settings import read_settings

_CPU_SECONDS = 5
_MEMORY = 1024**3
#: An abbreviation or a link can be defined once, at length, and used everywhere.
_LONGEST = 10_000_000


def main() -> None:
    """Read ``{"settings": file, "text": Markdown}``, write ``{"html": ...}`` or ``{"error": ...}``.

    Ends with another code than 0 where the site's settings cannot be read, or at its limits.
    """
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    with contextlib.suppress(ValueError):  # macOS takes no limit on memory
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    # What the site's settings and extensions print is no answer.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    markdown = new_markdown(read_settings(Path(asked["settings"])))
    try:
        html = convert(markdown, asked["text"])
        told = {"html": html} if len(html) <= _LONGEST else {"error": "its HTML is too long"}
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - extensions raise what they like
        told = {"error": str(error)}
    with answer:
        json.dump(told, answer)


if __name__ == "__main__":
    main()
