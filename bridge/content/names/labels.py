"""Plain text as Pelican's themes can print it: titles, and names of tags, categories, authors."""

from __future__ import annotations

import re
from html import unescape

from bridge.content.markup.characters import one_line

_REFERENCE = re.compile(r"&#?\w+;?")
#: A tag can have no entities (``;`` separates tags), so markup's characters get look-alikes.
_LOOK_ALIKES = str.maketrans({"<": "‹", ">": "›", '"': "”", ";": ","})


def title(name: str) -> str:
    """A text as a Title. Themes print titles as HTML, so what HTML would take for markup is not."""
    escaped = _REFERENCE.sub(_escaped_reference, one_line(name))
    for character, reference in (("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        escaped = escaped.replace(character, reference)
    # An attribute can only be smuggled in with "=", and an apostrophe is otherwise left readable.
    return escaped.replace("'", "&#39;") if "=" in escaped else escaped


def label(name: str) -> str:
    """A text as the name of a tag, a category or an author: printed as HTML, too."""
    shown = _REFERENCE.sub(_parted_reference, one_line(name)).translate(_LOOK_ALIKES)
    return one_line(shown.replace("'", "’") if "=" in shown else shown)


def _escaped_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if unescape(found) == found else f"&amp;{found[1:]}"


def _parted_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if unescape(found) == found else f"& {found[1:]}"
