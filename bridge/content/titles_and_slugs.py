"""What a post lacks: a Title if it has no name, made of its first words, what it is about, or its
date; and a slug.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from bridge.content import keys
from bridge.content.file import Form, Mf2Line, PelicanFile, beginning, is_seen, one_line, printable
from bridge.content.markup import html, note
from bridge.content.rules import SiteRules, SiteView
from bridge.micropub.post import COMMAND_PREFIX, UNITS, Json, Post, Properties, nested

_TITLE_LENGTH = 70
#: As much of a text as can be needed for a title, in characters.
ENOUGH = 10_000
_URL = re.compile(r"https?://[^\s<>\"]+")
#: Footnotes and their numbers, and the fences around code in a note, are no words of a title. A
#: number is short: a search for each of many that do not end must not take long.
_FOOTNOTES = re.compile(
    r'<div class="footnote">.*|<sup id="fnref:[^"]*">.{0,300}?</sup>', re.DOTALL
)
_FENCE = re.compile(r"^ {0,3}(?:`{3,}|~{3,})[ \w+#.-]*$", re.MULTILINE)
#: Properties that name another page, in order of precedence (that of post type discovery), and the
#: label of such a post.
_TARGETS = {
    "repost-of": "Repost of",
    "like-of": "Like of",
    "in-reply-to": "Reply to",
    "bookmark-of": "Bookmark of",
    "read-of": "Read",
    "listen-of": "Listened to",
    "watch-of": "Watched",
    "play-of": "Played",
}
#: The label of a post about a book, by how far the author has come. Other words, such as
#: "abandoned", say it themselves.
_READ_TITLES = {"": "Read", "finished": "Read", "to-read": "Wants to read"}
_STATUS = re.compile(r"[a-z]+(?:-[a-z]+){0,3}")
#: Properties that are not what a post is about.
_BESIDES = frozenset(
    {
        *("name", "content", "summary", "published", "updated", "author", "category", "url", "uid"),
        *("post-status", "visibility", "syndication", "featured", "location", "read-status"),
        *("photo", "video", "audio", "rating", "best", "end", "checkin", "item", "rsvp", "start"),
        *("lang", "sensitive", "location-visibility", "shortlink", "created", "deleted", "channel"),
        *("h-card", "me", "rel", "key", "logo"),
    }
)
_FILES = (("photo", "Photo"), ("video", "Video"), ("audio", "Audio"), ("featured", "Photo"))
#: The title of a post whose HTML has no words, by its first visible element.
_OF_ELEMENT = {"img": "Photo", "video": "Video", "audio": "Audio"}
_DESCRIBING = ("alt", "caption", "summary")
_LENGTH = 55
_WORD = 30
_SHOWN_URL = 20
#: Characters of scripts that separate words by blanks: a browser breaks Chinese or Thai anywhere.
_OF_WORDS = r"[!-~\u00a1-\u0dff\u10a0-\u10ff\u1e00-\u1fff]"
#: Words too wide for a phone in a title's large type. Long ones of letters only may be German.
_LONG = re.compile(
    rf"(?=[!-~]*[/.:_=?&%~@0-9])[!-~]{{{_SHOWN_URL + 1},}}|{_OF_WORDS}{{{_WORD + 1},}}"
)
#: A word, of a script that has blanks between words: elsewhere it may be a sentence.
_ONE_WORD = re.compile(rf"{_OF_WORDS}+")
_DEEPEST = 5
#: A date with a time, which no title needs.
_MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d)[T ]\d\d:\d\d\S*$")
_SLUG_LENGTH = 60
_SLUG_BYTES = 180
_SLUG_WORDS = 8
_NUMBERS = 200  # posts with one slug that a number distinguishes
_NOT_IN_SLUG = re.compile(r"[^\w.~-]+")
#: A text that is a slug already, such as a requested one: its underscores stay.
_IS_SLUG = re.compile(r"[^\W_]+(?:[_-]+[^\W_]+)*")


def synthetic_title(
    post: Post, published: datetime, file: PelicanFile, rules: SiteRules, mf2: Mf2Line
) -> str:
    """A Title for a post without a name: the first words, what it is about, or the date.

    ``mf2`` says what form the words have, and what is known of the pages that it points at.
    """
    content = _shown_content(post, mf2.form, rules)
    words = one_line(rules.media.in_words(content, lambda _: " ")) if is_seen(content) else ""
    if "://" in words.rpartition(" ")[2]:
        words = words.removesuffix(".")
    words = note.with_urls(words, shown_url) or about(post, mf2.references)
    if content and not words:
        words = rules.media.in_words(content, of_file)
    if not words:
        tag, alternative = html.first_visible_element(_shown_html(post, mf2.form, rules))
        words = alternative or _OF_ELEMENT.get(tag, "")
    words = breakable(words)
    made = keys.TITLE.encode({"name": (_short(words, _TITLE_LENGTH),)}, file, rules)
    return made or f"{published:%Y-%m-%d %H:%M}"


def earlier_title(post: Post, published: datetime, file: PelicanFile, rules: SiteRules) -> str:
    """The Title that earlier versions made."""
    words = _URL.sub(lambda found: _without_scheme(found.group()), plain_content(post))
    made = keys.TITLE.encode({"name": (_short(words, _TITLE_LENGTH),)}, file, rules)
    return made or f"{published:%Y-%m-%d %H:%M}"


def about(post: Post, references: Mapping[str, Json]) -> str:
    """What a post is about, in a few words; empty if that is unknown.

    ``references`` is what is known of the pages that it points at: a page that is not known yet is
    called by its host name.
    """
    if verb := _verb(post):
        return f"{verb[1]} {_called(post.first(verb[0]), references)}"
    reviewed = "Review of" if post.type in {"entry", "review"} else f"{_humanised(post.type)}:"
    for name, word, unknown in (("checkin", "At", "a place"), ("item", reviewed, "a thing")):
        if post.all(name):
            return f"{word} {_words(post.first(name)) or unknown}"
    return _further(post)


def about_for_slug(post: Post) -> str:
    """The same for the post's slug, which is made once: a page that it points at is called by its
    URL. Empty for a picture with no description."""
    if verb := _verb(post):
        value = post.first(verb[0])
        url = "" if _named(value) else _url_of(value)
        return f"{verb[1]} {url_in_words(url) if url else _called(value, {})}"
    words = about(post, {})
    return "" if words in {word for _, word in _FILES} else words


def url_in_words(url: str) -> str:
    """The host of a URL and the last part of its path that has letters."""
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        return ""
    parts = [part for part in path.split("/") if any(map(str.isalpha, part))]
    last = re.sub(r"\.(?:html?|php|aspx?)$", "", parts[-1]) if parts else ""
    return f"{_host(url).partition(':')[0].removeprefix('www.')} {last}".strip()


def of_file(name: str) -> str:
    """The title of a post that consists of a file, by the type that the file's name implies."""
    kind = (mimetypes.guess_type(name)[0] or "").partition("/")[0]
    return {"image": "Photo", "video": "Video", "audio": "Audio"}.get(kind, "File")


def breakable(words: str) -> str:
    """The words, with those shortened that are wider than a phone's screen."""
    return _LONG.sub(lambda found: f"{beginning(found.group(), _SHOWN_URL - 1)}…", words)


def shown_url(url: str) -> str:
    """A URL as people write it: without the scheme; of a long one, only the host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    whole = f"{parts.netloc}{parts.path}".rstrip("/")
    return whole if len(whole) <= _SHOWN_URL else f"{_host(url) or parts.netloc}/…"


def _verb(post: Post) -> tuple[str, str] | None:
    """The property that names another page or thing, and the label of a post with it."""
    others = [name for name in post.properties if name.endswith("-of")]
    targets = {**_TARGETS, **{name: f"{_humanised(name[:-3])} of" for name in others}}
    for name, verb in {**targets, **_TARGETS}.items():
        if post.all(name):
            if name == "in-reply-to" and post.all("rsvp"):
                return name, "RSVP to"
            return name, _read(post) if name == "read-of" else verb
    return None


def _read(post: Post) -> str:
    status = _text(post.first("read-status")).lower()
    return _READ_TITLES.get(status) or (_humanised(status) if _STATUS.fullmatch(status) else "Read")


def _further(post: Post) -> str:
    """A title from any other property, or from the pictures."""
    place, start = _words(post.first("location")), _words(post.first("start"))
    if post.type == "event" and start:
        return f"Event at {_short(place)}, {start}" if place else f"Event on {start}"
    for name, values in post.properties.items():
        if name not in _BESIDES and not name.startswith((COMMAND_PREFIX, "p3k-")):
            words = ", ".join(filter(None, map(_words, values[:3])))
            if words:
                return f"{_humanised(name)}: {_short(words)}"
    for name, word in _FILES:
        if post.all(name):
            return _short(_described(post.first(name))) or word
    for name, word in (("rsvp", "RSVP"), ("rating", "Rating"), ("start", "On")):
        if words := _words(post.first(name)):
            return f"{word}: {_short(words)}"
    tags = ", ".join(filter(None, map(_words, post.all("category")[:3])))
    return f"At {_short(place)}" if place else _short(tags)


def _described(file: Json) -> str:
    """The alternative text of a picture, else its caption."""
    given = file if isinstance(file, dict) else {}
    known = nested(file) or given
    return next(filter(None, (_text(_first(known, name)) for name in _DESCRIBING)), "")


def _called(value: Json, references: Mapping[str, Json]) -> str:
    """A page or a thing by its name, else by its first words, else by its host."""
    url, name = _url_of(value), _named(value)
    if url and not name:
        name = _named(references.get(url))
    if name:
        return f"“{_short(name)}”"
    return _host(url) if url else f"“{_short(_words(value))}”" if _words(value) else "a post"


def _url_of(value: Json) -> str:
    """The http(s) URL that a value is or has; empty if there is none."""
    properties = nested(value)
    found = _first(properties, "url") if properties is not None else value
    if isinstance(found, dict):
        found = found.get("value")
    return found if isinstance(found, str) and _host(found) else ""


def _named(value: Json) -> str:
    """The name of a nested object, or its content."""
    properties = nested(value) or {}
    return next(filter(None, (_text(_first(properties, n)) for n in ("name", "content"))), "")


def _words(value: Json, depth: int = 0) -> str:
    """A value in words. A nested object is its name, its number with its unit, or its first
    property."""
    properties = nested(value)
    if properties is None:
        shown = _text(value)
        return _host(shown) or _MOMENT.sub(r"\1", shown)
    number = _text(_first(properties, "num"))
    if number:
        unit = next(filter(None, (_text(_first(properties, n)) for n in UNITS)), "")
        number = f"{number} {unit}".strip()
    if not number and {"latitude", "longitude"} <= properties.keys():
        number = ", ".join(_text(_first(properties, n)) for n in ("latitude", "longitude"))
    ends = [_words(_first(properties, n), depth + 1) for n in ("origin", "destination")]
    leg = " – ".join(ends) if all(ends) and depth < _DEEPEST else ""
    words = _named(value) or number or leg or _host(_text(_first(properties, "url")))
    if words or depth >= _DEEPEST:
        return words
    return next(filter(None, (_words(_first(properties, n), depth + 1) for n in properties)), "")


def _first(properties: Mapping[str, Any], name: str) -> Json:
    values = properties.get(name)
    if isinstance(values, list):
        return values[0] if values else None
    return values


def _text(value: Json) -> str:
    """One line of plain text."""
    if isinstance(value, dict):
        found = value.get("html")
        properties = nested(value)
        if properties is not None:
            return _text(_first(properties, "name")) if "name" in properties else ""
        value = _words_of(found) if isinstance(found, str) else value.get("value")
    if isinstance(value, bool):
        return str(value).lower()
    return one_line(printable(str(value))) if isinstance(value, (str, int, float)) else ""


def _words_of(markup: str) -> str:
    """The words of HTML, else the alternative text of its first picture that has one."""
    return html.plain(markup) or html.first_visible_element(markup)[1]


def _host(url: str) -> str:
    """The host of an http(s) URL; empty for any other text."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in url:
        return ""
    return parts.netloc.rpartition("@")[2]


def _humanised(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").strip().capitalize()


def _shown_content(post: Post, form: Form | None, rules: SiteRules) -> str:
    """The words of the content as a page shows them."""
    content = post.first("content")
    if isinstance(content, dict):
        return plain_content(post)
    if isinstance(content, str) and _is_html(post, form):
        return one_line(printable(html.plain(content)))
    if form in {"markdown", "html"} and isinstance(content, str) and content.strip():
        return one_line(html.plain(_FOOTNOTES.sub("", rules.site.render(content).html)))
    if isinstance(content, str):
        return one_line(_FENCE.sub("", note.plain(printable(content[:ENOUGH]))))
    return note.plain(plain_content(post))


def _shown_html(post: Post, form: Form | None, rules: SiteRules) -> str:
    """The content as HTML, as far as that is known without the site."""
    content = post.first("content")
    if isinstance(content, dict):
        sent = content.get("html")
        return sent if isinstance(sent, str) else ""
    if not isinstance(content, str) or not content.strip():
        return ""
    if _is_html(post, form):
        return content
    text = content if form in {"markdown", "html"} else note.encode(content)
    return rules.site.render(text).html


def _is_html(post: Post, form: Form | None) -> bool:
    """Whether the content is HTML that was sent as a text. It is written as HTML, as Markdown with
    something unsafe in it is, too."""
    return form == "html" and content_type(post) == "text/html"


def content_type(post: Post) -> str:
    """The media type of the content, which Quill sends as ``p3k-content-type``; else empty."""
    return (post.text("p3k-content-type") or "").partition(";")[0].strip().lower()


def plain_content(post: Post) -> str:
    """The content's text, without markup that would look odd in a title."""
    content: Any = post.first("content") or post.first("summary")
    if isinstance(content, dict):
        found = content.get("html")
        content = html.plain(found) if isinstance(found, str) else content.get("value")
    return one_line(printable(content)) if isinstance(content, str) else ""


def _short(words: str, length: int = _LENGTH) -> str:
    return words if len(words) <= length else f"{_beginning(words, length)}…"


def _beginning(words: str, length: int) -> str:
    """At most so many characters: whole words, else whole graphemes, such as flags."""
    whole = words[:length].rpartition(" ")[0]
    return whole or beginning(words, length)


def _without_scheme(target: str) -> str:
    """A URL without its scheme, as earlier versions wrote it."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return target
    return f"{parts.netloc}{parts.path}".rstrip("/") or target


def slug_sources(post: Post, commands: Properties, published: datetime) -> tuple[str, ...]:
    """The texts from which a new post's slug may be made, best first.

    They are the requested slug (``mp-slug``), the name, the first words of the content, what the
    post is about, and the date, which always gives a slug.
    """
    sources = (
        _first_text(commands.get("slug", ())),
        post.text("name"),
        _first_words(post),
        about_for_slug(post) or _first_url(post),
        published.strftime("%Y-%m-%d-%H%M%S"),
    )
    return tuple(source for source in sources if source)


def first_slug(sources: Iterable[str], site: SiteView) -> str:
    """The slug of the first text that gives one: one path segment, or ``""``."""
    return next(filter(None, (_slug(source, site) for source in sources)), "")


def requested_slug(commands: Properties, site: SiteView) -> str | None:
    """The slug that the client requests, if it does and anything of it is left."""
    source = _first_text(commands.get("slug", ()))
    return (_slug(source, site) or None) if source else None


def candidates(slug: str, stamp: str = "") -> Iterator[str]:
    """``slug``, ``slug-2``, ``slug-3`` and so on, to try until one is free; a finite number.

    ``stamp`` (digits of the post's time) gives a second series, for sites where years of posts with
    the same words have used up the first.
    """
    for base in (slug, f"{slug}-{stamp}") if stamp else (slug,):
        yield base
        for number in range(2, _NUMBERS + 1):
            yield f"{base}-{number}"


def _first_text(values: tuple[object, ...]) -> str:
    return next((value for value in values if isinstance(value, str)), "")


def _first_words(post: Post) -> str:
    """The first words of the content, without URLs.

    One word beside a URL, such as "Liked:", says little: the URL's words follow it, or it is
    nothing where the post names a target.
    """
    content = post.first("content") or post.first("summary")
    if isinstance(content, str):
        content = note.plain(content[:ENOUGH])
    urls: list[str] = []

    def without(url: str) -> str:
        urls.append(url)
        return " "

    words = note.with_urls(_plain(content), without).split()
    spoken = [word for word in words if any(map(str.isalnum, word))]
    if urls and len(spoken) == 1 and _ONE_WORD.fullmatch(spoken[0]):
        return "" if _verb(post) else f"{spoken[0]} {url_in_words(urls[0])}"
    return " ".join(words[:_SLUG_WORDS])


def _first_url(post: Post) -> str:
    """The first URL of the content, in words."""
    found: list[str] = []

    def collect(url: str) -> str:
        found.append(url)
        return url

    note.with_urls(_plain(post.first("content")), collect)
    return url_in_words(found[0]) if found else ""


def _plain(content: Json) -> str:
    if isinstance(content, dict):
        found = content.get("html")
        if isinstance(found, str):
            return html.plain(found).strip() or html.first_visible_element(found)[1]
        content = content.get("value")
    return content if isinstance(content, str) else ""


def _slug(source: str, site: SiteView) -> str:
    """A slug by the site's rules and then by ours, since Pelican puts it into a path unchanged."""
    # "C++" and "C#" are names; without this both would become "c".
    spelled = re.sub(r"(?<=\w)#", "-sharp", re.sub(r"(?<=[A-Za-z])\+(?:\+)?", _plus, source))
    is_slug = _IS_SLUG.fullmatch(source.strip())
    slug = site.slugify(re.sub(r"[/\\.]+" if is_slug else r"[/\\._]+", "-", one_line(spelled)))
    joints = r"-{2,}" if is_slug else r"[-._~]{2,}"
    slug = re.sub(joints, "-", _NOT_IN_SLUG.sub("-", slug)).strip("-._~")
    if len(slug) > _SLUG_LENGTH:
        slug = slug[: _SLUG_LENGTH + 1].rpartition("-")[0] or slug[:_SLUG_LENGTH]
    while len(slug.encode()) > _SLUG_BYTES:
        slug = slug[:-1]
    return slug.strip("-._~")


def _plus(match: re.Match[str]) -> str:
    return "-plus" * len(match.group())
