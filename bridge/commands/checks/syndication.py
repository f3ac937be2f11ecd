"""Checks the accounts that posts are syndicated to."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import aiohttp

from bridge.commands.checks import Finding
from bridge.commands.checks.http_requests import ask
from bridge.indieauth.database import Database
from bridge.net.fetch import GuardedFetch
from bridge.settings import Settings, Target, prefix_of
from bridge.store import Blob, StoreError
from bridge.store.git import GitStore
from bridge.syndication.accounts import make_vault, try_account
from bridge.syndication.api import ApiError
from bridge.syndication.jobs.ledger import Ledger

_BRIDGY = "https://brid.gy/"
#: The source URLs of Bridgy's webmentions: https://brid.gy/KIND/NETWORK/…
_SENT = re.compile(rb"https?://(?:www\.)?brid\.gy/\w+/(mastodon|bluesky)/")
#: Links on a home page that show that Bridgy is used.
_NAMED = re.compile(rb"https?://(?:www\.)?brid\.gy/(?:publish/)?(mastodon|bluesky)\b")
#: Older mentions do not show that Bridgy is still used.
_RECENTLY = timedelta(days=60)


async def check_syndication(settings: Settings) -> AsyncIterator[Finding]:
    """Ask each target with a type for the account of its token."""
    targets = [target for target in settings.syndication.targets if target.type]
    if not targets:
        return
    async for finding in _check_bridgy(settings, targets):
        yield finding
    indieauth = settings.indieauth
    has_database = indieauth.enabled and indieauth.database.is_file()
    database = Database(indieauth.database) if has_database else None
    try:
        vault = make_vault(settings, database)
        async with (
            GuardedFetch() as guarded,
            GuardedFetch(admits=lambda _: True, any_port=True) as own,
        ):
            for target in targets:
                try:
                    account = await try_account(target, vault, own, guarded)
                except ApiError as error:
                    remedy = "Set token_file, or connect the account at /desk/syndication."
                    if not error.denied:
                        remedy = "Check whether its server is up, and its URL in the settings."
                    fact = f"{error}{_since(settings, target.uid)}"
                    yield Finding(f"copies at {target.name}", fact, remedy)
                else:
                    yield Finding(
                        f"copies at {target.name}", f"the bridge is signed in as {account}"
                    )
    finally:
        if database is not None:
            database.close()


def _since(settings: Settings, uid: str) -> str:
    """Since when the running bridge has had this problem, for the message; ``""`` if it has not."""
    folder = settings.site.state / "keep" / "syndication"
    trouble = Ledger(folder).trouble(uid) if folder.is_dir() else None
    if trouble is None:
        return ""
    return f" (since {datetime.fromtimestamp(trouble.since, UTC).astimezone():%Y-%m-%d %H:%M})"


async def _check_bridgy(settings: Settings, targets: Sequence[Target]) -> AsyncIterator[Finding]:
    """Check that responses are not imported by both the bridge and Bridgy."""
    with_backfeed = {target.type for target in targets if target.backfeed != "none"}
    if not (with_backfeed and settings.webmention.receive):
        return
    used = await asyncio.to_thread(_sent_by_bridgy, settings)
    async with aiohttp.ClientSession() as session:
        page = await ask(session, settings.site.me, accept="text/html")
        used |= {match[1].decode() for match in _NAMED.finditer(page.body)}
    for kind in sorted(with_backfeed & used):
        yield Finding(
            f"responses from {kind.title()}",
            "both Bridgy and the bridge import them",
            f'Turn it off at {_BRIDGY}, or set backfeed = "none".',
            broken=False,
        )


def _sent_by_bridgy(settings: Settings) -> set[str]:
    """The networks from which Bridgy has sent mentions recently, according to the site's files."""
    folder = f"{prefix_of(settings.content.folder)}{settings.webmention.folder}"
    try:
        store = GitStore(
            settings.site.repo, branch=settings.site.branch, author=settings.publish.author
        )
    except StoreError:
        return set()
    try:
        head = store.head()
        if head is None:
            return set()
        files = [blob for path, blob in store.files(folder, head) if path.endswith(".json")]
        return {*_networks(store.blobs(files))}
    except StoreError:
        return set()
    finally:
        store.close()


def _networks(mentions: Iterable[Blob]) -> Iterable[str]:
    since = datetime.now(UTC) - _RECENTLY
    for each in mentions:
        match = _SENT.search(each.data)
        if match and _received(each.data) >= since:
            yield match[1].decode()


def _received(mention: bytes) -> datetime:
    try:
        found = datetime.fromisoformat(json.loads(mention)["wm-received"])
    except (ValueError, TypeError, KeyError):
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
