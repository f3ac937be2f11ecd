"""The output folder, where only the site's own settings name one: building starts once they have.

The site's code may write to the output, so its settings must not choose just any folder of this
machine: that would be a way out of its confinement.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePath

import msgspec

from bridge.rebuild import BuildStatus, Rebuilder
from bridge.rebuild.local.files import Tree
from bridge.runtime import beneath
from bridge.settings import OURS_IN_STATE, Settings
from bridge.store import Version
from bridge.store.git import GitStore
from bridge.store.sync.transport import Transport

log = logging.getLogger(__name__)

_DEFAULT = "output"
#: Which folder was in use last, as the settings name it.
_NOTE = "output-folder"
#: How many files are named.
_NAMED = 3
ONLY_PAGES = "Write a folder for nothing but the pages, such as 'output'"
_RETRY_SECONDS = 30.0


class _OutputNote(msgspec.Struct):
    """The part of what builds keep that names their folder."""

    folder: str


def output_folder(configured: str, state: Path) -> Path:
    """The folder for OUTPUT_PATH, whose value is ``configured``, relative to the site's folder if
    it is inside of it.

    One that is used already stays. A new one may be inside the state folder, or beside it, where
    there is nothing yet. Any other is not used: pages go to ``output`` in the state folder, and the
    log says what the owner can do.
    """
    noted, wanted = _noted(state), _wanted(configured, state)
    if noted == configured:
        return state / configured
    if wanted is not None and _is_free(wanted, state):
        Tree(state).write(_NOTE, configured.encode("utf-8", "surrogateescape"))
        return wanted
    instead = state / _DEFAULT
    if noted is None:
        if wanted == instead or _is_of_earlier_release(state / configured, state):
            Tree(state).write(_NOTE, configured.encode("utf-8", "surrogateescape"))
            return state / configured
        Tree(state).write(_NOTE, _DEFAULT.encode())
    if wanted != instead:
        log.warning(
            "pages go to %s: only you can choose a folder that is in use or elsewhere, since the"
            " site's code may write to it. For the one in OUTPUT_PATH, set [rebuild] output = %s in"
            " bridge.toml",
            instead,
            msgspec.json.encode(str(state / configured)).decode(),
        )
    return instead


def others_in(settings: Settings) -> str:
    """A warning of files that the bridge has not written, in a folder of pages that it has not used
    before; ``""`` if there are none. Blocks.
    """
    notes = ("kept/output.json", "published.json")
    used = any((settings.site.state / "rebuild" / each).exists() for each in notes)
    if used or not writes_pages(settings):
        return ""
    try:
        names = sorted(each.name for each in Path(settings.rebuild.output).iterdir())
    except OSError:
        return ""
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (
        f"the bridge has not written what is in {settings.rebuild.output}"
        f" ({', '.join(names[:_NAMED])}{more}): pages of the same names replace it"
    )


def writes_pages(settings: Settings) -> bool:
    """Whether pages are written to the folder that ``bridge.toml`` names."""
    return bool(settings.rebuild.output) and settings.rebuild.mode in {"resident", "command"}


def _wanted(configured: str, state: Path) -> Path | None:
    """The configured folder, if it is inside the state folder or beside it."""
    names = PurePath(configured).parts
    if not names or ".." in names or "\0" in configured:
        return None
    if not PurePath(configured).is_absolute():
        return state / configured
    place = Path(configured)
    beside = place.parent.resolve() == state.parent.resolve() != Path.home().resolve()
    return place if beside and not place.name.startswith(".") else None


def _is_free(folder: Path, state: Path) -> bool:
    """Whether nothing exists there, and the bridge will create nothing there later."""
    inside = folder.is_relative_to(state)
    top = state / folder.relative_to(state).parts[0] if inside else folder
    if inside and (top.name in OURS_IN_STATE or top.name.startswith(".")):
        return False
    try:
        return not os.path.lexists(top) or (top == folder and not [*top.iterdir()])
    except OSError:
        return False


def why_not(settings: Settings, store: GitStore) -> str:
    """Why pages must not be written to the folder that ``bridge.toml`` names; ``""`` if they may.

    Blocks. Raises StoreBroken.
    """
    name, output = settings.publish.remote, Path(settings.rebuild.output)
    if not writes_pages(settings) or not name:
        return ""
    transport = Transport(store.bare_repo, name, "", settings.site.state, store.disk)
    if not transport.url() or transport.local is None:
        return ""
    output, clone = output.resolve(), transport.local.path.resolve()
    if clone.is_relative_to(output):
        return f"{str(output)!r} is your clone, or contains it ({clone})"
    head = store.head()
    if head is None or not output.is_relative_to(clone):
        return ""
    path = next(store.files(output.relative_to(clone).as_posix(), head), ("",))[0]
    return path and f"{str(output)!r} is in your clone, and has files of your repo ({path})"


def _noted(state: Path) -> str | None:
    try:
        return (state / _NOTE).read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return None


def _is_of_earlier_release(folder: Path, state: Path) -> bool:
    """Whether an earlier release of the bridge, which had no note, has written its pages there."""
    try:
        data = beneath.read(state, "rebuild/output.json")
        return msgspec.json.decode(data, type=_OutputNote).folder == str(folder)
    except (OSError, msgspec.DecodeError):
        return False


class DeferredRebuilder:
    """A :class:`~bridge.rebuild.Rebuilder` that becomes another one when its folder is known.

    Loading a site takes seconds, which nothing else has to wait for: the bridge answers before.
    """

    is_local = True

    def __init__(
        self, find: Callable[[], Awaitable[Path]], *, retry_seconds: float = _RETRY_SECONDS
    ) -> None:
        """``find`` returns the folder of pages. Where building cannot begin, as on a full disk, it
        is tried again after ``retry_seconds``.
        """
        self._find = find
        self._retry_seconds = retry_seconds
        self._make: Callable[[Path], Rebuilder] | None = None
        self._rebuilder: Rebuilder | None = None
        self._found = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = None

    @property
    def output(self) -> Path | None:
        """The folder of pages, once it is known."""
        return None if self._rebuilder is None else self._rebuilder.output

    @property
    def previews(self) -> Path | None:
        """The folder of the pages of private drafts, once it is known."""
        return None if self._rebuilder is None else self._rebuilder.previews

    def make_with(self, make: Callable[[Path], Rebuilder]) -> None:
        """Have ``make`` return the rebuilder for a folder of pages; called before the start."""
        self._make = make

    async def start(self) -> None:
        """Start looking for the folder; building starts once it is found."""
        self._task = asyncio.create_task(self._begin(), name="rebuild later")

    def changed(self, version: Version) -> None:
        """Schedule a build. The first one builds the newest version in any case."""
        if self._rebuilder is not None:
            self._rebuilder.changed(version)

    async def live(self, version: Version, page: str, seconds: float) -> bool:
        """Wait until a page shows a version, within ``seconds`` altogether."""
        begun = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._found.wait()
        if self._rebuilder is None:
            return False
        left = seconds - (time.monotonic() - begun)
        return await self._rebuilder.live(version, page, left)

    def status(self) -> BuildStatus:
        """The current status."""
        if self._rebuilder is not None:
            return self._rebuilder.status()
        if self._problem is not None:
            return BuildStatus("failed", reason=self._problem)
        return BuildStatus("building")

    async def close(self) -> None:
        """End cleanly."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._rebuilder is not None:
            await self._rebuilder.close()

    async def _begin(self) -> None:
        while self._rebuilder is None:
            try:
                if self._make is None:
                    raise RuntimeError("nothing was said about how to build")
                rebuilder = self._make(await self._find())
                try:
                    await rebuilder.start()
                except BaseException:
                    await rebuilder.close()
                    raise
                self._rebuilder = rebuilder
            except OSError as error:
                if self._is_new(problem := f"{type(error).__name__}: {error}"):
                    log.warning("building cannot begin, and is tried again: %s", problem)
            except Exception as error:
                if self._is_new(f"{type(error).__name__}: {error}"):
                    log.exception("building cannot begin, and is tried again")
            finally:
                self._found.set()
            if self._rebuilder is None:
                await asyncio.sleep(self._retry_seconds)

    def _is_new(self, problem: str) -> bool:
        before, self._problem = self._problem, problem
        return problem != before
