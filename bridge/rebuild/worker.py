"""Runs builds in the background: one at a time, and no change is ever missed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bridge.rebuild import BuildStatus
from bridge.rebuild.build import BuildFailed, BuildJob, Superseded
from bridge.rebuild.last_build import BuildLedger
from bridge.runtime.backoff import next_pause
from bridge.runtime.private import is_full
from bridge.store import ContentStore, StoreError, Version

_log = logging.getLogger(__name__)

_REMEMBERED = 1_000
_FULL = (
    "The disk of the output or of the state folder is full. Make room: the site is built again at"
    " the next change, at the latest."
)
_LONGEST_SLEEP = 3_600.0
#: Largest number of pages published so far that are remembered during a build.
_MOST_SHOWN = 1_000_000


class BuildTiming(Struct, frozen=True):
    """Delays and pauses, in seconds.

    ``debounce``: how long a build waits for further changes. ``whole``: for how long builds may be
    preempted by newer versions before one must complete. ``again``: the pauses between retries of a
    build that failed for a temporary reason. ``idle``: how long there must be nothing to do before
    maintenance of the site runs. ``look``: how often a build is checked for newer settings.
    """

    debounce: float = 0.2
    whole: float = 30.0
    again: tuple[float, ...] = (5, 30, 120, 600)
    idle: float = 60.0
    look: float = 10.0


DEFAULT_TIMING = BuildTiming()
#: For builds that take less time than the usual wait for further changes.
EAGER_TIMING = BuildTiming(debounce=0.02)


class Worker:
    """A :class:`~bridge.rebuild.Rebuilder` around a :class:`~bridge.rebuild.build.BuildJob`.

    ``output`` is the folder of the built pages, ``None`` where that is not on this machine: then no
    page is ever known to be live. ``previews`` is the folder of the pages of private drafts, under
    the same names.
    """

    def __init__(
        self,
        store: ContentStore,
        job: BuildJob,
        ledger: BuildLedger,
        *,
        output: Path | None = None,
        previews: Path | None = None,
        timing: BuildTiming = DEFAULT_TIMING,
        denied: Sequence[str] = (),
    ) -> None:
        """``denied`` is the list of files that builds were refused; it grows while they run."""
        self.output = output
        self.previews = previews
        self._store = store
        self._job = job
        self._timing = timing
        self._denied = denied
        record = ledger.record
        self._status = BuildStatus(version=record.version, left_out=tuple(record.left_out.items()))
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        #: Set at the next change of the status, and then replaced.
        self._updated = asyncio.Event()
        #: Requests for builds are numbered: the last one, and those of recent versions.
        self._requested = 0
        self._order: dict[Version, int] = {}
        #: The last request that a build has met, and that the running build is to meet.
        self._done = 0
        self._building = 0
        #: The pages that the running build has published, each with its request.
        self._shown: dict[str, int] = {}
        #: Since when there has been something to build: a completed build starts it again.
        self._behind = time.monotonic()
        self._failures = 0
        #: The left-out files that have been logged, with the reason.
        self._logged: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_local(self) -> bool:
        """Whether pages appear on this machine."""
        return self.output is not None

    async def start(self) -> None:
        """Start the worker, which first builds what was committed while it was not running."""
        self._requested += 1
        self._task = asyncio.create_task(self._run(), name="rebuild")
        self._wake.set()

    def changed(self, version: Version) -> None:
        """Schedule a build of this version."""
        if self._done == self._requested:
            self._behind = time.monotonic()
        self._requested += 1
        self._order[version] = self._requested
        if len(self._order) > _REMEMBERED:
            del self._order[next(iter(self._order))]
        if self._status.state == "building" and self._may_preempt():
            self._job.preempt()
        self._wake.set()

    async def live(self, version: Version, page: str, seconds: float) -> bool:
        """Wait until a page shows a version.

        Returns early where the page will not come: the version was built without such a page (the
        post is scheduled or left out), or the build failed.
        """
        if self.output is None or seconds <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._becomes_live(self._order.get(version, self._requested), page)
        return False

    def status(self) -> BuildStatus:
        """The current status."""
        return replace(self._status, denied=tuple(self._denied))

    async def close(self) -> None:
        """Stop the worker."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._job.close()

    async def _becomes_live(self, order: int, page: str) -> bool:
        """Whether the page is live, as soon as that is certain."""
        if self.output is None:
            raise RuntimeError("pages are not built on this machine")
        place = self.output / page
        private = (self.previews or self.output) / page
        while True:
            updated = self._updated
            if self._done >= order:
                return self._status.state != "failed" and any(map(_is_file, (place, private)))
            if self._shown.get(page, 0) >= order > 0:
                return True
            await updated.wait()

    def _update(self, **facts: object) -> None:
        """Change the status, and wake every waiting request."""
        self._status = replace(self._status, **facts)
        updated, self._updated = self._updated, asyncio.Event()
        updated.set()

    def _show(self, pages: Iterable[str]) -> None:
        if len(self._shown) < _MOST_SHOWN:
            self._shown.update(dict.fromkeys(pages, self._building))
        self._update()

    def _may_preempt(self) -> bool:
        """Whether a build may be preempted: under constant changes one must complete at times."""
        return time.monotonic() - self._behind < self._timing.whole

    async def _run(self) -> None:
        while True:
            spare = asyncio.create_task(self._run_when_idle())
            try:
                await self._wait_for_work()
            finally:
                await _cancel(spare)
            # Changes that arrive together need one build.
            await asyncio.sleep(self._timing.debounce)
            self._wake.clear()
            self._building = self._requested
            try:
                await self._build_newest()
            except Superseded:
                self._wake.set()
            except BuildFailed as failure:
                self._fail(failure.reason, failure.file, passing=failure.passing)
            except OSError as error:
                self._fail(self._why_unwritten(error), None, passing=True)
            except StoreError as error:
                self._fail(str(error), None, passing=True)
            except Exception as error:  # noqa: BLE001 - a bug must not stop all later builds
                _log.exception("Unexpected error in the builder")
                self._fail(f"{type(error).__name__}: {error}", None, passing=True)

    def _why_unwritten(self, error: OSError) -> str:
        """Why nothing could be written, and what helps."""
        if is_full(error):
            return _FULL
        file = Path(str(error.filename or ""))
        if isinstance(error, PermissionError) and self.output and self.output in file.parents:
            return (
                f"{file.parent} cannot be written. Make the user that runs the bridge its owner, or"
                " set [rebuild] output to another folder."
            )
        return str(error)

    async def _run_when_idle(self) -> None:
        await asyncio.sleep(self._timing.idle)
        try:
            notice = await self._job.run_when_idle()
        except (BuildFailed, StoreError, OSError) as error:
            _log.warning("Maintenance of the site failed: %s", error)
            return
        if notice is not None:
            self._update(reason=notice, warnings=(notice, *self._status.warnings))

    async def _wait_for_work(self) -> None:
        """Wait for work: a change, or a scheduled post that is due."""
        while not self._wake.is_set():
            due = self._job.next_due
            left = (due - datetime.now(UTC)).total_seconds() if due else _LONGEST_SLEEP
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LONGEST_SLEEP)):
                    await self._wake.wait()

    async def _build_newest(self) -> None:
        # The newest version, not the announced one: two commits may be announced in the wrong
        # order, and the newest contains both.
        version = await asyncio.to_thread(self._store.head)
        if version is None:
            self._done = self._building
            self._update(state="idle")
            return
        self._update(state="building")
        started = time.monotonic()
        outcome = await self._job.do(version, self._show, self._show)
        spent = time.monotonic() - started
        self._failures = 0
        self._done = self._building
        self._shown.clear()
        self._behind = time.monotonic()
        self._update(
            state="idle",
            version=version,
            finished=time.time(),
            reason=None,
            file=None,
            left_out=outcome.left_out,
            warnings=outcome.warnings,
            slow=outcome.slow,
        )
        for warning in outcome.warnings:
            _log.warning("While the site was built: %s", warning)
        left_out = frozenset(outcome.left_out)
        for file, reason in sorted(left_out - self._logged):
            _log.warning("%s is left out of the site: %s", file, reason)
        self._logged = left_out
        if self.output is None:
            _log.info("%s is handed on: another program or host has its pages", version[:10])
        else:
            _log.info("%s is live: %d files in %.2f s", version[:10], len(outcome.files), spent)

    def _fail(self, reason: str, file: str | None, *, passing: bool) -> None:
        self._done = self._building
        self._update(state="failed", reason=reason, file=file, finished=time.time())
        _log.error("The site could not be built, the last good one stays: %s", reason)
        pause = next_pause(self._timing.again, self._failures)
        if passing and pause is not None:
            asyncio.get_running_loop().call_later(pause, self._wake.set)
        self._failures += 1


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait for its end."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("Maintenance of the site failed", exc_info=error)


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError:  # a name that is too long
        return False
