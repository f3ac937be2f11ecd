"""Pelican's own header keys, the mf2 properties that they hold, and the format of their dates.

Each :class:`HeaderField` writes properties into one key and reads them back. If the key cannot hold
the exact value, the caller keeps the original in ``Mf2``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dateutil.parser
from msgspec import Struct

from bridge.content.file import Mf2Line, PelicanFile, is_seen, label, one_line, title
from bridge.content.markup import note
from bridge.content.rules import SiteRules, SiteView
from bridge.errors import InvalidRequest
from bridge.micropub.dates import parse_date
from bridge.micropub.post import Json, Post, Properties, discover, is_tag, unescape

_Values = Mapping[str, tuple[Json, ...]]
_STATUSES = {"draft": "draft", "published": "published", "publish": "published"}


class HeaderField(Struct, frozen=True):
    """A header key and its properties.

    ``encode`` returns the key's value for a file, ``None`` for no key; it raises
    :class:`InvalidRequest` for what a site cannot show. ``decode`` returns the properties in the
    file's key.
    """

    key: str
    properties: tuple[str, ...]
    encode: Callable[[Properties, PelicanFile, SiteRules], str | None]
    decode: Callable[[PelicanFile, SiteRules], _Values]


def _one_text(properties: Properties, name: str) -> str | None:
    """The value, if there is exactly one and it is a string."""
    values = properties.get(name, ())
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def _encode_title(properties: Properties, file: PelicanFile, rules: SiteRules) -> str | None:
    name = next((v for v in properties.get("name", ()) if isinstance(v, str)), "")
    return _shown(name, "title", file, rules)


def _decode_title(file: PelicanFile, rules: SiteRules) -> _Values:
    return _formatted(file, rules, "title", "name")


def _encode_summary(properties: Properties, file: PelicanFile, rules: SiteRules) -> str | None:
    return _shown(_one_text(properties, "summary") or "", "summary", file, rules)


def _decode_summary(file: PelicanFile, rules: SiteRules) -> _Values:
    return _formatted(file, rules, "summary", "summary")


def _shown(plain: str, key: str, file: PelicanFile, rules: SiteRules) -> str | None:
    """A text as the site's themes show it; ``None`` if nothing in it can be seen."""
    if not is_seen(plain):
        return None
    if _is_formatted(key, file, rules):
        return note.encode_line(one_line(plain)) or None
    return title(plain) or None


def _formatted(file: PelicanFile, rules: SiteRules, key: str, name: str) -> _Values:
    """The text of a key, whether :func:`_shown` or the owner wrote it."""
    formatted = _is_formatted(key, file, rules)
    value = "\n".join(file.values(key)) if formatted else file.get(key)
    if not value:
        return {}
    return {name: (note.decode(value) if formatted else unescape(value),)}


def _is_formatted(key: str, file: PelicanFile, rules: SiteRules) -> bool:
    """Whether the key's value goes through Markdown, like a note's body (FORMATTED_FIELDS)."""
    return file.syntax.name == "markdown" and key in rules.site.formatted_fields


def _encode_date(name: str) -> Callable[[Properties, PelicanFile, SiteRules], str | None]:
    def encode(properties: Properties, file: PelicanFile, rules: SiteRules) -> str | None:
        values = properties.get(name, ())
        return date_form(date_on_the_clock(values[0], _zone(file, rules))) if values else None

    return encode


def _decode_date(key: str, name: str) -> Callable[[PelicanFile, SiteRules], _Values]:
    def decode(file: PelicanFile, rules: SiteRules) -> _Values:
        date = date_of(file, key, rules)
        return {name: (date_form(date),)} if date else {}

    return decode


def date_of(file: PelicanFile, key: str, rules: SiteRules) -> datetime | None:
    """A date as Pelican reads it, in the post's or the site's zone; ``None`` if it cannot be
    read.
    """
    value = file.get(key)
    if not value:
        return None
    try:
        found = date_as_pelican_reads(value)
        zone = ZoneInfo(file.get("Timezone") or str(rules.site.zone))
        return found if found.tzinfo else found.replace(tzinfo=zone)
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        return None


def is_same_moment(field: HeaderField, original: Json, file: PelicanFile, rules: SiteRules) -> bool:
    """Whether a date's key holds the same moment as an original value, in any time zone."""
    held = date_of(file, field.key, rules)
    return held == parse_date(original, _zone(file, rules)).replace(microsecond=0)


def _zone(file: PelicanFile, rules: SiteRules) -> ZoneInfo:
    """The post's own time zone, or else the site's."""
    try:
        return ZoneInfo(file.get("Timezone") or str(rules.site.zone))
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a folder of zones, or too long
        return rules.site.zone


def _encode_tags(properties: Properties, file: PelicanFile, rules: SiteRules) -> str | None:
    own = file.get("Tags") or ""
    there = _listed(file, "Tags")
    # A URL that the owner has written as a tag stays one.
    tags = [value for value in properties.get("category", ()) if is_tag(value) or value in there]
    labels = [label(str(tag)) for tag in tags]
    # Tags with the same slug are one tag to Pelican, which would list the post once for each.
    by_slug: dict[str, str] = {}
    for name in labels:
        if slug := rules.site.tag_slug(name):
            by_slug.setdefault(slug, name)
    shown = list(by_slug.values())
    if not shown:
        return None
    if changed := _changed_list(own, shown, file):
        return changed
    # A list that the owner wrote keeps its separators, if these tags allow it.
    if own and not own.endswith(";") and not (len(shown) == 1 and "," in shown[0]):
        separator = re.search(r"\s*;\s*(?=\S)" if ";" in own else r"\s*,\s*(?=\S)", own)
        if ";" in own or not any("," in name for name in shown):
            return (separator[0] if separator else ", ").join(shown)
    # The final ";" keeps a single tag with a comma in one piece.
    return f"{'; '.join(shown)};"


def _changed_list(own: str, tags: list[str], file: PelicanFile) -> str | None:
    """The owner's list as it is written, without the tags that are no longer there, and with the
    new ones at its end; ``None`` if that is not all that changes.
    """
    mark = ";" if ";" in own else ","
    alone = len(file.values("Tags")) == 1 and not file.is_in_yaml
    if not (own and alone) or (mark == "," and any("," in tag for tag in tags)):
        return None
    *parts, last = own.split(mark)
    if last.strip():
        parts.append(last)
    kept = [part for part in parts if not part.strip() or label(part) in tags]
    names = list(dict.fromkeys(label(part) for part in kept if part.strip()))
    if names != tags[: len(names)]:
        return None
    gap = re.match(r"\s*", parts[-1] if len(parts) > 1 else " ")
    kept += [f"{gap[0] if gap else ''}{tag}" for tag in tags[len(names) :]]
    # A single tag with a comma in it needs the mark.
    ends = not last.strip() or (mark == ";" and len(kept) == 1 and "," in kept[0])
    return (mark.join(kept) + (mark + ("" if last.strip() else last) if ends else "")).strip()


def _decode_tags(file: PelicanFile, rules: SiteRules) -> _Values:
    del rules
    tags = _listed(file, "Tags")
    return {"category": tags} if tags else {}


def _listed(file: PelicanFile, key: str) -> tuple[str, ...]:
    """The names in a list. Of one in Markdown, Pelican uses only the first line, with a warning;
    names on further lines are read here all the same, so that they stay."""
    lines = file.values(key)
    if not lines:
        return ()
    if file.syntax.name == "html" and len(lines) > 1:
        names = [line.strip() for line in lines]
    else:
        names = [name.strip() for line in lines for name in line.split(";" if ";" in line else ",")]
    return tuple(dict.fromkeys(filter(None, names)))


def _encode_status(properties: Properties, file: PelicanFile, rules: SiteRules) -> str | None:
    """Pelican's one key for Micropub's ``post-status`` and ``visibility``.

    A draft is not listed anyway, so ``draft`` takes precedence over ``unlisted``, which is
    Pelican's ``hidden``.
    """
    del file
    status = _STATUSES.get(_choice(properties, "post-status", _STATUSES))
    visibility = _choice(properties, "visibility", {"public", "unlisted"})
    if status == "draft":
        return "draft"
    if visibility == "unlisted":
        return "hidden"
    # A site may have made drafts its default (DEFAULT_METADATA).
    return status or (None if rules.site.default_status == "published" else "published")


def _choice(properties: Properties, name: str, known: Mapping[str, str] | set[str]) -> str:
    values = properties.get(name, ())
    value = str(values[0]).strip().lower() if values else ""
    if value and value not in known:
        raise InvalidRequest(
            f"{name} {str(values[0])[:40]!r} is not supported here; use one of "
            f"{', '.join(sorted(set(known) - {'publish'}))}."
        )
    return value


def _decode_status(file: PelicanFile, rules: SiteRules) -> _Values:
    del rules
    status = (file.get("Status") or "").lower()
    if status == "hidden":
        return {"visibility": ("unlisted",)}
    return {"post-status": (status,)} if status in {"draft", "published"} else {}


def _encode_author(properties: Properties, file: PelicanFile, rules: SiteRules) -> str | None:
    """The site's own author. An app may not change the author that a page names, so any other name
    in a post from an app is only stored in ``Mf2``. A post written by hand may have another author,
    which may be changed.
    """
    author = _one_text(properties, "author")
    if author is None or "://" in author:
        return None
    name = label(author)
    # Every file written by the bridge names its form.
    by_hand = bool(file.lines) and Mf2Line.of(file).form is None
    if not by_hand and name != rules.site.author:
        return None
    return name if rules.site.can_be_author(name) else None


def _decode_author(file: PelicanFile, rules: SiteRules) -> _Values:
    del rules
    if author := file.get("Author"):
        return {"author": (author,)}
    authors = _listed(file, "Authors")
    return {"author": authors} if authors else {}


#: A language tag (BCP 47): Pelican puts it into pages, and into addresses where a setting says so.
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")


def _encode_lang(properties: Properties, file: PelicanFile, rules: SiteRules) -> str | None:
    del file, rules
    found = (_one_text(properties, "lang") or "").strip()
    return found if LANGUAGE.fullmatch(found) else None


def _decode_lang(file: PelicanFile, rules: SiteRules) -> _Values:
    del rules
    found = (file.get("Lang") or "").strip()
    return {"lang": (found,)} if found else {}


#: In the order of a new file, where Slug and Category are in between.
TITLE = HeaderField("Title", ("name",), _encode_title, _decode_title)
DATE = HeaderField(
    "Date", ("published",), _encode_date("published"), _decode_date("Date", "published")
)
MODIFIED = HeaderField(
    "Modified", ("updated",), _encode_date("updated"), _decode_date("Modified", "updated")
)
TAGS = HeaderField("Tags", ("category",), _encode_tags, _decode_tags)
STATUS = HeaderField("Status", ("post-status", "visibility"), _encode_status, _decode_status)
SUMMARY = HeaderField("Summary", ("summary",), _encode_summary, _decode_summary)
AUTHOR = HeaderField("Author", ("author",), _encode_author, _decode_author)
LANG = HeaderField("Lang", ("lang",), _encode_lang, _decode_lang)

FIELDS = (TITLE, DATE, MODIFIED, TAGS, STATUS, SUMMARY, AUTHOR, LANG)


def category_for(
    post: Post, commands: Properties, categories: Mapping[str, str], site: SiteView
) -> str:
    """The name of the post's Pelican category.

    ``categories`` maps post types to names; ``mp-channel`` takes precedence. Raises
    :class:`InvalidRequest` for a channel whose name cannot become an address.
    """
    channel = next((c for c in commands.get("channel", ()) if isinstance(c, str) and c.strip()), "")
    if channel:
        name = label(channel)
        if not site.can_be_category(name):
            raise InvalidRequest(f"The channel {channel[:60]!r} cannot be a category of this site.")
        return name
    kind = discover(post)
    return categories.get(kind) or categories["note"]


_AS_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:[+-]\d{2}:\d{2})?)?")


def date_on_the_clock(value: Json, zone: tzinfo) -> datetime:
    """The date in the site's zone if it came in UTC; any other offset stays.

    Apps send UTC because programs use it, not because the author is there; any other offset is the
    author's. Raises as :func:`parse_date`.
    """
    moment = parse_date(value, zone)
    return moment if moment.utcoffset() else moment.astimezone(zone)


def date_as_pelican_reads(value: str) -> datetime:
    """The date of a ``Date`` header, without a zone if it has none. Raises ``ValueError``.

    Pelican's ``get_date`` accepts whatever dateutil does, which is slow; the form that the bridge
    writes is parsed directly, with the same result.
    """
    if _AS_WRITTEN.fullmatch(value):
        return datetime.fromisoformat(value)
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ005 - as Pelican does
    text = re.sub(" +", " ", value.replace("_", " "))
    try:
        found: datetime = dateutil.parser.parse(text, default=midnight)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{value!r} is not a date") from error
    return found


def date_form(moment: datetime) -> str:
    """The format in which the bridge writes dates: ISO 8601 with offset, in whole seconds.

    Local times from before time zones have offsets with seconds (Paris: +00:09:21), which neither
    ISO 8601 nor Pelican supports; then the local time is kept and the seconds of the offset are
    dropped.
    """
    offset = moment.utcoffset()
    if offset is not None and offset.seconds % 60:
        moment = moment.replace(tzinfo=timezone(offset - timedelta(seconds=offset.seconds % 60)))
    return moment.replace(microsecond=0).isoformat()
