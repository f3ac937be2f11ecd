"""Computes a post's URL by string formatting alone, where that gives what Pelican would.

Does what ``Readers.read_file``, ``Content.__init__`` and ``Article`` do for a URL, without
rendering. Unusual cases (a formatted title, a key that collides with an attribute, metadata per
path) get no answer here, and Pelican itself has to be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import MAXYEAR, datetime
from functools import lru_cache
from pathlib import PurePosixPath
from string import Formatter
from typing import Any, Final
from zoneinfo import ZoneInfo

from pelican.contents import Article
from pelican.readers import ensure_metadata_list, parse_path_metadata
from pelican.urlwrappers import Author, Category
from pelican.utils import SafeDatetime, get_date, set_date_tzinfo, slugify

from bridge.content.file import PelicanFile
from bridge.content.keys import date_as_pelican_reads
from bridge.site.pelican.addresses.addresses import has_long_name
from bridge.site.pelican.loading import has_locale

_MOST_FOLDERS = 4096

#: url, save_as, status, date, the category's name
Found = tuple[str, str, str, datetime, str]

_FORMAT_FIELDS = frozenset({"slug", "date", "category", "author", "lang", "path"})
_ONE_VALUE = frozenset({"date", "modified", "status", "category", "author", "slug", "tags",
                        "authors", "url", "save_as"})  # fmt: skip
_DECIDING = _ONE_VALUE - {"tags"} | {"title", "lang", "timezone", "path"}
_HARMLESS_ATTRIBUTES = frozenset({"status", "summary"})
_TAKEN: Final = frozenset(dir(Article)) - _HARMLESS_ATTRIBUTES | {
    "settings", "metadata", "content", "context", "translations", "source_path",
    "relative_source_path", "in_default_lang", "date_format", "reader",
}  # fmt: skip
_QUICK_DATES: Mapping[str, Callable[[datetime], str]] = {
    "%Y": lambda date: str(date.year),
    "%m": lambda date: f"{date.month:02d}",
    "%d": lambda date: f"{date.day:02d}",
    "%-m": lambda date: str(date.month),
    "%-d": lambda date: str(date.day),
    "%Y/%m": lambda date: f"{date.year}/{date.month:02d}",
    "%Y/%m/%d": lambda date: f"{date.year}/{date.month:02d}/{date.day:02d}",
    "%Y-%m-%d": lambda date: f"{date.year}-{date.month:02d}-{date.day:02d}",
}

_NAMES_OF_DATES = re.compile(r"%[-_0^#]?[aAbBchpPrxX]")


class _Unclear(Exception):
    """The URL can only be had from Pelican itself."""


#: How a site's settings, or a post's headers, fail.
_FAILURES = (
    *(_Unclear, ValueError, KeyError, IndexError, AttributeError, TypeError, OSError),
    re.error,
)


class _Date:
    """A date in a URL format; the usual formats do not need ``strftime``."""

    def __init__(self, date: datetime) -> None:
        self._date = date

    def __format__(self, spec: str) -> str:
        quick = _QUICK_DATES.get(spec) if self._date.year >= 1000 else None
        return quick(self._date) if quick else format(self._date, spec)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._date, name)


class QuickLocator:
    """Formats URLs by a site's settings. Posts in the languages ``elsewhere`` belong to another
    site.
    """

    def __init__(self, settings: Mapping[str, Any], elsewhere: Collection[str] = ()) -> None:
        self._settings = settings
        self._elsewhere = elsewhere
        self._default_lang = str(settings["DEFAULT_LANG"]).lower()
        self._formats = {
            (kind, lang, target): str(settings[f"{kind}_{lang}{target}"])
            for kind in ("ARTICLE", "DRAFT")
            for lang in ("", "LANG_")
            for target in ("URL", "SAVE_AS")
        }
        self._pages = {
            (kind, lang): _appended(self._formats[kind, lang, "URL"], save_as)
            for (kind, lang, target), save_as in self._formats.items()
            if target == "SAVE_AS"
        }
        formatted = {str(name).lower() for name in settings["FORMATTED_FIELDS"]}
        self._defaults = self._default_metadata()
        self._possible = (
            not (formatted & _DECIDING)
            and all(_only_known_fields(pattern) for pattern in self._formats.values())
            and not any(map(_is_taken, self._defaults))
        )
        formats = settings["DATE_FORMATS"].items()
        self._in_locale = {str(lang): self._needs_locale(form) for lang, form in formats}
        self._others_in_locale = self._needs_locale(settings["DEFAULT_DATE_FORMAT"])
        # The checkout's own file times are unknown here, but a file may say its date itself.
        self._by_file_times = settings.get("DEFAULT_DATE") == "fs"
        extra = [str(place) for place in settings["EXTRA_PATH_METADATA"]]
        self._extra_files = frozenset(extra)
        self._extra_folders = tuple(f"{place.rstrip('/')}/" for place in extra)
        self._zone = str(settings.get("TIMEZONE") or "UTC")
        self._by_folder: dict[str, dict[str, Any]] = {}
        self._category_slug = lru_cache(4096)(lambda name: str(Category(name, settings).slug))
        self._author_slug = lru_cache(4096)(lambda name: str(Author(name, settings).slug))

    def locate(self, file: PelicanFile, source_path: str) -> Found | None:
        """The address of the post in ``source_path`` (below the content folder), if it is clear."""
        if not self._possible:
            return None
        try:
            return self._address(self._metadata(file, source_path), source_path)
        except _FAILURES:
            return None

    def _needs_locale(self, form: object) -> bool:
        """Whether it matters that Pelican reads posts with this date format in another locale: the
        address has names of months, or the locale is not there, and Pelican skips the post."""
        by_name = any(map(_NAMES_OF_DATES.search, self._formats.values()))
        return isinstance(form, tuple) and (by_name or not has_locale(str(form[0])))

    def _default_metadata(self) -> dict[str, Any]:
        settings = self._settings
        found = dict(settings["DEFAULT_METADATA"])
        if "DEFAULT_CATEGORY" in settings and settings.get("CATEGORY_SAVE_AS"):
            found["category"] = settings["DEFAULT_CATEGORY"]
        found = {name: _processed(name, value) for name, value in found.items()}
        date = settings.get("DEFAULT_DATE")
        if date and date != "fs":
            found["date"] = get_date(date) if isinstance(date, str) else datetime(*date)  # noqa: DTZ001
        return {name: value for name, value in found.items() if value is not None}

    def _path_metadata(self, source_path: str) -> dict[str, Any]:
        """The metadata in a file's path, cached by folder where only the folder's name counts."""
        folder, _, name = source_path.rpartition("/")
        pattern = self._settings.get("FILENAME_METADATA")
        named = pattern and re.match(pattern, name.rpartition(".")[0])
        if named or self._settings.get("PATH_METADATA") or name.startswith("."):
            return self._parsed_path(source_path)
        known = self._by_folder.get(folder)
        if known is None:
            if len(self._by_folder) >= _MOST_FOLDERS:
                self._by_folder.clear()
            known = self._by_folder[folder] = self._parsed_path(source_path)
        return known

    def _parsed_path(self, source_path: str) -> dict[str, Any]:
        found = parse_path_metadata(source_path, settings=self._settings, process=_processed)
        return {name: value for name, value in found.items() if value is not None}

    def _metadata(self, file: PelicanFile, source_path: str) -> dict[str, Any]:
        """Defaults, then the path, then the file, as ``Readers.read_file`` puts them together."""
        if source_path in self._extra_files or source_path.startswith(self._extra_folders):
            raise _Unclear
        metadata = {**self._defaults, **self._path_metadata(source_path)}
        if self._by_file_times:
            metadata.pop("date", None)
        seen: set[str] = set()
        for line in file.lines:
            key = line.key
            if key in seen:
                if key in _DECIDING and key not in _ONE_VALUE:
                    raise _Unclear
                continue
            seen.add(key)
            if _is_taken(key):
                raise _Unclear
            if key in _DECIDING:
                value = _processed(key, line.value)
                if value is not None:
                    metadata[key] = value
        return metadata

    def _address(self, metadata: Mapping[str, Any], source_path: str) -> Found | None:
        if "title" not in metadata or "date" not in metadata:
            return None
        date = set_date_tzinfo(metadata["date"], str(metadata.get("timezone", self._zone)))
        if date.year == MAXYEAR:
            raise _Unclear  # Pelican's date of a draft that has none
        if "timezone" in metadata:
            ZoneInfo(metadata["timezone"])  # Pelican skips a post with a zone that does not exist
        status = str(metadata.get("status", "published")).lower()
        if status not in {"published", "hidden", "draft"}:
            return None
        lang = metadata.get("lang", self._default_lang)
        if lang in self._elsewhere or self._in_locale.get(lang, self._others_in_locale):
            raise _Unclear
        values = {
            "slug": metadata.get("slug") or self._made_slug(metadata, source_path),
            "date": _Date(date),
            "lang": lang,
            "category": self._slug_of(self._category_slug, metadata.get("category")),
            "author": self._slug_of(self._author_slug, self._author(metadata)),
            "path": metadata.get("path", source_path),
        }
        kind = "DRAFT" if status == "draft" else "ARTICLE"
        variant = "" if lang == self._default_lang else "LANG_"
        usual = self._formats[kind, variant, "URL"].format(**values)
        page = self._pages[kind, variant]
        url = metadata.get("url") or usual
        save_as = metadata.get("save_as") or (
            self._formats[kind, variant, "SAVE_AS"].format(**values)
            if page is None
            else usual + page
        )
        if not save_as or save_as.startswith("/") or ".." in save_as or has_long_name(save_as):
            raise _Unclear
        return url, save_as, status, date, metadata.get("category") or ""

    def _made_slug(self, metadata: Mapping[str, Any], source_path: str) -> str:
        source = self._settings["SLUGIFY_SOURCE"]
        if source not in {"title", "basename"}:
            return ""
        slug: str = slugify(
            metadata["title"] if source == "title" else PurePosixPath(source_path).stem,
            regex_subs=self._settings["SLUG_REGEX_SUBSTITUTIONS"],
            preserve_case=self._settings["SLUGIFY_PRESERVE_CASE"],
            use_unicode=self._settings["SLUGIFY_USE_UNICODE"],
        )
        return slug

    def _author(self, metadata: Mapping[str, Any]) -> str | None:
        if "author" in metadata:
            return str(metadata["author"])
        if "authors" in metadata:
            return str(metadata["authors"][0])
        return self._settings.get("AUTHOR")

    @staticmethod
    def _slug_of(slug: Callable[[str], str], name: str | None) -> str:
        return "" if name is None else slug(name)


def _safe(date: datetime) -> SafeDatetime:
    """The date in Pelican's own class, which formats years before 1000 differently."""
    day, time = (date.year, date.month, date.day), (date.hour, date.minute, date.second)
    return SafeDatetime(*day, *time, date.microsecond, date.tzinfo, fold=date.fold)


def _appended(url: str, save_as: str) -> str | None:
    """What ``save_as`` appends to ``url``; ``None`` if it does not begin with it."""
    rest = save_as.removeprefix(url)
    return rest if save_as.startswith(url) and "{" not in rest and "}" not in rest else None


@lru_cache(4096)
def _is_taken(key: str) -> bool:
    """Whether a header of this name would replace one of Pelican's own attributes."""
    return key in _TAKEN or key.startswith(("_", "override_"))


def _only_known_fields(pattern: str) -> bool:
    try:
        names = [name for _, name, _, _ in Formatter().parse(pattern) if name is not None]
    except ValueError:
        return False
    return all(re.split(r"[.\[]", name)[0] in _FORMAT_FIELDS for name in names)


def _processed(name: str, value: Any) -> Any:
    """A value as Pelican's METADATA_PROCESSORS make it; ``None`` for what they discard.

    Names instead of Category and Author objects: their slugs come from a cache.
    """
    if name in {"date", "modified"}:
        return _safe(date_as_pelican_reads(value))
    if name in {"category", "author", "status", "slug"}:
        return value.strip() or None
    if name == "authors":
        return ensure_metadata_list(value) or None
    return value
