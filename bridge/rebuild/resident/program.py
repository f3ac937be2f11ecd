"""The resident build process: takes orders on standard input, reports on standard output."""

from __future__ import annotations

import gc
import logging
import os
import select
import shutil
import time
import traceback
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import msgspec

from bridge.rebuild.build import BuildFailed
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.pelican_log import SourcePaths
from bridge.rebuild.resident import NEWER_PELICAN, UnsupportedSiteError, too_old
from bridge.rebuild.resident.messages import (
    Build,
    BuildAbandoned,
    Done,
    Failed,
    Order,
    Outdated,
    Previewed,
    RefusedFiles,
    Report,
    Shown,
    StartBuilder,
    UnsupportedSite,
)
from bridge.rebuild.resident.reuse.opened import denied
from bridge.runtime.release_memory import release_memory
from bridge.site.launch import confine_by

try:
    from bridge.rebuild.resident.bad_posts import LoggedErrors, suspects
    from bridge.rebuild.resident.loaded import SitePaths
    from bridge.rebuild.resident.pelican.planning import Collision
    from bridge.rebuild.resident.pelican.reading import CachedFileChanged
    from bridge.rebuild.resident.reuse.pages import PageFailed
    from bridge.rebuild.resident.warm_site import Interrupted, WarmSite
except (ImportError, AttributeError) as error:
    # Private parts of Pelican, which another release may lack.
    _missing = str(error)
else:
    _missing = ""

#: How many files are reported one by one; the rest are reported in intervals, in seconds.
_AT_ONCE = 50
_OFTEN = 0.1
#: Garbage is collected after a pause (in seconds), or after a number of builds without one.
_PAUSE = 0.5
_BUILDS = 4
_THOROUGHLY = 20
#: The collector's thresholds within a build: low in the first build, which creates most of what
#: stays; later collections within a build are rare.
_MUCH = 10_000
_VERY_MUCH = 200_000


class Pipe:
    """The pipe to the bridge. What Pelican and plugins print goes to standard error."""

    def __init__(self) -> None:
        self._in = os.dup(0)
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._decoder = msgspec.json.Decoder(Order)
        self._buffer = b""

    def order(self) -> Order | None:
        """The next order; ``None`` where the bridge has ended."""
        while b"\n" not in self._buffer:
            chunk = os.read(self._in, 65_536)
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        order: Order = self._decoder.decode(line)
        return order

    def waiting(self, seconds: float = 0) -> bool:
        """Whether an order comes within some seconds, or the bridge has ended."""
        return bool(self._buffer or select.select([self._in], [], [], seconds)[0])

    def tell(self, report: Report) -> None:
        """Send a report, preceded by one of files that were refused since the last."""
        if not isinstance(report, Shown | Previewed | RefusedFiles) and (paths := denied()):
            self.tell(RefusedFiles(paths))
        data = msgspec.json.encode(report) + b"\n"
        while data:
            data = data[os.write(self._out, data) :]


class Showing:
    """Reports published files: the first ones at once, the others in batches."""

    def __init__(self, channel: Pipe) -> None:
        self._channel = channel
        self._kept: list[str] = []
        self._reported = 0
        self._last = 0.0

    def begin(self) -> None:
        """A build begins."""
        self._kept.clear()
        self._reported = 0

    def __call__(self, pages: Iterable[str]) -> None:
        """Report these files, at once or with the next batch."""
        self._kept += pages
        now = time.monotonic()
        if self._kept and (self._reported < _AT_ONCE or now - self._last >= _OFTEN):
            self._reported += len(self._kept)
            self._last = now
            self._channel.tell(Shown(tuple(self._kept)))
            self._kept.clear()


class GarbageCollection:
    """Collects the garbage of builds: what plugins add to posts may refer to other posts.

    That is done between builds, and within one only if there is much of it. Caches are searched for
    garbage only now and then.
    """

    def __init__(self) -> None:
        gc.set_threshold(_MUCH)
        self._builds = 0
        self._collections = 0

    def grows(self) -> bool:
        """Count a build; whether the garbage of several builds is waiting."""
        self._builds += 1
        return self._builds >= _BUILDS

    def collect(self) -> None:
        """Collect garbage."""
        self._builds = 0
        first, thorough = self._collections == 0, self._collections % _THOROUGHLY == 0
        self._collections += 1
        if thorough and not first:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        release_memory()
        gc.set_threshold(_VERY_MUCH)


#: With status 0, the command has then succeeded.
_EXITS = UnsupportedSite(
    "the site's own code ends Pelican (sys.exit)",
    "Let it return, or raise an exception, instead",
)


def main(arguments: list[str]) -> int:
    """Build for one bridge until it ends."""
    channel = Pipe()
    start = channel.order()
    if not isinstance(start, StartBuilder):
        return 2
    if arguments:
        confine_by(arguments[0], Path(start.checkout, start.run_in))
    staged = Path(start.staged)
    if (unsupported := _unsupported()) is not None:
        return _end(channel, unsupported, staged)
    logged = LoggedErrors(SourcePaths(Path(start.checkout), start.content))
    showing = Showing(channel)
    logging.getLogger().addHandler(logged)
    try:
        site = _load(start, channel, showing, logged)
    except UnsupportedSiteError as reason:
        return _end(channel, UnsupportedSite(str(reason), reason.remedy), staged)
    except SystemExit:
        return _end(channel, _EXITS, staged)
    except Exception as error:  # noqa: BLE001 - settings and plugins are the owner's programs
        channel.tell(Failed(f"{type(error).__name__}: {error}"))
        return 1
    waste = GarbageCollection()
    while (order := channel.order()) is not None:
        if isinstance(order, Build):
            showing.begin()
            report = _build(site, order, logged)
            if isinstance(report, UnsupportedSite):
                return _end(channel, report, staged)
            channel.tell(report)
            if waste.grows() or not channel.waiting(_PAUSE):
                waste.collect()
    return 0


def _end(channel: Pipe, report: UnsupportedSite, staged: Path) -> int:
    """The site is built by command: nothing stays on disk of what was written for it here."""
    for folder in staged.parent.glob(f"{staged.name}*"):
        shutil.rmtree(folder)
    channel.tell(report)
    return 0


def _load(start: StartBuilder, channel: Pipe, showing: Showing, logged: LoggedErrors) -> WarmSite:
    """Load the site. Raises :class:`UnsupportedSiteError`, and what settings and plugins raise."""
    checkout, staged = Path(start.checkout), Path(start.staged)
    cache = Path(start.cache) if start.cache else None
    site_paths = SitePaths(
        *(checkout, start.settings, start.content, staged, start.own, cache, start.rest),
        start.run_in,
    )
    site = WarmSite(
        site_paths,
        Output(Path(start.output), Path(start.note), start.most),
        shown=showing,
        previewed=lambda pages: channel.tell(Previewed(tuple(pages))),
        newer=channel.waiting,
        logged=logged,
    )
    logged.end_start()
    return site


def _unsupported() -> UnsupportedSite | None:
    """Why this release of Pelican cannot be kept in memory; ``None`` if it can."""
    if (old := too_old()) is not None:
        return UnsupportedSite(old, NEWER_PELICAN)
    if _missing:
        version = metadata.version("pelican")
        return UnsupportedSite(
            f"the resident build does not know Pelican {version} ({_missing})",
            "Install a release of the bridge that knows it, or an older Pelican",
        )
    return None


def _build(site: WarmSite, order: Build, logged: LoggedErrors) -> Report:
    """One build; never raises: errors are reported."""
    logged.take()
    checkout = site.site_paths.checkout
    try:
        files = site.build(order)
        summary = logged.summary().with_unlisted(_inside(checkout, site.unlisted))
    except Interrupted:
        return BuildAbandoned()
    except CachedFileChanged as what:
        return Outdated(str(what))
    except UnsupportedSiteError as why:
        return UnsupportedSite(str(why), why.remedy)
    except SystemExit:
        return _EXITS
    except BuildFailed as failure:
        return Failed(failure.reason, final=True)
    except (Collision, PageFailed) as error:
        return Failed(str(error).replace(f"{checkout}/", ""), suspects(error, checkout))
    except Exception as error:
        logging.getLogger(__name__).exception("The build failed")
        last = site.content_cache.reading if _is_about_a_file(error) else ""
        before = "".join(f"; before that: {one.reason}" for one in logged.take()[:1])
        reason = f"{type(error).__name__}: {error}{before}"
        return Failed(reason, _inside(checkout, [last]))
    warnings = dict.fromkeys(logged.at_start.warnings + summary.warnings)
    return Done(files, summary.left_out, tuple(warnings), site.counts)


def _is_about_a_file(error: Exception) -> bool:
    """Whether an error came up while one file was read, and not in a plugin that sees all files."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [str(frame.f_globals.get("__name__", "")) for frame in frames]
    if any(frame.f_code.co_name == "read_file" for frame in frames):
        return True
    if any(module.startswith("blinker") for module in modules):
        return False
    return "pelican.contents" in modules or modules[-1] == "pelican.generators"


def _inside(checkout: Path, paths: Iterable[str]) -> tuple[str, ...]:
    root = f"{checkout}/"
    return tuple(path.removeprefix(root) for path in paths if path.startswith(root))
