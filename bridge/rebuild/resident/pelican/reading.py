"""A cache of parsed files, from build to build: a file is read again when it has changed."""

from __future__ import annotations

import copy
import functools
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from markupsafe import Markup
from pelican.contents import Content, SkipStub, Static
from pelican.readers import BaseReader, Readers
from pelican.urlwrappers import URLWrapper
from pelican.utils import SafeDatetime, file_suffix

from bridge.rebuild.resident.pelican.kept_on_disk import KeptOnDisk
from bridge.rebuild.resident.reuse.opened import noting

#: Identifies a file: a rename changes the inode, an edit the time. For a folder it is made from the
#: names in it.
Stamp: TypeAlias = tuple[int, int, int]
#: The stamps of files, by path; ``None`` where there was no file.
Stamps: TypeAlias = dict[str, Stamp | None]
#: What a build reads: the kind of content and the file.
_Key: TypeAlias = tuple[str, str, str]
#: Readers of plugins that always read the same from the same file. By the last parts of their
#: names, since old plugins lie in a folder of the site's.
_KNOWN = frozenset(
    {"yaml_metadata.YAMLMetadataReader", "md_metayaml.MarkdownYAMLReader", "markup.IPythonNB",
     "myst_reader.MySTReader", "pandoc_reader.PandocReader"}
)  # fmt: skip

_PARAMETERS = "__dataclass_params__"
_ATOMS = frozenset(
    {str, int, float, bool, type(None), bytes, date, datetime, SafeDatetime, time, timedelta,
     ZoneInfo, Markup, FunctionType, BuiltinFunctionType, type}
)  # fmt: skip


def stamp(path: str) -> Stamp:
    """Which file is at a path, or which names are in that folder; raises ``OSError``."""
    status = os.stat(path)  # noqa: PTH116 - called for every file of a site
    if stat.S_ISDIR(status.st_mode):
        # Not its time, which also changes when an edited file is put in the place of the old one.
        with os.scandir(path) as entries:
            names = sorted((entry.name, entry.is_dir()) for entry in entries)
        digest = hashlib.blake2b(repr(names).encode("utf-8", "surrogateescape"), digest_size=7)
        return int.from_bytes(digest.digest()), len(names), 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def stamps(paths: Iterable[str]) -> Stamps:
    """Which files are at these paths."""
    return {path: _stamp_if_there(path) for path in paths}


def _stamp_if_there(path: str) -> Stamp | None:
    try:
        return stamp(path)
    except OSError:
        return None


class CachedFileChanged(Exception):
    """A file that this process has cached for good has changed. The text says which."""


def fresh(value: Any, copies: dict[int, Any]) -> Any:
    """A copy that a build may change. Two references to one list stay references to one list."""
    kind: Any = type(value)
    if kind in _ATOMS:
        return value
    made = copies.get(id(value))
    if made is not None:
        return made
    if kind is list:
        made = [item if type(item) in _ATOMS else fresh(item, copies) for item in value]
    elif kind is dict:
        made = value.copy()
        for key, item in value.items():
            if type(item) not in _ATOMS:
                made[key] = fresh(item, copies)
    elif isinstance(value, URLWrapper):
        if value._slug is None:
            # Computed here, it is in every copy. If the settings make no slug, Pelican says so as
            # soon as it needs one.
            with suppress(Exception):
                _ = value.slug
        made = kind.__new__(kind)
        made.__dict__.update(value.__dict__)
    elif isinstance(value, ModuleType) or (
        is_dataclass(value) and getattr(kind, _PARAMETERS).frozen
    ):
        made = value
    else:
        made = copy.deepcopy(value, copies)
    copies[id(value)] = made
    return made


@dataclass(frozen=True, slots=True)
class _Pristine:
    """A content object as it was right after it was read, before any plugin saw the site.

    ``files`` are the file itself, and whatever else was opened while it was read.
    """

    files: Stamps
    kind: type[Content]
    plain: dict[str, Any]
    changeable: dict[str, Any]

    @classmethod
    def of(cls, content: Content, files: Stamps) -> _Pristine:
        copies: dict[int, Any] = {id(content.settings): content.settings}
        plain: dict[str, Any] = {}
        changeable: dict[str, Any] = {}
        for name, value in content.__dict__.items():
            if name != "_context":
                kept = plain if type(value) in _ATOMS or name == "settings" else changeable
                kept[name] = fresh(value, copies)
        return cls(files, type(content), plain, changeable)

    def again(self, context: dict[str, Any]) -> Content:
        kind: Any = self.kind
        made: Content = kind.__new__(kind)
        attributes = made.__dict__
        attributes.update(self.plain)
        copies: dict[int, Any] = {}
        for name, value in self.changeable.items():
            attributes[name] = fresh(value, copies)
        attributes["_context"] = context
        return made


class StateOfReaders(Protocol):
    """What the site's own code keeps while files are read."""

    def begin_build(self) -> None:
        """A build begins."""

    def begin(self) -> None:
        """A file is about to be read."""

    def is_changed(self) -> bool:
        """Whether anything has changed since then."""


class ContentCache:
    """The parsed files of a site.

    ``whole`` says whether content objects may be kept, or only what readers returned: the latter
    where plugins must see every object being created. ``logged`` returns how many errors were
    logged so far: a file that caused any is read in every build, so that each build reports them.
    So is a file of which reading changes the ``state`` of the site's own code.
    """

    def __init__(self, *, whole: bool, logged: Callable[[], int], state: StateOfReaders) -> None:
        self.whole = whole
        self._logged = logged
        self._state = state
        self.reading = ""
        self.fresh: set[str] = set()
        self._contents: dict[_Key, _Pristine] = {}
        self._parsed: dict[tuple[str, str], tuple[Stamps, Any]] = {}
        self._parsing: set[str] = set()
        self._errors = 0
        #: Reading this file has changed the state.
        self._counts = False
        self._used: set[_Key] = set()

    def begin(self) -> None:
        """A build begins."""
        self.fresh.clear()
        self._used.clear()
        self._state.begin_build()

    def end(self) -> None:
        """Forget files that this build did not read."""
        for key in self._contents.keys() - self._used:
            del self._contents[key]
        for parsed in self._parsed.keys() - {(path, site) for _, path, site in self._used}:
            del self._parsed[parsed]

    def content(
        self,
        kind: type[Content],
        path: str,
        site: str,
        context: dict[str, Any],
        read: Callable[[], Content],
        reader: Callable[[], object],
    ) -> Content:
        """The content of a file, from here or else by ``read``. ``fresh`` notes the latter.

        ``site`` is the output folder: a plugin may build further sites of the same files.
        """
        self.reading = path
        key = (kind.__name__, path, site)
        self._used.add(key)
        kept = self._contents.get(key)
        if kept is not None and kept.files == stamps(kept.files):
            return kept.again(context)
        logged = self._errors = self._logged()
        self._state.begin()
        self._counts = False
        # Taken before it is read: a later write gives it another stamp.
        files = stamps([path])
        with noting() as opened:
            self._parsing = opened
            made = read()
        self.fresh.add(path)
        files |= stamps(opened - {path})
        unchanged = self._logged() == logged and not self._counts
        if self.whole and unchanged and _may_be_kept(made, reader()):
            self._keep(key, files, made)
        return made

    def _keep(self, key: _Key, files: Stamps, made: Content) -> None:
        if not isinstance(made, Static):
            # Pelican asks next, in every build. What is not valid is reported in every build.
            try:
                valid = made.is_valid()
            except Exception:  # noqa: BLE001 - it is raised where Pelican asks
                return
            made.is_valid = _yes if valid else _no
            if not valid:
                return
        self._contents[key] = _Pristine.of(made, files)

    def parsed(self, path: str, site: str) -> Any:
        """What a reader returned for a file; ``None`` where the file has changed."""
        kept = self._parsed.get((path, site))
        if kept is None or kept[0] != stamps(kept[0]):
            return None
        return fresh(kept[1], {})

    def opened(self) -> Collection[str] | None:
        """Files that were opened while this file is read; ``None`` if it is to be read again."""
        return self._parsing if self._logged() == self._errors and not self._counts else None

    def compare_state(self) -> None:
        """A reader has read the file."""
        self._counts = self._state.is_changed()

    def keep_parsed(self, path: str, site: str, data: Any, reader: object) -> None:
        """Keep what a reader returned for a file."""
        if not self.whole and not self._counts and reads_its_file_alone(reader):
            self._parsed[path, site] = (stamps({path, *self._parsing}), fresh(data, {}))

    def posts(self) -> Iterator[str]:
        """Every post and page that this build has read, valid or not."""
        return (path for kind, path, _ in self._used if kind != Static.__name__)


def _may_be_kept(content: Content, reader: object) -> bool:
    """Whether the same files read the same in every build."""
    if isinstance(content, SkipStub) or _waits_for_its_date(content):
        return False
    return isinstance(content, Static) or reads_its_file_alone(reader)


def reads_its_file_alone(reader: object) -> bool:
    """Whether a reader is one of Pelican's, or known; another one of a plugin's may look at
    anything.
    """
    kind = type(reader)
    module = kind.__module__
    return (
        module == str(BaseReader.__module__)
        or f"{module.rpartition('.')[2]}.{kind.__qualname__}" in _KNOWN
    )


def _waits_for_its_date(content: Content) -> bool:
    """Whether it is a draft until its day, as WITH_FUTURE_DATES can make it."""
    when = getattr(content, "date", None)
    if content.settings.get("WITH_FUTURE_DATES", True) or not isinstance(when, datetime):
        return False
    now = datetime.now(UTC) if when.tzinfo else datetime.now()  # noqa: DTZ005 - as Pelican does
    return when > now


@functools.lru_cache(maxsize=200_000)
def _whole(folder: str, path: str) -> str:
    return os.path.abspath(os.path.join(folder, path))  # noqa: PTH100, PTH118 - as Pelican does


def _yes() -> bool:
    return True


def _no() -> bool:
    return False


class CachingReaders(Readers):  # type: ignore[misc] # Pelican's classes are not typed
    """Pelican's readers with a cache; ``disk`` has what an earlier process stored.

    Pelican creates its readers itself, so :func:`readers_with` sets both in a subclass.
    """

    content_cache: ContentCache
    disk: KeptOnDisk | None
    _by_suffix = False

    def read_file(self, base_path: str, path: str, *args: Any, **options: Any) -> Content:
        """The content of a file, from the cache if it has not changed."""
        if args or not {"content_class", "context"} <= options.keys():
            # A plugin reads a file for itself.
            self._by_suffix = False
            return super().read_file(base_path, path, *args, **options)
        whole = _whole(base_path, path)
        read_file = super().read_file

        def read() -> Content:
            self._by_suffix = options.get("fmt") is None
            return read_file(base_path, path, **options)

        def reader() -> object:
            return self.readers.get(options.get("fmt") or file_suffix(path))

        kind, context = options["content_class"], options["context"]
        return self.content_cache.content(kind, whole, self._site, context, read, reader)

    def get_cached_data(self, filename: str, default: Any = None) -> Any:
        """What a reader returned for a file, from memory or from disk; else ``default``."""
        # A post that is copied as well is a static file then, without any metadata.
        if not self._by_suffix:
            return default
        found = self.content_cache.parsed(filename, self._site)
        if found is None and self.disk is not None:
            reader = self.readers.get(file_suffix(filename))
            if (found := self.disk.find(filename, reader, self.settings)) is not None:
                self.content_cache.keep_parsed(filename, self._site, found, reader)
        return default if found is None else found

    def cache_data(self, filename: str, data: Any) -> None:
        """Cache what a reader returned for a file."""
        self.content_cache.compare_state()
        if not self._by_suffix:
            return
        reader = self.readers.get(file_suffix(filename))
        self.content_cache.keep_parsed(filename, self._site, data, reader)
        opened, disk = self.content_cache.opened(), self.disk
        if disk is not None and opened is not None and disk.is_of(self.settings):
            disk.keep(filename, data, reader, opened)

    def save_cache(self) -> None:
        """Do nothing: each file is stored on disk as it is read."""

    @property
    def _site(self) -> str:
        """The output folder: a plugin may build further sites of the same files."""
        return str(self.settings["OUTPUT_PATH"])


def readers_with(
    content_cache: ContentCache, disk: KeptOnDisk | None = None
) -> type[CachingReaders]:
    """The class of readers with this cache; ``disk`` has what an earlier process stored."""
    attributes = {"content_cache": content_cache, "disk": disk}
    return type("CachingReaders", (CachingReaders,), attributes)
