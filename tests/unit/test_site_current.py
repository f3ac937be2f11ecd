"""The site is loaded again after changes; requests to the previous instance are still answered."""

from __future__ import annotations

import asyncio
import errno
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rebuild_site import CONF, commit
from site_kit import PlainCheckout
from test_posts_index import FACTS

from bridge.desk.status import site_facts
from bridge.errors import InsufficientStorage
from bridge.site.current import CurrentSite
from bridge.site.messages import SiteFacts
from bridge.store import StoreBroken, StoreFull, Version
from bridge.store.memory_store import MemoryStore


class Reader:
    """A reader that answers when the test says so."""

    confined = True

    def __init__(self) -> None:
        self.denied: list[str] = []
        self.answered = asyncio.Event()
        self.closed = asyncio.Event()
        self.is_held = False
        self.is_started = threading.Event()

    async def start(self) -> None:
        self.is_started.set()

    async def load(self) -> SiteFacts:
        return FACTS

    async def all_answered(self) -> None:
        await self.answered.wait()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        self.is_held = True
        yield
        self.is_held = False

    async def close(self) -> None:
        self.closed.set()


class Watched(PlainCheckout):
    """Replaces the files while no reader uses them."""

    readers: list[Reader]

    def bring_to(self, version: Version) -> None:
        *before, new = (each for each in self.readers if not each.closed.is_set())
        assert all(each.is_held for each in before)
        assert new.is_started.wait(300)  # it gets ready beside this
        super().bring_to(version)


async def test_a_replaced_reader_closes_after_its_last_answer_and_at_shutdown_at_once(
    tmp_path: Path,
) -> None:
    store, readers = MemoryStore(), list[Reader]()

    def new() -> Any:
        readers.append(Reader())
        return readers[-1]

    checkout = Watched(store, tmp_path / "checkout")
    checkout.readers = readers
    current = CurrentSite(
        store,
        checkout,
        new,
        content="content",
        uploads="content/media",
    )
    assert (
        site_facts(current.condition(), lambda _: False)["state"] == "reading"
    )  # which is no failure
    for word in (b"a", b"b", b"c"):
        await current.bring_to(commit(store, {"pelicanconf.py": CONF + b"# " + word}))
        assert id(current.reader) == id(readers[-1])
    first, second, third = readers
    await asyncio.sleep(0)
    assert not first.closed.is_set()
    first.answered.set()
    async with asyncio.timeout(300):
        await first.closed.wait()
    assert not second.closed.is_set()
    await current.close()
    assert second.closed.is_set()
    assert third.closed.is_set()


class Lost(PlainCheckout):
    """Its files are unavailable for a while."""

    error: Exception | None = None

    def bring_to(self, version: Version) -> None:
        if self.error is not None:
            raise self.error
        super().bring_to(version)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreBroken("there is no repo"), StoreBroken),
        (OSError(errno.ENOSPC, "No space left on device"), StoreFull),
        (OSError(errno.EROFS, "Read-only file system"), StoreBroken),
    ],
    ids=["missing", "full", "read-only"],
)
async def test_a_site_whose_repo_was_missing_is_loaded_again(
    tmp_path: Path, error: Exception, told: type[Exception]
) -> None:
    """The files may have been recreated: a process confined to the earlier ones cannot see them."""
    store, readers = MemoryStore(), list[Reader]()

    def new() -> Any:
        readers.append(Reader())
        return readers[-1]

    checkout = Lost(store, tmp_path / "checkout")
    current = CurrentSite(store, checkout, new, content="content", uploads="content/media")
    await current.bring_to(commit(store, {"pelicanconf.py": CONF}))
    version = commit(store, {"pelicanconf.py": CONF + b"# changed"})
    checkout.error = error
    with pytest.raises(told):
        await current.bring_to(version)
    checkout.error = None
    await current.bring_to(version)
    _, failed, _ = readers
    assert failed.closed.is_set()
    assert id(current.reader) == id(readers[-1])
    await current.close()


async def test_a_start_that_fails_beside_the_checkout_leaves_no_trace_in_the_log(
    tmp_path: Path,
) -> None:
    """As on a full disk: the error of the checkout is the one that is told."""
    store, lost = MemoryStore(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))

    class Full(Reader):
        async def start(self) -> None:
            raise InsufficientStorage("The disk is full.")

    checkout = Lost(store, tmp_path / "checkout")
    checkout.error = OSError(errno.ENOSPC, "No space left on device")
    new: Any = Full
    current = CurrentSite(store, checkout, new, content="content", uploads="content/media")
    bringing = asyncio.create_task(current.bring_to(commit(store, {"pelicanconf.py": CONF})))
    await asyncio.wait([bringing])
    assert isinstance(bringing.exception(), StoreFull)
    del bringing, checkout.error
    gc.collect()
    assert not lost
    await current.close()


class Slow(PlainCheckout):
    """Writes its files when the test says so; never two versions at once."""

    def __init__(self, store: MemoryStore, folder: Path) -> None:
        super().__init__(store, folder)
        self.is_free = threading.Lock()
        self.begun, self.may_end = threading.Event(), threading.Event()

    def bring_to(self, version: Version) -> None:
        assert self.is_free.acquire(blocking=False)
        self.begun.set()
        assert self.may_end.wait(300)
        super().bring_to(version)
        self.is_free.release()


async def test_a_request_that_is_given_up_does_not_let_the_next_write_the_same_files(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    checkout = Slow(store, tmp_path / "checkout")
    new: Any = Reader
    current = CurrentSite(store, checkout, new, content="content", uploads="content/media")
    version = commit(store, {"pelicanconf.py": CONF})
    first = asyncio.create_task(current.bring_to(version))
    await asyncio.to_thread(checkout.begun.wait, 300)
    first.cancel()
    second = asyncio.create_task(current.bring_to(version))
    await asyncio.sleep(0.05)  # in which it would begin
    checkout.may_end.set()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert second.exception() is None
    await current.close()


async def test_a_site_whose_folders_are_removed_is_loaded_again(tmp_path: Path) -> None:
    """As with the whole state folder, while the bridge runs: each post was an error until then."""
    store, readers = MemoryStore(), list[Reader]()

    def new() -> Any:
        readers.append(Reader())
        return readers[-1]

    checkout = PlainCheckout(store, tmp_path / "site" / "checkout")
    temporary = checkout.folder.with_name("tmp")
    temporary.mkdir(parents=True)
    current = CurrentSite(store, checkout, new, content="content", uploads="content/media")
    head = commit(store, {"pelicanconf.py": CONF})
    await current.bring_to(head)
    for number, lost in enumerate((temporary, checkout.folder), 2):
        await current.bring_to(head)
        was_lost = current.is_lost
        lost.rename(tmp_path / f"gone-{number}")
        assert (was_lost, current.is_lost) == (False, True)
        await current.bring_to(head)
        assert len(readers) == number
        assert (checkout.folder / "pelicanconf.py").is_file()
    await current.close()
