"""Parses a post's page: the h-entry's content as text with links, its pictures and times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import mf2py
from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from bridge.syndication.compose.post_page import PagePhoto, PostPage
from bridge.syndication.compose.text import RichText, Span

#: The longest text that is read; no network accepts so much.
_MOST = 60_000
_DEEPEST = 200


#: Blocks on a line of their own, without a blank line before them.
_LINES = frozenset({"li", "tr", "dt", "dd", "figcaption", "summary", "caption", "legend"})
_MARKS = frozenset(
    {"footnote", "footnotes", "footnote-ref", "footnote-reference", "footnote-backref"}
    # KaTeX and MathJax write formulas twice.
    | {"katex-mathml", "MJX_Assistive_MathML"}
    | {"headerlink", "linenos", "toc", "toc-backref", "fn-backref", "u-bridgy-fed"}
)
_ROLES = frozenset({"doc-endnotes", "doc-noteref", "doc-backlink", "doc-footnote"})
_SPACES = re.compile(r"[ \t\n\r\f]+")
_ROOTS = re.compile(r"h-(?:entry|event|review|recipe|product|resume|item)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
#: What is written between the parts of these elements.
_BETWEEN: Mapping[str, str] = {
    **dict.fromkeys(("msup", "mover"), "^"),
    **dict.fromkeys(("msub", "munder"), "_"),
    "mfrac": "/",
    "mtr": " ",
    "mtable": "; ",
}
_TOKENS = frozenset({"mi", "mn", "mo", "mtext", "ms"})
#: What is not shown: other forms of the formula, and the operators that only machines need.
_SILENT_IN_FORMULA = frozenset(
    {"annotation", "annotation-xml", "mphantom", "mprescripts", "mspace"}
)
_INVISIBLE = re.compile(r"[\u2061-\u2064]")
_DEEPEST_FORMULA = 50


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BLOCKS = _names(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset"
    " figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav"
    " ol p pre section summary table tbody tfoot thead tr ul"
)
#: Elements that show no text, or only fallback text.
_SILENT = _names(
    "audio base button canvas embed head iframe img input link meta mjx-assistive-mml noscript"
    " object option picture rp rt script select source style svg template textarea title track"
    " video"
)


def read_page(html: bytes | str, url: str) -> PostPage | None:
    """The entry with this URL, or the page's only one; ``None`` where there is none."""
    soup = BeautifulSoup(html, "html5lib")
    parsed = mf2py.Parser(doc=soup, url=url, expose_dom=True).to_dict()
    item = _entry(parsed["items"], url)
    if item is None:
        return None
    properties: Mapping[str, list[Any]] = item["properties"]
    contents = [each for each in properties.get("content", []) if isinstance(each, dict)]
    bodies = [each["dom"] for each in contents if isinstance(each.get("dom"), Tag)]
    content, pictures = _read(bodies[0], url) if bodies else (RichText(), ())
    stamps = [*properties.get("published", []), *properties.get("updated", [])]
    return PostPage(
        content=content,
        language=_language(contents, soup),
        summary=_first_text(properties.get("summary", [])),
        stamps=frozenset(_times(stamps)),
        photos=tuple(_pictures(properties.get("photo", []))),
        pictures=pictures,
    )


def read_html(html: str, base: str) -> tuple[RichText, tuple[PagePhoto, ...]]:
    """Convert HTML to text with links as the networks show it, and the pictures in it.

    Paragraphs are separated by a blank line. Pictures, alt texts and footnote marks are left out.
    """
    body = BeautifulSoup(html, "html5lib").body
    return (RichText(), ()) if body is None else _read(body, base)


def _read(body: Tag, base: str) -> tuple[RichText, tuple[PagePhoto, ...]]:
    writer = _TextWriter(base)
    writer.children(body, 0)
    return writer.rich(), tuple(writer.pictures)


class _TextWriter:
    """Writes the text of a page, element by element."""

    def __init__(self, base: str) -> None:
        self.pictures: list[PagePhoto] = []
        self._base = base
        self._parts: list[str] = []
        self._length = 0
        self._links: list[Span] = []
        self._breaks = 0
        self._space = False
        self._prefix = ""
        self._last_prefix = ""
        #: The prefix of the next line, for the first line of a list item and for the others.
        self._marker: tuple[str, str] | None = None
        self._link_start = -1
        self._in_link = False
        self._preformatted = False

    def rich(self) -> RichText:
        return RichText("".join(self._parts), tuple(self._links))

    def children(self, parent: Tag, depth: int) -> None:
        for child in parent.children:
            if self._length > _MOST:
                return
            self.node(child, depth + 1)

    def node(self, node: PageElement, depth: int) -> None:
        if isinstance(node, Tag):
            if depth > _DEEPEST:
                self._text(node.get_text())
            elif not _is_silent(node):
                self._element(node, depth)
            elif node.name == "img":
                self._picture(node)
            elif node.name == "picture":
                for image in node.find_all("img"):
                    self._picture(image)
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            self._text(str(node))

    def _element(self, tag: Tag, depth: int) -> None:
        name = tag.name
        if name == "br":
            self._break(min(2, self._breaks + 1))
        elif name == "a":
            self._anchor(tag, depth)
        elif name in {"ul", "ol", "menu", "dir"}:
            self._list(tag, depth)
        elif name == "blockquote":
            self._quote(tag, depth)
        elif name == "pre":
            self._code(tag, depth)
        elif name == "q":
            self._text("“")
            self.children(tag, depth)
            self._text("”")
        elif name in {"del", "s", "strike"}:
            # Plain text cannot be struck through; without marks it would seem to still apply.
            self._text("~~")
            self.children(tag, depth)
            self._text("~~")
        elif name == "math":
            self._formula(tag)
        elif name in {"td", "th"}:
            if tag.find_previous_sibling(["td", "th"]) is not None:
                self._text(" | ")
            self.children(tag, depth)
        elif name in _BLOCKS:
            apart = 1 if name in _LINES else 2
            self._break(apart)
            self.children(tag, depth)
            self._break(apart)
        else:
            self.children(tag, depth)

    def _formula(self, tag: Tag) -> None:
        is_block = tag.get("display") == "block"
        if is_block:
            self._break(2)
        self._text(formula_in_words(tag))
        if is_block:
            self._break(2)

    def _anchor(self, tag: Tag, depth: int) -> None:
        href = tag.get("href")
        url = _web_url(self._base, href) if isinstance(href, str) else None
        if url is None or self._in_link:
            self.children(tag, depth)
            return
        self._in_link, self._link_start = True, -1
        self.children(tag, depth)
        start, self._in_link = self._link_start, False
        if 0 <= start < self._length:
            self._links.append(Span(start, self._length, "link", url))

    def _list(self, tag: Tag, depth: int) -> None:
        nested = tag.find_parent("li") is not None
        number = _number(tag.get("start"), 1)
        before = self._prefix
        self._break(1 if nested else 2)
        if nested:
            self._prefix += "  "
        for child in tag.children:
            if isinstance(child, Tag) and child.name == "li" and not _is_silent(child):
                number = _number(child.get("value"), number)
                self._break(1)
                self._marker = (self._prefix, f"{number}. " if tag.name == "ol" else "• ")
                number += 1
                self._item(child, depth + 1)
                self._marker = None
            else:
                self.node(child, depth + 1)
        self._prefix = before
        self._break(1 if nested else 2)

    def _item(self, item: Tag, depth: int) -> None:
        for child in item.children:
            if isinstance(child, Tag) and child.name == "p":
                # Paragraphs in list items are not separated by blank lines.
                self._break(1)
                self.children(child, depth)
                self._break(1)
            else:
                self.node(child, depth)

    def _quote(self, tag: Tag, depth: int) -> None:
        self._break(2)
        before, self._prefix = self._prefix, f"{self._prefix}> "
        self.children(tag, depth)
        self._prefix = before
        self._break(2)

    def _code(self, tag: Tag, depth: int) -> None:
        self._break(2)
        self._preformatted = True
        self.children(tag, depth)
        self._preformatted = False
        self._break(2)

    def _break(self, lines: int) -> None:
        self._space = False
        if self._parts:
            self._breaks = max(self._breaks, lines)

    def _text(self, text: str) -> None:
        text = _CONTROL.sub("", unicodedata.normalize("NFC", text))
        if self._preformatted:
            self._lines(text)
            return
        for index, word in enumerate(_SPACES.split(text)):
            if index:
                self._space = True
            if word:
                self._word(word)

    def _lines(self, text: str) -> None:
        """Write preformatted text, without line breaks at its end."""
        for index, line in enumerate(text.split("\n")):
            if index:
                self._breaks += 1 if self._parts else 0
            if line:
                self._space = False
                self._word(line)

    def _word(self, word: str) -> None:
        if self._breaks or not self._parts:
            self._begin_line()
        elif self._space:
            self._append(" ")
        self._space = False
        if self._in_link and self._link_start < 0:
            self._link_start = self._length
        self._append(word)

    def _begin_line(self) -> None:
        """Start a line with its prefix; blank lines within a quotation get its prefix, too."""
        if self._breaks:
            shorter = min(self._last_prefix, self._prefix, key=len)
            goes_on = self._last_prefix.startswith(shorter) and self._prefix.startswith(shorter)
            blank = shorter.rstrip() if goes_on else ""
            self._append(f"\n{blank}" * (self._breaks - 1) + "\n")
        start = self._prefix
        if self._marker is not None:
            outside, mark = self._marker
            start = outside + mark + self._prefix.removeprefix(outside)
        if start:
            self._append(start)
        self._last_prefix, self._marker, self._breaks = self._prefix, None, 0

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _picture(self, image: Tag) -> None:
        source, alt = image.get("src"), image.get("alt")
        url = _web_url(self._base, source) if isinstance(source, str) else None
        if url is not None:
            self.pictures.append(PagePhoto(url, alt.strip() if isinstance(alt, str) else ""))


def _is_silent(tag: Tag) -> bool:
    if tag.name in _SILENT or tag.has_attr("hidden"):
        return True
    classes = tag.get("class") or []
    if _MARKS.intersection(classes) or tag.get("role") in _ROLES:
        return True
    if tag.name != "sup":
        return False
    # Markdown's footnotes: ``<sup id="fnref:1"><a class="footnote-ref">1</a></sup>``.
    return str(tag.get("id") or "").startswith("fnref") or any(
        _MARKS.intersection(link.get("class") or []) for link in tag.find_all("a")
    )


def _number(value: object, default: int) -> int:
    try:
        return int(str(value))
    except ValueError:
        return default


def _web_url(base: str, href: str) -> str | None:
    try:
        url = urljoin(base, href.strip())
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None


def _entry(items: list[dict[str, Any]], url: str) -> dict[str, Any] | None:
    entries = [each for each in _flat(items) if any(map(_ROOTS.fullmatch, each["type"]))]
    mine = [each for each in entries if any(_same(url, known) for known in _urls(each))]
    if mine:
        return mine[0]
    top = [each for each in items if any(map(_ROOTS.fullmatch, each["type"]))]
    return top[0] if len(top) == 1 else None


def _flat(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        yield item
        yield from _flat(item.get("children", []))


def _urls(item: dict[str, Any]) -> list[str]:
    properties = item["properties"]
    found = [*properties.get("url", []), *properties.get("uid", [])]
    return [each for each in found if isinstance(each, str)]


def _same(one: str, other: str) -> bool:
    def bare(url: str) -> str:
        return urldefrag(url).url.partition("://")[2].rstrip("/")

    return bare(one) == bare(other)


def _first_text(values: list[Any]) -> str:
    for value in values:
        text = value.get("value") if isinstance(value, dict) else value
        if isinstance(text, str) and text.strip():
            return text.strip()
    return ""


def _pictures(values: list[Any]) -> Iterator[PagePhoto]:
    for value in values:
        url = value.get("value") if isinstance(value, dict) else value
        alt = value.get("alt") if isinstance(value, dict) else ""
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            yield PagePhoto(url, alt.strip() if isinstance(alt, str) else "")


def _times(values: list[Any]) -> Iterator[datetime]:
    """The values that are a date and time with a time zone."""
    for value in values:
        try:
            time = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            continue
        if time.tzinfo is not None:
            yield time


def _language(contents: list[dict[str, Any]], soup: BeautifulSoup) -> str:
    """The content's language, from its own or a surrounding ``lang`` attribute."""
    root = soup.find("html")
    outside = root.get("lang") if isinstance(root, Tag) else None
    for lang in (*(each.get("lang") for each in contents), outside):
        if isinstance(lang, str) and lang.strip():
            return lang.strip()
    return ""


def formula_in_words(formula: Tag) -> str:
    """The formula on one line: ``x^2``, ``(a+b)/2``, ``√3``."""
    return _INVISIBLE.sub("", " ".join(_written(formula, 0).split()))


def _written(tag: Tag, depth: int) -> str:
    children = tag.find_all(recursive=False)
    if tag.name in _TOKENS or not children or depth > _DEEPEST_FORMULA:
        return tag.get_text()
    parts = [_written(each, depth + 1) for each in children if each.name not in _SILENT_IN_FORMULA]
    if tag.name in {"msubsup", "munderover"} and len(parts) > 2:
        base, below, above = map(_bracketed, parts[:3])
        return f"{base}_{below}^{above}"
    if tag.name in {"msup", "mover", "msub", "munder", "mfrac"}:
        return _BETWEEN[tag.name].join(map(_bracketed, parts))
    if tag.name == "msqrt":
        return f"√{_bracketed(''.join(parts))}"
    if tag.name == "mroot" and len(parts) > 1:
        return f"{_bracketed(parts[0])}^(1/{parts[1]})"
    return _BETWEEN.get(tag.name, "").join(parts)


def _bracketed(part: str) -> str:
    """A part in brackets, if it is more than a name or a number."""
    part = part.strip()
    return part if part.isalnum() or len(part) < 2 else f"({part})"
