"""Builds with the resident process, and falls back to a command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection

import msgspec
from msgspec.structs import replace

from bridge.rebuild import Slow
from bridge.rebuild.build import Builder, BuildFailed, BuildOutcome, Superseded, Task
from bridge.rebuild.local.output import Output
from bridge.rebuild.resident.messages import (
    Build,
    BuildAbandoned,
    Done,
    Failed,
    Outdated,
    Preempt,
    Previewed,
    RefusedFiles,
    Report,
    Shown,
    UnsupportedSite,
)
from bridge.rebuild.resident.verify import BuildVerifier
from bridge.rebuild.resident.warm_process import (
    BuilderGone,
    Resident,
    ResidentProcess,
    today,
)
from bridge.runtime import process
from bridge.site.messages import shown_if_not_utf8
from bridge.store import Version

_log = logging.getLogger(__name__)

#: Limits of what a process reports.
_MOST_WARNINGS, _LONGEST_REASON = 200, 4_000

#: After how many builds the output is verified, at first and in the long run.
_FIRST = 2
_RARELY = 64
_NAMED = 5
#: With more changed files than this, no client waits for their pages.
_WAITED_FOR = 64


class _NotWarm(Exception):
    """The process cannot build this, but the command may."""


class ResidentBuilder:
    """A :class:`~bridge.rebuild.build.Builder` that keeps Pelican warm.

    ``fallback`` builds the site whenever the process cannot: where it does not support the site,
    and after any failure that no single file explains. ``verifier`` runs now and then.
    """

    def __init__(
        self, resident: Resident, output: Output, fallback: Builder, verifier: BuildVerifier
    ) -> None:
        self._resident = resident
        self._output = output
        self._fallback = fallback
        self._verifier = verifier
        self._process: ResidentProcess | None = None
        #: Why the process cannot build the site at all: the command does, until another file than
        #: a post changes.
        self._unfit: str | None = None
        #: The same, if the reason is the name of a file.
        self._odd_name: str | None = None
        #: Why the command has built last, ``None`` if it has not.
        self._slow: Slow | None = None
        #: What counts over all pages, as it was last logged.
        self._counts = ""
        self._notice = ""
        #: How often in a row the process has failed, and how many builds it is not asked for then.
        self._failures = 0
        self._pause = 0
        #: The reason of a failure that the command had, too: the next one like it is the site's.
        self._failed_alike: str | None = None
        #: How many builds in a row had to load the site again.
        self._restarts = 0
        #: Why the process has failed in this build.
        self._reason: str | None = None
        #: How many builds have not been verified, and how many are before the next verification.
        self._unverified = 0
        self._verify_at = _FIRST
        self._building = False
        #: A newer version came, perhaps before there was a process to tell.
        self._overtaken = False
        self._hurry: asyncio.Task[None] | None = None

    async def build(self, task: Task) -> BuildOutcome:
        """Build what has changed."""
        new = task.since_last_try
        if not self._resident.may_stay_warm(new):
            await self._end()
            if any(self._resident.is_of_the_site(path) for path in new):
                # Settings, theme or plugins have changed: what failed with the old ones may work.
                self._try_again()
        # No message can contain such a name, not even that of a removed file.
        carried = not any(map(shown_if_not_utf8, new | task.changed))
        if self._process is None or not carried:
            await self._check_file_names(task.version)
        if self._unfit is not None or not carried:
            return await self._fall_back(task)
        if self._pause > 0:
            self._pause -= 1
            return await self._fall_back(task)
        try:
            async with asyncio.timeout(self._resident.seconds):
                restarts = self._restarts
                outcome = await self._ask(task, new)
                if self._restarts == restarts:
                    self._restarts = 0
        except BuilderGone:
            output = self._process.printed.text[-2000:] if self._process else ""
            _log.error("The resident build exited unexpectedly. %s", output)
            self._slow = _failed("the resident build exited unexpectedly")
        except TimeoutError:
            _log.error("The resident build does not answer")
            self._slow = _failed("the resident build did not answer")
        except _NotWarm:
            pass
        else:
            self._failures, self._failed_alike, self._overtaken = 0, None, False
            self._slow = None
            return outcome
        return await self._fall_back_for_now(task)

    async def _check_file_names(self, version: Version) -> None:
        """Leave a version to the command if the name of a file in it is not UTF-8."""
        if odd := await process.in_thread(self._resident.not_utf8, version):
            self._unfit = self._odd_name = f"the name of a file is not UTF-8: {odd}"
            self._slow = Slow(self._unfit, "Rename it (git mv)")
        elif self._odd_name is not None and self._unfit == self._odd_name:
            self._slow = self._odd_name = None
            self._try_again()

    def _try_again(self) -> None:
        self._unfit, self._notice, self._failed_alike = None, "", None
        self._failures = self._pause = 0

    def stays_warm(self, changed: Collection[str]) -> bool:
        """Whether the process is running, and can go on after these changes."""
        return self._process is not None and self._resident.may_stay_warm(changed)

    def needs_warm_up(self) -> bool:
        """Whether the process still has to be started."""
        return self._process is None and self._unfit is None and self._pause == 0

    def preempt(self) -> None:
        """A newer version is waiting."""
        self._overtaken = True
        if self._process is not None and self._building:
            self._building = False
            self._hurry = asyncio.create_task(self._send_preempt(self._process))

    async def run_when_idle(self, task: Task) -> str | None:
        """Verify the output: after two builds at first, then less and less often."""
        if self._process is not None and self._process.day != today():
            # Settings may depend on the date, and are only read at the start.
            await self._end()
        if self.needs_warm_up():
            # What preempted a build has been built since.
            self._overtaken = False
            await self.build(task)
        if self._process is None or self._unverified < self._verify_at:
            return None
        differing = await self._verifier.verify(task)
        self._unverified, self._verify_at = 0, min(2 * self._verify_at, _RARELY)
        if not differing:
            return None
        await self._end()
        more = len(differing) - _NAMED
        names = ", ".join(differing[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        self._unfit = f"these files were not those of a clean build: {names}"
        self._notice = (
            f"{self._unfit}. The clean build has taken their place, and Pelican's own command"
            " builds the site until the bridge restarts or a file outside of the content folder"
            " changes"
        )
        _log.error("%s", self._notice)
        remedy = (
            "See whether a setting or a plugin counts, or looks at something that changes, or"
            " whether you or another program have changed them in the output folder"
        )
        self._slow = Slow(self._unfit, remedy)
        return self._notice

    async def abandon(self) -> None:
        """Restore the last good site: pages are published one by one, so that a failed build leaves
        some behind.

        The process takes these for published, and has to be started again.
        """
        if not await process.in_thread(self._output.is_settled):
            await self._end()
            await process.in_thread(self._output.restore)

    async def close(self) -> None:
        """End the process."""
        await self._end()
        await self._fallback.close()

    async def _ask(self, task: Task, changed: frozenset[str]) -> BuildOutcome:
        running = self._process or await self._start(task)
        # Where the whole site is new, clients can only wait for what came since.
        first = task.changed if len(task.changed) <= _WAITED_FOR else task.since_last_try
        first = first if len(first) <= _WAITED_FOR else frozenset()
        without = task.left_out_below(self._resident.content)
        await running.tell(Build(changed, task.excused, first, without, task.lacks))
        self._building = True
        try:
            while True:
                match await self._report(running):
                    case Shown(pages=pages):
                        task.shown(pages)
                    case Previewed(pages=pages):
                        task.previewed(pages)
                    case Done() as done:
                        self._unverified += 1
                        return self._outcome_of(done)
                    case RefusedFiles(paths=paths):
                        if self._resident.sandbox is not None:
                            self._resident.sandbox.note_denied(paths)
                    case BuildAbandoned():
                        raise Superseded
                    case Outdated(reason=reason):
                        _log.info("Pelican is started again, since %s", reason)
                        await self._end()
                        self._restarts += 1
                        outcome = await self._ask(task, frozenset())
                        once = self._restarts == 1 or outcome.slow is not None
                        return outcome if once else replace(outcome, slow=_restarting(reason))
                    case UnsupportedSite(reason=reason, remedy=remedy):
                        _log.warning("The site is built by command, since %s", reason)
                        self._unfit, self._slow = reason, Slow(reason, remedy)
                        raise _NotWarm
                    case Failed(reason=reason) as failed:
                        failed = msgspec.structs.replace(failed, reason=reason[:_LONGEST_REASON])
                        await self._judge(failed, task)
        except asyncio.CancelledError:
            await self._end()
            raise
        finally:
            self._building = False

    def _outcome_of(self, done: Done) -> BuildOutcome:
        slow = _counting(done.counts) if done.counts else None
        if slow is not None and done.counts != self._counts:
            _log.warning("All pages are rendered in each build, since %s", slow.reason)
        self._counts = done.counts
        return BuildOutcome(done.files, done.left_out, done.warnings[:_MOST_WARNINGS], slow)

    async def _report(self, running: ResidentProcess) -> Report:
        """The next report; raises ``TimeoutError`` where the process stands still before."""
        report = asyncio.create_task(running.report())
        still = asyncio.create_task(running.stands_still(self._resident.idle))
        try:
            await asyncio.wait([report, still], return_when=asyncio.FIRST_COMPLETED)
            if not report.done():
                raise TimeoutError
            return await report
        finally:
            for each in (report, still):
                each.cancel()
            await asyncio.gather(report, still, return_exceptions=True)

    async def _start(self, task: Task) -> ResidentProcess:
        self._process = await ResidentProcess.start(self._resident, task, self._output)
        overtaken, self._overtaken = self._overtaken, False
        if overtaken:
            # It is about to read the whole site: let it be the newer version.
            raise Superseded
        return self._process

    async def _judge(self, failed: Failed, task: Task) -> None:
        """Raise the error that a failure means; without a file at fault the command decides."""
        if failed.files:
            changed = [path for path in failed.files if path in task.changed]
            raise BuildFailed(failed.reason, file=(changed or list(failed.files))[0])
        # A process that cannot load the site has ended already.
        await self._end()
        if failed.final or failed.reason == self._failed_alike:
            raise BuildFailed(failed.reason)
        _log.error("The resident build failed, the command takes over: %s", failed.reason)
        self._reason = failed.reason
        self._slow = _failed(f"the resident build failed ({failed.reason})")
        raise _NotWarm

    async def _fall_back_for_now(self, task: Task) -> BuildOutcome:
        """A clean build after a failure of the process.

        If that fails as well, the next failure of this kind is final at once. If it succeeds, the
        process is tried again after more and more builds, so that changes do not cost two builds
        each for long.
        """
        reason, self._reason = self._reason, None
        try:
            outcome = await self._fall_back(task)
        except BuildFailed as failure:
            if not failure.passing:
                self._failed_alike = reason
            raise
        if self._unfit is None:
            self._pause = min(2**self._failures, _RARELY) - 1
            self._failures += 1
        return outcome

    async def _fall_back(self, task: Task) -> BuildOutcome:
        """A clean build by the command, after which the process has to be started again."""
        await self._end()
        outcome = await self._fallback.build(task)
        warnings = (self._notice, *outcome.warnings) if self._notice else outcome.warnings
        return replace(outcome, warnings=warnings, slow=self._slow)

    async def _send_preempt(self, running: ResidentProcess) -> None:
        with contextlib.suppress(BuilderGone):
            await running.tell(Preempt())

    async def _end(self) -> None:
        ending, self._process = self._process, None
        if ending is not None:
            await ending.end()


def _counting(name: str) -> Slow:
    """The site's own code counts, or remembers, over all pages."""
    return Slow(
        f"writing pages changes {name}, on which later pages may depend",
        "Let what pages use depend on its arguments only; what only saves time may be kept by"
        " functools.cache, which is no hindrance",
        by_command=False,
    )


def _restarting(reason: str) -> Slow:
    """The site has to be loaded again for each change."""
    return Slow(
        reason,
        "Let settings and plugins look at posts only when Pelican calls them for each build, as by"
        " article_generator_finalized, not while they are loaded",
        by_command=False,
    )


def _failed(reason: str) -> Slow:
    """A temporary failure."""
    return Slow(reason, "It is tried again by itself; the log has more")
