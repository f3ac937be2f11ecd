"""Converts a parsed source to the mention that is stored: a JF2 entry with webmention.io's
names.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import grapheme

from bridge.posts.addresses import canonical, hosts

#: ``wm-property`` to what the file is called after, most telling first.
KINDS: Mapping[str, str] = {
    "rsvp": "rsvp",
    "repost-of": "repost",
    "like-of": "like",
    "bookmark-of": "bookmark",
    "in-reply-to": "reply",
    "mention-of": "mention",
}
#: Services that show what was said elsewhere: who wrote it, and where, is another host's. None that
#: converts any page it is asked for (granary.io): such a page says whatever its author wants.
PROXIES = frozenset({"brid.gy", "www.brid.gy", "fed.brid.gy", "webmention.io"})
_ANSWERS = frozenset({"yes", "no", "maybe", "interested"})
#: What holds no words of its own.
_SILENT = frozenset({"like-of", "repost-of"})
_GRAPHEMES = 500
_NAME = 100
_CHILD_GRAPHEMES = 300
_CHILDREN = 20
_WEB = re.compile(r"https?://[^\s<>\"'\\`{|}^]+", re.IGNORECASE)
#: Turns the direction of text, or cannot be seen (the table of :mod:`bridge.context.cite`).
_NO_TEXT = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff0-\uffff"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_CLUSTER = 8


@dataclass(frozen=True, slots=True)
class Target:
    """The post, or page, that is mentioned: where it lives, and all its addresses."""

    url: str
    addresses: frozenset[str]
    own: frozenset[str]

    def is_at(self, url: str) -> bool:
        """Whether an address is one of its own."""
        return canonical(url.partition("#")[0], self.own) in self.addresses


@dataclass(frozen=True, slots=True)
class Mention:
    """A verified response, ready to be a file.

    ``entry`` is the JF2 entry, ``photo`` where the author's picture is. ``vouched``: the author's
    address is on the host that said so. ``plain``: the source has no h-entry.
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
        """The author's address, as far as it can be believed."""
        return str(self.entry["author"].get("url", "")) if self.vouched else ""

    @property
    def key(self) -> str:
        """What makes two mentions of one post the same: what it is, and where it lives."""
        return key_of(self.kind, self.url)

    def file_name(self, target: str) -> str:
        """``KIND-HASH12.json``, for the post at ``target``."""
        path = urlsplit(target).path
        digest = hashlib.sha256(f"{self.kind}\n{self.url}\n{path}".encode()).hexdigest()
        return f"{KINDS[self.kind]}-{digest[:12]}.json"


def key_of(kind: str, url: str) -> str:
    """What makes two mentions of one post the same: what it is, and where it lives."""
    return f"{kind} {canonical(url, frozenset())}#{url.partition('#')[2]}"


def mention_of(
    page: Mapping[str, Any],
    source: str,
    target: str,
    post: Target,
    *,
    via: str = "webmention",
    at: str = "",
) -> Mention:
    """What a page that links to ``target``, an address of ``post``, is to it.

    ``at`` is where the source was found after redirects. Many hosts lead on to whatever they are
    asked for, so one host's page is never vouched for by another.
    """
    said: Mapping[str, Any] | None = page["entry"]
    if said is None:
        host = _host(source)
        author = {"type": "card", "name": host, "url": _origin(source)}
        entry = _entry("mention-of", source, target, source, via) | {"author": author}
        return Mention("mention-of", source, entry, plain=True, links=int(page["links"]))
    kind = _kind(said, post)
    if at and is_elsewhere(source, at):
        url, (author, _), vouched = source, _author(said["author"], at), False
    else:
        url = _canonical(said["url"], source)
        author, vouched = _author(said["author"], source)
    entry = _entry(kind, url, target, source, via) | {"author": author}
    if published := _moment(said["published"]):
        entry["published"] = published
    if kind == "rsvp":
        entry["rsvp"] = said["rsvp"]
    if kind not in _SILENT:
        if said["name"]:
            entry["name"] = line(said["name"], _NAME)
        if text := paragraphs(said["text"] or (said["name"] if kind == "in-reply-to" else "")):
            entry["content"] = {"text": text}
        entry["wm-children"] = [*_children(said["comments"], post)]
    photo = web_url(said["author"].get("photo"))
    return Mention(kind, url, entry, photo, vouched=vouched, links=int(said["links"]))


def is_elsewhere(source: str, at: str) -> bool:
    """Whether a source leads on to another site's page."""
    return _host(source).removeprefix("www.") != _host(at).removeprefix("www.")


def to_file(entry: Mapping[str, Any]) -> bytes:
    """An entry as its file has it: pretty-printed, sorted, with a new line at the end."""
    text = json.dumps(entry, ensure_ascii=False, indent=2, sort_keys=True)
    return f"{text}\n".encode()


def folder_of(target: str) -> str:
    """Where the mentions of the post at this address are, below the mentions folder.

    For people: which post a file belongs to is in the file itself.
    """
    parts = urlsplit(target)
    names = [_safe(unquote(name)) for name in parts.path.split("/") if name not in {"", ".", ".."}]
    if names and names[-1].lower() in {"index.html", "index.htm"}:
        names.pop()
    if names:
        names[-1] = re.sub(r"\.html?$", "", names[-1], flags=re.IGNORECASE) or "_"
    if parts.query:
        names.append(hashlib.sha256(parts.query.encode()).hexdigest()[:12])
    # "gone" is where deleted posts leave their tombstones.
    if names and names[0].lower() == "gone":
        names[0] = "_gone"
    return "/".join(names[:20]) or "_home"


def line(text: str, length: int) -> str:
    """A text on one line, without what cannot be seen, and cut."""
    return _cut(" ".join(_NO_TEXT.sub("", text).split()), length)


def paragraphs(text: str, length: int = _GRAPHEMES) -> str:
    """A text of lines, without what cannot be seen, and cut."""
    lines = (" ".join(each.split()) for each in _NO_TEXT.sub("", text).split("\n"))
    return _cut("\n".join(filter(None, lines)), length)


def web_url(value: object) -> str:
    """An http(s) URL that may stand in a link, else ``""``."""
    if not isinstance(value, str) or len(value) > 2000 or not value.isprintable():
        return ""
    return value if _WEB.fullmatch(value) and _host(value) else ""


def _cut(text: str, length: int) -> str:
    kept: list[str] = []
    for cluster in grapheme.graphemes(text):
        if len(kept) == length:
            return "".join(kept[: length - 1]).rstrip() + "…"
        # What has more marks than any script needs would stand over its neighbours.
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


def _kind(said: Mapping[str, Any], post: Target) -> str:
    """What the entry is to the post: what points at it says so, and nothing else does."""
    responses: Mapping[str, Iterable[str]] = said["responses"]
    pointing = {name for name, urls in responses.items() if any(map(post.is_at, urls))}
    if "in-reply-to" in pointing and said["rsvp"] in _ANSWERS:
        return "rsvp"
    return next((kind for kind in KINDS if kind in pointing), "mention-of")


def _canonical(urls: Iterable[str], source: str) -> str:
    """Where the response lives: its own address if it is on the host that was asked, or one of
    those that speak for others; else the source."""
    speaks_for_others = _host(source) in PROXIES
    for url in urls:
        if web_url(url) and (speaks_for_others or _host(url) == _host(source)):
            return url
    return source


def _author(said: Mapping[str, Any], source: str) -> tuple[dict[str, Any], bool]:
    """The author's card, and whether the host may say that this is who wrote it."""
    url, host = web_url(said.get("url")), _host(source)
    name = line(str(said.get("name", "")), _NAME) or _host(url) or host
    if not url:
        return {"type": "card", "name": name}, True
    if _host(url) == host or host in PROXIES:
        return {"type": "card", "name": name, "url": url}, True
    # A page can claim any author's name and address.
    return {"type": "card", "name": f"{name} on {host}", "url": _origin(source)}, False


def _children(comments: Iterable[Mapping[str, Any]], post: Target) -> Iterator[dict[str, Any]]:
    """What others say of the response (Salmention), one level deep."""
    for comment in list(comments)[:_CHILDREN]:
        url = web_url(comment["url"])
        text = paragraphs(comment["text"], _CHILD_GRAPHEMES)
        if not url or not text or _host(url) in post.own:
            continue
        author = comment["author"]
        card = {"type": "card", "name": line(author.get("name", ""), _NAME) or _host(url)}
        if address := web_url(author.get("url")):
            card["url"] = address
        child = {"type": "entry", "url": url, "author": card, "content": {"text": text}}
        if published := _moment(comment["published"]):
            child["published"] = published
        yield child


def _moment(text: str) -> str:
    """A moment in ISO 8601; ``""`` for anything else, and for one that is none in UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return ""
    return moment.isoformat() if 1 < moment.year < 9999 else ""


def _host(url: str) -> str:
    try:
        return next(iter(hosts(url)), "")
    except ValueError:
        return ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _safe(name: str) -> str:
    """A part of an address as the name of a folder on any system."""
    kept = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name)).strip(".-") or "_"
    return kept if len(kept.encode()) <= 120 else hashlib.sha256(name.encode()).hexdigest()[:24]
