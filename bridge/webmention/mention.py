"""Converts a parsed source page to the mention that is stored: a JF2 entry with webmention.io's
``wm-*`` names.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import grapheme
from msgspec import Struct

from bridge.posts.urls import canonical, hosts

#: File name prefix for each ``wm-property``. An entry with several of them has the first kind in
#: this order.
KINDS: Mapping[str, str] = {
    "rsvp": "rsvp",
    "repost-of": "repost",
    "like-of": "like",
    "bookmark-of": "bookmark",
    "in-reply-to": "reply",
    "mention-of": "mention",
}
#: Services that republish responses from elsewhere, so that author and URL are legitimately on
#: another host. Not services that convert any page on request (granary.io): the page's author
#: controls everything those say.
PROXIES = frozenset({"brid.gy", "www.brid.gy", "fed.brid.gy", "webmention.io"})
_RSVPS = frozenset({"yes", "no", "maybe", "interested"})
#: Kinds whose text is not stored.
_WITHOUT_TEXT = frozenset({"like-of", "repost-of"})
_GRAPHEMES = 500
_NAME = 100
_CHILD_GRAPHEMES = 300
_CHILDREN = 20
_WEB = re.compile(r"https?://[^\s<>\"'\\`{|}^]+", re.IGNORECASE)
#: Bidirectional controls and invisible characters (same table as :mod:`bridge.context.cite`).
_INVISIBLE = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff0-\uffff"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_CLUSTER = 8


#: Services below which every host name is another person's.
_OF_MANY = frozenset(
    {"github.io", "gitlab.io", "codeberg.page", "wordpress.com", "blogspot.com", "tumblr.com"}
    | {"micro.blog", "substack.com", "neocities.org", "bearblog.dev", "omg.lol", "write.as"}
)
#: The second level below a country's domain that is a registry's: ``co.uk``, ``com.au``, ``ac.jp``.
_REGISTRY = re.compile(r"(?:com?|org?|net|edu|gov?|gob|ac|ne|nom|ltd|plc|me|sch|mil|id|web)")


def domain_of(host: str) -> str:
    """The domain that someone has registered, whose owner can make any number of hosts below it:
    two labels, or three where a country's registry sells names below the second. On a service where
    each host is another person's, and of an address in numbers, the host itself.

    A rule without a list: where a registry sells names below another second level, its customers
    share one limit, which is no more than a delay.
    """
    host = host.rpartition("@")[2].lower()
    name = host.partition(":")[0].rstrip(".")
    labels = name.split(".")
    if len(labels) == 1 or labels[-1].isdecimal() or host.startswith("["):
        return host
    count = 3 if len(labels[-1]) == 2 and _REGISTRY.fullmatch(".".join(labels[-2:-1])) else 2
    domain = ".".join(labels[-count:])
    return ".".join(labels[-count - 1 :]) if domain in _OF_MANY else domain


class MentionTarget(Struct, frozen=True):
    """The post or page that is mentioned: its present URL, and every path and host it is reachable
    at. ``any_query``: it is there with whatever query, too.
    """

    url: str
    addresses: frozenset[str]
    own: frozenset[str]
    any_query: bool = False

    def is_at(self, url: str) -> bool:
        """Whether ``url`` is, or was, an address of this page."""
        address = canonical(url.partition("#")[0], self.own)
        known = address in self.addresses
        return known or (self.any_query and address.partition("?")[0] in self.addresses)


class Mention(Struct, frozen=True):
    """A verified mention, ready to be stored.

    ``entry`` is the JF2 entry, ``photo`` the URL of the author's picture. ``vouched``: the author's
    URL is on the host that the source was fetched from, so it can be trusted. ``plain``: the source
    has no h-entry.
    """

    kind: str
    url: str
    entry: dict[str, Any]
    photo: str = ""
    vouched: bool = False
    plain: bool = False
    links: int = 0

    @property
    def author_url(self) -> str:
        """The author's URL; ``""`` unless ``vouched``."""
        return str(self.entry["author"].get("url", "")) if self.vouched else ""

    @property
    def key(self) -> str:
        """Identity of a mention within its post: kind and canonical URL."""
        return key_of(self.kind, self.url)

    def file_name(self, target: str) -> str:
        """``KIND-HASH12.json``; ``target`` is the URL of the post."""
        path = urlsplit(target).path
        digest = hashlib.sha256(f"{self.kind}\n{self.url}\n{path}".encode()).hexdigest()
        return f"{KINDS[self.kind]}-{digest[:12]}.json"


def key_of(kind: str, url: str) -> str:
    """Identity of a mention within its post: kind and canonical URL."""
    return f"{kind} {canonical(url, frozenset())}#{url.partition('#')[2]}"


def mention_of(
    page: Mapping[str, Any],
    source: str,
    target: str,
    post: MentionTarget,
    *,
    via: str = "webmention",
    at: str = "",
) -> Mention:
    """Build the mention that the parsed source ``page`` makes of ``post``.

    ``target`` is the URL that the source links to, one of ``post``'s; ``at`` the URL that
    ``source`` was fetched from after redirects. An open redirect must not lend its host's name to
    another site's page, so no author is vouched for across hosts.
    """
    parsed: Mapping[str, Any] | None = page["entry"]
    if parsed is None:
        author = {"type": "card", "name": bare_host(source), "url": _origin(source)}
        entry = _entry("mention-of", source, target, source, via) | {"author": author}
        return Mention("mention-of", source, entry, plain=True, links=int(page["links"]))
    kind = _kind(parsed, post)
    if at and is_elsewhere(source, at):
        url, (author, _), vouched = source, _author(parsed["author"], at), False
    else:
        url = _canonical(parsed["url"], source)
        author, vouched = _author(parsed["author"], source)
    entry = _entry(kind, url, target, source, via) | {"author": author}
    entry |= _contents(parsed, kind, post)
    photo = web_url(parsed["author"].get("photo"))
    return Mention(kind, url, entry, photo, vouched=vouched, links=int(parsed["links"]))


def _contents(parsed: Mapping[str, Any], kind: str, post: MentionTarget) -> dict[str, Any]:
    """The properties of a response that are stored beside its author and URLs."""
    found: dict[str, Any] = {}
    if published := _moment(parsed["published"]):
        found["published"] = published
    if kind == "rsvp":
        found["rsvp"] = parsed["rsvp"]
    if kind not in _WITHOUT_TEXT:
        if parsed["name"]:
            found["name"] = line(parsed["name"], _NAME)
        if text := paragraphs(parsed["text"] or (parsed["name"] if kind == "in-reply-to" else "")):
            found["content"] = {"text": text}
        found["wm-children"] = [*_children(parsed["comments"], post)]
    return found


def is_elsewhere(source: str, at: str) -> bool:
    """Whether ``source`` redirects to a page on another host."""
    return bare_host(source).removeprefix("www.") != bare_host(at).removeprefix("www.")


def to_file(entry: Mapping[str, Any]) -> bytes:
    """The bytes of a mention's file: JSON, indented, keys sorted, newline at the end."""
    text = json.dumps(entry, ensure_ascii=False, indent=2, sort_keys=True)
    return f"{text}\n".encode()


def folder_of(target: str) -> str:
    """The folder for the mentions of the post at ``target``, relative to the mentions folder.

    The path is for people to read; the file's ``wm-target`` decides which post it belongs to.
    """
    parts = urlsplit(target)
    names = [_safe(unquote(name)) for name in parts.path.split("/") if name not in {"", ".", ".."}]
    if names and names[-1].lower() in {"index.html", "index.htm"}:
        names.pop()
    if names:
        names[-1] = re.sub(r"\.html?$", "", names[-1], flags=re.IGNORECASE) or "_"
    if parts.query:
        names.append(hashlib.sha256(parts.query.encode()).hexdigest()[:12])
    # The folder "gone" holds the tombstones of deleted posts.
    if names and names[0].lower() == "gone":
        names[0] = "_gone"
    return "/".join(names[:20]) or "_home"


def line(text: str, length: int) -> str:
    """``text`` on one line, without invisible characters, at most ``length`` graphemes."""
    return _truncate(" ".join(_INVISIBLE.sub("", text).split()), length)


def paragraphs(text: str, length: int = _GRAPHEMES) -> str:
    """``text`` with its line breaks, without invisible characters, at most ``length`` graphemes."""
    lines = (" ".join(each.split()) for each in _INVISIBLE.sub("", text).split("\n"))
    return _truncate("\n".join(filter(None, lines)), length)


def web_url(value: object) -> str:
    """``value`` if it is an http(s) URL that is safe in an ``href``, else ``""``."""
    if not isinstance(value, str) or len(value) > 2000 or not value.isprintable():
        return ""
    return value if _WEB.fullmatch(value) and bare_host(value) else ""


def _truncate(text: str, length: int) -> str:
    kept: list[str] = []
    for cluster in grapheme.graphemes(text):
        if len(kept) == length:
            return "".join(kept[: length - 1]).rstrip() + "…"
        # Limits combining marks (no script needs so many), which would overprint neighbouring
        # lines.
        kept.append(cluster[:_CLUSTER])
    return "".join(kept)


def _entry(kind: str, url: str, target: str, source: str, via: str) -> dict[str, Any]:
    about = {} if kind == "rsvp" else {kind: target}
    if kind == "rsvp":
        about = {"in-reply-to": target}
    return {
        "type": "entry",
        "url": url,
        "wm-property": kind,
        "wm-source": source,
        "wm-target": target,
        "wm-via": via,
        "wm-children": [],
        **about,
    }


def _kind(parsed: Mapping[str, Any], post: MentionTarget) -> str:
    """The ``wm-property``: which property of the h-entry points at the post, else
    ``mention-of``.
    """
    responses: Mapping[str, Iterable[str]] = parsed["responses"]
    pointing = {name for name, urls in responses.items() if any(map(post.is_at, urls))}
    if "in-reply-to" in pointing and parsed["rsvp"] in _RSVPS:
        return "rsvp"
    return next((kind for kind in KINDS if kind in pointing), "mention-of")


def _canonical(urls: Iterable[str], source: str) -> str:
    """The URL of the response: its ``u-url`` if that is on the source's host or the source is on
    one of :data:`PROXIES`, else the source.
    """
    speaks_for_others = bare_host(source) in PROXIES
    for url in urls:
        if web_url(url) and (speaks_for_others or bare_host(url) == bare_host(source)):
            return url
    return source


def _author(card: Mapping[str, Any], source: str) -> tuple[dict[str, Any], bool]:
    """The author's h-card, and whether it is vouched for by the host it was fetched from."""
    url, host = web_url(card.get("url")), bare_host(source)
    name = line(str(card.get("name", "")), _NAME) or bare_host(url) or host
    if not url:
        return {"type": "card", "name": name}, True
    if bare_host(url) == host or host in PROXIES:
        return {"type": "card", "name": name, "url": url}, True
    # Any page can claim any author's name and URL.
    return {"type": "card", "name": f"{name} on {host}", "url": _origin(source)}, False


def _children(
    comments: Iterable[Mapping[str, Any]], post: MentionTarget
) -> Iterator[dict[str, Any]]:
    """The responses to the response (Salmention), one level deep."""
    for comment in list(comments)[:_CHILDREN]:
        url = web_url(comment["url"])
        text = paragraphs(comment["text"], _CHILD_GRAPHEMES)
        if not url or not text or bare_host(url) in post.own:
            continue
        author = comment["author"]
        card = {"type": "card", "name": line(author.get("name", ""), _NAME) or bare_host(url)}
        if address := web_url(author.get("url")):
            card["url"] = address
        child = {"type": "entry", "url": url, "author": card, "content": {"text": text}}
        if published := _moment(comment["published"]):
            child["published"] = published
        yield child


def _moment(text: str) -> str:
    """``text`` as an ISO 8601 date or time; ``""`` if it is not one, or cannot be converted
    to UTC.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return ""
    return moment.isoformat() if 1 < moment.year < 9999 else ""


def bare_host(url: str) -> str:
    """The host of a URL as it is compared; ``""`` where it has none."""
    try:
        return next(iter(hosts(url)), "")
    except ValueError:
        return ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _safe(name: str) -> str:
    """A path segment that is a valid folder name on every operating system."""
    kept = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name)).strip(".-") or "_"
    return kept if len(kept.encode()) <= 120 else hashlib.sha256(name.encode()).hexdigest()[:24]
