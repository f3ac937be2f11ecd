"""Builds a version: checkout, build, and retries without the files that break it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from msgspec.structs import replace

from bridge.rebuild.build import (
    Builder,
    BuildFailed,
    BuildOutcome,
    Shown,
    Superseded,
    Task,
    ignore,
)
from bridge.rebuild.last_build import BuildLedger
from bridge.rebuild.local.bisection import Bisection, still_left_out
from bridge.rebuild.local.checkout import BuilderCheckout
from bridge.runtime.process import in_thread
from bridge.settings import prefix_of
from bridge.store import (
    ContentStore,
    StoreBroken,
    StoreError,
    Version,
    has_files,
    why_misplaced,
)


class SiteBuild:
    """A :class:`~bridge.rebuild.build.BuildJob` that builds on this machine.

    ``content`` is the folder of posts in the repo. ``gone`` returns whether pages are missing from
    the output, so that the site has to be built although nothing has changed. Every ``look_every``
    seconds of a build it is checked whether newer settings make it useless; less and less often
    while one build after the other is given up. Posts that are left out stay in the checkout, and
    the builder gets a list of them; ``take_away`` removes them instead, for a command of the
    owner's, which has no such list.
    """

    def __init__(
        self,
        store: ContentStore,
        checkout: BuilderCheckout,
        builder: Builder,
        ledger: BuildLedger,
        *,
        content: str,
        gone: Callable[[], bool],
        take_away: bool = False,
        look_every: float,
    ) -> None:
        self._look_every = self._pause = look_every
        self._store = store
        self._checkout = checkout
        self._builder = builder
        self._ledger = ledger
        self._content = content
        self._gone = gone
        self._take_away = take_away
        self._unbuilt: set[str] = set()

    @property
    def next_due(self) -> datetime | None:
        """When the next scheduled post is due."""
        return self._checkout.next_due

    async def do(self, version: Version, shown: Shown, previewed: Shown = ignore) -> BuildOutcome:
        """Build a version, leaving out the files that break the build.

        Raises :class:`BuildFailed` where that does not help.
        """
        if misplaced := await in_thread(self._why_misplaced, version):
            # The site would be empty.
            raise BuildFailed(misplaced)
        bisection = await in_thread(self._bisection, version)
        record = self._ledger.record
        settled, unread = record.settled, record.unread
        # Files that Pelican could not read before either do not make this build fail.
        unread_before = None if record.version is None else unread
        await in_thread(self._ledger.begin)
        outcome = BuildOutcome()
        while True:
            changed = await in_thread(self._check_out, version, bisection.left_out)
            self._unbuilt.update(changed)
            stale = bool(self._unbuilt) or not settled or self._builder.needs_warm_up()
            if stale or await in_thread(self._gone):
                task = self._task(version, changed, bisection.left_out)
                task = replace(task, shown=shown, previewed=previewed, unread=unread_before)
                succeeded = await self._try(task, bisection)
                if succeeded is None:
                    continue
                outcome, settled = succeeded, True
                unread = frozenset(path for path, _ in outcome.left_out)
            if not bisection.built():
                break
        await in_thread(self._ledger.settle, version, bisection.culprits, unread, self._content)
        return replace(
            outcome,
            left_out=(*bisection.culprits.items(), *outcome.left_out),
            warnings=(*self._checkout.warnings, *outcome.warnings),
        )

    async def _try(self, task: Task, bisection: Bisection) -> BuildOutcome | None:
        """Build; ``None`` where that fails and another selection of files is to be tried.

        Raises :class:`BuildFailed` where there is none.
        """
        try:
            outcome = await self._built(task)
        except BuildFailed as failure:
            if bisection.failed(failure):
                return None
            await self._builder.abandon()
            raise self._with_what_is_missing(failure) from failure
        self._unbuilt.clear()
        return outcome

    async def _built(self, task: Task) -> BuildOutcome:
        """The outcome of a build, which is ended where other settings have been committed since.

        The build may never end by itself: a setting may wait for ever, say.
        """
        building = asyncio.ensure_future(self._builder.build(task))
        try:
            while True:
                await asyncio.wait([building], timeout=self._pause)
                if building.done():
                    self._pause = self._look_every
                    return building.result()
                if await in_thread(self._is_useless, task.version):
                    # A long build must also end where settings change all the time.
                    self._pause *= 2
                    raise Superseded
        finally:
            building.cancel()
            await asyncio.gather(building, return_exceptions=True)

    def _is_useless(self, version: Version) -> bool:
        """Whether there is a newer version with other settings, another theme or plugin."""
        if self._take_away or not self._content:
            return False  # the owner's program may not be ended; posts are beside the settings
        try:
            head = self._store.head()
            changes = () if head in {None, version} else self._store.diff(version, head)
        except StoreError:
            return False
        inside = prefix_of(self._content)
        return any(not change.path.startswith(inside) for change in changes)

    def _check_out(self, version: Version, left_out: Iterable[str]) -> tuple[str, ...]:
        """Check out a version; returns the paths that have changed."""
        return self._checkout.bring_to(
            version,
            left_out=left_out,
            take_away=self._take_away,
            # A warm builder relies on what it left in the checkout; any other gets a clean one.
            is_exact=lambda paths: not self._builder.stays_warm(paths),
        )

    def _task(self, version: Version, changed: Collection[str], left_out: Collection[str]) -> Task:
        """The task of building the checkout; ``changed`` are files that differ from the last
        attempt.
        """
        return Task(
            version,
            self._checkout.folder,
            frozenset(self._unbuilt),
            new=frozenset(changed),
            left_out=frozenset(left_out),
            lacks=self._checkout.lacks,
        )

    def _with_what_is_missing(self, failure: BuildFailed) -> BuildFailed:
        """The failure and what the checkout lacks: a missing theme, say, may be a submodule that
        could not be fetched.
        """
        missing = self._checkout.warnings
        if not missing:
            return failure
        reason = f"{failure.reason} (what the checkout lacks: {'; '.join(missing)})"
        return BuildFailed(reason, file=failure.file, passing=True)

    def preempt(self) -> None:
        """A newer version is waiting."""
        self._builder.preempt()

    async def run_when_idle(self) -> str | None:
        """Verify the last build."""
        record = self._ledger.record
        if record.version is None or not record.settled:
            return None
        return await self._builder.run_when_idle(
            Task(
                record.version,
                self._checkout.folder,
                frozenset(),
                left_out=frozenset(record.left_out),
                lacks=self._checkout.lacks,
            )
        )

    async def close(self) -> None:
        """Close the builder."""
        await self._builder.close()

    def _why_misplaced(self, version: Version) -> str:
        """Why Pelican would find no posts; the owner's own command knows where they are."""
        built = self._ledger.record
        try:
            if built.content in ("", self._content):
                before = None if self._take_away else built.version
                return why_misplaced(self._store, self._content, before, version)
            if not self._content or has_files(self._store, self._content, version):
                return ""
            was_moved = not has_files(self._store, built.content, version)
        except StoreBroken:
            return ""  # the repo was recreated, and does not know what was before
        if was_moved:
            return ""
        return (
            f"[content] folder in bridge.toml is {self._content}, where the repo has no files, and"
            f' your posts are in {built.content}: write folder = "{built.content}" there, and'
            " restart the bridge"
        )

    def _bisection(self, version: Version) -> Bisection:
        """The files that are left out from the start, and the suspects if the build fails."""
        record = self._ledger.record
        if record.version is None:
            return Bisection({}, ())
        try:
            changes = self._store.diff(record.version, version)
        except StoreBroken:
            # The repo was recreated, so what has changed since the last build is unknown.
            return Bisection({}, ())
        inside = prefix_of(self._content)
        posts = [change.path for change in changes if change.new and change.path.startswith(inside)]
        return Bisection(still_left_out(record.left_out, changes, inside), posts)
