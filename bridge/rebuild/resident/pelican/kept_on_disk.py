"""A cache of parsed files on disk, from one process to the next.

A restart would otherwise read every post anew, which is most of the time that a first build takes.
Nothing is kept but what follows from a file's bytes, the settings, everything else in the site, and
what is installed. A file with which there is any doubt is read by its reader.
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
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from datetime import time as time_of_day
from importlib import metadata
from pathlib import Path
from typing import Any

import pelican
from docutils.parsers.rst import directives, roles
from markupsafe import Markup
from pelican.readers import HTMLReader, MarkdownReader, RstReader
from pelican.urlwrappers import Author, Category, Tag, URLWrapper
from pelican.utils import SafeDatetime

from bridge import __version__

log = logging.getLogger(__name__)

#: Raised whenever what is kept changes its meaning.
_FORMAT = "1"
#: Extensions of Markdown that look at the text and their settings alone.
_PURE = ("markdown.extensions.", "pymdownx.")
#: These also look at files, addresses or a program's other functions.
_NOT_PURE = ("pymdownx.snippets", "pymdownx.b64")
#: What has docutils look at the clock, files or addresses.
_LOOKS_AROUND = re.compile(r"date\s*::|include\s*::|:(?:file|url)\s*:", re.IGNORECASE)
#: What a date is read from, in each format.
_DATE = re.compile(
    r"^\s*:?(?:date|modified)\s*:(.*)$"
    r"|<meta\s+name=[\"']?(?:date|modified)[\"']?\s+content=[\"']?([^\"'>]*)",
    re.IGNORECASE | re.MULTILINE,
)
#: Of one that says less, the rest is taken from the day on which it is read.
_WHOLE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?!\d)")
_HEAD = 16_384
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SETTINGS = "settings"
_PLAIN = frozenset({str, int, float, bool, type(None), Markup, datetime, SafeDatetime, date})
_CLASSES: Mapping[tuple[str, str], Any] = {
    (kind.__module__, kind.__qualname__): kind
    for kind in (Author, Category, Tag, SafeDatetime, Markup, datetime, date, time_of_day,
                 timedelta, timezone)
}  # fmt: skip
_ZONES = ("dateutil.tz.tz", "zoneinfo")


class KeptOnDisk:
    """The readers' results of one site. What cannot be had from it is read; never raises.

    ``rest`` names everything in the site that is not a post; ``""``: nothing is kept.
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

    def find(self, path: str, reader: object, settings: dict[str, Any]) -> Any:
        """What the reader made of the file that is there now; ``None`` where that is not known."""
        if settings is not self._settings or not self._is_pure(reader):
            return None
        try:
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
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is not needed
            log.debug("%s is read: %s", path, error)
        return None

    def keep(self, path: str, made: Any, reader: object, opened: Collection[str]) -> None:
        """Keep what a reader has made of the file that :meth:`find` was asked for.

        ``opened`` are the files that were opened for it.
        """
        digest = self._digests.pop(path, None)
        if digest is None or (database := self._connected()) is None or set(opened) - {path}:
            return
        try:
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
        except (OSError, sqlite3.Error, pickle.PicklingError, UnicodeError) as error:
            log.debug("%s is not kept: %s", path, error)

    def end(self, paths: Collection[str]) -> None:
        """A build is done: have everything on disk, and nothing of files but these."""
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
        """The file is damaged, or cannot be written: the next process begins another."""
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
        """The file, once the settings are as readers have them; one of other times goes."""
        if not self._opened:
            self._opened = True
            # A key that cannot be worked out, as of odd settings, is none.
            with suppress(Exception):
                self._key = self._made_key() if self._rest else b""
            if self._key:
                self._database = _open(self._file, self._key)
        return self._database

    def _made_key(self) -> bytes:
        settings = json.dumps(self._settings, default=repr, sort_keys=True)
        parts = [
            _FORMAT, __version__, pelican.__version__, sys.version, self._rest,
            _ADDRESS.sub("", settings), *_installed(), *time.tzname, str(locale.getlocale()),
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
            # Drafts are in it.
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            file.chmod(0o600)
            database = sqlite3.connect(file)
            # Sealed row by row: what is damaged, however it came to that, is read anew. So no file
            # is needed beside this one to put it right.
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


def _installed() -> list[str]:
    """Every installed distribution, with its version and when it was installed."""
    found: list[str] = []
    for folder in sys.path:
        with suppress(OSError):
            found += (
                f"{entry.path} {entry.stat().st_mtime_ns}"
                for entry in os.scandir(folder or ".")
                if entry.name.endswith((".dist-info", ".egg-info", ".pth", ".egg-link"))
            )
    return sorted(found)


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
    """Whether reStructuredText means what docutils and Pelican make of it."""
    registered = [
        *directives._directives.values(),  # type: ignore[attr-defined]
        *roles._roles.values(),  # type: ignore[attr-defined]
    ]
    modules = (str(getattr(each, "__module__", "")) for each in registered)
    known = ("docutils.", "pelican.rstdirectives", "bridge.")
    everyones = (Path("/etc/docutils.conf"), Path("~/.docutils").expanduser())
    return all(module.startswith(known) for module in modules) and not any(
        os.access(file, os.F_OK) for file in everyones
    )


def _depends_on_nothing_else(path: str, reader: object, made: Any) -> bool:
    """Whether neither the day nor another file has a say in what was made of a file."""
    text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
    if type(reader) is RstReader and _LOOKS_AROUND.search(text):
        return False
    said = [(line or meta).strip() for line, meta in _DATE.findall(text[:_HEAD])]
    _, found = made
    wanted = sum(name in found for name in ("date", "modified"))
    return len(said) >= wanted and all(map(_WHOLE.match, said))


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, settings: dict[str, Any]) -> None:
        super().__init__(file, protocol=5)
        self._settings = settings

    def persistent_id(self, value: Any) -> str | None:
        """The settings stay where they are."""
        return _SETTINGS if value is self._settings else None


class _Unpickler(pickle.Unpickler):
    """Makes no object but such as readers put into metadata."""

    def __init__(self, data: bytes, settings: dict[str, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._settings = settings

    def persistent_load(self, pid: Any) -> Any:
        """The settings."""
        if pid != _SETTINGS:
            raise pickle.UnpicklingError("something else than the settings")
        return self._settings

    def find_class(self, module: str, name: str) -> Any:
        """One of the few classes."""
        if (module, name) in _CLASSES:
            return _CLASSES[module, name]
        if module in _ZONES and name.startswith(("tz", "Zone")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not kept")


def _pickled(made: Any, settings: dict[str, Any]) -> bytes | None:
    """The bytes of a reader's result; ``None`` where there is something unknown in it."""
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
        return value.settings is settings and all(_is_plain(each, settings) for each in others)
    return False
