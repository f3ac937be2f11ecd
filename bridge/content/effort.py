"""How long Markdown may take for a text, told without asking it.

Python-Markdown looks from each ``[`` for its ``]`` to the paragraph's end, from each ``<`` for its
``>``, and takes its time for each block and each code whose language it has to guess. What is
counted here is what can make it slow, and where; that costs microseconds.
"""

from __future__ import annotations

import re

#: In a text with no more of these, none of them can cost much by itself.
_REACTIONS = re.compile(r"[\[<*_`\\&|\n]")
_MOST_REACTIONS = 1_500
_LONGEST = 100_000
#: An abbreviation is put wherever its letters are; some Pythons look for the end of the other.
_ODD = ("*[", "<![")
#: Links and tags that are complete, with nothing odd in them: they are read once.
_COMPLETE = re.compile(
    r"""!?\[[^\[\]\\`<>\n]*\](?:\([^\s()\[\]\\`<>"']*\)|\[[^\[\]\\`<>\n]*\])
      | ^[ ]{0,3}\[[^\[\]\\`<>^\n]+\]:[ ]+[^\s\[\]\\`<>]+[ ]*$
      | <https?://[^\s<>"'`\[\]\\]*>
      | </?[a-zA-Z][a-zA-Z0-9]*(?:[ ][a-z-]+="[^"<>`\[\]\\\n]*")*[ ]?/?>""",
    re.VERBOSE | re.MULTILINE,
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
#: Fences, and each beginning of indented lines, as in a list or a quotation.
_CODE = re.compile(r"^(?:[ >]*(?:```|~~~)|(?:[ >]*(?:[ ]{4}|\t).*\n?)+)", re.MULTILINE)
_MOST_CODE = 20
#: What a highlighter may be given at once: some lexers of Pygments look from each character to the
#: line's end, or to the end of the code.
_LONGEST_CODE = 10_000
_LONGEST_CODE_LINE = 1_000
#: Each step is a fraction of a microsecond.
_MOST_STEPS = 200_000
_STEPS_FOR_EACH = 500


def is_quick(text: str) -> bool:
    """Whether the site's Markdown is sure to read a text within some tens of milliseconds.

    Nearly every post is: an article of some thousand words with its links, lists and pictures.
    """
    if len(text) > _LONGEST or any(odd in text for odd in _ODD) or _repeated(text) > _MOST_STEPS:
        return False
    if sum(1 for _ in _REACTIONS.finditer(text)) > _MOST_REACTIONS:
        return False
    if not _is_quickly_highlighted(text):
        return False
    # Inside HTML, Markdown may be asked to take several paragraphs as one.
    whole = "<" in text and "markdown" in text.lower()
    paragraphs = [text] if whole else _PARAGRAPH.split(text)
    return sum(_steps(paragraph, len(text)) for paragraph in paragraphs) <= _MOST_STEPS


def _is_quickly_highlighted(text: str) -> bool:
    code = [match.start() for match in _CODE.finditer(text)]
    if not code:
        return True
    rest = text[code[0] :]
    return (
        len(code) <= _MOST_CODE
        and len(rest) <= _LONGEST_CODE
        and max(map(len, rest.split("\n"))) <= _LONGEST_CODE_LINE
    )


def _repeated(text: str) -> int:
    """How long the addresses and titles may become that are defined once and used many times."""
    if "]:" not in text:
        return 0
    return text.count("[") * max(map(len, text.split("\n"))) // 10


def _steps(paragraph: str, everything: int) -> float:
    """How far Markdown may have to look, in all, for what belongs to what is in a paragraph."""
    rest = _COMPLETE.sub("", paragraph)
    brackets = rest.count("[")
    inside = brackets + 0.3 * rest.count(">") + 0.05 * rest.count("\n")
    # A tag may end anywhere.
    anywhere = 0.3 * rest.count("<")
    return inside * len(paragraph) + anywhere * everything + brackets * _STEPS_FOR_EACH
