"""Requests that wait at the same time are committed together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from bridge.posts.commits import CommitQueue
from bridge.store import (
    Change,
    Commit,
    FileChanged,
    StoreBusy,
    StoreError,
    StoreFull,
    Version,
)
from bridge.store.memory_store import MemoryStore


class Slow(MemoryStore):
    """A store that waits for permission before each commit, and records the groups."""

    def __init__(self) -> None:
        super().__init__()
        self.leave = threading.Event()
        self.groups: list[int] = []
        self.full = False

    def commit(self, commits: Sequence[Commit]) -> Sequence[Version | StoreError]:
        self.groups.append(len(commits))
        assert self.leave.wait(300)
        if self.full:
            raise StoreFull("no space left")
        return super().commit(commits)


def post(name: str) -> Commit:
    return Commit((Change(name, name.encode(), None),), name, None)


async def started(
    store: Slow, queue: CommitQueue, names: Sequence[str]
) -> list[asyncio.Task[Version]]:
    """The first commit has begun, and the others wait."""
    tasks = [asyncio.create_task(queue.commit(post(names[0])))]
    while not store.groups:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(queue.commit(post(name))) for name in names[1:]]
    await asyncio.sleep(0)
    return tasks


async def test_waiting_requests_are_one_group_in_order() -> None:
    store = Slow()
    queue = CommitQueue(store)
    tasks = await started(store, queue, ["a", "b", "c", "d"])
    store.leave.set()
    versions = await asyncio.gather(*tasks)
    assert store.groups == [1, 3]
    assert versions[-1] == store.head()
    assert [len(list(store.files("", version))) for version in versions] == [1, 2, 3, 4]
    await queue.close()


async def test_a_failing_request_does_not_affect_others() -> None:
    store = Slow()
    queue = CommitQueue(store)
    tasks = await started(store, queue, ["a", "b", "b", "c"])
    store.leave.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[2], FileChanged)
    assert results[3] == store.head()
    await queue.close()


async def test_a_common_failure_is_raised_for_all_and_the_next_may_succeed() -> None:
    store = Slow()
    queue = CommitQueue(store)
    store.full = True
    tasks = await started(store, queue, ["a", "b"])
    store.leave.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [StoreFull, StoreFull]
    store.full = False
    assert await queue.commit(post("a")) == store.head()
    await queue.close()


async def test_a_cancelled_request_that_still_waits_is_not_committed() -> None:
    store = Slow()
    queue = CommitQueue(store)
    first, second, third = await started(store, queue, ["a", "b", "c"])
    second.cancel()
    store.leave.set()
    version = await third
    assert [path for path, _ in store.files("", version)] == ["a", "c"]
    assert await first
    await queue.close()


async def test_closing_finishes_waiting_requests_and_accepts_no_more() -> None:
    store = Slow()
    queue = CommitQueue(store)
    tasks = await started(store, queue, ["a", "b"])
    store.leave.set()
    await queue.close()
    assert (await asyncio.gather(*tasks))[-1] == store.head()
    with pytest.raises(StoreBusy):
        await queue.commit(post("c"))
