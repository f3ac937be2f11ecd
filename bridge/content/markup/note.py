"""A note's plain text as Markdown that shows exactly that text, and back.

What Markdown would read as structure is escaped (``#hashtag``, ``1.`` and dashes at a line's start,
``[id]: url``, indentation, HTML), a single newline becomes a line break, a bare URL a link. What is
unmistakably meant stays Markdown: ``[words](https://...)``, ``**strong**``, ``*stressed*`` or
``_stressed_``, and ``code`` between backticks; ``~~struck~~`` is written as ``<del>``, and a
picture as HTML stays one. Indentation is written as ``&nbsp;``, which a browser does not collapse.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Literal, TypeAlias

from msgspec import Struct

from bridge.content.markup import note_grammar
from bridge.micropub.post import unescape

#: Only after a word: spaces alone on a line belong to the text.
_BREAK = "  \n"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_ALTERNATIVE = re.compile(r'\salt="([^"]*)"')
_STRESS = {"both": "***", "strong": "**", "emphasis": "*", "low": "_", "lower": "__"}
_NAMED = {"<": "&lt;", "{": "&#123;", "\t": "&#9;"}
_INDENTS = {" ": "&nbsp;", "\t": "&emsp;"}
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})[ \w+#.-]*")
_WAVES = "~~"
_NAMES = {"amp": "&", "lt": "<", "nbsp": " ", "emsp": "\t"}

# Text from a mail program or a terminal: full lines, each broken where the next word did not fit.
_WRAP_NARROWEST, _WRAP_WIDEST = 50, 100

_URL_OF_TARGET = re.compile(r" *(?:<[^>]*>|[^\s<]\S*)")


def prepare() -> None:
    """Compile the grammar, for which the first note would otherwise wait."""
    note_grammar.tokens()
    note_grammar.in_label()


def encode(text: str) -> str:
    """Markdown that shows ``text`` (already printable, with ``\n``)."""
    return "\n".join(map(_paragraph, _paragraphs(text)))


def plain(text: str) -> str:
    """The words that a page shows of a text, without what is meant as Markdown."""
    runs = (run for paragraph in _paragraphs(text) for run in paragraph)
    return "\n".join(
        note_grammar.tokens().sub(_words, run.text) if run.kind == "words" else run.text
        for run in runs
    )


def with_urls(text: str, shown: Callable[[str], str]) -> str:
    """A text with each URL in it as ``shown`` has it."""

    def replaced(match: re.Match[str]) -> str:
        url = _without_punctuation(match.group())
        return (url if url.endswith("//") else shown(url)) + match.group()[len(url) :]

    return note_grammar.URLS.sub(replaced, text)


def encode_line(text: str) -> str:
    """The same for a text that has to stay on one line (a summary)."""
    return _inline(f"\n{' '.join(text.split())}\n").strip("\n")


def decode(markdown: str) -> str:
    """The inverse of :func:`encode`; also reads what an owner has changed by hand."""
    return note_grammar.ENCODED.sub(_decoded, markdown)


def is_encoded(markdown: str) -> bool:
    """Whether a body is encoded plain text, as :func:`encode` or an earlier version wrote it, or
    changed by hand: all that could be Markdown is escaped."""
    again = encode(decode(markdown))
    return again == markdown or _escaped(again) <= _escaped(markdown, urls=True)


def _escaped(markdown: str, *, urls: bool = False) -> set[int]:
    """The positions in the decoded text of escaped characters and breaks; ``urls``: including those
    in URLs between angle brackets, and apostrophes, which earlier versions left in URLs."""
    found, place, end = set[int](), 0, 0
    for match in note_grammar.ENCODED.finditer(markdown):
        place, end = place + match.start() - end, match.end()
        same = (
            match["code"] or match["image"] or match["www"] or match["angled"] or match["separator"]
        )
        if same:
            place += len(same)
            continue
        if match["ampersand"]:
            place += len("&amp;")
            continue
        length = len(match["url"] or (_WAVES if match["struck"] else "x"))
        # Only the first character of an indentation is significant.
        before = markdown[max(match.start() - 1, 0) : match.start()]
        is_inner = match["name"] in {"nbsp", "emsp"} and before not in {"", "\n"}
        if not is_inner and (urls or not (match["url"] or match["number"] == "39")):
            found.update(range(place, place + length))
        place += length
    return found


_Kind: TypeAlias = Literal["words", "code", "blank"]


class _Run(Struct, frozen=True):
    """Successive lines of one kind; ``code``: those between fences."""

    text: str
    kind: _Kind


def _paragraphs(text: str) -> Iterator[list[_Run]]:
    """The paragraphs of a text, and the blank lines between them."""
    lines = text.split("\n")
    code = _fenced(lines) if "```" in text or "~~~" in text else set()
    kinds: list[_Kind] = [
        "blank" if not line.strip() else "code" if number in code else "words"
        for number, line in enumerate(lines)
    ]
    both = list(zip(kinds, lines, strict=True))
    for _, paragraph in groupby(both, lambda one: one[0] == "blank"):
        runs = groupby(paragraph, lambda one: one[0])
        yield [_Run("\n".join(line for _, line in run), kind) for kind, run in runs]


def _fenced(lines: list[str]) -> set[int]:
    """The lines between fences, and the fences; one that is never closed does not count."""
    found = set[int]()
    closing = {mark: [n for n, line in enumerate(lines) if _is_fence(line, mark)] for mark in "`~"}
    for number, line in enumerate(lines):
        match = None if number in found else _FENCE.fullmatch(line)
        if match:
            ends = closing[match["fence"][0]]
            place = bisect(ends, number)
            found.update(range(number, ends[place] + 1) if place < len(ends) else ())
    return found


def _is_fence(line: str, mark: str) -> bool:
    return set(line.strip(" ")) == {mark} and line.count(mark) >= len("```")


def _paragraph(runs: list[_Run]) -> str:
    """The lines of a paragraph with their ends: a break, unless the text was hard-wrapped."""
    if runs[0].kind == "blank":
        return runs[0].text
    lines = [line for run in runs for line in run.text.split("\n")]
    end = "\n" if _is_hard_wrapped(lines) else _BREAK
    written = (
        (_inline if run.kind == "words" else _verbatim)(f"\n{run.text}\n")[1:-1] for run in runs
    )
    return "\n".join(written).replace("\n", end)


def _is_hard_wrapped(lines: list[str]) -> bool:
    """Whether each line is full: the first word of the next one would not have fitted."""
    width = max(map(len, lines))
    if len(lines) < 3 or not _WRAP_NARROWEST <= width <= _WRAP_WIDEST:
        return False
    return all(
        len(line) + 1 + len(following.split()[0]) > width and following[0].isalnum()
        for line, following in pairwise(lines)
    )


def _inline(text: str) -> str:
    return note_grammar.tokens().sub(_token, text)


def _verbatim(text: str) -> str:
    return note_grammar.LITERAL.sub(_single, text)


def _label(text: str) -> str:
    """The words of a link, or of a picture."""
    return note_grammar.in_label().sub(
        lambda match: _stressed(match, _label) or _single(match), text
    )


def _label_of_url(url: str) -> str:
    """A URL as the words of a link. A bracket in it would end these."""
    return note_grammar.LITERAL.sub(_single, url).replace("]", "\\]")


def _token(match: re.Match[str]) -> str:
    if match["around"]:
        return f"[![{_label(match['alt'])}]({_url(match['shown'])})]({_url(match['around'])})"
    if match["file"]:
        return f"![{_label(match['picture'])}]({_url(match['file'])})"
    if match["target"]:
        return f"[{_label(match['label'])}]({_url(match['target'])})"
    if url := match["angled"]:
        label = _label_of_url(url).replace("//", f"{note_grammar.SLASH}/", 1)
        return f"[{label}](<{url}>)"
    if match["image"]:
        return match["image"]
    if match["www"]:
        url = _without_punctuation(match["www"])
        after = note_grammar.LITERAL.sub(_single, match["www"][len(url) :])
        return f"[{_label_of_url(url)}](<http://{url}>){after}"
    if match["url"]:
        url = _without_punctuation(match["url"])
        after = note_grammar.LITERAL.sub(_single, match["url"][len(url) :])
        # A scheme alone is no address.
        return f"{url}{after}" if url.endswith("//") else f"<{url}>{after}"
    return _stressed(match, _inline) or _single(match)


def _url(target: str) -> str:
    """The target of a link or picture, maybe with a title. Python-Markdown takes an apostrophe in
    the URL for the start of a title, which ends in a later link.
    """
    url = _URL_OF_TARGET.match(target)
    if not url:
        return target
    written = url[0].replace("&amp;", note_grammar.AMPERSAND).replace("'", "&#39;")
    return written + target[url.end() :]


def _stressed(match: re.Match[str], written: Callable[[str], str], *, marked: bool = True) -> str:
    """Emphasised or struck words, as ``written`` writes them; empty for anything else. ``marked``:
    with their marks."""
    if struck := match["struck"]:
        return f"<del>{written(struck)}</del>" if marked else written(struck)
    for name, mark in _STRESS.items():
        if found := match[name]:
            words = written(found[len(mark) : -len(mark)])
            return f"{mark}{words}{mark}" if marked else words
    return ""


def _single(match: re.Match[str]) -> str:
    """Code, the end of a line, or a character with a meaning."""
    if match["edge"]:
        return _edge(match)
    if match["code"] or match["lone"]:
        return match.group()
    if match["entity"]:
        return "&amp;"
    if match["separator"]:
        # Browsers do not treat it as white space.
        return f"{match['separator']}\n"
    return _NAMED.get(match.group()) or f"\\{match.group()}"


def _edge(match: re.Match[str]) -> str:
    """The end of a line and the start of the next, where Markdown would strip or interpret
    something."""
    trail = f"&#{ord(match['trail'])};" if match["trail"] else ""
    if indent := match["indent"]:
        # A single space does not show, however it is written.
        wide = indent != " "
        start = "".join(_INDENTS.get(one, one) for one in indent) if wide else "&#32;"
    elif rule := match["rule"]:
        start = rule.replace("-", "\\-").replace("+", "\\+")
    elif mark := match["mark"]:
        start = f"\\{mark}"
    elif sign := match["sign"]:
        start = f"&#{ord(sign)};"
    else:
        start = f"{match['number']}\\." if match["number"] else ""
    return f"{trail}\n{start}"


def _words(match: re.Match[str]) -> str:
    if match["image"]:
        alt = _ALTERNATIVE.search(match["image"])
        return unescape(alt[1]) if alt else ""
    if match["angled"]:
        return match["angled"]
    if match["code"]:
        return match["code"].strip("`").strip()
    if match["around"]:
        return plain(match["alt"])
    if match["file"]:
        return plain(match["picture"])
    if match["label"]:
        return plain(match["label"])
    return _stressed(match, plain, marked=False) or match.group()


def _without_punctuation(url: str) -> str:
    """The URL without what ends the sentence around it; ``Foo_(bar)`` keeps its parenthesis."""
    end = len(url)
    surplus = {close: url.count(close) - url.count(start) for close, start in _PAIRS.items()}
    while (last := url[end - 1]) in note_grammar.URL_TAIL or surplus.get(last, 0) > 0:
        end -= 1
        if last in surplus:
            surplus[last] -= 1
        elif last in _PAIRS.values():
            surplus[next(close for close, start in _PAIRS.items() if start == last)] += 1
    return url[:end]


def _decoded(match: re.Match[str]) -> str:
    if match["break"]:
        return "\n"
    if match["number"]:
        return unescape(match.group())
    if match["code"] or match["image"] or match["www"]:
        return match["code"] or match["image"] or match["www"]
    if match["struck"]:
        return _WAVES
    if match["ampersand"]:
        return "&amp;"
    if match["angled"] or match["separator"]:
        return match["angled"] or match["separator"]
    return match["escaped"] or _NAMES.get(match["name"] or "") or match["url"]
