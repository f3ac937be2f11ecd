"""Converts a post to a new Pelican file, and a Pelican file to a post.

Pelican's keys are the truth for what they hold, so a hand edit counts. An original value in ``Mf2``
counts as long as writing it again would give exactly what the key holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from bridge.content import body, keys
from bridge.content.file import Mf2Line, PelicanFile, is_seen, label, one_line
from bridge.content.markup import html
from bridge.content.rules import SiteRules
from bridge.content.titles_and_slugs import content_type, first_slug, slug_sources, synthetic_title
from bridge.errors import InvalidRequest
from bridge.micropub.post import COMMAND_PREFIX, Json, Post, Properties, is_tag

#: Properties about when, how and by whom something is published, without content of their own.
_UNSEEN = frozenset(
    {"published", "updated", "post-status", "visibility", "post-type", "author", "lang", "uid"}
)
_ORDER = (
    *("Title", "Date", "Modified", "Slug", "Category"),
    *("Tags", "Status", "Summary", "Author", "Lang"),
)
_LINES = "\r\n"
_LANGUAGE = re.compile(r"[a-z0-9][a-z0-9+#.-]{0,29}")
NO_COMMANDS: Properties = MappingProxyType({})
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_IN_KEYS = frozenset(name for field in keys.FIELDS for name in field.properties)


def new_file(
    post: Post,
    *,
    commands: Properties = NO_COMMANDS,
    when: datetime,
    rules: SiteRules,
    slug: str | None = None,
) -> PelicanFile:
    """The file of a new post. ``when`` dates a post that has no date of its own.

    Without ``slug``, one is derived from the post's words. Raises :class:`InvalidRequest` for what
    the site cannot represent, with what to change.
    """
    refuse_private(post)
    written = body.encode(content_to_write(post), markdown=is_markdown(post), rules=rules)
    file = PelicanFile()
    values = {field.key: field.encode(post.properties, file, rules) for field in keys.FIELDS}
    mf2 = Mf2Line(
        type=post.type,
        form=written.form,
        changes=written.changes,
        digest=body.digest(written.text) if written.changes else None,
        draft=values["Status"] == "draft",
        syndicate_to=texts_of(commands.get("syndicate-to", ())),
    )
    published = published_at(post, when, rules.site.zone)
    if values["Title"] is None:
        values["Title"] = synthetic_title(post, published, file, rules, mf2)
        mf2 = mf2.made_up(values["Title"])
    values["Date"] = keys.date_form(published)
    values["Slug"] = slug or first_slug(slug_sources(post, commands, published), rules.site)
    values["Category"] = keys.category_for(post, commands, rules.categories, rules.site)
    for key in _ORDER:
        file = file.with_header(key, values[key])
    file = file.with_body(written.text)
    mf2 = with_originals(mf2, file, post, post.properties, rules)
    return file.with_header("Mf2", mf2.text())


def refuse_private(post: Post) -> None:
    """Raise for ``visibility: private``: a static site cannot restrict who sees a page."""
    if str(post.first("visibility") or "").strip().lower() == "private":
        raise InvalidRequest(
            "visibility “private” is not supported: every page of this site is public. "
            "Use “unlisted”, or post-status “draft”."
        )


def refuse_nothing_to_see(post: Post, rules: SiteRules, before: Post | None = None) -> None:
    """Raise :class:`InvalidRequest` for a post whose page would be empty.

    ``before`` is the post before an update: one that was already empty may stay so, and so may a
    draft, which has no page.
    """
    if _shows_something(post, rules):
        return
    if before and (_is_draft(post) or not (_is_draft(before) or _shows_something(before, rules))):
        return
    if before is None:
        raise InvalidRequest(
            "There is nothing to see in this post: its texts are empty, or of characters that show"
            " nothing. Send 'content' with words or a picture, or another property."
        )
    raise InvalidRequest(
        "This would leave nothing to see of the post. Delete the whole post ('action' is 'delete'),"
        " or say what it is to show instead."
    )


def _is_draft(post: Post) -> bool:
    return post.first("post-status") == "draft"


def _shows_something(post: Post, rules: SiteRules) -> bool:
    return any(
        _is_shown(value, rules)
        for name, values in post.properties.items()
        if name not in _UNSEEN and not name.startswith((COMMAND_PREFIX, "p3k-"))
        for value in values
    )


def _is_shown(value: Json, rules: SiteRules) -> bool:
    """Whether a value is visible: words, numbers and nested objects; HTML with words, or with an
    element that is visible without any."""
    if isinstance(value, str):
        return is_seen(value)
    if isinstance(value, list):
        return any(_is_shown(each, rules) for each in value)
    if not isinstance(value, dict):
        return True
    sent = value.get("html")
    if not isinstance(sent, str):
        return any(_is_shown(each, rules) for key, each in value.items() if key != "type")
    if rules.html != "sanitize" and "<" in sent:
        return True
    return is_seen(html.plain(sent)) or bool(html.first_visible_element(sent)[0])


def published_at(post: Post, when: datetime, zone: ZoneInfo) -> datetime:
    """The date that the client gives, else ``when`` in the site's zone."""
    given = post.first("published")
    return when.astimezone(zone) if given is None else keys.date_on_the_clock(given, zone)


def is_markdown(post: Post) -> bool:
    """Whether plain content is Markdown: it is in a post with a name, but not in a note.

    A name that only repeats the beginning of the content is not a name (post type discovery). Quill
    says it explicitly, in ``p3k-content-type``.
    """
    kind = content_type(post)
    if kind in {"text/markdown", "text/plain"}:
        return kind == "text/markdown"
    if _language(post) is not None:
        return True
    name = one_line(post.text("name") or "")
    return is_seen(name) and not one_line(post.text("content") or "").startswith(name)


def texts_of(values: Iterable[Json]) -> tuple[str, ...]:
    """The values that are strings and not empty."""
    return tuple(value for value in values if isinstance(value, str) and value)


def _language(post: Post) -> str | None:
    """The programming language of a post that is a piece of code, ``""`` if it is unknown."""
    kind, _, language = content_type(post).partition("/")
    return (language if _LANGUAGE.fullmatch(language) else "") if kind == "code" else None


def content_to_write(post: Post) -> Json:
    """The content as it will be written: code as a fenced block, HTML as HTML."""
    content, language = post.first("content"), _language(post)
    if not isinstance(content, str) or not content.strip():
        return content
    if language is not None:
        longest = max(map(len, re.findall(r"`+", content)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}{language}\n{content.strip(_LINES)}\n{fence}"
    return {"html": content} if content_type(post) == "text/html" else content


def with_originals(
    mf2: Mf2Line, file: PelicanFile, post: Post, names: Iterable[str], rules: SiteRules
) -> Mf2Line:
    """The line, with those of the named properties that cannot be read back from the file's keys
    and body."""
    needed = set(names)
    kept: dict[str, tuple[Json, ...]] = dict(mf2.properties)
    crlf = False
    given_back = _values_in_file(file, mf2, rules)
    for name in [*filter(needed.__contains__, post.properties), *(needed - set(post.properties))]:
        if not post.all(name) or post.all(name) == given_back.get(name):
            kept.pop(name, None)
        elif name == "content":
            kept[name] = post.all(name)
            if post.all(name) == tuple(map(_with_crlf, given_back.get(name, ()))):
                crlf = True
                del kept[name]
        else:
            kept[name] = tuple(rules.media.internalise(value) for value in post.all(name))
    digest = mf2.digest
    if "content" in needed:
        digest = body.digest(file.body) if "content" in kept or mf2.changes else None
        mf2 = mf2.with_changes(crlf=crlf)
    return mf2.with_changes(properties=MappingProxyType(kept), digest=digest)


def _values_in_file(
    file: PelicanFile, mf2: Mf2Line, rules: SiteRules
) -> Mapping[str, tuple[Json, ...]]:
    found: dict[str, tuple[Json, ...]] = {}
    for field in keys.FIELDS:
        if not (field is keys.TITLE and mf2.synthetic_title):
            found.update(field.decode(file, rules))
    content = body.decode(file, mf2.form, rules, body.changes_of(file, mf2))
    return found if content is None else {**found, "content": (content,)}


def read(
    file: PelicanFile, rules: SiteRules, known: Mapping[str, Sequence[Json]] = _NOTHING
) -> Post:
    """The post in a file, whether written by the bridge or by hand. Never fails.

    ``known`` are properties that Pelican finds although no header has them: a date in the file's
    name, a title in the first heading.
    """
    mf2 = Mf2Line.of(file)
    found: dict[str, tuple[Json, ...]] = {}
    for field in keys.FIELDS:
        is_title = field is keys.TITLE
        found.update(_title(file, mf2, rules) if is_title else _of_key(field, file, mf2, rules))
    for name, values in known.items():
        found.setdefault(name, tuple(values))
    if content := _content(file, mf2, rules):
        found["content"] = content
    found.update(_beside_keys(mf2, rules))
    return Post(mf2.type, MappingProxyType(found))


def outline(file: PelicanFile, rules: SiteRules) -> Post:
    """The post in a file with only what an index of many posts needs, several times as fast as
    :func:`read`: its type, its name and its tags, and every property without a key of Pelican's.

    A post without a name has no content here: the type does not depend on it then
    (:func:`~bridge.micropub.post.discover`). Never fails.
    """
    mf2 = Mf2Line.of(file)
    found = dict(_title(file, mf2, rules))
    if found:
        found.update(_of_key(keys.SUMMARY, file, mf2, rules))
        if content := _content(file, mf2, rules):
            found["content"] = content
    found.update(_of_key(keys.TAGS, file, mf2, rules))
    found.update(_beside_keys(mf2, rules))
    return Post(mf2.type, found)


def channel(file: PelicanFile) -> str | None:
    """The name of the post's Pelican category, if the file has it."""
    return (file.get("Category") or "").strip() or None


def _title(file: PelicanFile, mf2: Mf2Line, rules: SiteRules) -> Mapping[str, tuple[Json, ...]]:
    """The name. Where the Title is synthetic: a name that gave no Title, if there is one."""
    if mf2.synthetic_title:
        return _originals(keys.TITLE, mf2, rules)
    return _of_key(keys.TITLE, file, mf2, rules)


def _beside_keys(mf2: Mf2Line, rules: SiteRules) -> dict[str, tuple[Json, ...]]:
    """The properties that no key of Pelican's holds."""
    return {
        name: tuple(rules.media.externalise(value) for value in values)
        for name, values in mf2.properties.items()
        if name not in _IN_KEYS and name != "content"
    }


def _of_key(
    field: keys.HeaderField, file: PelicanFile, mf2: Mf2Line, rules: SiteRules
) -> dict[str, tuple[Json, ...]]:
    """The properties of one key: the originals in ``Mf2`` unless the key was edited by hand."""
    decoded = dict(field.decode(file, rules))
    originals = _originals(field, mf2, rules)
    if not originals:
        return decoded
    whole = decoded | originals
    try:
        unchanged = field.encode(whole, file, rules) == file.get(field.key) or (
            # Earlier versions left dates in UTC as they were.
            field in {keys.DATE, keys.MODIFIED}
            and keys.is_same_moment(field, whole[field.properties[0]][0], file, rules)
        )
    except InvalidRequest:
        unchanged = False
    if unchanged:
        return whole
    return _exact_tags(decoded, originals) if field is keys.TAGS else decoded


def _exact_tags(
    decoded: dict[str, tuple[Json, ...]], originals: dict[str, tuple[Json, ...]]
) -> dict[str, tuple[Json, ...]]:
    """The tags of a list that was edited by hand; unchanged ones are as they were sent. The list
    cannot hold person tags, so these stay.
    """
    sent = {label(tag): tag for tag in originals["category"] if isinstance(tag, str)}
    tags = tuple(sent.get(str(tag), tag) for tag in decoded.get("category", ()))
    people = tuple(tag for tag in originals["category"] if not (is_tag(tag) or tag in tags))
    return {"category": tags + people} if tags or people else {}


def _originals(
    field: keys.HeaderField, mf2: Mf2Line, rules: SiteRules
) -> dict[str, tuple[Json, ...]]:
    return {
        name: tuple(rules.media.externalise(value) for value in mf2.properties[name])
        for name in field.properties
        if name in mf2.properties
    }


def _content(file: PelicanFile, mf2: Mf2Line, rules: SiteRules) -> tuple[Json, ...]:
    original = mf2.properties.get("content")
    if original and mf2.digest == body.digest(file.body):
        return original
    decoded = body.decode(file, mf2.form, rules, body.changes_of(file, mf2))
    if decoded is None:
        return ()
    return (_with_crlf(decoded) if mf2.crlf else decoded,)


def _with_crlf(content: Json) -> Json:
    """A content with the line ends of forms (CRLF); the body has those of Unix."""
    match content:
        case str(text):
            return text.replace("\r\n", "\n").replace("\n", "\r\n")
        case {"html": str(sent)}:
            return {"html": sent.replace("\r\n", "\n").replace("\n", "\r\n")}
    return content
