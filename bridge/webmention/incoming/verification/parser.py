"""Parses a webmention's source: whether it links to the target, and its h-entry.

A hostile page can keep an HTML parser busy for minutes, so this runs in a subprocess with its own
limits that can be killed (:mod:`bridge.net.parser_process`). The result is plain text and http(s)
URLs, limited in length and number, and never HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import mf2py
from bs4 import BeautifulSoup, Comment, Tag
from bs4.element import NavigableString, PreformattedString

from bridge.context.cite import (
    AUTHOR_LENGTH,
    author_of,
    entry_of,
    first_url,
    line_of,
    plain,
    utf8,
)
from bridge.posts.urls import ascii_authority

#: Attributes that contain URLs of links, media and quotations (Webmention 3.2.2: "the receiver
#: SHOULD look for <a href="*">, <img href="*">, <video src="*"> and other similar").
_ADDRESSES = ("href", "src", "cite", "poster", "data")
#: Properties of an entry that define its relation to another page; the first that matches wins.
RESPONSES = ("rsvp", "repost-of", "like-of", "bookmark-of", "in-reply-to")
_COMMENTS = 50
_VALUES = 100
_TEXT_LENGTH = 20_000
_NAME_LENGTH = 100
_URL_LENGTH = 2000

_BLOCKS = (
    *("p", "div", "li", "ul", "ol", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("tr", "table", "section", "article", "header", "footer", "figure", "figcaption", "dd", "dt"),
    *("hr", "address", "aside", "details", "summary", "nav", "form"),
)
_SILENT = ("script", "style", "template", "noscript", "iframe", "object", "svg", "math", "head")
_SPACE = re.compile(r"[ \t\r\f\v\n\x00-\x1f]+")


def read(
    page: bytes, url: str, source: str, target: str, kind: str, charset: str
) -> dict[str, Any]:
    """Parse the page that was fetched from ``url`` (``source`` after redirects).

    ``kind`` is its media type. The result has ``linked``: whether it links to ``target`` by the
    rules of its media type (Webmention 3.2.2); ``gone``: whether it is a tombstone; ``links``: the
    number of its links; ``entry``: its h-entry in short, or ``None``.
    """
    if kind in {"text/html", "application/xhtml+xml"}:
        return _of_html(page, url, source, target, charset)
    text = page.decode(charset or "utf-8", "replace")
    # "If the source is a JSON document, the receiver should look for properties whose values are
    # an exact match for the URL. If the source is plain text, the receiver should look for the URL
    # by searching for the string."
    if kind == "application/json" or kind.endswith("+json"):
        return _result(linked=_in_json(text, target))
    return _result(linked=kind == "text/plain" and target in text)


def _result(
    *, linked: bool, gone: bool = False, links: int = 0, entry: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"linked": linked, "gone": gone, "links": links, "entry": entry}


def _of_html(page: bytes, url: str, source: str, target: str, charset: str) -> dict[str, Any]:
    soup = BeautifulSoup(page, "html5lib", from_encoding=charset or utf8(page))
    for hidden in soup.find_all("template"):
        # "The template element … represents nothing" (HTML 4.12.3): its links are not the page's.
        hidden.decompose()
    links = list(_links(soup, url))
    linked = exact(target) in {exact(link) for link in links}
    if not linked:
        return _result(linked=False, gone=_is_tombstone(soup))
    try:
        parsed = mf2py.parse(doc=soup, url=url)
        entry = _entry(parsed, url, source)
    except RecursionError:
        # Nested too deeply for the microformats parser. The link still counts.
        entry = None
    return _result(linked=True, gone=_is_tombstone(soup), links=len(links), entry=entry)


def _links(soup: BeautifulSoup, url: str) -> Iterator[str]:
    """Every URL in the page, resolved."""
    base = soup.find("base", href=True)
    start = _resolved(url, str(base["href"])) if isinstance(base, Tag) else url
    for element in soup.find_all(True):
        for name in _ADDRESSES:
            value = element.get(name)
            if isinstance(value, str):
                yield _resolved(start, value.strip())


def _resolved(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        return ""


def exact(url: str) -> str:
    """``url`` normalised for an exact comparison, with only what resolving does to every URL: lower
    case scheme and host, the host in ASCII, ``/`` for an empty path, percent-encoding of characters
    no URL has.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    host = ascii_authority(parts.netloc)
    return parts._replace(scheme=parts.scheme.lower(), netloc=host, path=path).geturl()


def _is_tombstone(soup: BeautifulSoup) -> bool:
    """Whether the page reports 410 in a ``<meta http-equiv="Status">``, as static hosts must."""
    for meta in soup.find_all("meta", attrs={"http-equiv": re.compile("^status$", re.IGNORECASE)}):
        if str(meta.get("content", "")).strip().startswith("410"):
            return True
    return False


def _in_json(text: str, target: str) -> bool:
    try:
        waiting = [json.loads(text)]
    except (ValueError, RecursionError):
        return False
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and exact(value) == exact(target):
            return True
    return False


def _entry(parsed: dict[str, Any], url: str, source: str) -> dict[str, Any] | None:
    """The page's own h-entry: the one whose URL is the page's, or the only one."""
    items: list[dict[str, Any]] = parsed["items"]
    found = entry_of(items, source) or entry_of(items, url)
    if found is None:
        return None
    properties = found["properties"]
    content = next(iter(properties.get("content", [])), "")
    text = _paragraphs(content)
    author = _author(found, items, parsed)
    return {
        "url": [each for each in map(plain, properties.get("url", [])[:_VALUES]) if _short(each)],
        "responses": {name: _addresses(properties.get(name, [])) for name in RESPONSES},
        "rsvp": line_of(found, "rsvp", 20).lower(),
        "name": _title(found, text),
        "text": text or _paragraphs(next(iter(properties.get("summary", [])), "")),
        "links": _count_links(content),
        "published": line_of(found, "published", 40),
        "author": author,
        "comments": [*_comments(properties)],
    }


def _short(url: str) -> bool:
    return 0 < len(url) <= _URL_LENGTH


def _addresses(values: list[Any]) -> list[str]:
    """The URLs among a property's values, plain or in h-cites."""
    found: list[str] = []
    for value in values[:_VALUES]:
        urls = value.get("properties", {}).get("url", []) if isinstance(value, dict) else []
        found += [each for each in (*map(plain, urls), plain(value)) if _short(each)]
    return found


def _title(entry: dict[str, Any], text: str) -> str:
    """The name, or ``""`` where it only repeats the start of the text (an implied ``p-name``)."""
    name = line_of(entry, "name", _NAME_LENGTH)
    begin = re.sub(r"\s+", "", name.rstrip("…."))
    return "" if re.sub(r"\s+", "", text).startswith(begin) else name


def _author(
    entry: dict[str, Any], items: list[dict[str, Any]], parsed: dict[str, Any]
) -> dict[str, str]:
    """The author: of the entry, else the page's only h-card, else its ``rel=author``."""
    card = author_of(entry, items)
    properties = {} if card is None else card["properties"]
    found = {
        name: str(properties[name][0]) for name in ("name", "url", "photo") if name in properties
    }
    rel = parsed.get("rels", {}).get("author", [])
    if not found and rel:
        found = {"url": first_url({"properties": {"url": rel[:1]}}, "url")}
    return {name: value for name, value in found.items() if value}


def _count_links(content: Any) -> int:
    html = content.get("html", "") if isinstance(content, dict) else ""
    return len(re.findall(r"<a\b", html, re.IGNORECASE))


def _comments(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The comments that the page shows below its entry, one level deep (Salmention)."""
    for value in properties.get("comment", [])[:_COMMENTS]:
        if not isinstance(value, dict) or "properties" not in value:
            continue
        url = first_url(value, "url")
        text = _paragraphs(next(iter(value["properties"].get("content", [])), ""))
        text = text or line_of(value, "name", _NAME_LENGTH)
        card = next(iter(value["properties"].get("author", [])), None)
        author: dict[str, str] = {}
        if isinstance(card, dict) and "properties" in card:
            author = {"name": line_of(card, "name", AUTHOR_LENGTH), "url": first_url(card, "url")}
        elif isinstance(card, str):
            author = {"name": card[:AUTHOR_LENGTH]}
        if url and text:
            yield {
                "url": url,
                "text": text,
                "published": line_of(value, "published", 40),
                "author": {name: each for name, each in author.items() if each},
            }


def _paragraphs(content: Any) -> str:
    """The text of an element without markup, one line for each block and line break."""
    if not isinstance(content, dict) or "html" not in content:
        return "\n".join(_lines(plain(content)))[:_TEXT_LENGTH]
    html = content["html"][: 10 * _TEXT_LENGTH]
    soup = BeautifulSoup(f"<div>{html}</div>", "html5lib")
    for silent in soup.find_all(_SILENT):
        silent.extract()
    for string in list(soup.find_all(string=True)):
        if isinstance(string, Comment | PreformattedString):
            string.extract()
        elif string.find_parent("pre") is None:
            string.replace_with(NavigableString(_SPACE.sub(" ", string)))
    for line in soup.find_all("br"):
        line.replace_with(NavigableString("\n"))
    for block in soup.find_all(_BLOCKS):
        block.insert(0, NavigableString("\n"))
        block.append(NavigableString("\n"))
    return "\n".join(_lines(soup.get_text()))[:_TEXT_LENGTH]


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        stripped = _SPACE.sub(" ", line).strip()
        if stripped:
            yield stripped
