"""Finds the ``rel`` links of a page: Link headers and ``<link>`` elements (RFC 8288; IndieAuth
4.1).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import webencodings

#: A ``Link`` header piece by piece (RFC 8288 3): the target of a link, a parameter of the one
#: before, or the comma that ends it. A quoted text that nothing closes goes on to the end.
_PIECE = re.compile(
    r"""<(?P<target>[^<>]*)>|(?P<comma>,)
    |;\s*(?P<name>[\w*!#$&+.^`|~-]+)
      (?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"?|(?P<plain>[^\s",;]*)))?""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WHITE_SPACE = " \t\n\f\r"

#: What may stand in a head (HTML 13.2.6.4.4); anything else opens the body.
_EMPTY = frozenset({"link", "base", "meta", "basefont", "bgsound"})
_FULL = frozenset({"title", "style", "script", "noscript", "template", "noframes"})
_FRAME = frozenset({"html", "head"})
#: End tags that open it as well: those of the head are none of them.
_ENDS_OF_BODY = frozenset({"body", "html", "br"})

#: Where browsers look for the encoding that a page itself declares (HTML 13.2.3.2).
_PRESCAN = 1024
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(rb"<meta[\s/][^>]*", re.IGNORECASE)
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([^\s"'/>;]+)""", re.IGNORECASE)
_CHARSET_OF_TYPE = re.compile(r"""charset\s*=\s*["']?([^\s"';]+)""", re.IGNORECASE)


def header_links(values: Iterable[str], base: str, rel: str) -> list[str]:
    """The targets of a page's ``Link`` headers with this relation, absolute, in order.

    ``base`` is the page's own address. ``rev`` says nothing here.
    """
    found = []
    for value in values:
        for target, parameters in _links(value):
            words = rel_words(parameters.get("rel", ""))
            if rel in words and _is_about(base, parameters.get("anchor")):
                found.append(target)
    return absolute(base, found)


def _links(value: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each link of a header with its parameters."""
    target: str | None = None
    parameters: dict[str, str] = {}
    for piece in _PIECE.finditer(value):
        if piece["name"] is not None:
            quoted = piece["quoted"]
            given = piece["plain"] or "" if quoted is None else _ESCAPED.sub(r"\1", quoted)
            # "Occurrences after the first MUST be ignored by parsers" (RFC 8288 3.3, of rel).
            parameters.setdefault(piece["name"].lower(), given)
            continue
        if target is not None:
            yield target, parameters
        target, parameters = piece["target"], {}
    if target is not None:
        yield target, parameters


def _is_about(page: str, anchor: str | None) -> bool:
    """Whether a link is the page's own. "The context of a link … can be overridden by the anchor
    parameter" (RFC 8288 3.2): then it is someone else's, or that of a part of the page.
    """
    if anchor is None:
        return True
    with suppress(ValueError):
        return urljoin(page, anchor.strip()) == urldefrag(page).url
    return False


def html_links(html: bytes, base: str, rel: str, *, content_type: str = "") -> list[str]:
    """The targets of ``<link>`` elements in the page's head, absolute, in order.

    ``content_type`` is the header's, which may name the page's encoding. Only the head: a page's
    body may quote strangers. Never ``<a rel>``, for the same reason.
    """
    head = _Head()
    # What Python's parser cannot make sense of ends the reading; what came before counts.
    with suppress(AssertionError):
        head.feed(decoded(html, content_type))
    for base_url in absolute(base, head.bases[:1]):
        # "If urlRecord's scheme is data or javascript", the page's own address stays (HTML 4.2.3).
        if base_url.startswith(("http:", "https:")):
            base = base_url
    return absolute(base, [target for words, target in head.links if rel in words])


def decoded(html: bytes, content_type: str) -> str:
    """A page's text: by its byte order mark, the header, its own word, else UTF-8
    (HTML 13.2.3.2)."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if html.startswith(mark):
            return html[len(mark) :].decode(name, "replace")
    named = _CHARSET_OF_TYPE.search(content_type)
    encoding = webencodings.lookup(named[1]) if named else None
    if encoding is None:
        encoding = _declared(html[:_PRESCAN])
    return str(encoding.codec_info.decode(html, "replace")[0])


def _declared(beginning: bytes) -> webencodings.Encoding:
    for meta in _META.finditer(_COMMENT.sub(b"", beginning)):
        named = _CHARSET.search(meta[0])
        encoding = webencodings.lookup(named[1].decode("ascii", "replace")) if named else None
        # A page in which this could be read is not in UTF-16, whatever it says (13.2.3.2).
        if encoding and not encoding.name.startswith("utf-16"):
            return encoding
    return webencodings.UTF8


class _Head(HTMLParser):
    """Reads a page's head, in one pass whose cost grows with its length alone.

    A parser that builds the tree as browsers do can be made to build millions of elements from
    some kilobytes, and these pages are strangers'.
    """

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[list[str], str]] = []
        self.bases: list[str] = []
        self._inside: str | None = None
        self._depth = 0
        self._over = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._over:
            return
        if self._inside:
            # Only templates hold elements, and so templates.
            self._depth += tag == self._inside == "template"
            return
        given = {name: value or "" for name, value in reversed(attrs)}
        if tag == "link" and "href" in given:
            self.links.append((rel_words(given.get("rel", "")), given["href"]))
        elif tag == "base" and "href" in given:
            self.bases.append(given["href"])
        elif tag in _FULL:
            self._inside, self._depth = tag, 1
        elif tag not in _EMPTY | _FRAME:
            self._over = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The slash of <template/> and <title/> means nothing in HTML (13.1.2.1).
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._depth -= 1
            if not self._depth:
                self._inside = None
        elif not self._inside and tag in _ENDS_OF_BODY:
            self._over = True

    def handle_data(self, data: str) -> None:
        # Text of its own opens the body, too.
        if not self._inside and data.strip(_WHITE_SPACE):
            self._over = True


def rel_words(value: str) -> list[str]:
    """Relations, which are parted by ASCII white space alone and compared without case."""
    return re.split(f"[{_WHITE_SPACE}]+", value.lower())


def absolute(base: str, targets: Iterable[str]) -> list[str]:
    """Targets seen from their page; what is not a URL at all is left out."""
    found = []
    for target in targets:
        try:
            found.append(urljoin(base, target.strip(_WHITE_SPACE)))
        except ValueError:
            continue
    return found
