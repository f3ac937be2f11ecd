"""The order in which webmentions are verified: no sender can keep others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.net.fetch import Fetched
from bridge.webmention.incoming.inbox import VerificationQueue
from bridge.webmention.incoming.verification import verifier as verifiers
from bridge.webmention.incoming.verification.verifier import Verifier

WORKERS = 6


class Work:
    """Verifications, which last until the test ends them. A name is ``SITE/NUMBER``."""

    def __init__(self) -> None:
        self.queue = VerificationQueue(
            self.verify, lambda name: name.partition("/")[0], patience=0.05
        )
        self.running: list[str] = []
        self.done: list[tuple[str, str]] = []
        self.held: Callable[[str], bool] = lambda _: False
        self.most = 0
        self._end = asyncio.Event()

    async def verify(self, name: str, sender: str) -> None:
        self.running.append(name)
        self.most = max(self.most, len(self.running))
        await asyncio.sleep(0)
        if self.held(name):
            await self._end.wait()
        self.running.remove(name)
        self.done.append((name, sender))

    def end(self) -> None:
        self._end.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(300):
            while not holds():
                await asyncio.sleep(0)


@asynccontextmanager
async def working() -> AsyncIterator[Work]:
    work = Work()
    workers = [asyncio.create_task(work.queue.work()) for _ in range(WORKERS)]
    try:
        yield work
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await work.queue.close()


async def test_who_sends_many_keeps_only_themselves_waiting() -> None:
    async with working() as work:
        work.held = lambda name: name.startswith("slow")
        for number in range(200):
            work.queue.add(f"slow{number}.example/1", "stranger")
        work.queue.add("good.example/1", "friend")
        await work.until(lambda: ("good.example/1", "friend") in work.done)
        assert len(work.running) == 2
        work.end()
        await work.queue.join()
        assert len(work.done) == 201


async def test_slow_servers_of_many_senders_do_not_keep_all_workers() -> None:
    async with working() as work:
        work.held = lambda name: name.startswith("slow")
        for number in range(60):
            work.queue.add(f"slow{number}.example/1", f"stranger {number}")
        # There is a bound.
        await work.until(lambda: len(work.running) == WORKERS + 24)
        assert work.most == WORKERS + 24
        work.end()
        await work.queue.join()
        assert len(work.done) == 60


async def test_the_turn_after_slow_servers_comes_while_they_are_waited_for() -> None:
    async with working() as work:
        work.held = lambda name: name.startswith("slow")
        for number in range(20):
            work.queue.add(f"slow{number}.example/1", f"stranger {number}")
        work.queue.add("good.example/1", "friend")
        async with asyncio.timeout(60):
            await work.until(lambda: ("good.example/1", "friend") in work.done)
        assert len(work.running) == 20


async def test_many_mentions_on_one_site_have_one_worker() -> None:
    """Whether one sender has sent them or several."""
    async with working() as work:
        work.held = lambda name: name.startswith("slow")
        for number in range(200):
            work.queue.add(f"slow.example/{number}", f"stranger {number % 30}")
        work.queue.add("good.example/1", "friend")
        await work.until(lambda: ("good.example/1", "friend") in work.done)
        assert len(work.running) == 1
        work.end()
        await work.queue.join()
        assert work.most <= 2


async def test_senders_have_turns() -> None:
    async with working() as work:
        for number in range(30):
            for sender in range(7):
                work.queue.add(f"{number}-{sender}.example/1", f"stranger {sender}")
        work.queue.add("good.example/1", "friend")
        await work.queue.join()
        assert work.done.index(("good.example/1", "friend")) < 8 + WORKERS


async def test_a_mention_that_a_stranger_has_sent_first_is_verified_in_the_turn_of_the_friend() -> (
    None
):
    async with working() as work:
        work.held = lambda name: name.startswith("slow")
        for number in range(20):
            work.queue.add(f"slow{number}.example/1", "stranger")
        work.queue.add("good.example/1", "stranger")
        work.queue.add("good.example/1", "friend")
        work.queue.add("good.example/1", "friend")
        await work.until(lambda: ("good.example/1", "friend") in work.done)
        work.end()
        await work.queue.join()
        assert [name for name, _ in work.done].count("good.example/1") == 1


async def test_what_is_sent_again_during_its_verification_is_verified_once_more() -> None:
    async with working() as work:
        work.held = lambda _: True
        work.queue.add("a.example/1", "friend")
        await work.until(lambda: work.running == ["a.example/1"])
        work.queue.add("a.example/1", "friend")
        work.end()
        await work.queue.join()
        assert [name for name, _ in work.done] == ["a.example/1"] * 2


async def test_pages_that_are_parsed_for_long_leave_room_for_those_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end, parsing = asyncio.Event(), list[str]()

    class Pages:
        async def fetch(self, url: str, **_: Any) -> Fetched:
            return Fetched(url, 200, {"Content-Type": "text/html"}, b"")

    async def parse(_: str, url: str, *__: object, **___: object) -> dict[str, Any]:
        parsing.append(url)
        if "slow" in url:
            await end.wait()
        return {"gone": False, "linked": True}

    monkeypatch.setattr(verifiers, "parse_in_subprocess", parse)
    verifier = Verifier(Pages())  # type: ignore[arg-type] # as much as is used
    slow = [
        asyncio.create_task(verifier.verify(f"https://slow{n}.example/", "x", "stranger"))
        for n in range(4)
    ]
    async with asyncio.timeout(300):
        while not parsing:
            await asyncio.sleep(0)
        good = await verifier.verify("https://good.example/", "x", "friend")
    assert good.outcome == "linked"
    assert parsing == ["https://slow0.example/", "https://good.example/"]
    end.set()
    assert {each.outcome for each in await asyncio.gather(*slow)} == {"linked"}
