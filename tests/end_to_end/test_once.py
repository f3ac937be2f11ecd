"""Repeated requests, and updates based on an outdated version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import MappingProxyType

import pytest
import pytest_asyncio
from git_kit import git
from msgspec.structs import replace
from publishing_kit import ALL, Bench, bench
from site_kit import CONF

from bridge.errors import Conflict, InvalidRequest, SiteBroken
from bridge.micropub.action import Create, Update
from bridge.micropub.post import Post
from bridge.posts.commits import Once, commit_message, digest_of, once_of

in_one_loop = pytest.mark.asyncio(loop_scope="module")

HAND = "Title: By hand\nDate: 2026-01-02\nx-own: kept\n\nFirst words.\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    files = {"content/hand.md": HAND}
    async with bench(tmp_path_factory.mktemp("once"), files, CONF) as made:
        yield made


@in_one_loop
async def test_a_post_that_comes_before_the_settings_were_read_waits_for_them(up: Bench) -> None:
    """This must be the first test here: the bridge has not handled a request yet."""
    with pytest.raises(SiteBroken):
        _ = up.catalogue.site
    assert (await up.do(note("At once", "early"))).url


def note(text: str, once: str) -> Create:
    return Create(Post("entry", MappingProxyType({"content": (text,)})), once=once)


def commits(up: Bench) -> int:
    return int(git(up.bare, "rev-list", "--count", "main"))


@in_one_loop
async def test_a_repeated_request_makes_no_second_post(up: Bench) -> None:
    first = await up.do(note("Tapped twice", "tap"))
    before = commits(up)
    again = await up.do(note("Tapped twice", "tap"))
    assert (again.url, again.again, first.again) == (first.url, True, False)
    assert commits(up) == before
    assert (await up.do(note("Tapped twice", "another"))).url != first.url


@in_one_loop
async def test_concurrent_equal_requests_make_one_post(up: Bench) -> None:
    before = commits(up)
    done = await asyncio.gather(*(up.do(note("All at once", "crowd")) for _ in range(8)))
    assert len({each.url for each in done}) == 1
    assert commits(up) == before + 1


@in_one_loop
async def test_request_ids_are_known_after_a_restart(up: Bench) -> None:
    done = await up.do(note("Before the power cut", "cut"))
    message = git(up.bare, "log", "-1", "--format=%B", "main")
    assert f"Micropub-Once: {digest_of('cut')}" in message
    later = Once(up.store)
    await later.load()
    assert later.find("cut") == done.url
    assert later.find("never sent") is None


@in_one_loop
async def test_request_ids_expire_after_a_month(up: Bench) -> None:
    await up.do(note("Long ago", "long ago"))
    later = Once(up.store, now=lambda: 2**33)
    await later.load()
    assert later.find("long ago") is None


@in_one_loop
async def test_a_failed_request_can_be_repeated(up: Bench) -> None:
    good = note("Corrected", "corrected")
    bad = replace(good, post=good.post.with_properties({"published": ("no date",)}))
    with pytest.raises(InvalidRequest):
        await up.do(bad)
    assert not (await up.do(good)).again


@in_one_loop
async def test_a_repeated_update_changes_nothing(up: Bench) -> None:
    url = (await up.do(note("One", "update me"))).url
    change = Update(url, replace={"content": ("Two",)}, once="update once")
    await up.do(change)
    await up.update(url, content="Three")
    assert (await up.do(change)).again
    assert (await up.source(url))["content"] == "Three"


@in_one_loop
async def test_an_unseen_version_is_not_overwritten(up: Bench) -> None:
    await up.catalogue.refresh()
    seen = up.catalogue.index.find("https://example.com/2026/by-hand/")
    assert seen is not None
    await up.update(seen.url, content="Changed in an app")
    before = up.read("content/hand.md")
    stale = Update(seen.url, replace={"content": ("Mine",)}, seen=seen.blob)
    with pytest.raises(Conflict, match="has changed since"):
        await up.publisher.carry_out(stale, ALL)
    assert up.read("content/hand.md") == before


def test_a_request_id_is_only_read_from_a_trailer() -> None:
    said = commit_message("create", "Micropub-Once: a", url="https://a/", client_id="Micropub-Once")
    assert once_of(said) is None
    named = commit_message("create", "x", url="https://a/", client_id=None, once="b")
    assert once_of(named) == ("b", "https://a/")


def test_the_commit_has_a_hash_of_the_request_id() -> None:
    assert "a word" not in digest_of("a word")
    assert digest_of("a word") != digest_of("another")


@in_one_loop
async def test_a_form_is_recognised_by_its_id_whatever_it_requests(up: Bench) -> None:
    later = Once(up.store)
    later.note("form {}", "https://example.com/a/")
    assert later.has_form("form")
    assert not later.has_form("for")
    assert not later.has_form("")
    assert later.find("form {}") == "https://example.com/a/"
    assert later.find("form {1}") is None
