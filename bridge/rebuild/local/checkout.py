"""The builder's checkout: which posts it leaves out, and when scheduled ones are due, by a few
lines of their front matter.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from html import unescape
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dateutil.parser
import msgspec
from msgspec import Struct

from bridge.rebuild.local.files import Tree
from bridge.runtime import beneath
from bridge.store import Version
from bridge.store.checkout.checkout import Checkout, Submodules
from bridge.store.checkout.lfs_pointers import LargeFiles
from bridge.store.git import GitStore

#: Number of bytes of a file that are read.
HEADER_LIMIT = 64_000
#: The date line of nearly every post.
_USUAL_HEAD = 4_096
_DATE = re.compile(rb"^:?[ \t]*date[ \t]*:.*|<meta[^>]*\bdate\b[^>]*", re.IGNORECASE | re.MULTILINE)
_YEAR = re.compile(rb"\d{4}")
#: A date in the name of a file or of its folders, as ``FILENAME_METADATA`` has it by default.
_NAMED = re.compile(r"(?<!\d)(\d{4})[-/_](\d{2})[-/_](\d{2})(?!\d)")
_FIELD = re.compile(r"^:(\w+):[ \t]*(.*)$", re.MULTILINE)
_META = re.compile(r"""<meta\s+name=["']([^"']+)["']\s+content=["']([^"']*)["']""", re.IGNORECASE)


class SiteDates(Struct, frozen=True):
    """What the site's settings say of dates: the time zone of those without one, and whether
    Pelican itself makes drafts of posts with a date in the future.
    """

    zone: tzinfo
    drafts_until_due: bool


def _unknown() -> SiteDates | None:
    return None


def due(
    path: str, data: bytes, dates: Callable[[], SiteDates | None] = _unknown
) -> datetime | None:
    """The time until which a post is withheld, ``None`` if it is not.

    ``dates`` returns what the site's settings say, once that is known.

    The plugin withholds posts of the bridge (with an ``Mf2:`` line). A hand-written one is built as
    Pelican's own settings say; while these are not known, it may be withheld. Drafts are built at
    once, since nothing links to them.
    """
    is_ours = b"mf2" in data[:HEADER_LIMIT].lower()
    if not is_ours and not _may_be_later(path, data):
        return None
    suffix = path.rpartition(".")[2].lower()
    try:
        headers = dict(_FORMATS.get(suffix, _headers)(_text(data)))
    except ValueError:
        return None  # Pelican cannot read it either: a number of thousands of digits
    if headers.get("status", "").lower() == "draft":
        return None
    known = dates()
    if "mf2" not in headers and known is not None and not known.drafts_until_due:
        return None
    try:
        moment = _moment(headers.get("date", "") or _date_in(path))
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is not None:
        return moment
    # Written by hand, in the time zone that the post names, or the site's.
    named = _zone(headers.get("timezone", "")) or (known.zone if known else None)
    return moment.replace(tzinfo=named) if named else moment.astimezone()


def _moment(text: str) -> datetime:
    """A date as people write it, too: Pelican reads whatever dateutil does."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        found: datetime = dateutil.parser.parse(text.replace("_", " "))
        return found


def _may_be_later(path: str, data: bytes) -> bool:
    """Whether a post may have a date in the future, which few have."""
    found = _DATE.search(data, 0, _USUAL_HEAD)
    years = _YEAR.findall(found[0] if found else _date_in(path).encode())
    # In any time zone.
    this_year = datetime.now(UTC).year
    return any(int(year) >= this_year for year in years)


def _date_in(path: str) -> str:
    """The date that a path names, preferably its last part; ``""`` where it names none."""
    found = _NAMED.search(path.rpartition("/")[2]) or _NAMED.search(path)
    return "-".join(found.groups()) if found else ""


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a folder of zones, or too long
        return None


def _text(data: bytes) -> str:
    return data[:HEADER_LIMIT].decode("utf-8-sig", errors="replace")


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The fields of reStructuredText."""
    return ((key.lower(), value.strip()) for key, value in _FIELD.findall(text))


def _meta(text: str) -> Iterator[tuple[str, str]]:
    """The metadata of an HTML file, as the bridge and most people write it."""
    return ((key.lower(), unescape(value).strip()) for key, value in _META.findall(text))


def _headers(text: str) -> Iterator[tuple[str, str]]:
    """``key: value`` lines up to the first blank one; of a repeated key, the first counts."""
    block = itertools.takewhile(str.strip, text.splitlines())
    for line in reversed(list(block)):
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


_FORMATS = {"rst": _fields, "html": _meta, "htm": _meta}


#: From a post's path and bytes, the time until which the plugin holds it back, if it does.
Due: TypeAlias = Callable[[str, bytes], datetime | None]


class _State(msgspec.Struct, frozen=True):
    """The version on disk, its scheduled posts with their times, and the posts left out."""

    version: str = ""
    waiting: dict[str, datetime] = {}
    left_out: frozenset[str] = frozenset()


def _at_once(path: str, data: bytes) -> datetime | None:
    del path, data
    return None


class BuilderCheckout:
    """The files of one version below ``folder``, as git lays them out. ``due`` says when a post has
    to be built again.
    """

    def __init__(
        self,
        store: GitStore,
        folder: Path,
        *,
        submodules: Submodules | None = None,
        may_read: Callable[[Path], bool] = lambda _: False,
        keep: Iterable[str] = (),
        large_files: LargeFiles | None = None,
        due: Due = _at_once,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        git_dir: Path | None = None,
    ) -> None:
        """The other parameters are those of :class:`bridge.store.checkout.checkout.Checkout`."""
        self.folder = folder
        self._files = Checkout(
            store.bare_repo.common / "objects",
            folder,
            submodules=submodules,
            may_read=may_read,
            keep=tuple(keep),
            large_files=large_files,
            git_dir=git_dir,
        )
        self._due_at = due
        self._clock = clock
        self._note = folder.with_name(folder.name + ".json")
        self._state = self._load()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a clone has and this checkout lacks: submodules, links that lead outside."""
        return self._files.warnings

    @property
    def lacks(self) -> bool:
        """Whether a clone would have submodules or links that this checkout does not."""
        return self._files.lacks

    @property
    def modules(self) -> Mapping[str, str]:
        """The folders of submodules."""
        return self._files.modules

    @property
    def next_due(self) -> datetime | None:
        """When :meth:`bring_to` has something to do without a new version."""
        return min(self._state.waiting.values(), default=None)

    def bring_to(
        self,
        version: Version,
        *,
        left_out: Iterable[str] = (),
        take_away: bool = False,
        is_exact: Callable[[Collection[str]], bool] = lambda _: True,
    ) -> tuple[str, ...]:
        """Check out a version.

        ``left_out`` are files that the site is built without; only with ``take_away`` are they
        removed from disk. ``is_exact`` says, for the paths that change, whether files that builds
        have left behind are removed, too. Returns the paths that have changed, are left out now or
        no longer, or are due. Raises what the store raises, and ``OSError``; then the next call
        completes the work.
        """
        before, now, out = self._state, self._clock(), frozenset(left_out)
        known = before.version and before.version == self._files.version
        changed = set(self._files.changes(version))
        there = {path for path in changed | out if self._exists(path)}
        self._save(_State())
        self._files.bring_to(version, exact=not known or is_exact(changed))
        if not known:
            # It is unknown what is on disk: check when each file is due.
            before = _State()
            changed.update(self._files.paths())
        # Also of those that wait: it may depend on the site's time zone, which is only known later.
        waiting = {
            path: due
            for path in changed | before.waiting.keys()
            if (due := self._due(path)) is not None and due > now
        }
        self._files.leave_out(out if take_away else ())
        self._save(_State(version, waiting, out))
        came = before.waiting.keys() - waiting.keys()
        other = changed | came | (out ^ before.left_out)
        return tuple(path for path in other if path in there or self._exists(path))

    def _exists(self, path: str) -> bool:
        return os.path.lexists(self.folder / path)

    def _due(self, path: str) -> datetime | None:
        try:
            return self._due_at(path, beneath.read(self.folder, path, HEADER_LIMIT))
        except OSError:
            return None

    def _load(self) -> _State:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_State)
        except (OSError, msgspec.DecodeError):
            return _State()

    def _save(self, state: _State) -> None:
        Tree(self._note.parent).write(self._note.name, msgspec.json.encode(state))
        self._state = state
