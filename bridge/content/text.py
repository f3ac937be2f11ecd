"""A note's plain text as Markdown that shows exactly that text, and back.

What Markdown would take for structure is escaped (``#hashtag``, ``1.`` and dashes at a line's
start, ``[id]: url``, indentation, HTML), a single newline becomes a line break, a bare URL a link.
What is unmistakably meant stays Markdown: ``[words](https://...)``, ``**strong**``, ``*stressed*``
or ``_stressed_``, and ``code`` between backticks; ``~~struck~~`` is written as ``<del>``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from itertools import pairwise

#: Only after a word: blanks that stand alone on their line are the text's own.
_BREAK = "  \n"
#: Ends a URL wherever it stands: quotation marks, and what ends a clause in Chinese or Japanese,
#: where no blank follows it, or in Hindi, Urdu, Armenian and Amharic.
_NEVER_IN_URL = r"\s<>\"`\\“”„«»‹›。、，．！？；：「」『』（）【】《》〈〉〔〕।॥۔።։\x00-\x20"
_URL = rf"[Hh][Tt][Tt][Pp][Ss]?://[^{_NEVER_IN_URL}]+"
#: What people write of an address when they leave out its scheme.
_WWW = rf"[Ww][Ww][Ww]\.[^\W_][\w-]*\.\w[^{_NEVER_IN_URL}]*"
#: Belongs to a URL inside of it, and to the sentence at its end.
_URL_TAIL = ".,;:!?'…*_~|^{[(؟،؛՞՜՝፧፣፤·"
_PAIRS = {")": "(", "]": "[", "}": "{"}

_IN_TARGET = r"[^\s()<>\"`\\{}|&]|&(?!\#?\w+;)"
_TARGET_STARTS = r"(?:[Hh][Tt][Tt][Pp][Ss]?://|mailto:|tel:|/(?!/)|\.\.?/|\#(?=\w))"
_TARGET = rf"{_TARGET_STARTS}(?:{_IN_TARGET}|\((?:{_IN_TARGET})*\))+"
#: Between angle brackets, where blanks and any parentheses may stand (CommonMark 6.3).
_ANGLED = rf"<{_TARGET_STARTS}(?:{_IN_TARGET}|[ ()])+>"
#: A backtick after a letter is an apostrophe, but in scripts that put no blanks between words.
_CODE = (
    r"(?<![`0-9A-Za-z\u00c0-\u1fff])(?:`(?![\s`])[^`\t\n]*[^`\s]`"
    r"|``(?!`)[^`\t\n]*(?:`(?!`)[^`\t\n]*)+``)(?!`)"
)
_ALT = r"[^\[\]<>\\`\t]*[^\[\]<>\\`\s]"
_LABEL = rf"(?:[^\[\]<>\\`\t]|{_CODE}|\[[^\[\]<>\\`\t]*\])+(?<!\s)"
_TITLE = r"(?:[ ](?:\"[^\"<>&\\`{}\t]*\"|'[^'<>&\\`{}\t]*'))?"
_LINK = rf"\[[^\[\]<>\\`*\t]*[^\[\]<>\\`*\s]\]\({_TARGET}\)"
#: What stands before and after the stars of words that are meant to be stressed, and what those
#: words begin and end with: ``(*) a (*)`` and ``^a.*b.*$`` are stars. Chinese, Japanese and Korean
#: have no blanks there.
_CJK = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_BEFORE, _AFTER = rf"\"'“‘«(\[—–/:{_CJK}-", rf"\"'”’».,;:!?)\]…—–/{_CJK}-"
_SIGNS = r"$€£¥₹✅✨❤❌❗❓⚠⚡⭐\U0001f300-\U0001faff"
_FIRST = rf"[^\W_]|[\"'“‘«(\[#@¿¡`{_SIGNS}]|(?:~~|_)(?=[^\W_])"
_LAST = rf"(?<=[^\W_])|(?<=[\"'”’».,;:!?)\]…%+`\ufe0f{_SIGNS}])|(?<=[^\W_]~~)|(?<=[^\W_]_)"
_STRESSED = rf"{_LINK}|{_CODE}|(?!{_LINK})\[|[^*`\[\t]"
#: A star between letters stresses nothing, as in Leser*innen.
_BETWEEN = r"(?<=[^\W_])\*(?=[^\W_])"
_STRONG = rf"(?:{_STRESSED}|{_BETWEEN}|(?<![^\W_])\*(?!\*)(?:{_STRESSED})+\*(?!\*))+"
_EMPHASIS = rf"(?:{_STRESSED}|\*\*(?!\*)(?:{_STRESSED})+\*\*(?!\*))+"
_STARS = rf"""
    (?<![^\s{_BEFORE}])(?:
      (?P<both>\*\*\*(?={_FIRST})(?:{_STRESSED})+(?:{_LAST})\*\*\*)
    | (?P<strong>\*\*(?={_FIRST}|\*(?:{_FIRST})){_STRONG}(?:{_LAST}|(?<=\*))\*\*)
    | (?P<emphasis>\*(?={_FIRST}|\*\*(?:{_FIRST})){_EMPHASIS}(?:{_LAST}|(?<=\*))\*)
    )(?!\*)(?![^\s{_AFTER}])
"""
#: The same with underscores, of which two stand around several words: ``__init__`` is a name. And
#: struck words, where no script without blanks can have the waves as a sound (はい~~).
_ALONE = r"\s*\"'“‘«(\[—–/:-"
_LOW = rf"(?!{_LINK})\[|[^_`\[\t]"
_WAVED = rf"(?!{_LINK})\[|[^~`\[\t]"
_LINES = rf"""
      (?<![^{_ALONE}_])(?P<low>_(?={_FIRST}|\*)(?:{_LINK}|{_CODE}|{_LOW})+(?:{_LAST}|(?<=\*))_)
      (?![^\s*{_AFTER}])
    | (?<![^{_ALONE}])(?P<lower>__(?={_FIRST})(?:{_LOW})+[ ](?:{_LOW})+(?:{_LAST})__)
      (?![^\s*{_AFTER}])
    | (?<![^{_ALONE}_])~~(?={_FIRST}|\*)
      (?P<struck>(?:{_LINK}|{_CODE}|{_WAVED})+)(?:{_LAST}|(?<=\*))~~
      (?![^\s*_{_AFTER}])
"""
#: Single characters with a meaning.
_CHARACTERS = r"""
      (?P<entity>&(?=\#?[A-Za-z0-9]+;))
    | (?P<lone>(?:(?<=\s)\*(?=\s))|(?:(?<=[^\W_])_+(?=[^\W_])))
    | (?P<escape>[\\`*_\[])
    | (?P<named>[<{\t])
"""

#: Left to right: what is meant as Markdown, then URLs, then single characters.
_TOKEN = re.compile(
    rf"""
      (?P<code>{_CODE})
    | \[!\[(?P<alt>(?:{_ALT})?)\]\((?P<shown>{_TARGET})\)\]\((?P<around>{_TARGET})\)
    | !\[(?P<picture>(?:{_ALT})?)\]\((?P<file>[ ]*(?:{_TARGET}|{_ANGLED}){_TITLE}[ ]*)\)
    | \[(?P<label>{_LABEL})\]\((?P<target>[ ]*(?:{_TARGET}|{_ANGLED}){_TITLE}[ ]*)\)
    | {_STARS}
    | {_LINES}
    | (?<![0-9A-Za-z])(?P<url>{_URL})
    | (?<![\w@./:-])(?P<www>{_WWW})
    | {_CHARACTERS}
    """,
    re.VERBOSE,
)
#: The same inside of a link, which holds no other.
_IN_LABEL = re.compile(
    rf"(?P<code>{_CODE}) | {_STARS} | {_LINES} | (?P<closing>\]) | {_CHARACTERS}", re.VERBOSE
)
_SPECIAL = re.compile(rf"(?P<code>(?!)) | {_CHARACTERS}", re.VERBOSE)
_URLS = re.compile(_URL)
_STRESS = {"both": "***", "strong": "**", "emphasis": "*", "low": "_", "lower": "__"}
_NAMED = {"<": "&lt;", "{": "&#123;", "\t": "&#9;"}

#: At a line's start: where the backslash or the entity goes that takes the meaning away.
_BACKSLASH_AT_START = re.compile(r"(?P<number>\d+(?=\.(?:\s|$)))|[#>]|[-+](?=[\s+-]|$)|!(?=!!)")
_ENTITY_AT_START = re.compile(r":(?=\s)|~(?=~~)|=(?=[=\s]*$)|\?(?=\?\?)|/(?=//)|%(?=%)")
_RULE = re.compile(r"[|:+ ]*-[-|:+ ]*")

_ENCODED = re.compile(
    rf"""
      (?P<code>{_CODE})
    | \[(?=[Ww]{{3}}\.)(?:\\.|[^\[\]\\\n]|\](?!\())+\]\(<http://(?P<www>{_WWW})>\)
    | (?<=\S)(?P<break>[ ][ ]\n)
    | \\(?P<escaped>[\\`*_{{}}\[\]()>\#+.!-])
    | &(?:(?P<name>amp|lt)|\#(?P<number>\d{{1,5}}));
    | <(?P<url>{_URL})>
    | </?(?P<struck>del)>
    """,
    re.VERBOSE,
)
_WAVES = "~~"
_NAMES = {"amp": "&", "lt": "<"}

# Text from a mail program or a terminal: full lines, each broken where the next word did not fit.
_WRAP_NARROWEST, _WRAP_WIDEST = 50, 100


def encode(text: str) -> str:
    """Markdown that shows ``text`` (already printable, with ``\\n``)."""
    encoded: list[str] = []
    paragraph: list[str] = []
    for line in text.split("\n"):
        if line.strip():
            paragraph.append(line)
        else:
            encoded += _paragraph(paragraph)
            encoded.append(f"{line}\n")
            paragraph = []
    return "".join(encoded + _paragraph(paragraph)).removesuffix("\n")


def plain(text: str) -> str:
    """The words that a page shows of a text, without what is meant as Markdown."""
    return _TOKEN.sub(_words, text)


def with_urls(text: str, shown: Callable[[str], str]) -> str:
    """A text with each URL in it as ``shown`` has it."""

    def replaced(match: re.Match[str]) -> str:
        url = _without_punctuation(match.group())
        return (url if url.endswith("//") else shown(url)) + match.group()[len(url) :]

    return _URLS.sub(replaced, text)


def encode_line(text: str) -> str:
    """The same for what has to stay on one line (a summary)."""
    return _line(" ".join(text.split()))


def decode(markdown: str) -> str:
    """The inverse of :func:`encode`; also reads what an owner has changed by hand."""
    return _ENCODED.sub(_decoded, markdown)


def is_encoded(markdown: str) -> bool:
    """Whether a body is a text, as :func:`encode` or an earlier version of it has written it, or
    with changes by hand that are text: everything that could mean something else is escaped."""
    again = encode(decode(markdown))
    return again == markdown or _escaped(again) <= _escaped(markdown, urls=True)


def _escaped(markdown: str, *, urls: bool = False) -> set[int]:
    """Where in the decoded text the characters are that are escaped, and the breaks; ``urls``:
    those of URLs between angle brackets, too."""
    found, place, end = set[int](), 0, 0
    for match in _ENCODED.finditer(markdown):
        place, end = place + match.start() - end, match.end()
        if same := match["code"] or match["www"]:
            place += len(same)
            continue
        length = len(match["url"] or (_WAVES if match["struck"] else "x"))
        if urls or not match["url"]:
            found.update(range(place, place + length))
        place += length
    return found


def _paragraph(lines: list[str]) -> list[str]:
    """The lines of a paragraph with their ends: a break, unless the text was hard-wrapped."""
    if not lines:
        return []
    end = "\n" if _is_hard_wrapped(lines) else _BREAK
    return [_line(line) + end for line in lines[:-1]] + [f"{_line(lines[-1])}\n"]


def _is_hard_wrapped(lines: list[str]) -> bool:
    """Whether each line is full: the first word of the next one would not have fitted."""
    width = max(map(len, lines))
    if len(lines) < 3 or not _WRAP_NARROWEST <= width <= _WRAP_WIDEST:
        return False
    return all(
        len(line) + 1 + len(following.split()[0]) > width and following[0].isalnum()
        for line, following in pairwise(lines)
    )


def _line(line: str) -> str:
    """One line, its outer white space kept as entities that Markdown does not strip."""
    start = f"&#{ord(line[0])};" if line[:1].isspace() else ""
    end = f"&#{ord(line[-1])};" if line[-1:].isspace() else ""
    inner = line[1 if start else 0 : len(line) - (1 if end else 0)]
    return start + (_inline(inner) if start else _line_start(inner)) + end


def _line_start(line: str) -> str:
    if _RULE.fullmatch(line):
        return _inline(line).replace("-", "\\-").replace("+", "\\+")
    if match := _BACKSLASH_AT_START.match(line):
        number = match["number"] or ""
        return f"{number}\\{line[len(number)]}{_inline(line[len(number) + 1 :])}"
    if match := _ENTITY_AT_START.match(line):
        return f"&#{ord(line[0])};{_inline(line[1:])}"
    return _inline(line)


def _inline(text: str) -> str:
    return _TOKEN.sub(_token, text)


def _label(text: str) -> str:
    """The words of a link, or of a picture."""
    return _IN_LABEL.sub(lambda match: _stressed(match, _label) or _single(match), text)


def _token(match: re.Match[str]) -> str:
    if match["around"]:
        return f"[![{_label(match['alt'])}]({match['shown']})]({match['around']})"
    if match["file"]:
        return f"![{_label(match['picture'])}]({match['file']})"
    if match["target"]:
        return f"[{_label(match['label'])}]({match['target']})"
    if match["www"]:
        url = _without_punctuation(match["www"])
        after = _SPECIAL.sub(_single, match["www"][len(url) :])
        return f"[{_SPECIAL.sub(_single, url)}](<http://{url}>){after}"
    if match["url"]:
        url = _without_punctuation(match["url"])
        after = _SPECIAL.sub(_single, match["url"][len(url) :])
        # Where nothing but a scheme is left, there is no address.
        return f"{url}{after}" if url.endswith("//") else f"<{url}>{after}"
    return _stressed(match, _inline) or _single(match)


def _stressed(match: re.Match[str], written: Callable[[str], str], *, marked: bool = True) -> str:
    """Stressed or struck words, as ``written`` has them; empty for anything else. ``marked``: with
    what says so around them."""
    if struck := match["struck"]:
        return f"<del>{written(struck)}</del>" if marked else written(struck)
    for name, mark in _STRESS.items():
        if found := match[name]:
            words = written(found[len(mark) : -len(mark)])
            return f"{mark}{words}{mark}" if marked else words
    return ""


def _single(match: re.Match[str]) -> str:
    """Code, or a character with a meaning."""
    if match["code"] or match["lone"]:
        return match.group()
    if match["entity"]:
        return "&amp;"
    return _NAMED.get(match.group()) or f"\\{match.group()}"


def _words(match: re.Match[str]) -> str:
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
    while (last := url[end - 1]) in _URL_TAIL or surplus.get(last, 0) > 0:
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
    if match["code"] or match["www"]:
        return match["code"] or match["www"]
    if match["struck"]:
        return _WAVES
    return match["escaped"] or _NAMES.get(match["name"] or "") or match["url"]
