"""The resident process. It is told what to do on its standard input, and answers on its output."""

from __future__ import annotations

import gc
import logging
import os
import select
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bridge.rebuild.output import Output
from bridge.rebuild.pelican_log import Sources
from bridge.rebuild.resident.culprits import suspects
from bridge.rebuild.resident.logged import Logged
from bridge.rebuild.resident.messages import (
    Build,
    Done,
    Failed,
    GaveUp,
    NotHere,
    Order,
    Report,
    Shown,
    Start,
)
from bridge.rebuild.resident.pages import PageFailed
from bridge.rebuild.resident.planning import Collision
from bridge.rebuild.resident.plugins import Unfit
from bridge.rebuild.resident.site import Interrupted, Place, WarmSite

#: So many files are told of one by one as they come into place, the others every so many seconds.
_AT_ONCE = 50
_OFTEN = 0.1
#: Waste is collected in a pause of so many seconds, or after so many builds without one.
_PAUSE = 0.5
_BUILDS = 10
_THOROUGHLY = 20
#: Within a build it is collected if there is so much of it: in the first one early, since most of
#: what a page leaves is still at hand then, later only if a build makes very much anew.
_MUCH = 10_000
_VERY_MUCH = 200_000


class Channel:
    """The pipe to the bridge. What Pelican and plugins print goes elsewhere."""

    def __init__(self) -> None:
        self._in = os.dup(0)
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._decoder = msgspec.json.Decoder(Order)
        self._buffer = b""

    def order(self) -> Order | None:
        """The next order; ``None`` where the bridge has gone away."""
        while b"\n" not in self._buffer:
            chunk = os.read(self._in, 65_536)
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        order: Order = self._decoder.decode(line)
        return order

    def waiting(self, seconds: float = 0) -> bool:
        """Whether something is said within some time, or the bridge has gone away."""
        return bool(self._buffer or select.select([self._in], [], [], seconds)[0])

    def tell(self, report: Report) -> None:
        """Say something."""
        data = msgspec.json.encode(report) + b"\n"
        while data:
            data = data[os.write(self._out, data) :]


class Showing:
    """Tells which files are in place: the first at once, the many that follow in lots."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._kept: list[str] = []
        self._told = 0
        self._last = 0.0

    def begin(self) -> None:
        """A build begins."""
        self._kept.clear()
        self._told = 0

    def __call__(self, pages: Iterable[str]) -> None:
        """These pages are on disk: tell of them, soon at first, and then now and again."""
        self._kept += pages
        now = time.monotonic()
        if self._kept and (self._told < _AT_ONCE or now - self._last >= _OFTEN):
            self._told += len(self._kept)
            self._last = now
            self._channel.tell(Shown(tuple(self._kept)))
            self._kept.clear()


class Waste:
    """What a build leaves: posts and the site's variables refer to each other.

    It is collected between builds, and within one only if there is much of it. What is kept on
    purpose is looked through only now and then.
    """

    def __init__(self) -> None:
        gc.set_threshold(_MUCH)
        self._builds = 0
        self._collections = 0

    def grows(self) -> bool:
        """Count a build; whether the waste of several lies about."""
        self._builds += 1
        return self._builds >= _BUILDS

    def collect(self) -> None:
        """Free it."""
        self._builds = 0
        self._collections += 1
        if self._collections % _THOROUGHLY == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_VERY_MUCH)


def main() -> int:
    """Serve one bridge until it goes away."""
    channel = Channel()
    start = channel.order()
    if not isinstance(start, Start):
        return 2
    place = Place(Path(start.checkout), start.settings, start.content, Path(start.shadow))
    logged = Logged(Sources(place.checkout, place.content))
    logging.getLogger().addHandler(logged)
    showing = Showing(channel)
    try:
        output = Output(Path(start.output), Path(start.note))
        site = WarmSite(place, output, shown=showing, newer=channel.waiting)
    except Unfit as reason:
        channel.tell(NotHere(str(reason)))
        return 0
    except Exception as error:  # noqa: BLE001 - settings and plugins are the owner's programs
        channel.tell(Failed(f"{type(error).__name__}: {error}"))
        return 1
    for said in logged.take():
        # A plugin that cannot be loaded, say: what comes of it is not the owner's site.
        channel.tell(Failed(said.reason))
        return 1
    waste = Waste()
    while (order := channel.order()) is not None:
        if isinstance(order, Build):
            showing.begin()
            channel.tell(_build(site, place, logged))
            if waste.grows() or not channel.waiting(_PAUSE):
                waste.collect()
    return 0


def _build(site: WarmSite, place: Place, logged: Logged) -> Report:
    """One build; whatever happens in it is told, never raised."""
    logged.take()
    try:
        files = site.build()
    except Interrupted:
        return GaveUp()
    except (Collision, PageFailed) as error:
        return Failed(str(error), suspects(error, place.checkout))
    except Exception as error:
        logging.getLogger(__name__).exception("The build failed")
        last = site.shelf.reading
        before = "".join(f"; before that: {one.reason}" for one in logged.take()[:1])
        reason = f"{type(error).__name__}: {error}{before}"
        return Failed(reason, _inside(place.checkout, [last]))
    said = logged.take()
    for one in said:
        # What has to do with one file has cost that file; anything else has cost the site.
        if one.file is None:
            return Failed(one.reason)
    return Done(files, tuple((one.file, one.reason) for one in said if one.file))


def _inside(checkout: Path, paths: Iterable[str]) -> tuple[str, ...]:
    root = f"{checkout}/"
    return tuple(path.removeprefix(root) for path in paths if path.startswith(root))


if __name__ == "__main__":
    sys.exit(main())
