"""Responses to copies are imported as mentions: public ones, with the owner's moderation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from git_kit import files_in, git
from partner_kit import MastodonMock, Partner
from syndication_kit import Bench, Fault, close_bench, make_bench, there

from bridge.settings import Webmention
from bridge.social import make_receiver
from bridge.store import StoreBroken
from bridge.store.git import GitStore
from bridge.syndication.backfeed.search import Backfeed
from bridge.syndication.fake.bluesky import DID
from bridge.syndication.report import report_of
from bridge.webmention.incoming.receiver import Receiver

SECRET = "what only friends may read"


@dataclass
class Home:
    """A post with a copy, and the search for responses."""

    bench: Bench
    receiver: Receiver
    path: str = ""

    @property
    def kind(self) -> str:
        return self.bench.targets[0].type

    def backfeed(self) -> Backfeed:
        bench = self.bench
        assert bench.syndicator is not None
        return Backfeed(
            bench.posts.catalogue,
            bench.posts.reader,
            bench.syndicator.ledger,
            self.receiver,
            bench.syndicator.accounts,
            now=bench.now,
        )

    async def look(self, **settings: Any) -> int:
        """Search as the owner's button does, with other settings."""
        if settings:
            await self.bench.stop()
            self.bench.start(**settings)
        return await self.backfeed().search(self.bench.targets[0].uid, now=True)

    @property
    def copy(self) -> str:
        fake = self.bench.networks.fake
        return next(iter(fake.statuses if self.kind == "mastodon" else fake.records))

    def answer(self, number: int, words: str = "Nice", **extra: Any) -> dict[str, Any]:
        """Reply to the copy at the network."""
        answers = self.bench.networks.fake.answers.setdefault(self.copy, [])
        if self.kind == "mastodon":
            account = {"id": "7", "acct": "alice@a.example", "display_name": "Alice",
                       "url": "https://a.example/@alice", "note": ""}  # fmt: skip
            made: dict[str, Any] = {
                "id": str(number),
                "url": f"https://a.example/@alice/{number}",
                "visibility": "public",
                "content": f'<p><span class="h-card"><a href="x">@<span>you</span></a></span>'
                f" {words}</p>",
                "created_at": "2026-11-26T15:00:00.000Z",
                "edited_at": None,
                "account": account,
            }
            made["account"] |= extra.pop("account", {})
        else:
            author = {"did": "did:plc:alice", "handle": "alice.example", "displayName": "Alice"}
            author |= extra.pop("account", {})
            made = {
                "uri": f"at://{author['did']}/app.bsky.feed.post/{number}",
                "cid": f"bafy{number}",
                "author": author,
                "record": {"text": words, "createdAt": "2026-11-26T15:00:00.000Z"},
            }
        made |= extra
        answers.append(made)
        return made

    def files(self) -> list[dict[str, Any]]:
        """The mentions in the site's repo."""
        repo = self.bench.folder / "repo.git"
        return [json.loads(data) for path, data in files_in(repo).items() if "/mentions/" in path]

    def counted(self) -> dict[str, int]:
        """The counts of responses without files, by kind."""
        repo = self.bench.folder / "repo.git"
        found = [data for path, data in files_in(repo).items() if path.endswith("counts.json")]
        if not found:
            return {}
        (counts,) = json.loads(found[0])["counts"].values()
        return dict(counts)


async def home_of(
    kind: str, store: GitStore, folder: Path, approve: Any, partner: Partner | None = None
) -> Home:
    bench = await make_bench(folder, store, [kind], partner)
    settings = msgspec.structs.replace(
        bench.settings, webmention=Webmention(approve=approve, batch_seconds=0, faces="none")
    )
    receiver = make_receiver(
        settings, store, bench.posts.catalogue, bench.posts.reader, bench.committer, bench.fetch,
        bench.fetch, public_url="https://bridge.example/",
    )  # fmt: skip
    await receiver.start()
    bench.start()
    home = Home(bench, receiver)
    home.path = bench.post(when=bench.now().replace(microsecond=0) - timedelta(hours=1))
    await bench.done(home.path)
    return home


@pytest.fixture(params=["mastodon", "bluesky"])
async def home(
    request: pytest.FixtureRequest, store: GitStore, tmp_path: Path
) -> AsyncIterator[Home]:
    home = await home_of(request.param, store, tmp_path, "all")
    yield home
    await home.receiver.close()
    await close_bench(home.bench)


async def test_a_reply_is_imported_once_updated_and_removed(home: Home) -> None:
    made = home.answer(1, "Nice <b>one</b>" if home.kind == "bluesky" else "Nice one")
    assert await home.look() == 1
    (file,) = home.files()
    words = "Nice <b>one</b>" if home.kind == "bluesky" else "Nice one"
    assert file["content"] == {"text": words}
    assert file["author"]["name"] == "Alice"
    assert (file["wm-via"], file["wm-property"]) == (home.kind, "in-reply-to")
    assert file["wm-source"] == file["url"]
    assert file["wm-target"] == file["in-reply-to"]
    assert await home.look() == 0
    if home.kind == "mastodon":
        made |= {"content": "<p>Nicer</p>", "edited_at": "2026-11-26T16:00:00.000Z"}
    else:
        made["record"]["text"] = "Nicer"
    await home.look()
    assert [each["content"]["text"] for each in home.files()] == ["Nicer"]
    home.bench.networks.fake.answers.clear()
    await home.look()
    assert home.files() == []


@pytest.mark.parametrize("visibility", ["private", "direct", "unlisted"])
async def test_what_is_not_public_is_never_in_git(
    store: GitStore, tmp_path: Path, visibility: str
) -> None:
    home = await home_of("mastodon", store, tmp_path, "all")
    home.answer(1, SECRET, visibility=visibility)
    public = home.answer(2, "Hello all")
    await home.look(backfeed="all", likes="faces")
    assert [each["content"]["text"] for each in home.files()] == ["Hello all"]
    public |= {"visibility": visibility, "content": f"<p>{SECRET}</p>"}
    await home.look(backfeed="all", likes="faces")
    assert home.files() == []
    log = git(tmp_path / "repo.git", "log", "-p", "--all")
    assert SECRET not in log
    await home.receiver.close()
    await close_bench(home.bench)


async def test_people_who_have_opted_out_are_left_out(home: Home) -> None:
    if home.kind == "mastodon":
        home.answer(1, account={"note": "<p>Hi. #nobridge</p>"})
        home.answer(2, account={"noindex": True})
    else:
        home.answer(1, account={"labels": [{"val": "!no-unauthenticated"}]})
        home.answer(2, account={"description": "Hi. #nobot"})
    await home.look()
    assert home.files() == []


async def test_the_same_moderation_as_for_every_mention(store: GitStore, tmp_path: Path) -> None:
    home = await home_of("bluesky", store, tmp_path, "known")
    home.answer(1)
    assert await home.look() == 1
    assert home.files() == []
    (record,) = home.receiver.inbox.in_state("pending")
    # The URL that Bridgy would use, so that both are recognised as the same.
    assert record.source == "https://bsky.app/profile/alice.example/post/1"
    # Deleted before the owner has seen it.
    home.bench.networks.fake.answers.clear()
    await home.look()
    assert home.receiver.inbox.in_state("pending") == []
    await home.receiver.close()
    await close_bench(home.bench)


async def test_the_owners_answers_are_shown_and_copies_of_posts_are_not(home: Home) -> None:
    me = {"mastodon": {"id": "1", "acct": "you"}, "bluesky": {"did": DID}}[home.kind]
    home.answer(1, "Thanks all", account=me)
    home.answer(2, "More at https://example.com/2026/more/", account=me)
    await home.look()
    assert [each["content"]["text"] for each in home.files()] == ["Thanks all"]


@pytest.mark.parametrize(
    ("backfeed", "likes", "kinds"),
    [
        ("none", "faces", set[str]()),
        ("replies", "faces", {"in-reply-to"}),
        ("all", "none", {"in-reply-to"}),
        ("all", "faces", {"in-reply-to", "like-of", "repost-of"}),
    ],
)
async def test_the_setting_backfeed_selects_what_is_imported(
    home: Home, backfeed: str, likes: str, kinds: set[str]
) -> None:
    home.answer(1)
    fans(home)
    await home.look(backfeed=backfeed, likes=likes)
    assert {each["wm-property"] for each in home.files()} == kinds


async def test_likes_are_counted_without_names(home: Home) -> None:
    fans(home)
    await home.look(backfeed="all", likes="count")
    (file,) = home.files()
    (counts,) = file["counts"].values()
    assert counts == {"like-of": 1, "repost-of": 1}
    assert "bob" not in json.dumps(file).lower()
    assert await home.look(backfeed="all", likes="count") == 0
    assert len([each for each in home.bench.commits() if each.startswith("Mentions")]) == 1


def fans(home: Home) -> None:
    fake = home.bench.networks.fake
    if home.kind == "mastodon":
        bob = {"id": "8", "acct": "bob", "display_name": "Bob", "url": "https://b.example/@bob"}
        fake.favourites[home.copy] = fake.reblogs[home.copy] = [bob]
        fake.statuses[home.copy] |= {"favourites_count": 1, "reblogs_count": 1}
    else:
        bob = {"did": "did:plc:bob", "handle": "bob.example", "displayName": "Bob"}
        fake.favourites[home.copy] = [{"actor": bob}]
        fake.reblogs[home.copy] = [bob]


async def test_an_outage_removes_nothing(home: Home) -> None:
    home.answer(1)
    await home.look()
    paths = {"mastodon": "/context", "bluesky": "feed.getPostThread"}
    home.bench.networks.faults.append(Fault("GET", paths[home.kind], status=503))
    await home.look()
    assert len(home.files()) == 1


async def test_old_posts_are_asked_for_less_often_and_then_not_at_all(home: Home) -> None:
    backfeed, uid = home.backfeed(), home.bench.targets[0].uid
    requests = home.bench.networks.requests

    async def asks(later: timedelta) -> bool:
        home.bench.clock += later
        before = len(requests)
        await backfeed.search(uid)
        return len(requests) > before

    assert await asks(timedelta())
    assert not await asks(timedelta(minutes=9))
    assert await asks(timedelta(minutes=2))
    assert await asks(timedelta(days=2))
    assert not await asks(timedelta(minutes=30))
    assert await asks(timedelta(minutes=40))
    assert not await asks(timedelta(days=80))


async def test_an_invalid_url_does_not_affect_other_responses(home: Home) -> None:
    if home.kind == "mastodon":
        home.answer(1, url="javascript:alert(1)")
        home.answer(2, url="https://a.example:99999/2")
    else:
        home.answer(1, account={"did": 'did:plc:"><script>', "handle": 'x.y"><script>'})
    home.answer(3, "Fine")
    assert await home.look() == 1
    assert [each["content"]["text"] for each in home.files()] == ["Fine"]


async def test_an_unexpected_error_does_not_end_the_search_for_responses(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backfeed, tries = home.backfeed(), list[str]()
    backfeed.tick = 0.01
    real = Backfeed.search

    async def search(self: Backfeed, uid: str, *, now: bool = False) -> int:
        tries.append(uid)
        if len(tries) < 3:
            raise KeyError("a bug")
        return await real(self, uid, now=now)

    monkeypatch.setattr(Backfeed, "search", search)
    home.answer(1)
    running = asyncio.create_task(backfeed.run())
    await home.bench.until(lambda: len(home.files()) == 1 or running.done())
    assert not running.done()
    assert "failed unexpectedly" in caplog.text
    running.cancel()


async def test_a_revoked_token_is_reported_before_the_next_post(home: Home) -> None:
    backfeed, bench = home.backfeed(), home.bench
    uid = bench.targets[0].uid
    bench.networks.faults.append(Fault("GET", "", 99, status=401, words="revoked"))
    bench.networks.faults.append(Fault("POST", "Session", 99, status=401, words="revoked"))
    home.answer(1)
    await backfeed.search(uid, now=True)
    if home.kind == "mastodon":
        assert bench.syndicator is not None
        trouble = bench.syndicator.ledger.trouble(uid)
        assert trouble is not None
        assert "revoked" in trouble.error
    bench.networks.faults.clear()
    assert await backfeed.search(uid, now=True) == 1
    assert bench.syndicator is not None
    assert bench.syndicator.ledger.trouble(uid) is None


async def test_quotes_are_imported_as_mentions_if_set(home: Home) -> None:
    made = home.answer(5, "Look at this")
    fake = home.bench.networks.fake
    fake.answers.clear()
    fake.quoted[home.copy] = [made]
    assert await home.look() == 0
    assert await home.look(backfeed="all") == 1
    (file,) = home.files()
    assert (file["wm-property"], file["content"]["text"]) == ("mention-of", "Look at this")
    fake.quoted.clear()
    await home.look()
    assert home.files() == []


async def test_counts_are_removed_when_likes_are_no_longer_counted(home: Home) -> None:
    fake = home.bench.networks.fake
    if home.kind == "mastodon":
        fake.statuses[home.copy]["favourites_count"] = 3
    else:
        liker = {"did": "did:plc:bob", "handle": "bob.example"}
        fake.favourites[home.copy] = [{"actor": liker}] * 3
    await home.look(backfeed="all", likes="count")
    assert home.counted() == {"like-of": 3}
    await home.look(backfeed="all", likes="none")
    assert home.counted() == {}


@pytest.mark.cold
async def test_of_a_server_that_shows_everything_only_what_is_public_comes_home(
    store: GitStore, tmp_path: Path, mastodon_mock: MastodonMock
) -> None:
    """mastodon-mock returns private and direct replies to anyone."""
    mastodon_mock.clear()
    home = await home_of("mastodon", store, tmp_path, "all", mastodon_mock)
    (status,) = mastodon_mock.statuses()
    for visibility in ("public", "unlisted", "private", "direct"):
        words = "Hello all" if visibility == "public" else f"{SECRET} ({visibility})"
        mastodon_mock.reply(status["id"], f"@testuser {words}", visibility)
    new = await home.look(backfeed="all", likes="faces")
    texts = [each["content"]["text"] for each in home.files()]
    await home.receiver.close()
    await close_bench(home.bench)
    assert (new, texts) == (1, ["Hello all"])
    assert SECRET not in git(tmp_path / "repo.git", "log", "-p", "--all")


async def test_a_search_that_fails_is_repeated_when_it_is_due(home: Home) -> None:
    backfeed, requests = home.backfeed(), home.bench.networks.requests
    uid = home.bench.targets[0].uid
    home.bench.networks.faults.append(Fault("GET", "", 99, status=500))
    await backfeed.search(uid)
    asked = len(requests)
    await backfeed.search(uid)
    assert len(requests) == asked
    home.bench.networks.faults.clear()
    home.answer(1)
    home.bench.clock = timedelta(minutes=11)
    assert await backfeed.search(uid) == 1


async def test_a_post_that_could_not_be_read_once_is_searched_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> Any:
        raise StoreBroken("the disk does not answer")

    backfeed, uid = home.backfeed(), home.bench.targets[0].uid
    with monkeypatch.context() as patched:
        patched.setattr(home.bench.posts.reader, "open", fails)
        assert await backfeed.search(uid) == 0
    home.answer(1)
    assert await backfeed.search(uid) == 1


async def test_a_copy_that_was_deleted_at_the_network_is_reported_and_unlinked(home: Home) -> None:
    """It is the owner who removes the link."""
    bench = home.bench
    home.answer(1)
    await home.look()
    (copy,) = bench.copies(home.path)
    fake = bench.networks.fake
    statuses: Any = fake.statuses if home.kind == "mastodon" else fake.records
    kept = dict(statuses)
    statuses.clear()
    await home.look()
    assert bench.syndicator is not None
    (missing,) = report_of(bench.syndicator).missing
    assert (missing.url, missing.target) == (copy, home.kind.title())
    assert len(home.files()) == 1, "a server may only say so for a while"
    # There again.
    statuses.update(kept)
    await home.look()
    assert report_of(bench.syndicator).missing == ()
    statuses.clear()
    await home.look()
    bench.clock += timedelta(days=2)
    await home.look()
    assert home.files() == []
    assert bench.copies(home.path) == [copy]
    (missing,) = report_of(bench.syndicator).missing
    assert await bench.syndicator.unlink(missing.name)
    assert not await bench.syndicator.unlink(missing.name)
    assert bench.copies(home.path) == []
    assert report_of(bench.syndicator).missing == ()
    ledger = bench.syndicator.ledger
    await bench.until(lambda: ledger.cursor() == bench.store.head() and not bench.jobs())
    assert there(bench) == []
    assert bench.commits()[0].startswith(f"No copy at {home.kind.title()}: ")


async def test_a_missing_copy_whose_link_the_owner_has_removed_is_not_reported(home: Home) -> None:
    bench = home.bench
    statuses: Any = (
        bench.networks.fake.statuses if home.kind == "mastodon" else bench.networks.fake.records
    )
    statuses.clear()
    await home.look()
    assert bench.syndicator is not None
    assert len(report_of(bench.syndicator).missing) == 1
    text = bench.text(home.path)
    line = next(each for each in text.splitlines() if each.startswith("Mf2: "))
    bench.put(home.path, text.replace(line, 'Mf2: {"title":"synthetic"}'))
    await home.look()
    assert report_of(bench.syndicator).missing == ()


async def test_the_link_is_removed_from_each_file_that_has_it(home: Home) -> None:
    """The owner has made a post from the file of another one."""
    bench = home.bench
    assert bench.syndicator is not None
    twin = "content/notes/twin.md"
    bench.put(twin, bench.text(home.path).replace("Slug: a\n", "Slug: twin\n"))
    ledger = bench.syndicator.ledger
    await bench.until(lambda: ledger.cursor() == bench.store.head())
    statuses: Any = (
        bench.networks.fake.statuses if home.kind == "mastodon" else bench.networks.fake.records
    )
    statuses.clear()
    await home.look()
    (missing,) = report_of(bench.syndicator).missing
    assert await bench.syndicator.unlink(missing.name)
    assert bench.copies(home.path) == bench.copies(twin) == []


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_a_server_that_cannot_say_reports_no_copy_as_missing(home: Home, status: int) -> None:
    """As one that is down, or has revoked the token."""
    bench = home.bench
    bench.networks.faults.append(Fault("GET", "/", count=50, status=status))
    await home.look()
    assert bench.syndicator is not None
    assert report_of(bench.syndicator).missing == ()


async def test_a_server_that_knows_neither_copies_nor_accounts_reports_none_as_missing(
    home: Home,
) -> None:
    """An outage in which everything is 404."""
    bench = home.bench
    bench.networks.faults.append(Fault("GET", "/", count=50, status=404))
    await home.look()
    assert bench.syndicator is not None
    assert report_of(bench.syndicator).missing == ()
