"""Mentions over time: crashes, sources that disappear, batches, reverification, floods."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from git_kit import bare_copy, commit_all, git, new_repo
from hearing_kit import FILES, OTHER, POST, hearing, reply
from site_kit import CONF, lay_out
from warm_kit import Program
from webmention_kit import Elsewhere, elsewhere

from bridge.errors import Unavailable
from bridge.net.fetch import GuardedFetch
from bridge.webmention.incoming import inbox as inboxes
from bridge.webmention.incoming.inbox import Inbox
from bridge.webmention.incoming.verification.reverification import Reverification
from bridge.webmention.incoming.verification.verifier import Verifier

DAY = 86400.0


@pytest.fixture
async def bob() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as site:
        yield site


@pytest.mark.parametrize("step", ["answered", "verified", "before the commit", "after the commit"])
async def test_a_mention_is_stored_once_whichever_step_is_killed(
    tmp_path: Path, bob: Elsewhere, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bob.page("/1", reply())
    async with hearing(tmp_path, batch_seconds=0.0) as first:
        receiver = first.receiver
        reached = asyncio.Event()

        async def never(*_: object, **__: object) -> object:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

        if step == "answered":
            monkeypatch.setattr(receiver._verifier, "verify", never)
        elif step == "verified":
            monkeypatch.setattr(receiver, "_moderate", never)
        elif step == "before the commit":
            monkeypatch.setattr(receiver.commits, "add", never)
        else:
            whole = receiver.commits.add

            async def add(*arguments: object) -> None:
                await whole(*arguments)  # type: ignore[arg-type]
                await never()

            monkeypatch.setattr(receiver.commits, "add", add)
        await first.send(source, POST)
        await asyncio.wait_for(reached.wait(), 300)
    monkeypatch.undo()
    async with hearing(tmp_path, batch_seconds=0.0) as second:
        await _until(lambda: second.record(source).state == "shown")
        assert second.only()["wm-source"] == source
        assert second.commits() == ["Mentions: a reply"]


def _at(start: float, day: float) -> float:
    """So many days after a moment."""
    return start + day * DAY


async def _until(true: object) -> None:
    assert callable(true)
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_process_that_is_killed_has_what_it_has_answered(
    tmp_path: Path, bob: Elsewhere
) -> None:
    """``kill -9`` right after the responses; the next process stores each mention once."""
    clone = new_repo(lay_out(tmp_path / "clone", FILES, CONF))
    commit_all(clone)
    sources = [bob.page(f"/{number}", reply()) for number in range(5)]
    bare, below = bare_copy(clone, tmp_path / "site.git"), "content/mentions/"

    def kept() -> int:
        return len(git(bare, "ls-tree", "-r", "--name-only", "main", below).splitlines())

    async with _serving(tmp_path) as (url, process), aiohttp.ClientSession() as http:
        for source in sources:
            form = {"source": source, "target": POST}
            async with http.post(f"{url}webmention", data=form) as answer:
                assert answer.status == 201, await answer.text()
        process.kill()
    async with _serving(tmp_path):
        await _until(lambda: kept() == len(sources))
    assert git(bare, "fsck", "--strict") == ""


@asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[tuple[str, Program]]:
    """``serve`` in a process of its own; its URL."""
    settings = {
        "BRIDGE_SITE__ME": "https://example.com/",
        "BRIDGE_SITE__REPO": str(folder / "site.git"),
        "BRIDGE_SITE__STATE": str(folder / "state"),
        "BRIDGE_SERVER__PORT": "0",
        "BRIDGE_PUBLISH__AUTHOR": "Ada <ada@example.com>",
        "BRIDGE_REBUILD__MODE": "none",
        "BRIDGE_WEBMENTION__APPROVE": "all",
        "BRIDGE_WEBMENTION__BATCH_SECONDS": "0",
        "BRIDGE_WEBMENTION__FACES": "none",
        "BRIDGE_WEBMENTION__SEND": "false",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    log = folder / "serve.log"
    log.write_text("")
    process = Program("bridge", "serve", cwd=folder, env={**os.environ, **settings}, stdout=log)
    try:
        await _until(lambda: "listening on " in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield log.read_text().partition("listening on ")[2].split()[0], process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def test_mentions_received_together_are_one_commit(tmp_path: Path, bob: Elsewhere) -> None:
    async with hearing(tmp_path, batch_seconds=3600.0) as running:
        for number in range(3):
            await running.send(bob.page(f"/{number}", reply()), POST)
        like = f'<div class="h-entry"><a class="u-like-of" href="{OTHER}">x</a></div>'
        await running.send(bob.page("/like", like), OTHER)
        await running.receiver.idle()
        assert running.commits() == []
        states = {each.state for each in running.receiver.inbox.in_state("approved", "waiting")}
        assert states == {"approved"}
        # The clock was ahead until now: they do not wait until it is there again.
        running.receiver.batches._clock = partial(_at, time.time(), -4000)
        running.receiver.batches.added()
        await _until(lambda: running.commits() != [])
        assert running.commits() == ["Mentions: 3 replies and a like"]


async def test_a_mention_is_removed_when_its_source_is_missing_for_a_week(
    tmp_path: Path, bob: Elsewhere
) -> None:
    async with hearing(tmp_path) as running:
        source = bob.page("/1", reply())
        assert await running.told(source) == "shown"
        bob.pages["/1"] = lambda: web.Response(status=404)
        start = time.time()
        # At first the clock is ahead.
        for day, shown in ((4000, True), (0, True), (0.1, True), (3.5, True), (7.1, False)):
            running.receiver._clock = partial(_at, start, day)
            await running.receiver.verify_again(running.record(source))
            await running.receiver.idle()
            assert (len(running.files()) == 1) is shown, day
        assert running.record(source).state == "gone"


async def test_a_source_that_does_not_answer_is_retried_a_limited_number_of_times(
    tmp_path: Path, bob: Elsewhere
) -> None:
    async with hearing(tmp_path) as running:
        running.receiver._retries = (0.01, 0.01)
        bob.pages["/1"] = lambda: web.Response(status=503)
        source = f"{bob.base}1"
        assert await running.told(source) == "unreachable"
        assert len([path for _, path in bob.asked if path == "/1"]) == 3
        bob.page("/1", reply())
        assert await running.told(source) == "shown"


async def test_a_clock_that_was_ahead_delays_no_retry_for_years(
    tmp_path: Path, bob: Elsewhere
) -> None:
    """As on a machine whose clock is set by the network, some time after its start."""
    source = f"{bob.base}1"
    async with hearing(tmp_path) as wrong:
        bob.pages["/1"] = lambda: web.Response(status=503)
        wrong.receiver._clock = partial(_at, time.time(), 4000)
        await wrong.send(source, POST)
        await wrong.receiver.idle()
        record = wrong.record(source)
        assert (record.state, record.due > time.time() + 3000 * DAY) == ("waiting", True)
    bob.page("/1", reply())
    async with hearing(tmp_path) as right:
        deadline = time.monotonic() + 300
        while right.record(source).state != "shown":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        # It was received in years to come, and is verified again as others are.
        looks = [
            await Reverification(
                right.receiver, tmp_path / "checked.json", apart=0.0,
                clock=partial(_at, time.time(), day),
            ).look()
            for day in (100, 181)
        ]  # fmt: skip
        assert looks == [0, 1]


async def test_replies_are_verified_again_and_likes_are_not(tmp_path: Path, bob: Elsewhere) -> None:
    async with hearing(tmp_path) as running:
        source = bob.page("/1", reply(text="First."))
        like = bob.page(
            "/2", f'<div class="h-entry"><a class="u-like-of" href="{POST}">x</a></div>'
        )
        for each in (source, like):
            assert await running.told(each) == "shown"
        start, looks = time.time(), []
        bob.page("/1", reply(text="Second."))
        bob.asked.clear()
        for day in (0.5, 1.1, 2.0, 7.1, 20.0, 30.1, 100.0, 211.0):
            again = Reverification(
                running.receiver, tmp_path / "checked.json", apart=0.0,
                clock=partial(_at, start, day),
            )  # fmt: skip
            looks.append(await again.look())
            await running.receiver.idle()
        assert looks == [0, 1, 0, 1, 0, 1, 0, 1]
        await _until(
            lambda: any(
                said.get("content") == {"text": "Second."} for said in running.files().values()
            )
        )
        assert {path for _, path in bob.asked} == {"/1"}


async def test_a_full_queue_answers_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inboxes, "_WAITING", 3)
    inbox = Inbox(tmp_path / "inbox")
    inbox.start(0.0)
    for number in range(3):
        inbox.receive(f"https://bob.example/{number}", POST, 0.0)
    inbox.receive("https://bob.example/1", POST, 1.0)
    with pytest.raises(Unavailable) as refused:
        inbox.receive("https://bob.example/3", POST, 0.0)
    assert refused.value.retry_after > 0
    again = Inbox(tmp_path / "inbox")
    again.start(0.0)
    assert len(again.in_state("waiting")) == 3


async def test_old_records_are_removed_and_pending_ones_are_kept(
    tmp_path: Path,
) -> None:
    inbox = Inbox(tmp_path / "inbox")
    inbox.start(0.0)
    for name, state in (("shown", "shown"), ("waits", "pending")):
        record = inbox.receive(f"https://bob.example/{name}", POST, 0.0)
        record.set_state(state, now=0.0)  # type: ignore[arg-type]
        inbox.write(record)
    inbox.prune(40 * DAY)
    assert [each.source for each in inbox.in_state("shown", "pending")] == [
        "https://bob.example/waits"
    ]


async def test_hostile_sources_cost_their_limits_and_nothing_else(
    tmp_path: Path, bob: Elsewhere
) -> None:
    link = f'<a href="{POST}">x</a>'.encode()
    streaming = web.Application()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x")
            await asyncio.sleep(0.05)
        return response

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        await response.write(link)
        while True:
            await response.write(b" " * 65536)

    async def bomb(_: web.Request) -> web.Response:
        body = gzip.compress(link + b" " * 50_000_000)
        return web.Response(
            body=body, headers={"Content-Encoding": "gzip", "Content-Type": "text/html"}
        )

    streaming.router.add_get("/slow", slow)
    streaming.router.add_get("/endless", endless)
    streaming.router.add_get("/bomb", bomb)
    runner = web.AppRunner(streaming, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    bob.pages["/loop"] = lambda: web.Response(status=302, headers={"Location": "/loop"})
    try:
        async with GuardedFetch(allow_loopback=True) as fetch:
            verifier = Verifier(fetch, seconds=0.5)
            assert (await verifier.verify(f"{base}/slow", POST)).outcome == "unreachable"
            patient = Verifier(fetch)
            assert (await patient.verify(f"{base}/endless", POST)).outcome == "linked"
            assert (await patient.verify(f"{base}/bomb", POST)).outcome == "linked"
            assert (await patient.verify(f"{bob.base}loop", POST)).outcome == "unreachable"
            bob.page("/nested", "<div>" * 100_000 + link.decode())
            nested = await Verifier(fetch, reading=2.0).verify(f"{bob.base}nested", POST)
            assert nested.outcome == "unreachable"
            assert (await patient.verify(bob.page("/good", reply()), POST)).outcome == "linked"
    finally:
        await runner.cleanup()


async def test_a_public_bridge_fetches_no_source_on_this_machine(
    tmp_path: Path, bob: Elsewhere
) -> None:
    async with hearing(tmp_path, public_url="https://bridge.example/") as running:
        bob.page("/1", reply())
        await running.send(f"{bob.base}1", POST, 400)
        local = bob.base.replace("127.0.0.1", "localhost")
        await running.send(f"{local}1", POST, 400)
        # A host name that resolves to this machine, which is not known before fetching.
        port = bob.base.rstrip("/").rpartition(":")[2]
        await running.send(f"http://127.0.0.1.nip.invalid:{port}/1", POST, 201)
        await running.receiver.idle()
    assert bob.asked == []
