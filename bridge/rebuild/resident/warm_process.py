"""The bridge's side of the resident process: what it is started with, orders and reports."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from bridge.rebuild.build import Task
from bridge.rebuild.local.bisection import SOURCES
from bridge.rebuild.local.output import Output
from bridge.rebuild.resident.messages import Order, Report, StartBuilder
from bridge.runtime import process
from bridge.runtime.confinement import Grants
from bridge.settings import prefix_of
from bridge.site import forks
from bridge.site.messages import shown_if_not_utf8
from bridge.site.sandbox import Sandbox
from bridge.store import Version

_PROGRAM = "bridge.rebuild.resident.program"
_LOOK = 10.0
_LINE_LIMIT = 64_000_000


class Resident(Struct, frozen=True):
    """What is needed to start the process.

    ``own`` are folders in the checkout whose files belong to posts, and which only posts and the
    plugin read: uploads and mentions. ``listed`` yields every path of a version, with its blob id.
    A build may take ``seconds``, and do nothing at all for ``idle`` seconds: then it waits for
    something that does not come.
    """

    settings: str
    content: str
    staged: Path
    note: Path
    environment: Mapping[str, str]
    sandbox: Sandbox | None = None
    own: tuple[str, ...] = ()
    seconds: float = 900.0
    idle: float = 120.0
    listed: Callable[[Version], Iterable[tuple[str, str]]] | None = None
    run_in: str = ""

    def rest(self, version: Version) -> str:
        """A hash of everything in a version that is not a post; ``""`` where that is not known."""
        if self.listed is None:
            return ""
        name = hashlib.sha256()
        for path, blob in self.listed(version):
            if not self.may_stay_warm([path]):
                name.update(f"{path}\0{blob}\0".encode("utf-8", "surrogateescape"))
        return name.hexdigest()

    def not_utf8(self, version: Version) -> str:
        """How to show a file's name that no message can carry, ``""`` where there is none."""
        names = (path for path, _ in self.listed(version)) if self.listed else ()
        return next(filter(None, map(shown_if_not_utf8, names)), "")

    def grants(self, checkout: Path, output: Path) -> Grants | None:
        """What the process may use: it writes pages, its caches, and its checkout."""
        # Not ``staged`` by itself: it is in a folder that the site's code writes to, which could
        # have put a link in its place.
        places = [checkout, self.note.parent, output]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        return self.sandbox.grants(write=places) if self.sandbox else None

    def is_of_the_site(self, path: str) -> bool:
        """Whether a path is outside of the posts: settings, the theme, a plugin."""
        if not self.content:
            return not self.may_stay_warm([path])
        return not path.startswith(f"{self.content}/")

    def may_stay_warm(self, changed: Collection[str]) -> bool:
        """Whether a running process can build these changes: posts and files that belong to posts.

        Anything else may be settings, theme or a plugin, or may be read by these at their start.
        """
        inside, own = prefix_of(self.content), tuple(f"{folder}/" for folder in self.own)
        return all(
            path.startswith(own) or (path.startswith(inside) and path.endswith(SOURCES))
            for path in changed
        )


class BuilderGone(Exception):
    """The process has ended, or does not answer."""


class ResidentProcess:
    """A running process, which takes orders and sends reports."""

    def __init__(self, running: asyncio.subprocess.Process) -> None:
        self.day = today()
        self._running = running
        self._decoder = msgspec.json.Decoder(Report)
        self.printed = process.Tail()
        self._listening = asyncio.create_task(self.printed.follow(process.piped(running.stderr)))

    @classmethod
    async def start(cls, resident: Resident, task: Task, output: Output) -> ResidentProcess:
        """Start the process, and send it its paths."""
        extra = {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "1000"}
        checkout = task.checkout
        grants = await process.in_thread(resident.grants, checkout, output.folder)
        rest = await process.in_thread(resident.rest, task.version)
        running = await forks.start(
            _PROGRAM,
            grants,
            # Not the checkout: it is moved from version to version.
            folder=resident.note.parent,
            environment={**resident.environment, **extra},
            limit=_LINE_LIMIT,
            # The site's own process was started before the first build.
            last=True,
        )
        started = cls(running)
        order = StartBuilder(
            checkout=str(checkout),
            settings=resident.settings,
            content=resident.content,
            staged=str(resident.staged),
            output=str(output.folder),
            note=str(resident.note),
            own=resident.own,
            most=output.most,
            cache=str(resident.note.with_name("read.sqlite")),
            rest=rest,
            run_in=resident.run_in,
        )
        try:
            await started.tell(order)
        except BaseException:
            await started.end()
            raise
        return started

    async def stands_still(self, seconds: float) -> None:
        """Wait until the process and its children have used no processor time for that long."""
        used, since = None, time.monotonic()
        while time.monotonic() - since < seconds:
            await asyncio.sleep(min(_LOOK, seconds))
            before, used = used, await asyncio.to_thread(process.processor_time, self._running.pid)
            if used is None or used != before:
                since = time.monotonic()

    async def tell(self, order: Order) -> None:
        """Send an order; raises :class:`BuilderGone`."""
        stdin = process.piped(self._running.stdin)
        try:
            stdin.write(msgspec.json.encode(order) + b"\n")
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise BuilderGone from error

    async def report(self) -> Report:
        """The next report; raises :class:`BuilderGone`."""
        stdout = process.piped(self._running.stdout)
        try:
            line = await stdout.readline()
            if not line.endswith(b"\n"):
                raise BuilderGone
            report: Report = self._decoder.decode(line)
        except ValueError as error:
            # A line without an end, or no report: the site's own code runs there, too.
            raise BuilderGone from error
        return report

    async def end(self) -> None:
        """End the process and every process that it started. A cancelled caller still waits until
        that is done.
        """
        await process.to_its_end(self._end())

    async def _end(self) -> None:
        await process.end(self._running)
        await process.close_pipes(self._running, self._listening)


def today() -> date:
    """The day where this machine is, as a site's settings get it from Python's ``date.today``."""
    return datetime.now().astimezone().date()
