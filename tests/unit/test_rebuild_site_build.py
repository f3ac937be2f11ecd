"""A version is built, or given up for one with other settings."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection
from pathlib import Path

from rebuild_site import commit

from bridge.rebuild.build import BuildFailed, BuildOutcome, Superseded, Task
from bridge.rebuild.last_build import BuildLedger
from bridge.rebuild.local.checkout import BuilderCheckout
from bridge.rebuild.local.site_build import SiteBuild
from bridge.store.git import GitStore


class Slowly:
    """A builder that takes a moment, at first for ever; meanwhile somebody changes the theme."""

    def __init__(self, store: GitStore) -> None:
        self._store = store
        self._numbers = itertools.count()

    async def build(self, task: Task) -> BuildOutcome:
        number = next(self._numbers)
        await asyncio.to_thread(commit, self._store, {"theme/style.css": b"%d" % number})
        await (asyncio.sleep(0.5) if number else asyncio.Event().wait())
        return BuildOutcome(("index.html",))

    def stays_warm(self, changed: Collection[str]) -> bool:
        return not changed

    def needs_warm_up(self) -> bool:
        return False

    def preempt(self) -> None:
        pass

    async def run_when_idle(self, task: Task) -> str | None:
        return None

    async def abandon(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def test_a_build_that_takes_its_time_ends_though_settings_change_all_the_time(
    bare_store: GitStore, tmp_path: Path
) -> None:
    commit(bare_store, {"pelicanconf.py": b"", "content/a.md": b"Title: A\n\nA"})
    build = SiteBuild(
        bare_store,
        BuilderCheckout(bare_store, tmp_path / "checkout"),
        Slowly(bare_store),
        BuildLedger(tmp_path / "ledger.json"),
        content="content",
        gone=lambda: False,
        look_every=0.05,
    )
    given_up = 0
    outcome = None
    while outcome is None:
        version = bare_store.head()
        assert version is not None
        try:
            outcome = await build.do(version, lambda pages: None)
        except Superseded:
            given_up += 1
            assert given_up < 30
    assert outcome.files == ("index.html",)


class Breaking(Slowly):
    """A builder that fails at one file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.builds = 0

    async def build(self, task: Task) -> BuildOutcome:
        self.builds += 1
        if self._file and self._file not in task.left_out:
            raise BuildFailed("it is too long", file=self._file)
        return BuildOutcome(("index.html",))


async def test_a_file_that_was_left_out_is_tried_again_by_a_mended_bridge(
    bare_store: GitStore, tmp_path: Path
) -> None:
    commit(bare_store, {"pelicanconf.py": b"", "content/a.md": b"Title: A\n\nA"})

    async def built(code: str, breaks: str) -> tuple[list[str], int]:
        """What a bridge leaves out, and how often it builds."""
        builder = Breaking(breaks)
        build = SiteBuild(
            bare_store,
            BuilderCheckout(bare_store, tmp_path / "checkout"),
            builder,
            BuildLedger(tmp_path / "ledger.json", code),
            content="content",
            gone=lambda: False,
            look_every=60,
        )
        version = bare_store.head()
        assert version is not None
        outcome = await build.do(version, lambda pages: None)
        return [file for file, _ in outcome.left_out], builder.builds

    assert await built("1", "") == ([], 1)
    commit(bare_store, {"content/b.md": b"Title: B\n\nB"})
    assert await built("1", "content/b.md") == (["content/b.md"], 2)
    # A restart without a change does not build what failed, and one after an upgrade does.
    assert await built("1", "content/b.md") == (["content/b.md"], 0)
    assert await built("2", "content/b.md") == (["content/b.md"], 2)
    assert await built("3", "") == ([], 1)
