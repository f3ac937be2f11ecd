"""``micropub-bridge token`` and ``owner``: app tokens and the owner's sign-in."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bridge.errors import Refused
from bridge.indieauth.database import Database
from bridge.indieauth.login.password import owner_reset
from bridge.indieauth.oauth.app_tokens import create_token, list_tokens, revoke_token
from bridge.runtime.private import is_held
from bridge.settings import Settings

_DAY_SECONDS = 86400


def create(settings: Settings, name: str, scopes: Sequence[str], days: int | None) -> None:
    """Create a token and print it; it expires after ``days``, ``None``: never. Raises
    :class:`Refused` for an invalid name or scope.
    """
    expires = time.time() + days * _DAY_SECONDS if days else None
    with _database(settings) as database:
        try:
            secret = create_token(
                database, name, scopes, client_id=settings.server.public_url, expires=expires
            )
        except ValueError as error:
            raise Refused(f"{error}. Run the command again with that corrected.") from error
    print(secret)


def print_all(settings: Settings) -> None:
    """Print a line for each token: its ID, name, scopes, last use and end."""
    with _database(settings) as database:
        tokens = list_tokens(database)
    if not tokens:
        print("There are no tokens. `token create NAME` creates one.", file=sys.stderr)
    for token in tokens:
        used = _day(token.last_used) if token.last_used else "never used"
        until = f"until {_day(token.expires)}" if token.expires else "until revoked"
        print(f"{token.id}\t{token.name}\t{' '.join(token.scopes)}\t{used}\t{until}")


def revoke(settings: Settings, name: str) -> None:
    """Revoke a token, named by its ID or its name. Raises :class:`Refused` if there is none."""
    with _database(settings) as database:
        if not revoke_token(database, int(name) if name.isdecimal() else name):
            raise Refused(f"There is no token {name!r}. `token list` shows the existing ones.")
    print("revoked")


def reset_owner(settings: Settings) -> None:
    """Print a new link for setting a password or passkey."""
    base = settings.server.public_url or f"http://127.0.0.1:{settings.server.port}"
    with _database(settings) as database:
        print(base.rstrip("/") + owner_reset(database))


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    """Open the built-in server's database."""
    if not settings.indieauth.enabled:
        raise Refused(
            "the built-in IndieAuth server is off, so it has no tokens."
            " Set [indieauth] enabled = true in bridge.toml."
        )
    file, state = settings.indieauth.database, settings.site.state
    if not file.exists() and state.is_dir() and is_held(state):
        # A new one would know no token and no passkey.
        raise Refused(
            f"{file} is gone, though the bridge runs. Copy a backup of it there, or stop the bridge"
            " to begin with a new one."
        )
    database = Database(file)
    try:
        yield database
    finally:
        database.close()


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
