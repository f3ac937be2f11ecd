"""The owner's decisions about mentions: one commit each, and permanent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from git_kit import git, put
from hearing_kit import FILES, OTHER, POST, Hearing, article, hearing, reply
from webmention_kit import Elsewhere, elsewhere

from bridge.errors import Conflict, InvalidRequest
from bridge.store.git import GitStore
from bridge.webmention.incoming.moderation import decisions
from bridge.webmention.incoming.moderation.decisions import Moderation, send_command


@pytest.fixture
async def bob() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as site:
        yield site


@pytest.fixture
async def amy() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as site:
        yield site


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Hearing]:
    async with hearing(tmp_path, approve="known") as running:
        yield running


def moderation(bridge: Hearing) -> Moderation:
    return Moderation(
        bridge.receiver, bridge.bare.parent / "state" / "keep" / "mentions" / "orders"
    )


def rules(bridge: Hearing) -> dict[str, list[str]]:
    said: dict[str, list[str]] = json.loads(
        git(bridge.bare, "show", "main:content/mentions/rules.json")
    )
    return said


def kept(bridge: Hearing) -> list[str]:
    """The sources of the mentions in the repo."""
    return sorted(
        said["wm-source"] for path, said in bridge.files().items() if path != "rules.json"
    )


async def test_unknown_authors_wait_and_approved_ones_are_known(
    bridge: Hearing, bob: Elsewhere, amy: Elsewhere
) -> None:
    first = bob.page("/1", reply())
    assert await bridge.told(first) == "pending"
    assert kept(bridge) == []
    (item,) = moderation(bridge).pending()
    assert (item.author, item.text, item.url) == ("Bob", "Agreed.", first)
    assert await moderation(bridge).decide("approve", [item.id]) == 1
    assert kept(bridge) == [first]
    assert bridge.commits() == ["Mentions: a reply"]
    second = bob.page("/2", reply(OTHER))
    assert await bridge.told(second, OTHER) == "shown"
    assert await bridge.told(amy.page("/1", reply())) == "pending"


async def test_what_waits_is_there_after_a_restart(tmp_path: Path, bob: Elsewhere) -> None:
    async with hearing(tmp_path, approve="none") as first:
        source = bob.page("/1", reply())
        assert await first.told(source) == "pending"
    async with hearing(tmp_path, approve="none") as second:
        (item,) = moderation(second).pending()
        await moderation(second).decide("approve", [item.id])
        assert kept(second) == [source]


async def test_trust_and_block_are_rules_in_git(
    bridge: Hearing, bob: Elsewhere, amy: Elsewhere
) -> None:
    sources = [site.page("/1", reply()) for site in (bob, amy)]
    for source in sources:
        assert await bridge.told(source) == "pending"
    ids = {item.url: item.id for item in moderation(bridge).pending()}
    await moderation(bridge).decide("trust", [ids[sources[0]]])
    assert rules(bridge)["trust"] == [bob.base]
    assert len(bridge.commits()) == 1
    await moderation(bridge).decide("block-host", [ids[sources[1]]])
    assert rules(bridge)["block"] == [amy.base.split("/")[2]]
    assert moderation(bridge).pending() == []
    assert await bridge.told(amy.page("/2", reply())) == "refused"
    (shown,), total = await moderation(bridge).shown(limit=10)
    assert total == 1
    await moderation(bridge).decide("block-author", [shown.id])
    assert kept(bridge) == []
    assert rules(bridge)["trust"] == [], "who is blocked is trusted no more"
    assert len(bridge.commits()) == 3
    assert await bridge.told(bob.page("/2", reply())) == "refused"


async def test_a_block_is_taken_back_and_what_it_kept_away_waits_again(
    bridge: Hearing, bob: Elsewhere
) -> None:
    sources = [bob.page(f"/{number}", reply()) for number in range(3)]
    for source in sources[:2]:
        assert await bridge.told(source) == "pending"
    first, second = moderation(bridge).pending()
    await moderation(bridge).decide("approve", [first.id])
    await moderation(bridge).decide("refuse", [second.id])
    (shown,), _ = await moderation(bridge).shown(limit=10)
    await moderation(bridge).decide("block-author", [shown.id])
    assert await bridge.told(sources[2]) == "refused"
    seen = {each.url: each for each in moderation(bridge).refused()}
    assert [seen[source].text for source in sources[:2]] == ["Agreed.", "Agreed."]
    assert seen[sources[0]].warnings == ("Its author or site is blocked.",)

    with pytest.raises(InvalidRequest, match="no rule"):
        await moderation(bridge).decide("forget", ["https://other.example/"])
    await moderation(bridge).decide("forget", [bob.base])
    await bridge.receiver.idle()
    assert rules(bridge)["block"] == []
    (item,) = moderation(bridge).pending()
    assert item.url == sources[0], "what was refused by itself stays refused"


async def test_on_a_shared_host_no_author_is_trusted_or_blocked_for_another(
    bridge: Hearing, bob: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "SHARED", frozenset({bob.base.split("/")[2]}))
    nameless = reply().replace('<a class="p-author h-card" href="/">Bob</a>', "")
    assert await bridge.told(bob.page("/1", nameless)) == "pending"
    (item,) = moderation(bridge).pending()
    for action in ("trust", "block-author"):
        with pytest.raises(InvalidRequest, match="is shared by many people"):
            await moderation(bridge).decide(action, [item.id])
    assert moderation(bridge).pending() == [item]
    assert bridge.commits() == []


async def test_what_was_refused_does_not_come_back_until_it_is_restored(
    bridge: Hearing, bob: Elsewhere
) -> None:
    source = bob.page("/1", reply())
    await bridge.told(source)
    (item,) = moderation(bridge).pending()
    await moderation(bridge).decide("refuse", [item.id])
    assert len(rules(bridge)["refused"]) == 1
    answer = await bridge.send(source, POST)
    assert (await bridge.settled(answer))["state"] == "refused"
    german = {"Accept": "text/html", "Accept-Language": "de"}
    async with bridge.http.get(answer.headers["Location"], headers=german) as page:
        assert "Wem diese Website gehört, zeigt sie nicht." in await page.text()
    (item,) = moderation(bridge).refused()
    await moderation(bridge).decide("restore", [item.id])
    await bridge.receiver.idle()
    assert rules(bridge)["refused"] == []
    (item,) = moderation(bridge).pending()
    await moderation(bridge).decide("approve", [item.id])
    (shown,), _ = await moderation(bridge).shown(limit=10)
    commits = len(bridge.commits())
    await moderation(bridge).decide("refuse", [shown.id])
    assert len(bridge.commits()) == commits + 1
    assert kept(bridge) == []
    assert await bridge.told(source) == "refused"
    (item,) = moderation(bridge).refused()
    await moderation(bridge).decide("restore", [item.id])
    await bridge.receiver.idle()
    assert bridge.record(source).state == "pending"


async def test_a_file_that_was_removed_by_hand_is_not_made_again(
    tmp_path: Path, bob: Elsewhere
) -> None:
    async with hearing(tmp_path) as running:
        source = bob.page("/1", reply())
        assert await running.told(source) == "shown"
        (path,) = running.files()
        store = GitStore(running.bare, author="Ada <ada@example.com>")
        put(store, f"content/mentions/{path}", None)
        store.close()
        assert await running.told(source) == "refused"
        assert running.files() == {}
        (item,) = moderation(running).refused()
        await moderation(running).decide("restore", [item.id])
        await running.receiver.idle()
        await running.receiver.commit_approved()
        assert [*running.files()] == [path]


async def test_what_the_owner_edits_in_a_file_stays(tmp_path: Path, bob: Elsewhere) -> None:
    async with hearing(tmp_path) as running:
        source = bob.page("/1", reply(text="Bob of 1 High Street agrees."))
        await running.told(source)
        (path,) = running.files()
        store = GitStore(running.bare, author="Ada <ada@example.com>")
        for old, new in (("1 High Street", "…"), ('"name": "Bob"', '"name": "B."')):
            text = git(running.bare, "show", f"main:content/mentions/{path}")
            assert old in text
            put(store, f"content/mentions/{path}", text.replace(old, new))
        store.close()
        # Two updates: the second one finds the owner's words in a file of the bridge's.
        for day in ("2026-11-26", "2026-11-27"):
            when = f'<time class="dt-published" datetime="{day}"></time>'
            bob.page("/1", reply(text=f"Bob of 1 High Street agrees.{when}"))
            assert await running.told(source) == "shown"
            entry = running.only()
            assert entry["content"] == {"text": "Bob of … agrees."}
            assert entry["author"]["name"] == "B."
            assert entry["published"].startswith(day)


async def test_a_host_that_a_post_links_to_is_known_unless_many_share_it(
    tmp_path: Path, bob: Elsewhere, amy: Elsewhere
) -> None:
    linking = {**FILES, "content/link.md": article("L") + f"[bob]({bob.base}x)\n"}
    async with hearing(tmp_path, linking, approve="known") as running:
        assert await running.told(bob.page("/1", reply())) == "shown"
        assert await running.told(amy.page("/1", reply())) == "pending"
        bare = bob.page("/bare", f'<a href="{OTHER}">x</a>')
        assert await running.told(bare, OTHER) == "pending", (
            "a page without an h-entry is not known"
        )
        spam = bob.page("/spam", reply(text='<a href="https://x.example/">x</a>' * 30))
        assert await running.told(spam) == "pending"
        famous = reply().replace('href="/">Bob', 'href="https://famous.example/">F')
        assert await running.told(bob.page("/famous", famous)) == "pending"


async def test_with_invalid_rules_everything_waits_and_the_file_is_kept(
    tmp_path: Path, bob: Elsewhere
) -> None:
    broken = {**FILES, "content/mentions/rules.json": "{"}
    async with hearing(tmp_path, broken, approve="all") as running:
        assert await running.told(bob.page("/1", reply())) == "pending"
        (item,) = moderation(running).pending()
        with pytest.raises(Conflict, match=r"rules\.json cannot be used"):
            await moderation(running).decide("block-author", [item.id])
        await moderation(running).decide("approve", [item.id])
        assert git(running.bare, "show", "main:content/mentions/rules.json") == "{"


async def test_unknown_ids_and_actions_are_refused_with_a_message(bridge: Hearing) -> None:
    for action, ids in (("approve", ["x"]), ("approve", ["0" * 12]), ("explode", [])):
        with pytest.raises(InvalidRequest):
            await moderation(bridge).decide(action, ids)


async def test_the_serving_process_carries_out_decisions_of_the_command_line(
    bridge: Hearing, bob: Elsewhere
) -> None:
    source = bob.page("/1", reply())
    await bridge.told(source)
    (item,) = moderation(bridge).pending()
    folder = moderation(bridge)._commands
    wrong = await asyncio.to_thread(send_command, folder, "approve", ["0" * 24], 60)
    assert wrong.startswith("refused: There is no mention")
    assert await asyncio.to_thread(send_command, folder, "approve", [item.id], 60) == (
        "done: 1 mention"
    )
    assert kept(bridge) == [source]
    assert (
        await asyncio.to_thread(send_command, folder / "nowhere", "approve", [], 0.1) == "waiting"
    )


EXPORT = {
    "type": "feed",
    "name": "Webmentions",
    "children": [
        {
            "type": "entry",
            "author": {"type": "card", "name": "Amy", "photo": "", "url": "https://amy.example/"},
            "url": "https://amy.example/1",
            "published": "2020-01-02T03:04:05+00:00",
            "wm-received": "2020-01-02T03:05:00Z",
            "wm-id": 1,
            "wm-source": "https://amy.example/1",
            "wm-target": POST,
            "content": {"html": "<b>Hi</b>", "text": "Hi"},
            "in-reply-to": POST,
            "wm-property": "in-reply-to",
            "wm-private": False,
        },
        {
            "type": "entry",
            "author": {"type": "card", "name": "Bob", "url": "https://bob.example/"},
            "url": "https://bob.example/like",
            "published": None,
            "wm-received": "2020-01-03T03:05:00Z",
            "wm-source": "https://brid.gy/like/x/1",
            "wm-target": POST.rstrip("/"),
            "like-of": POST,
            "wm-property": "like-of",
        },
        {"wm-source": "https://x.example/", "wm-target": "https://example.com/nothing/"},
        {"wm-source": "javascript:alert(1)", "wm-target": POST, "wm-property": "like-of"},
        {"wm-source": "https://secret.example/", "wm-target": POST, "wm-private": True},
    ],
}


async def test_an_export_of_webmention_io_is_imported_once(bridge: Hearing) -> None:
    data = json.dumps(EXPORT).encode()
    assert await moderation(bridge).import_file(data) == (
        "2 new mentions, 0 already stored, 1 of pages that this site does not have"
    )
    files = bridge.files()
    by_kind = {said["wm-property"]: said for said in files.values()}
    assert by_kind["in-reply-to"]["content"] == {"text": "Hi"}
    assert by_kind["in-reply-to"]["wm-received"] == "2020-01-02T03:05:00Z"
    assert {said["wm-via"] for said in files.values()} == {"import"}
    assert "html" not in json.dumps(files)
    assert (await moderation(bridge).import_file(data)).startswith("0 new mentions, 2 already")
    assert bridge.files() == files
    old = {"links": [{"source": "https://eve.example/", "target": POST, "data": {
        "author": {"name": "Eve"}, "content": "Old"}, "activity": {"type": "reply"}}]}  # fmt: skip
    assert (await moderation(bridge).import_file(json.dumps(old).encode())).startswith("1 new")
    with pytest.raises(InvalidRequest):
        await moderation(bridge).import_file(b"<html>")
