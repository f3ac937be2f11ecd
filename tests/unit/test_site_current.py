"""The site is loaded again after changes; requests to the previous instance are still answered."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rebuild_site import CONF, commit
from site_kit import PlainCheckout

from bridge.desk.status import site_facts
from bridge.site.current import CurrentSite
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

    async def load(self) -> None:
        """Nothing to load."""

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
