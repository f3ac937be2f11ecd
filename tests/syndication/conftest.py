"""Sites whose posts are syndicated to networks on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import partner_kit
import pytest
from git_kit import new_repo
from partner_kit import PDS, Partner
from site_kit import CONF
from syndication_kit import Bench, close_bench, make_bench

from bridge.store import Change, Commit
from bridge.store.git import GitStore

BOTH = ("mastodon", "bluesky")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GitStore]:
    folder = new_repo(tmp_path / "repo.git", bare=True)
    store = GitStore(folder, author="Owner <owner@example.org>")
    store.commit([Commit((Change("pelicanconf.py", CONF.encode(), None),), "settings", None)])
    yield store
    store.close()


@pytest.fixture(params=BOTH)
async def fake(
    request: pytest.FixtureRequest, store: GitStore, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A target at our own fake: each network in turn."""
    bench = await make_bench(tmp_path, store, [request.param])
    yield bench
    await close_bench(bench)


@pytest.fixture(
    params=[
        *BOTH,
        pytest.param("mastodon-mock", marks=[pytest.mark.cold, pytest.mark.nightly]),
        PDS,
    ]
)
async def one(
    request: pytest.FixtureRequest, store: GitStore, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A target: each network in turn, at our own fake and at another implementation."""
    kinds = {"mastodon-mock": "mastodon", "pds": "bluesky"}
    partner: Partner | None = None
    if request.param in kinds:
        partner = request.getfixturevalue(request.param.replace("-", "_"))
        assert partner is not None
        partner.clear()
    bench = await make_bench(tmp_path, store, [kinds.get(request.param, request.param)], partner)
    yield bench
    await close_bench(bench)


@pytest.fixture(scope="session")
def mastodon_mock() -> Iterator[partner_kit.MastodonMock]:
    """mastodon-mock from PyPI."""
    with partner_kit.mastodon_mock() as partner:
        yield partner


@pytest.fixture(scope="session")
def pds() -> Iterator[partner_kit.Pds]:
    """A real PDS from npm."""
    with partner_kit.real_pds() as partner:
        yield partner


@pytest.fixture
async def mastodon(store: GitStore, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await make_bench(tmp_path, store, ["mastodon"])
    yield bench
    await close_bench(bench)


@pytest.fixture
async def bluesky(store: GitStore, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await make_bench(tmp_path, store, ["bluesky"])
    yield bench
    await close_bench(bench)


@pytest.fixture
async def both(store: GitStore, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await make_bench(tmp_path, store, BOTH)
    yield bench
    await close_bench(bench)
