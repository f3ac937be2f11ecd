"""The accounts that the settings name: their tokens, and clients for them."""

from __future__ import annotations

from pathlib import Path

from bridge.indieauth.database import Database
from bridge.net.fetch import GuardedFetch
from bridge.settings import Settings, Target
from bridge.syndication.api import Api, ApiError, digest
from bridge.syndication.backfeed.responses import CopyAnswers
from bridge.syndication.bluesky.client import Bluesky
from bridge.syndication.bluesky.copies import BlueskyNetwork
from bridge.syndication.compose.composer import CopySource
from bridge.syndication.environment import (
    DatabaseVault,
    FileVault,
    Vault,
    VaultSessions,
)
from bridge.syndication.jobs.ledger import Copy, Job
from bridge.syndication.mastodon.client import Mastodon
from bridge.syndication.mastodon.copies import MastodonNetwork
from bridge.syndication.networks import Account, CreatedCopy, Environment


def make_vault(settings: Settings, database: Database | None) -> Vault:
    """The store for tokens and sessions: the database if there is one, else a file."""
    if database is not None:
        return DatabaseVault(database)
    return FileVault(settings.site.state / "keep" / "syndication" / "secrets.json")


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
        raise ApiError(
            "it has no token: set token_file, or connect the account on the desk", status=401
        )
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
