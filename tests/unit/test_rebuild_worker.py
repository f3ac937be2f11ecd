"""One build at a time, and no change is lost."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rebuild_site import commit, settled

from bridge.rebuild.build import BuildFailed, BuildOutcome, Shown, Superseded, ignore
from bridge.rebuild.last_build import BuildLedger
from bridge.rebuild.worker import BuildTiming, Worker
from bridge.store import Version
from bridge.store.memory_store import MemoryStore

Result = BuildOutcome | Exception


class Script:
    """A job that does what the test says, at the time that the test says."""

    def __init__(self) -> None:
        self.done: list[Version] = []
        self.began = asyncio.Event()
        self.results: list[Result] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.hastened = 0
        self.running = 0
        self.next_due: datetime | None = None
        self.due_after: timedelta | None = None  # the first build
        self.early: tuple[str, ...] = ()
        self.looked_after = asyncio.Event()

    async def do(self, version: Version, shown: Shown, previewed: Shown = ignore) -> BuildOutcome:
        self.running += 1
        assert self.running == 1, "two builds at a time"
        self.began.set()
        shown(self.early)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        self.done.append(version)
        if self.next_due is not None and self.next_due <= datetime.now(UTC):
            self.next_due = None
        if self.due_after is not None:
            self.next_due, self.due_after = datetime.now(UTC) + self.due_after, None
        result = self.results.pop(0) if self.results else BuildOutcome()
        if isinstance(result, Exception):
            raise result
        return result

    def preempt(self) -> None:
        self.hastened += 1

    async def run_when_idle(self) -> str | None:
        self.looked_after.set()
        return "all is well"

    async def close(self) -> None:
        """Nothing to end."""


class Clock:
    """The time of a test, in place of the module."""

    def __init__(self) -> None:
        self.now = 1e9

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    commit(store, {"a": b"1"})
    return store


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def worker(store: MemoryStore, script: Script, tmp_path: Path) -> AsyncIterator[Worker]:
    timing = BuildTiming(debounce=0.01, again=(0.01, 0.01), idle=60)
    ledger = BuildLedger(tmp_path / "built.json")
    worker = Worker(store, script, ledger, output=tmp_path, timing=timing)
    yield worker
    await worker.close()


def head(store: MemoryStore) -> Version:
    version = store.head()
    assert version is not None
    return version


@pytest.mark.parametrize("is_here", [True, False])
async def test_only_what_is_built_here_is_called_live(
    store: MemoryStore,
    script: Script,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_here: bool,
) -> None:
    caplog.set_level("INFO")
    output = tmp_path if is_here else None
    timing = BuildTiming(debounce=0.01, again=(0.01,), idle=60)
    worker = Worker(store, script, BuildLedger(tmp_path / "b.json"), output=output, timing=timing)
    await worker.start()
    await settled(worker, head(store))
    await worker.close()
    assert ("is live" in caplog.text) == is_here
    assert ("is handed on" in caplog.text) != is_here


async def test_simultaneous_changes_need_one_build(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    await worker.start()
    for number in range(20):
        worker.changed(commit(store, {"a": b"%d" % number, "b": b"%d" % number}))
    await settled(worker, head(store))
    assert script.done == [head(store)]


async def test_a_change_during_a_build_is_built_after_it(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.gate.clear()
    await worker.start()
    await script.began.wait()
    first = head(store)
    second = commit(store, {"a": b"2"})
    worker.changed(second)
    assert script.hastened == 1, "a builder that can give up is asked to"
    script.gate.set()
    await settled(worker, second)
    assert script.done == [first, second]


async def test_a_build_is_preempted_after_an_idle_time_as_well(
    worker: Worker, script: Script, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("bridge.rebuild.worker.time", clock)
    await worker.start()
    await settled(worker, head(store))
    clock.now += 3_600
    script.gate.clear()
    script.began.clear()
    worker.changed(commit(store, {"a": b"2"}))
    await script.began.wait()
    worker.changed(commit(store, {"a": b"3"}))
    assert script.hastened == 1
    # Under constant changes, one must complete in the end.
    clock.now += BuildTiming().whole
    worker.changed(commit(store, {"a": b"4"}))
    assert script.hastened == 1
    script.gate.set()
    await settled(worker, head(store))


async def test_versions_announced_out_of_order_end_with_the_latest(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    older, newest = commit(store, {"a": b"2"}), commit(store, {"a": b"3"})
    await worker.start()
    worker.changed(newest)
    worker.changed(older)
    await settled(worker, newest)
    assert script.done[-1] == newest
    assert await worker.live(older, "no.html", 5) is False, "built, but there is no such page"


async def test_an_aborted_build_is_repeated(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.results = [Superseded(), BuildOutcome()]
    await worker.start()
    await settled(worker, head(store))
    assert len(script.done) == 2


async def test_a_temporary_failure_is_retried(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.results = [BuildFailed("away", passing=True), OSError("full"), BuildOutcome()]
    await worker.start()
    async with asyncio.timeout(300):
        while worker.status().version is None:
            await asyncio.sleep(0.01)
    assert worker.status().state == "idle"
    assert len(script.done) == 3


async def test_a_full_disk_is_reported_in_words(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.results = [OSError(errno.ENOSPC, "No space left on device")]
    await worker.start()
    await settled(worker, head(store))
    assert worker.status().state == "failed"
    assert "is full. Make room" in str(worker.status().reason)


async def test_an_output_that_may_not_be_written_is_reported_with_what_helps(
    worker: Worker, script: Script, store: MemoryStore, tmp_path: Path
) -> None:
    script.results = [PermissionError(errno.EACCES, "Permission denied", f"{tmp_path}/.bridge-7")]
    await worker.start()
    await settled(worker, head(store))
    assert worker.status().reason == (
        f"{tmp_path} cannot be written. Make the user that runs the bridge its owner, or"
        " set [rebuild] output to another folder."
    )


async def test_a_failure_is_reported_with_reason_and_file(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.results = [BuildFailed("no such template", file="content/a.md")]
    await worker.start()
    await settled(worker, head(store))
    status = worker.status()
    assert (status.state, status.reason, status.file) == (
        "failed",
        "no such template",
        "content/a.md",
    )
    assert status.version is None
    worker.changed(commit(store, {"a": b"2"}))
    await settled(worker, head(store))


async def test_a_bug_in_a_builder_does_not_end_building(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.results = [ValueError("a bug"), BuildOutcome()]
    await worker.start()
    async with asyncio.timeout(300):
        while worker.status().version is None:
            await asyncio.sleep(0.01)


async def test_live_returns_as_soon_as_the_page_is_shown(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.gate.clear()
    script.early = ("post.html",)
    await worker.start()
    await script.began.wait()
    version = commit(store, {"a": b"2"})
    worker.changed(version)
    waiting = asyncio.create_task(worker.live(version, "post.html", 300))
    await asyncio.sleep(0)
    assert not waiting.done(), "the page that was shown is that of an older version"
    script.gate.set()
    while not script.done:
        await asyncio.sleep(0)
    script.gate.clear()
    assert await waiting is True
    assert worker.status().state == "building"
    script.gate.set()


async def test_live_waits_for_the_first_build_even_if_nothing_was_announced(
    worker: Worker, script: Script, store: MemoryStore, tmp_path: Path
) -> None:
    script.gate.clear()
    await worker.start()
    waiting = asyncio.create_task(worker.live(head(store), "index.html", 300))
    await script.began.wait()
    assert not waiting.done()
    (tmp_path / "index.html").touch()
    script.gate.set()
    assert await waiting is True


async def test_live_does_not_wait_for_a_build_that_failed(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.results = [BuildFailed("bad")]
    await worker.start()
    assert await worker.live(head(store), "post.html", 300) is False


async def test_a_due_post_is_built_automatically(
    worker: Worker, script: Script, store: MemoryStore
) -> None:
    script.due_after = timedelta(milliseconds=50)
    await worker.start()
    async with asyncio.timeout(300):
        while len(script.done) < 2:
            await asyncio.sleep(0.01)
    assert script.next_due is None


async def test_idle_work_runs_when_there_is_nothing_to_build(
    store: MemoryStore, script: Script, tmp_path: Path
) -> None:
    timing = BuildTiming(debounce=0.01, again=(), idle=0.01)
    worker = Worker(store, script, BuildLedger(tmp_path / "built.json"), timing=timing)
    await worker.start()
    async with asyncio.timeout(300):
        await script.looked_after.wait()
        while worker.status().reason is None:
            await asyncio.sleep(0.01)
    assert worker.status().reason == "all is well"
    await worker.close()


async def test_a_file_that_stays_left_out_is_logged_once(
    worker: Worker, script: Script, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = ("content/a.md", "no date"), ("content/b.md", "no page")
    script.results += [BuildOutcome(left_out=each) for each in ((one,), (one, two), (), (two,))]
    await worker.start()
    await settled(worker, head(store))
    for number in range(3):
        worker.changed(commit(store, {"a": b"new %d" % number}))
        await settled(worker, head(store))
    told = [each.getMessage() for each in caplog.records if "left out" in each.getMessage()]
    assert told == [
        "content/a.md is left out of the site: no date",
        "content/b.md is left out of the site: no page",
        "content/b.md is left out of the site: no page",
    ]
