"""Text that Pelican, Markdown, a feed and a theme can handle: on any number of lines, or one.

Everything that a client sends passes through :func:`printable`, :func:`one_line`, :func:`title` or
:func:`label`. A control character in a body aborts the whole build once a feed is on; in a header,
a carriage return starts a new key.
"""

from __future__ import annotations

import re

import grapheme

from bridge.micropub.post import unescape, without_endless_references

#: Not allowed in XML 1.0, or invisible and harmful: C0 but tab and newline, DEL, C1, surrogates,
#: noncharacters. U+FEFF is only harmful at the start of a file, but never useful.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
#: White space, control characters, and what Unicode leaves invisible
#: (Default_Ignorable_Code_Point); so is the blank of Braille.
_UNSEEN = (
    r"\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SEEN = re.compile(f"[^{_UNSEEN}]")
_PIECE = 64 * 1024
_SPACES = re.compile(r"[\s\u2028\u2029]+")
_REFERENCE = re.compile(r"&#?\w+;?")
#: Tags cannot contain entities (``;`` separates tags), so characters of markup get look-alikes.
_LOOK_ALIKES = str.maketrans({"<": "‹", ">": "›", '"': "”", ";": ","})


def printable(text: str) -> str:
    """The text with ``\\n`` line ends, a space for each character that no file may hold, and U+FFFD
    for references that no program can read.
    """
    text = without_endless_references(text).replace("\r\n", "\n").replace("\r", "\n")
    # In pieces, since no other thread runs until a call has replaced millions of characters.
    pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
    return "".join(_UNPRINTABLE.sub(" ", piece) for piece in pieces)


def one_line(text: str) -> str:
    """The text on one line: any run of white space or unprintable characters is one space."""
    return _SPACES.sub(" ", printable(text)).strip()


def beginning(text: str, length: int) -> str:
    """At most so many characters of a text, without cutting a grapheme such as a flag in two."""
    # A single grapheme that is longer than that is cut.
    return text[: grapheme.safe_split_index(text[: 2 * length], length) or length]


def is_seen(text: str) -> bool:
    """Whether any character of the text can be seen."""
    return _SEEN.search(text) is not None


def is_one_clean_line(value: str) -> bool:
    """Whether a header can hold this value as it is."""
    return (
        value == value.strip()
        and not re.search(r"[\n\r\t\x0b\x0c\x85\u2028\u2029]", value)
        and not _UNPRINTABLE.search(value)
    )


def title(name: str) -> str:
    """A text as a Title, escaped, because themes print titles as HTML."""
    escaped = _REFERENCE.sub(_escaped_reference, one_line(name))
    for character, reference in (("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        escaped = escaped.replace(character, reference)
    # An attribute needs "="; without it, an apostrophe stays readable.
    return escaped.replace("'", "&#39;") if "=" in escaped else escaped


def label(name: str) -> str:
    """A text as the name of a tag, a category or an author, which are printed as HTML, too."""
    shown = _REFERENCE.sub(_parted_reference, one_line(name)).translate(_LOOK_ALIKES)
    return one_line(shown.replace("'", "’") if "=" in shown else shown)


def _escaped_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if unescape(found) == found else f"&amp;{found[1:]}"


def _parted_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if unescape(found) == found else f"& {found[1:]}"
