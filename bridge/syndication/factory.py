"""Constructs the syndicator with its accounts from the settings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from bridge.indieauth.database import Database
from bridge.media.library import MediaLibrary
from bridge.micropub.post import Post, discover
from bridge.net.fetch import GuardedFetch
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer
from bridge.posts.post_files import PostReader
from bridge.posts.reservations import Reservations
from bridge.rebuild import Rebuilder
from bridge.settings import Settings, Target
from bridge.store import ContentStore
from bridge.syndication.api import Api, ApiError, digest
from bridge.syndication.backfeed.responses import CopyAnswers
from bridge.syndication.backfeed.search import Backfeed, ResponseReceiver
from bridge.syndication.bluesky.client import Bluesky
from bridge.syndication.bluesky.copies import BlueskyNetwork
from bridge.syndication.bluesky.records import post_at
from bridge.syndication.compose.composer import CopySource, source_of
from bridge.syndication.compose.post_page import PostPage
from bridge.syndication.environment import (
    BridgeEnvironment,
    DatabaseVault,
    FileVault,
    PostPages,
    Vault,
    VaultSessions,
)
from bridge.syndication.jobs import Copy, Job, Ledger
from bridge.syndication.mastodon.client import Mastodon
from bridge.syndication.mastodon.copies import MastodonNetwork
from bridge.syndication.networks import Account, CreatedCopy, Environment
from bridge.syndication.syndicator import Syndicator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANSWERS = frozenset({"reply", "like", "repost", "rsvp"})
#: URLs of statuses at ActivityPub servers: Mastodon, Pleroma, Misskey and others.
_STATUS = re.compile(
    r"^https?://[^/]+/(?:@[\w.@-]+/(?:statuses/)?\w+|users/[\w.-]+/statuses/\w+|notice/\w+"
    r"|objects/[\w-]+|notes/\w+|p/[\w.-]+/\d+)/?$"
)


def make_vault(settings: Settings, database: Database | None) -> Vault:
    """The store for tokens and sessions: the database if there is one, else a file."""
    if database is not None:
        return DatabaseVault(database)
    return FileVault(settings.site.state / "keep" / "syndication" / "secrets.json")


def make_syndicator(
    settings: Settings,
    store: ContentStore,
    catalogue: Catalogue,
    posts: PostReader,
    reservations: Reservations,
    committer: Committer,
    media: MediaLibrary,
    rebuilder: Rebuilder,
    guarded: GuardedFetch,
    own: GuardedFetch,
    vault: Vault,
) -> Syndicator:
    """The syndicator, not started. ``own`` may reach the servers named in the settings,
    ``guarded`` only public addresses.
    """
    ledger = Ledger(settings.site.state / "keep" / "syndication")
    syndicator = Syndicator(
        store,
        catalogue,
        posts,
        reservations,
        committer,
        ledger,
        PostPages(store, rebuilder, guarded),
        folder=settings.content.folder,
    )
    environment = BridgeEnvironment(posts, media, guarded, ledger.save, syndicator.is_taken)
    accounts = {
        target.uid: make_account(target, vault, environment, own, guarded)
        for target in settings.syndication.targets
        if target.type
    }
    syndicator.start(accounts)
    return syndicator


def make_backfeed(
    syndicator: Syndicator, catalogue: Catalogue, posts: PostReader, receiver: ResponseReceiver
) -> Backfeed:
    """The importer of responses, not started."""
    return Backfeed(catalogue, posts, syndicator.ledger, receiver, syndicator.accounts)


def make_account(
    target: Target, vault: Vault, environment: Environment, own: GuardedFetch, guarded: GuardedFetch
) -> Account:
    """A target with its network; the token is read again whenever it changes."""

    def token() -> str:
        try:
            return digest(token_of(target, vault))[:16]
        except ApiError:
            return ""

    return Account(target, _TokenFollower(target, vault, environment, own, guarded), token)


def token_of(target: Target, vault: Vault) -> str:
    """The access token or app password of a target.

    Raises :class:`ApiError` with status 401 where there is none.
    """
    if target.token_file:
        try:
            found = Path(target.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            words = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ApiError(
                f"token_file {target.token_file} cannot be read: {words}", status=401
            ) from error
        if not found:
            raise ApiError(f"token_file {target.token_file} is empty", status=401)
        return found
    found = vault.get(target.uid, "token")
    if not found:
        words = "it has no token: set token_file, or connect the account on the desk"
        raise ApiError(words, status=401)
    return found


class _TokenFollower:
    """A network whose client is replaced when the token changes."""

    def __init__(
        self,
        target: Target,
        vault: Vault,
        environment: Environment,
        own: GuardedFetch,
        guarded: GuardedFetch,
    ) -> None:
        self._target, self._vault, self._environment = target, vault, environment
        self._own, self._guarded = own, guarded
        self._token = ""
        self._network: MastodonNetwork | BlueskyNetwork | None = None

    @property
    def current(self) -> MastodonNetwork | BlueskyNetwork:
        """The network client for the present token. Raises :class:`ApiError`."""
        token = token_of(self._target, self._vault)
        if self._network is None or token != self._token:
            self._token, self._network = token, self._made(token)
        return self._network

    def _made(self, token: str) -> MastodonNetwork | BlueskyNetwork:
        target = self._target
        if target.type == "mastodon":
            client = Mastodon(Api(self._own, target.base), token)
            return MastodonNetwork(target, client, self._environment)
        bluesky = make_bluesky(target, self._vault, token, self._own, self._guarded)
        return BlueskyNetwork(target, bluesky, self._environment)

    async def post(self, job: Job, source: CopySource) -> CreatedCopy:
        """See :class:`Network`."""
        return await self.current.post(job, source)

    async def edit(self, job: Job, source: CopySource, copy: Copy) -> CreatedCopy | None:
        """See :class:`Network`."""
        return await self.current.edit(job, source, copy)

    async def delete(self, job: Job) -> None:
        """See :class:`Network`."""
        await self.current.delete(job)

    async def answers(self, url: str, copy_id: str, seen: str, *, full: bool) -> CopyAnswers | None:
        """See :class:`Network`."""
        return await self.current.answers(url, copy_id, seen, full=full)

    def is_mine(self, url: str) -> bool:
        """See :class:`Network`."""
        network = self._network or self._made("")
        return network.is_mine(url)


def _needs_discovery(target: Target) -> bool:
    """Whether the account's server has to be discovered from its handle."""
    return target.base == "https://bsky.social"


def default_targets(targets: Iterable[Target], post: Post) -> tuple[str, ...]:
    """The uids of the targets selected for a new post without ``mp-syndicate-to``.

    A response is copied only to the network of what it responds to, and an unlisted post not to
    targets with public visibility.
    """
    kind = discover(post)
    about = source_of(post, PostPage(), "", _EPOCH).about
    unlisted = str(post.first("visibility") or "").strip().lower() == "unlisted"
    chosen = []
    for target in targets:
        if not target.default or (unlisted and target.type == "bluesky"):
            continue
        if kind in _ANSWERS and not any(_is_in_network(target, url) for url in about):
            continue
        chosen.append(target.uid)
    return tuple(chosen)


def _is_in_network(target: Target, url: str) -> bool:
    """Whether ``url`` looks like a post in the target's network."""
    if target.type == "bluesky":
        return post_at(url) is not None
    return target.type == "mastodon" and post_at(url) is None and bool(_STATUS.search(url))


async def try_account(
    target: Target, vault: Vault, own: GuardedFetch, guarded: GuardedFetch
) -> str:
    """The name of the account that a target's token belongs to. Raises :class:`ApiError`."""
    token = token_of(target, vault)
    if target.type == "mastodon":
        return (await Mastodon(Api(own, target.base), token).account()).acct
    return await make_bluesky(target, vault, token, own, guarded).did()


def make_bluesky(
    target: Target, vault: Vault, password: str, own: GuardedFetch, guarded: GuardedFetch
) -> Bluesky:
    """The Bluesky client of a target."""
    return Bluesky(
        own,
        guarded,
        server=target.server.rstrip("/") or ("" if _needs_discovery(target) else target.base),
        appview=target.appview.rstrip("/"),
        handle=target.handle,
        password=password,
        sessions=VaultSessions(vault, target.uid),
    )
