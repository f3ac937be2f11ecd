"""Background work may fail in any way after a durable commit: the client still gets a success
response.
"""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bridge_kit import picture
from crowd_kit import Crowd, Repos, crowd

from bridge.media.library import MediaLibrary
from bridge.posts.catalogue import Catalogue
from bridge.posts.reply_contexts import ReplyContexts
from bridge.rebuild.webhook import NoRebuild
from bridge.store import Commit, StoreBroken, StoreError, StoreFull, Version
from bridge.store.git import GitStore
from bridge.store.repo import Housekeeper
from bridge.store.sync.remote import Remote
from bridge.store.transaction import Transaction

FOLLOWERS = [
    (Catalogue, "changed"),
    (Remote, "changed"),
    (NoRebuild, "changed"),
    (NoRebuild, "live"),
    (MediaLibrary, "committed"),
    (ReplyContexts, "request"),
]
ERRORS = [StoreBroken, OSError, ZeroDivisionError, StoreFull, RuntimeError]


def failing(*, waits: bool) -> Callable[..., Any]:
    """A function that raises a different exception on each call."""
    errors = itertools.cycle([*ERRORS, *([asyncio.CancelledError] if waits else [])])

    def fail(*_: object, **__: object) -> None:
        raise next(errors)("to see what happens")

    async def fail_later(*_: object, **__: object) -> None:
        await asyncio.sleep(0)
        fail()

    return fail_later if waits else fail


async def every_action(clients: Crowd) -> None:
    """A create with a photo, an update, a delete and an undelete all succeed."""
    created = await clients.create("First", mp_slug="a-walk", in_reply_to="https://a.example/")
    assert created.status in (201, 202)
    url = created.location
    assert (await clients.update(url, replace={"content": ["Edited"]})).status == 200
    assert "Edited" in "".join(clients.repos.posts().values())
    assert (await clients.delete(url)).status == 200
    assert clients.repos.posts() == {}
    assert (await clients.undelete(url)).status == 200
    assert len(clients.repos.posts()) == 1
    form = aiohttp.FormData({"h": "entry", "content": "With a photo"})
    form.add_field("photo", io.BytesIO(picture()), filename="sea.jpg", content_type="image/jpeg")
    async with clients.http.post(f"{clients.url}micropub", data=form) as answer:
        assert answer.status in (201, 202), await answer.text()
    # One commit each: nothing was done twice.
    assert clients.repos.commits() == 6
    clients.repos.check()


@pytest.mark.parametrize(("owner", "name"), FOLLOWERS)
async def test_failing_background_work_does_not_make_a_commit_fail(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: type,
    name: str,
) -> None:
    waits = asyncio.iscoroutinefunction(getattr(owner, name))
    monkeypatch.setattr(owner, name, failing(waits=waits))
    async with crowd(Repos.begin(tmp_path, {}), remote="") as clients:
        await every_action(clients)
    assert "a commit is made" in caplog.text


async def test_failures_of_the_store_after_a_commit_do_not_make_it_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: Housekeeper) -> None:
        raise RuntimeError("can't start new thread")

    sweep, fails = Transaction.sweep, itertools.cycle([True, False])

    def no_folder(transaction: Transaction) -> None:
        """A clean-up that fails after a commit, and works before the next one, which has to
        do both.
        """
        if next(fails):
            raise FileNotFoundError("micropub-bridge/tmp")
        sweep(transaction)

    async with crowd(Repos.begin(tmp_path, {}), remote="") as clients:
        monkeypatch.setattr(Housekeeper, "committed", no_thread)
        monkeypatch.setattr(Transaction, "sweep", no_folder)
        await every_action(clients)


async def test_hanging_background_work_does_not_delay_responses_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(MediaLibrary, "committed", never)
    monkeypatch.setattr("bridge.posts.commits._MEDIA_SECONDS", 0.01)
    async with crowd(Repos.begin(tmp_path, {}), remote="") as clients:
        await every_action(clients)


async def test_a_client_that_disconnects_during_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The post is created, its URL stays reserved until then, and everything is notified."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    told: list[Version] = []
    commit = GitStore.commit

    def slowly(store: GitStore, commits: Sequence[Commit]) -> Sequence[Version | StoreError]:
        if not begun.is_set():
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(60)
        return commit(store, commits)

    monkeypatch.setattr(NoRebuild, "changed", lambda _, version: told.append(version))
    async with crowd(Repos.begin(tmp_path, {}), remote="") as clients:
        monkeypatch.setattr(GitStore, "commit", slowly)
        first = asyncio.create_task(clients.create("First", mp_slug="equal", mp_channel="one"))
        await begun.wait()
        first.cancel()
        # Another file with the same URL: the URL must stay reserved in the meantime.
        second = asyncio.create_task(clients.create("Second", mp_slug="equal", mp_channel="two"))
        await asyncio.sleep(0.05)
        go_on.set()
        assert (await second).location.endswith("/equal-2/")
        assert len(clients.repos.posts()) == 2
        assert len(told) == 2
        clients.repos.check()
