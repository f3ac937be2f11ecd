"""Validates property values that are URLs, and finds the URL in a shared text."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bridge.errors import InvalidRequest

#: Properties whose text must be a URL; for other ``*-of`` it may be a title.
LINKS = frozenset(
    {"in-reply-to", "like-of", "repost-of", "bookmark-of", "favorite-of", "quotation-of"}
    | {"follow-of", "tag-of", "mention-of", "invitee-of", "syndication"}
)

#: Quotation marks end a URL, and so do Chinese and Japanese stops, which are not followed by a
#: space.
_URL = re.compile(
    r"https?://[^\s<>\"“”„«»‹›。、，．！？；：「」『』（）【】《》〈〉]+", re.IGNORECASE
)
#: What ends a sentence, rather than the URL at its end.
_AFTER = ".,;:!?'\"*_”’»…؟،؛।"
_BRACKETS = {")": "(", "]": "[", "}": "{"}
#: URLs that work only on the device, or in the page, that created them.
_OF_A_DEVICE = re.compile(
    r"(?:blob|file|data|content|ph|assets-library|cid|about|javascript|view-source"
    r"|[a-z-]+-extension):",
    re.IGNORECASE,
)
#: What programs send in place of a missing value.
_NO_VALUES = frozenset(
    {"undefined", "null", "none", "nan", "nil", "false", "true", "[object object]", "(null)"}
)
#: Characters that no URL contains, except a space, which a browser reads as %20.
_NOT_OF_A_URL = re.compile(r"[\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufffe\uffff]")
#: Networks other than the web to which posts link.
_OTHERS = re.compile(
    r"(?:at|gemini|gopher|ftp|ftps|ipfs|ipns)://\S+|(?:acct|doi|isbn|urn|magnet|did|tag|nostr):\S+",
    re.IGNORECASE,
)


def is_web(text: str) -> bool:
    """Whether this is an absolute http(s) URL."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _is_whole(url: str) -> bool:
    """Whether a URL found in a text is complete: ``https://exa mple.org/`` is not
    ``https://exa``."""
    host = (urlsplit(url).hostname or "") if is_web(url) else ""
    return host == "localhost" or "." in host or ":" in host


def link(name: str, text: str) -> str:
    """The URL that ``text`` is, or the only URL in it, as apps send shared texts.

    Raises :class:`InvalidRequest` if it has none, or more than one.
    """
    text = text.strip()
    if (is_web(text) or _OTHERS.fullmatch(text)) and not re.search(r"\s", text):
        return text
    refuse_placeholder(name, text)
    found = list(dict.fromkeys(filter(_is_whole, map(_trimmed, _URL.findall(text)))))
    if len(found) == 1:
        return found[0]
    problem = "has no address in it" if not found else f"has {len(found)} addresses in it"
    raise InvalidRequest(
        f"'{name}' is an address, and '{text[:60]}' {problem}."
        " Send one absolute URL, like https://example.com/a-page."
    )


def file_url(name: str, text: str) -> str:
    """The URL of a photo or another file: absolute, or a path from the root of the site.

    Raises :class:`InvalidRequest` for anything else.
    """
    text = text.strip()
    refuse_placeholder(name, text)
    if not _NOT_OF_A_URL.search(text):
        if is_web(text) or (text.startswith("/") and not text.startswith(("//", "/\\"))):
            return text
        with contextlib.suppress(InvalidRequest):
            found = link(name, text)
            # No page can show a file of another network.
            if is_web(found):
                return found
    raise InvalidRequest(
        f"'{name}' is the address of a file, and '{text[:60]}' is none. Send an absolute URL"
        " (https://…), or upload the file to the media endpoint and send the URL that it answers"
        " with."
    )


def refuse_placeholder(name: str, text: str) -> None:
    """Raise :class:`InvalidRequest` for a placeholder of a missing URL, or a URL that works
    only on the client's own device.
    """
    if text.strip().casefold() in _NO_VALUES:
        raise InvalidRequest(
            f"'{name}' is '{text.strip()[:40]}': the app had no value for it. Leave it out, or send"
            " an absolute URL, like https://example.com/a-page."
        )
    if _OF_A_DEVICE.match(text.strip()):
        scheme = text.strip().partition(":")[0].lower()
        raise InvalidRequest(
            f"'{name}' is an address that begins with '{scheme}:', which works only where it was"
            " made. Send an address of the web; or upload the file to the media endpoint, and send"
            " the URL that it answers with."
        )


def check_object(name: str, value: Mapping[str, Any]) -> None:
    """Refuse a nested object (h-cite, h-card, …) whose ``url`` is a placeholder of a missing URL,
    or works only on the client's own device. Raises :class:`InvalidRequest`.
    """
    for url in _urls(value):
        if isinstance(url, str):
            refuse_placeholder(f"{name}.url", url)


def linked_object(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """A nested object, whose ``url`` is an address as :func:`link` takes it. It may have no
    ``url``. Raises :class:`InvalidRequest`.
    """
    properties = value.get("properties")
    if isinstance(properties, dict):
        return {**value, "properties": linked_object(name, properties)}
    urls = _urls(value)
    checked = [url if isinstance(url, dict) else link(f"{name}.url", str(url)) for url in urls]
    if checked == urls:
        return value
    return {**value, "url": checked if isinstance(value["url"], list) else checked[0]}


def _urls(value: Mapping[str, Any]) -> list[Any]:
    """The values of ``url`` of a nested object that are not empty."""
    properties = value.get("properties")
    urls = (properties if isinstance(properties, dict) else value).get("url")
    given = urls if isinstance(urls, list) else [urls]
    return [url for url in given if url and not (isinstance(url, str) and not url.strip())]


def _trimmed(url: str) -> str:
    """A URL without the punctuation of the sentence around it."""
    while url:
        last = url[-1]
        opening = _BRACKETS.get(last)
        if last in _AFTER or (opening and url.count(last) > url.count(opening)):
            url = url[:-1]
        else:
            break
    return url
