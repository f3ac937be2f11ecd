"""Finds a page's links with a relation: ``Link`` headers and ``<link>`` elements (RFC 8288;
IndieAuth 4.1).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import webencodings

#: A part of a ``Link`` header (RFC 8288 3): the target of a link, a parameter of the previous
#: target, or the comma after them. An unclosed quoted string extends to the end.
_PIECE = re.compile(
    r"""<(?P<target>[^<>]*)>|(?P<comma>,)
    |;\s*(?P<name>[\w*!#$&+.^`|~-]+)
      (?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"?|(?P<plain>[^\s",;]*)))?""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WHITE_SPACE = " \t\n\f\r"

#: Elements allowed in a head (HTML 13.2.6.4.4); any other starts the body.
_EMPTY = frozenset({"link", "base", "meta", "basefont", "bgsound"})
_FULL = frozenset({"title", "style", "script", "noscript", "template", "noframes"})
_FRAME = frozenset({"html", "head"})
#: End tags that start the body.
_ENDS_OF_BODY = frozenset({"body", "html", "br"})

#: Where browsers look for the encoding that a page declares (HTML 13.2.3.2).
_PRESCAN = 1024
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(rb"<meta[\s/][^>]*", re.IGNORECASE)
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([^\s"'/>;]+)""", re.IGNORECASE)
_ENDLESS = re.compile(r"&#[0-9]{1000,};?")
_CHARSET_OF_TYPE = re.compile(r"""charset\s*=\s*["']?([^\s"';]+)""", re.IGNORECASE)


def header_links(values: Iterable[str], base: str, rel: str) -> list[str]:
    """The absolute targets of a page's ``Link`` headers with relation ``rel``, in order.

    ``base`` is the page's URL. ``rev`` is ignored.
    """
    found = []
    for value in values:
        for target, parameters in _links(value):
            words = rel_words(parameters.get("rel", ""))
            if rel in words and _is_about(base, parameters.get("anchor")):
                found.append(target)
    return absolute(base, found)


def _links(value: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The links of a header, each as target and parameters."""
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
    """Whether a link's context is the page itself.

    "The context of a link … can be overridden by the anchor parameter" (RFC 8288 3.2).
    """
    if anchor is None:
        return True
    with suppress(ValueError):
        return urljoin(page, anchor.strip()) == urldefrag(page).url
    return False


def html_links(html: bytes, base: str, rel: str, *, content_type: str = "") -> list[str]:
    """The absolute targets of ``<link>`` elements with relation ``rel`` in the page's head, in
    order.

    ``content_type`` is the header, which may name the encoding. The body is not searched, nor are
    ``<a rel>`` elements, since a page may contain text by others.
    """
    head = _Head()
    # Markup that Python's parser rejects ends the search; what was found before it counts.
    with suppress(AssertionError):
        head.feed(decoded(html, content_type))
    for base_url in absolute(base, head.bases[:1]):
        # A base URL with the scheme data or javascript is ignored (HTML 4.2.3).
        if base_url.startswith(("http:", "https:")):
            base = base_url
    return absolute(base, [target for words, target in head.links if rel in words])


def decoded(html: bytes, content_type: str) -> str:
    """A page's text, decoded by its byte order mark, header, or declaration, else as UTF-8
    (HTML 13.2.3.2).
    """
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


def charset_of(label: str | None) -> str:
    """The codec that a ``charset`` of a media type means on the web; ``""`` for what it does not
    know, and so for codecs that only Python has (``idna``, ``unicode_escape``)."""
    encoding = webencodings.lookup(label) if label else None
    name = encoding.codec_info.name if encoding else ""
    return "" if name == "x-user-defined" else str(name)


def _declared(beginning: bytes) -> webencodings.Encoding:
    for meta in _META.finditer(_COMMENT.sub(b"", beginning)):
        named = _CHARSET.search(meta[0])
        encoding = webencodings.lookup(named[1].decode("ascii", "replace")) if named else None
        # A page whose declaration could be read as ASCII is not UTF-16 (13.2.3.2).
        if encoding and not encoding.name.startswith("utf-16"):
            return encoding
    return webencodings.UTF8


class ElementReader(HTMLParser):
    """Reads elements one by one, skipping the content of ``opaque`` ones (text, no markup).

    It takes one pass and linear time: a parser that builds the tree as browsers do can be made to
    build millions of elements from some kilobytes, and pages of others are untrusted.
    """

    def __init__(self, opaque: frozenset[str]) -> None:
        super().__init__()
        self._opaque = opaque
        self._inside: str | None = None
        self._depth = 0

    def feed(self, data: str) -> None:
        """See :class:`~html.parser.HTMLParser`, which fails at a number of thousands of digits.

        HTML 13.2.5.80: a reference beyond Unicode is U+FFFD.
        """
        # What is left of the pieces before may begin a reference that ends in this one.
        waiting, self.rawdata = self.rawdata + data, ""
        super().feed(_ENDLESS.sub("\ufffd", waiting))

    def element(self, tag: str, given: Mapping[str, str]) -> None:
        """A start tag with its attributes, which is not inside an opaque element."""

    def end(self, tag: str) -> None:
        """An end tag that is not inside an opaque element."""

    def text(self, data: str) -> None:
        """Text that is not inside an opaque element."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See :class:`~html.parser.HTMLParser`."""
        if self._inside:
            # Of these elements only templates may contain elements, such as nested templates.
            self._depth += tag == self._inside == "template"
            return
        if tag in self._opaque:
            self._inside, self._depth = tag, 1
        # Of a duplicate attribute the first counts (HTML 13.2.5.33).
        self.element(tag, {name: value or "" for name, value in reversed(attrs)})

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See :class:`~html.parser.HTMLParser`."""
        # The slash of ``<template/>`` and ``<title/>`` has no meaning in HTML (13.1.2.1).
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """See :class:`~html.parser.HTMLParser`."""
        if tag == self._inside:
            self._depth -= 1
            if not self._depth:
                self._inside = None
        elif not self._inside:
            self.end(tag)

    def handle_data(self, data: str) -> None:
        """See :class:`~html.parser.HTMLParser`."""
        if not self._inside:
            self.text(data)


class _Head(ElementReader):
    """Reads the links in a page's head."""

    def __init__(self) -> None:
        super().__init__(_FULL)
        self.links: list[tuple[list[str], str]] = []
        self.bases: list[str] = []
        self._over = False

    def element(self, tag: str, given: Mapping[str, str]) -> None:
        if self._over:
            return
        if tag == "link" and "href" in given:
            self.links.append((rel_words(given.get("rel", "")), given["href"]))
        elif tag == "base" and "href" in given:
            self.bases.append(given["href"])
        elif tag not in _EMPTY | _FULL | _FRAME:
            self._over = True

    def end(self, tag: str) -> None:
        self._over = self._over or tag in _ENDS_OF_BODY

    def text(self, data: str) -> None:
        # Text outside of these elements starts the body.
        self._over = self._over or bool(data.strip(_WHITE_SPACE))


def rel_words(value: str) -> list[str]:
    """The relations in a ``rel`` value: separated by ASCII white space, case-insensitive."""
    return re.split(f"[{_WHITE_SPACE}]+", value.lower())


def absolute(base: str, targets: Iterable[str]) -> list[str]:
    """Resolve targets against their page; invalid URLs are left out."""
    found = []
    for target in targets:
        try:
            found.append(urljoin(base, target.strip(_WHITE_SPACE)))
        except ValueError:
            continue
    return found
