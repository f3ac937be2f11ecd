"""After any change the resident build has exactly the files of a clean build.

Each site goes through all kinds of changes in one process. The plugins are in common use; for one
that the resident build does not support, the command is used, and a message says so.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from rebuild_kinds import (
    CHANGES,
    MARKS,
    Change,
    NoFallback,
    clean,
    comparable,
    differing,
    settings_changed,
    start,
    without_series,
)
from rebuild_site import commit
from soak_kit import SOAK

from bridge.rebuild.build import Task
from bridge.rebuild.local.checkout import BuilderCheckout
from bridge.rebuild.local.output import Output
from bridge.rebuild.resident.builder import ResidentBuilder
from bridge.rebuild.resident.verify import BuildVerifier
from bridge.rebuild.resident.warm_process import Resident
from bridge.runtime import process
from bridge.store.git import GitStore

OURS = str(Path(__file__).parents[2] / "sample_site" / "theme")
#: They listen to nothing while posts are read, so that these are kept whole.
LISTENING_LATE = ["sitemap", "neighbors", "related_posts", "series", "seo"]
ALL = [*LISTENING_LATE, "image_process"]


#: So many changes at once; in soak each by itself.
AT_ONCE = 1 if SOAK else 28


def together(start: Change, number: int) -> Iterator[tuple[list[str], Change]]:
    """Apply this many changes per build; yields each batch and its result."""
    there = {path for path, data in start.items() if data is not None}
    for first in range(0, len(CHANGES), number):
        batch = CHANGES[first : first + number]
        files = dict(item for _, change in batch for item in change.items())
        # What came and went within a batch never was.
        files = {path: data for path, data in files.items() if data is not None or path in there}
        there = {path for path in there | files.keys() if files.get(path, b"") is not None}
        yield [kind for kind, _ in batch], files


class Site:
    """A site that goes through a series of changes."""

    def __init__(self, folder: Path, store: GitStore) -> None:
        self.store = store
        self.checkout = BuilderCheckout(self.store, folder / "checkout")
        self.output = Output(folder / "output", folder / "output.json")
        self.environment = process.environment({})
        resident = Resident(
            settings="pelicanconf.py",
            content="content",
            staged=folder / "shadow",
            note=folder / "output.json",
            environment=self.environment,
            listed=store.listed,
        )
        verifier = BuildVerifier(NoFallback(), self.output, folder / "verify")
        self.builder = ResidentBuilder(resident, self.output, NoFallback(), verifier)
        self._clean = folder / "clean"

    async def after(self, change: Change) -> list[str]:
        """Apply a change and build; returns the files that differ from a clean build."""
        version = commit(self.store, change)
        changed = self.checkout.bring_to(version)
        task = Task(version, self.checkout.folder, frozenset(changed))
        expected, _ = await asyncio.gather(
            asyncio.to_thread(clean, task.checkout, self._clean, self.environment),
            self.builder.build(task),
        )
        return differing(expected, comparable(self.output.folder))


def kept_on_disk(site: Site) -> int:
    """The number of source files whose parsed form is cached on disk for the next process."""
    with sqlite3.connect(site.output.note.with_name("read.sqlite")) as database:
        (count,) = database.execute("SELECT count(*) FROM made").fetchone()
    return int(count)


@pytest.fixture
async def site(tmp_path: Path, bare_store: GitStore) -> AsyncIterator[Site]:
    site = Site(tmp_path, bare_store)
    yield site
    await site.builder.close()


#: One whose posts are kept whole, and one whose posts are not; `make soak` has others, too.
SITES = [("simple", LISTENING_LATE), ("simple", ["pelican_indieauth", "image_process"])]
MORE: list[tuple[str, list[str]]] = [
    *((theme, []) for theme in ("simple", "notmyidea", OURS, "reflex", "smallweb")),
    *((theme, ALL) for theme in ("simple", "notmyidea", "smallweb")),
    *((OURS, ["pelican_indieauth", *plugins]) for plugins in (LISTENING_LATE, ALL)),
    ("reflex", ["pelican_indieauth", *ALL]),
]


@pytest.mark.parametrize(
    ("theme", "plugins"),
    [*SITES, *(pytest.param(*each, marks=pytest.mark.soak) for each in MORE)],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, list) else Path(value).name,
)
async def test_nothing_differs_from_a_clean_build(
    site: Site, theme: str, plugins: list[str]
) -> None:
    fitting = dict if "series" in plugins else without_series
    conf = start(theme, plugins)
    assert await site.after(fitting(conf)) == [], "the first build"
    pages = comparable(site.output.folder)
    seen = {plugin for plugin, (page, mark) in MARKS.items() if mark in pages.get(page, b"")}
    assert seen == set(plugins) & MARKS.keys(), "every plugin was at work"
    for number, (kinds, change) in enumerate(together(conf, AT_ONCE)):
        if number % 7 == 1:
            # A process of its own again, which knows what readers made of files before it.
            await site.builder.close()
            assert kept_on_disk(site) > 0
        assert await site.after(fitting(change)) == [], kinds
    settings = conf["pelicanconf.py"]
    assert settings is not None
    assert await site.after(settings_changed(settings)) == [], "settings"
