"""The tombstone of a deleted post, in the commit that deletes it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from publishing_kit import Bench, bench

CONF = 'SITEURL = "https://example.com"\nTIMEZONE = "UTC"\n'
BY_HAND = "Title: By hand\nDate: {date}\nStatus: {status}\nSlug: by-hand\n\nWords.\n"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, {"content/old.md": "Title: Old\nDate: 2020-01-01\n\nx"}, CONF,
                     send=True) as made:  # fmt: skip
        yield made


def tombstones(site: Bench) -> list[str]:
    head = site.store.head()
    assert head is not None
    return [path for path, _ in site.store.files("content/mentions", head)]


async def test_a_public_post_leaves_where_it_was_and_no_word_of_its_own(site: Bench) -> None:
    url = await site.create(content="Secret words", name="A name of its own")
    before = site.store.head()
    await site.delete(url)
    (grave,) = tombstones(site)
    said = json.loads(site.read(grave))
    assert said.keys() == {"deleted", "pages", "url"}
    assert said["url"] == url
    assert said["pages"][0].endswith(".html")
    assert "words" not in site.read(grave).lower()
    assert grave.startswith("content/mentions/gone/")
    # One commit, and the next one restores both.
    head = site.store.head()
    assert before is not None
    assert head is not None
    assert {each.path for each in site.store.diff(before, head)} > {grave}
    await site.undelete(url)
    assert tombstones(site) == []


async def test_its_former_addresses_are_gone_with_it(site: Bench) -> None:
    line = 'Mf2: {"type":["h-entry"],"aliases":["once/index.html"]}'
    text = BY_HAND.format(date="2026-01-01", status="published").replace("\n\n", f"\n{line}\n\n")
    await site.arrived({"content/by-hand.md": text})
    entry = next(each for each in site.catalogue.index.newest(limit=9) if "hand" in each.path)
    await site.delete(entry.url)
    (grave,) = tombstones(site)
    assert json.loads(site.read(grave))["pages"] == [entry.save_as, "once/index.html"]


async def test_a_draft_leaves_nothing(site: Bench) -> None:
    url = await site.create({}, content="Not yet", **{"post-status": "draft"})
    await site.delete(url)
    assert tombstones(site) == []


@pytest.mark.parametrize(
    ("date", "status", "left"),
    [("2026-01-01", "published", 1), ("2026-01-01", "hidden", 1), ("2026-01-01", "draft", 0),
     ("2999-01-01", "published", 0)],
)  # fmt: skip
async def test_only_what_the_world_has_seen_is_buried(
    site: Bench, date: str, status: str, left: int
) -> None:
    await site.arrived({"content/by-hand.md": BY_HAND.format(date=date, status=status)})
    entry = next(each for each in site.catalogue.index.newest(limit=9) if "hand" in each.path)
    await site.delete(entry.url)
    assert len(tombstones(site)) == left


async def test_deleted_twice_it_has_one_grave(site: Bench) -> None:
    url = await site.create(content="Words", name="Twice")
    await site.delete(url)
    await site.undelete(url)
    await site.delete(url)
    assert len(tombstones(site)) == 1


async def test_where_nothing_is_sent_nothing_is_left(tmp_path: Path) -> None:
    async with bench(
        tmp_path, {"content/old.md": "Title: Old\nDate: 2020-01-01\n\nx"}, CONF
    ) as site:
        await site.delete(await site.create(content="Words", name="Silent"))
        assert tombstones(site) == []
