"""An on-disk cache of parsed files, for the next process.

Without it a restart would parse every post again, which is most of the work of a first build. A
result is only cached if it depends on nothing but the file's bytes, the settings, everything in the
site that is not a post, and the installed versions. When in doubt, a file is parsed by its reader.
"""

from __future__ import annotations

import hashlib
import io
import json
import locale
import logging
import os
import pickle
import re
import sqlite3
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils.parsers.rst import directives, roles
from markupsafe import Markup
from pelican.readers import HTMLReader, MarkdownReader, RstReader
from pelican.urlwrappers import Author, Category, Tag, URLWrapper
from pelican.utils import SafeDatetime

from bridge.runtime.process import installed_code
from bridge.site.pelican.facts import settings_text

log = logging.getLogger(__name__)

#: Increased whenever the cache's format changes.
_FORMAT = "2"
#: Markdown extensions that use only the text and their settings.
_PURE = ("markdown.extensions.", "pymdownx.", "pelican_indieauth.")
#: These also use files, URLs or other code.
_NOT_PURE = ("pymdownx.snippets", "pymdownx.b64")
#: What makes docutils read the clock, files or URLs.
_LOOKS_AROUND = re.compile(r"date\s*::|include\s*::|:(?:file|url)\s*:", re.IGNORECASE)
#: What a date is read from, in each format.
_DATE = re.compile(
    r"^\s*:?(?:date|modified)\s*:(.*)$"
    r"|<meta\s+name=[\"']?(?:date|modified)[\"']?\s+content=[\"']?([^\"'>]*)",
    re.IGNORECASE | re.MULTILINE,
)
#: A date that says less is completed with the day on which it is read.
_WHOLE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?!\d)")
_HEAD = 16_384
_SETTINGS = "settings"
_PLAIN = frozenset({str, int, float, bool, type(None), Markup, datetime, SafeDatetime, date})
_CLASSES: Mapping[tuple[str, str], Any] = {
    (kind.__module__, kind.__qualname__): kind
    for kind in (Author, Category, Tag, SafeDatetime, Markup, datetime, date, time_of_day,
                 timedelta, timezone)
}  # fmt: skip
_ZONES = ("dateutil.tz.tz", "zoneinfo")


class KeptOnDisk:
    """The cached results of one site's readers. Never raises: without a result, the file is parsed.

    ``rest`` is a hash of everything in the site that is not a post; with ``""``, nothing is cached.
    """

    def __init__(self, file: Path, checkout: Path, rest: str, settings: dict[str, Any]) -> None:
        self._file = file
        self._root = f"{checkout}/"
        self._rest = rest
        self._settings = settings
        self._database: sqlite3.Connection | None = None
        self._opened = False
        self._digests: dict[str, bytes] = {}
        self._key = b""

    def is_of(self, settings: dict[str, Any]) -> bool:
        """Whether these are the site's own settings, not those of a further site of a plugin's."""
        return settings is self._settings

    def find(self, path: str, reader: object, settings: dict[str, Any]) -> Any:
        """The reader's result for the file as it is now; ``None`` if it is not cached."""
        try:
            if not (self.is_of(settings) and self._is_pure(reader)):
                return None
            data = Path(path).read_bytes()
            digest = self._digests[path] = hashlib.sha256(data).digest()
            if (database := self._connected()) is None:
                return None
            row = database.execute(
                "SELECT made, seal FROM made WHERE path = ? AND digest = ?",
                (self._name(path), digest),
            ).fetchone()
            if row is None or row[1] != self._seal(path, digest, row[0]):
                return None
            return _Unpickler(row[0], settings).load()
        except sqlite3.DatabaseError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - nothing depends on the cache
            log.debug("%s is read: %s", path, error)
        return None

    def keep(self, path: str, made: Any, reader: object, opened: Collection[str]) -> None:
        """Cache a reader's result for the file that :meth:`find` was called with.

        ``opened`` are the files that the reader opened.
        """
        digest = self._digests.pop(path, None)
        if digest is None or (database := self._connected()) is None or set(opened) - {path}:
            return
        try:
            # This has Pelican make slugs, too, by whatever the settings say of them.
            if not (self._is_pure(reader) and _depends_on_nothing_else(path, reader, made)):
                return
            data = _pickled(made, self._settings)
            if data is None:
                return
            database.execute(
                "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?)",
                (self._name(path), digest, data, self._seal(path, digest, data)),
            )
        except sqlite3.DatabaseError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - nothing depends on the cache
            log.debug("%s is not kept: %s", path, error)

    def end(self, paths: Collection[str]) -> None:
        """Called after a build: write everything to disk, and drop all files but these."""
        self._digests.clear()
        if self._database is None:
            return
        try:
            rows = self._database.execute("SELECT path FROM made").fetchall()
            gone = {path for (path,) in rows} - {self._name(path) for path in paths}
            self._database.executemany("DELETE FROM made WHERE path = ?", [(p,) for p in gone])
            self._database.commit()
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Delete a damaged or unwritable database: the next process makes a new one."""
        log.debug("nothing is kept on disk: %s", error)
        if self._database is not None:
            self._database.close()
            self._database = None
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _name(self, path: str) -> str:
        return path.removeprefix(self._root)

    def _seal(self, path: str, digest: bytes, data: bytes) -> bytes:
        name = self._name(path).encode("utf-8", "surrogateescape")
        return hashlib.sha256(b"\0".join((self._key, name, digest, data))).digest()

    def _connected(self) -> sqlite3.Connection | None:
        """The database, opened at the first use, when the settings are final; stale rows are
        deleted.
        """
        if not self._opened:
            self._opened = True
            # For odd settings there may be no key; then nothing is cached.
            with suppress(Exception):
                self._key = self._made_key() if self._rest else b""
            if self._key:
                self._database = _open(self._file, self._key)
        return self._database

    def _made_key(self) -> bytes:
        parts = [
            _FORMAT, installed_code(), self._rest,
            settings_text(self._settings), *time.tzname, str(locale.getlocale()),
            os.environ.get("DOCUTILSCONFIG", ""), os.environ.get("LANG", ""),
        ]  # fmt: skip
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()

    def _is_pure(self, reader: object) -> bool:
        kind = type(reader)
        if kind is MarkdownReader:
            return _markdown_is_pure(self._settings)
        if kind is RstReader:
            return _docutils_is_pure()
        return kind is HTMLReader


def _open(file: Path, key: bytes) -> sqlite3.Connection | None:
    for _ in range(2):
        try:
            # It contains drafts.
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            file.chmod(0o600)
            database = sqlite3.connect(file)
            # Each row has a checksum, and a file whose row is damaged is parsed again: no journal
            # file is needed.
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA journal_mode = MEMORY")
            database.execute("CREATE TABLE IF NOT EXISTS site (key BLOB)")
            database.execute(
                "CREATE TABLE IF NOT EXISTS made"
                " (path TEXT PRIMARY KEY, digest BLOB, made BLOB, seal BLOB) WITHOUT ROWID"
            )
            if database.execute("SELECT key FROM site").fetchall() != [(key,)]:
                database.execute("DELETE FROM made")
                database.execute("DELETE FROM site")
                database.execute("INSERT INTO site VALUES (?)", (key,))
                database.commit()
        except (sqlite3.Error, OSError) as error:
            log.debug("%s is made anew: %s", file, error)
            with suppress(OSError):
                file.unlink(missing_ok=True)
        else:
            return database
    return None


def _markdown_is_pure(settings: Mapping[str, Any]) -> bool:
    markdown = settings.get("MARKDOWN")
    if not isinstance(markdown, dict):
        return False
    names = [*(markdown.get("extensions") or ()), *(markdown.get("extension_configs") or ())]
    if not all(isinstance(name, str) and _is_known(name) for name in names):
        return False
    try:
        # A function among the settings could do anything.
        json.dumps(markdown)
    except (TypeError, ValueError):
        return False
    return True


def _is_known(name: str) -> bool:
    if name.startswith(_NOT_PURE):
        return False
    if name.startswith(_PURE):
        return True
    entries = metadata.entry_points(group="markdown.extensions", name=name)
    return bool(entries) and all(
        each.value.startswith(_PURE) and not each.value.startswith(_NOT_PURE) for each in entries
    )


def _docutils_is_pure() -> bool:
    """Whether only docutils and Pelican decide how reStructuredText is parsed."""
    registered = [
        *directives._directives.values(),  # type: ignore[attr-defined] # untyped
        *roles._roles.values(),  # type: ignore[attr-defined] # untyped
    ]
    modules = (str(getattr(each, "__module__", "")) for each in registered)
    known = ("docutils.", "pelican.rstdirectives", "bridge.")
    configurations = (Path("/etc/docutils.conf"), Path("~/.docutils").expanduser())
    return all(module.startswith(known) for module in modules) and not any(
        os.access(file, os.F_OK) for file in configurations
    )


def _depends_on_nothing_else(path: str, reader: object, made: Any) -> bool:
    """Whether the result depends neither on the day nor on another file."""
    text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
    if type(reader) is RstReader and _LOOKS_AROUND.search(text):
        return False
    dates = [(line or meta).strip() for line, meta in _DATE.findall(text[:_HEAD])]
    _, found = made
    wanted = sum(name in found for name in ("date", "modified"))
    return len(dates) >= wanted and all(map(_WHOLE.match, dates))


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, settings: dict[str, Any]) -> None:
        super().__init__(file, protocol=5)
        self._settings = settings

    def persistent_id(self, value: Any) -> str | None:
        """The settings are not pickled, but referred to."""
        return _SETTINGS if value is self._settings else None


class _Unpickler(pickle.Unpickler):
    """Makes only objects of the classes that readers put into metadata."""

    def __init__(self, data: bytes, settings: dict[str, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._settings = settings

    def persistent_load(self, pid: Any) -> Any:
        """The settings."""
        if pid != _SETTINGS:
            raise pickle.UnpicklingError("something else than the settings")
        return self._settings

    def find_class(self, module: str, name: str) -> Any:
        """One of the allowed classes."""
        if (module, name) in _CLASSES:
            return _CLASSES[module, name]
        if module in _ZONES and name.startswith(("tz", "Zone")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not kept")


def _pickled(made: Any, settings: dict[str, Any]) -> bytes | None:
    """The bytes of a reader's result; ``None`` if it has anything unknown in it."""
    if not _is_plain(made, settings):
        return None
    file = io.BytesIO()
    _Pickler(file, settings).dump(made)
    data = file.getvalue()
    _Unpickler(data, settings).load()
    return data


def _is_plain(value: Any, settings: dict[str, Any]) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind in (list, tuple):
        return all(_is_plain(each, settings) for each in value)
    if kind is dict:
        return all(type(key) is str and _is_plain(each, settings) for key, each in value.items())
    if kind in (Author, Category, Tag) and isinstance(value, URLWrapper):
        others = (each for name, each in vars(value).items() if name != _SETTINGS)
        if value.settings is not settings or not all(_is_plain(each, settings) for each in others):
            return False
        # Computed here, it need not be computed in every process.
        _ = value.slug
        return True
    return False
