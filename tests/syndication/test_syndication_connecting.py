"""Connecting accounts: Mastodon by OAuth, Bluesky by an app password; and disconnecting them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from indieauth_kit import browser, running
from msgspec.structs import replace
from partner_kit import MastodonMock
from syndication_kit import Bench, Fault, Networks, close_bench, make_bench, start_networks

from bridge.desk.syndication import PATH, SyndicationPages
from bridge.net.fetch import GuardedFetch
from bridge.settings import Target
from bridge.store.git import GitStore
from bridge.syndication.api import Api, ApiError, digest
from bridge.syndication.backfeed.search import Backfeed
from bridge.syndication.connector import SCOPES, AccountConnector, NotConnected
from bridge.syndication.environment import FileVault
from bridge.syndication.fake.bluesky import APP_PASSWORD, HANDLE
from bridge.syndication.jobs.ledger import Answers
from bridge.syndication.mastodon.client import Mastodon

CALLBACK = "https://bridge.example/desk/syndication/callback"


@pytest.fixture
async def networks() -> AsyncIterator[Networks]:
    networks = await start_networks()
    yield networks
    await networks.server.close()


@pytest.fixture
async def connecting(tmp_path: Path) -> AsyncIterator[AccountConnector]:
    async with GuardedFetch(allow_loopback=True) as fetch:
        yield AccountConnector(fetch, fetch, FileVault(tmp_path / "secrets.json"), CALLBACK)


def mastodon(networks: Networks, name: str = "you") -> Target:
    return Target(uid=f"{networks.fake.base}/@{name}", name="M", type="mastodon")


async def agreed(connecting: AccountConnector, target: Target) -> dict[str, str]:
    """The owner authorizes the bridge at their server; returns the redirect's parameters."""
    url = await connecting.begin(target)
    assert SCOPES.replace(" ", "+").replace(":", "%3A") in url
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, allow_redirects=False) as answer,
    ):
        back = answer.headers["Location"]
    assert back.startswith(f"{CALLBACK}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}


async def test_mastodon_is_connected_once_the_owner_agrees(
    connecting: AccountConnector, networks: Networks
) -> None:
    target = mastodon(networks)
    assert not connecting.is_connected(target)
    back = await agreed(connecting, target)
    assert connecting.pending(target, back["state"])
    assert not connecting.pending(target, "another")
    assert not connecting.pending(target, "änother")
    assert await connecting.end(target, back["code"]) == "@you"
    assert connecting.is_connected(target)
    # The state can be used once.
    assert not connecting.pending(target, back["state"])
    # The client is registered once.
    await agreed(connecting, target)
    assert networks.requests.count("POST /api/v1/apps") == 1
    await connecting.disconnect(target)
    assert not connecting.is_connected(target)
    assert networks.fake.done == [("revoke", networks.fake.token)]


async def test_another_account_than_the_targets_is_not_connected(
    connecting: AccountConnector, networks: Networks
) -> None:
    target = mastodon(networks, "me")
    back = await agreed(connecting, target)
    with pytest.raises(NotConnected, match=r"but this target is @me\. Sign in there as @me and"):
        await connecting.end(target, back["code"])
    assert not connecting.is_connected(target)


async def test_bluesky_is_connected_by_an_app_password_alone(
    connecting: AccountConnector, networks: Networks
) -> None:
    base = networks.fake.base
    target = Target(uid=f"https://bsky.app/profile/{HANDLE}", name="B", type="bluesky", server=base)
    with pytest.raises(NotConnected, match="app password"):
        await connecting.by_password(target, "my own password")
    with pytest.raises(NotConnected, match="401"):
        await connecting.by_password(target, "aaaa-bbbb-cccc-dddd")
    assert not connecting.is_connected(target)
    await connecting.by_password(target, f" {APP_PASSWORD}\n")
    assert connecting.is_connected(target)
    await connecting.disconnect(target)
    assert not connecting.is_connected(target)


@dataclass
class Looks:
    """Stands in for the search for responses."""

    asked: list[str] = field(default_factory=list)

    async def search(self, uid: str, *, now: bool = False) -> int:
        assert now
        self.asked.append(uid)
        return 2


@pytest.fixture
async def bench(store: GitStore, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await make_bench(tmp_path, store, ["mastodon"])
    yield bench
    await close_bench(bench)


async def test_the_owner_sees_failed_jobs_and_decides_about_them(
    bench: Bench, connecting: AccountConnector, tmp_path: Path
) -> None:
    bench.networks.faults.append(Fault("POST", "/api/v1/statuses", status=422, words="<b>no</b>"))
    syndicator, looks = bench.start(), Looks()
    path = bench.post()
    await bench.until(lambda: any(job.state == "failed" for job in bench.jobs()))

    def extend(app: web.Application) -> None:
        SyndicationPages(syndicator, connecting, cast("Backfeed", looks)).add_to(app)

    async with running(tmp_path / "web", extend=extend) as up, browser(up.base) as owner:
        # Not without a session.
        assert "Your accounts" not in (await owner.get(PATH)).text
        await owner.sign_in()
        page = await owner.get(PATH)
        assert "&lt;b&gt;no&lt;/b&gt;" in page.text
        assert "Look for answers now" in page.text
        german = await owner.get(PATH, headers={"Accept-Language": "de"})
        answered = f"der Server {bench.networks.fake.base} antwortete 422: &lt;b&gt;no"
        assert answered in german.text
        job = bench.jobs()[0].name
        form = dict(page.form(PATH))
        await owner.post(PATH, data=form | {"action": "look"})
        assert "2 new answers from Mastodon" in (await owner.get(PATH)).text
        assert looks.asked == [bench.targets[0].uid]
        await owner.post(PATH, data={"csrf": form["csrf"], "action": "retry", "id": job})
        await bench.done(path)
    assert bench.networks.toots == ["Hello, web"]


async def test_the_owner_removes_the_link_to_a_copy_that_is_gone(
    bench: Bench, connecting: AccountConnector, tmp_path: Path
) -> None:
    syndicator = bench.start()
    path = bench.post()
    await bench.done(path)
    (copy,) = bench.copies(path)
    (entry,) = bench.posts.catalogue.index.newest(limit=1)
    bench.networks.fake.statuses.clear()
    gone = Answers(copy, missing=bench.now().timestamp(), post=entry.url, uid=bench.targets[0].uid)
    syndicator.ledger.save_answers(gone)

    def extend(app: web.Application) -> None:
        SyndicationPages(syndicator, connecting, None).add_to(app)

    async with running(tmp_path / "web", extend=extend) as up, browser(up.base) as owner:
        await owner.sign_in()
        page = await owner.get(PATH)
        assert "Copy at Mastodon, missing since" in page.text
        form = {"csrf": dict(page.form(PATH))["csrf"], "action": "unlink"}
        await owner.post(PATH, data=form | {"id": digest(copy)})
        page = await owner.get(PATH)
        assert "The post does not link to it any more." in page.text
        assert "missing since" not in page.text
        await owner.post(PATH, data=form | {"id": digest(copy)})
        assert "It is done already." in (await owner.get(PATH)).text
    assert bench.copies(path) == []
    assert bench.networks.toots == []


async def test_an_account_whose_token_is_refused_can_be_connected_again(
    bench: Bench,
    connecting: AccountConnector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench.networks.fake.token = "another"
    syndicator = bench.start()
    bench.post()
    uid = bench.targets[0].uid
    await bench.until(lambda: syndicator.ledger.trouble(uid) is not None)
    account, file = syndicator.accounts[uid], bench.targets[0].token_file

    def extend(app: web.Application) -> None:
        SyndicationPages(syndicator, connecting, None).add_to(app)

    async with running(tmp_path / "web", extend=extend) as up, browser(up.base) as owner:
        await owner.sign_in()
        page = await owner.get(PATH)
        assert "answered 401" in page.text
        assert f"Write a new token into {file}." in page.text
        # The same of an account that was connected on the desk.
        connecting.vault.put(uid, "token", "refused")
        connected = replace(account, target=replace(account.target, token_file=""))
        monkeypatch.setitem(syndicator._accounts, uid, connected)
        page = await owner.get(PATH)
        assert 'value="connect"' in page.text
        assert 'value="disconnect"' in page.text


@pytest.mark.cold
async def test_connecting_and_disconnecting_at_another_implementation(
    connecting: AccountConnector, mastodon_mock: MastodonMock
) -> None:
    mastodon_mock.clear()
    target = Target(uid=mastodon_mock.uid, name="M", type="mastodon")
    asked = parse_qs(urlsplit(await connecting.begin(target)).query)
    # The form on the server's page, with the account that the owner chooses.
    form = {name: asked[name][0] for name in ("redirect_uri", "client_id", "scope", "state")}
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            f"{mastodon_mock.url}/oauth/authorize",
            data={**form, "username": "testuser"},
            allow_redirects=False,
        ) as answer,
    ):
        back = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert connecting.pending(target, back["state"][0])
    assert await connecting.end(target, back["code"][0]) == "@testuser"
    token = connecting.vault.get(target.uid, "token")
    client = Mastodon(Api(connecting.own, target.base), token)
    made = await client.post([("status", "Hello"), ("visibility", "public")], "key")
    assert mastodon_mock.copies() == ["Hello"]
    assert made.url.endswith(f"/@testuser/{made.id}")
    await connecting.disconnect(target)
    with pytest.raises(ApiError) as refused:
        await client.account()
    assert refused.value.denied
