"""Detects the microformats in a theme."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_COMMENT = re.compile(r"\{#.*?#\}|<!--.*?-->", re.DOTALL)
_CLASS = re.compile(r"(?<![\w-])h-(?:entry|event|review|card|feed)(?![\w-])")


def classes(folders: Iterable[Path]) -> frozenset[str]:
    """The microformats2 root classes in a theme's templates."""
    found: set[str] = set()
    for folder in folders:
        for template in folder.rglob("*.html"):
            source = template.read_text("utf-8", "replace")
            if "h-" in source:
                found.update(_CLASS.findall(_COMMENT.sub("", source)))
    return frozenset(found)
