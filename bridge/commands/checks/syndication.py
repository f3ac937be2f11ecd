"""Whether the accounts that copies go to let the bridge in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from bridge.commands.checks import Finding
from bridge.indieauth.database import Database
from bridge.net.fetch import GuardedFetch
from bridge.settings import Settings
from bridge.syndication.api import ApiError
from bridge.syndication.factory import make_vault, try_account
from bridge.syndication.jobs import Ledger


async def check_syndication(settings: Settings) -> AsyncIterator[Finding]:
    """Each target with a type is asked whose account it is."""
    targets = [target for target in settings.syndication.targets if target.type]
    if not targets:
        return
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
                        remedy = "See whether its server is up, and its address in the settings."
                    told = f"{error}{_since(settings, target.uid)}"
                    yield Finding(f"copies at {target.name}", told, remedy)
                else:
                    yield Finding(f"copies at {target.name}", f"the bridge is {account} there")
    finally:
        if database is not None:
            database.close()


def _since(settings: Settings, uid: str) -> str:
    """Since when the running bridge knows of it."""
    folder = settings.site.state / "keep" / "syndication"
    trouble = Ledger(folder).trouble(uid) if folder.is_dir() else None
    if trouble is None:
        return ""
    return f" (since {datetime.fromtimestamp(trouble.since, UTC).astimezone():%Y-%m-%d %H:%M})"
