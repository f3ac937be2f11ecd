"""How the owner proves to be the owner: a password, and the one-time link that sets one up."""

from __future__ import annotations

import asyncio
import secrets
import time
from urllib.parse import quote

import argon2

from bridge.indieauth.database import Database, digest, new_secret

SETUP_SECONDS = 86400
MIN_PASSWORD = 10
MAX_PASSWORD = 1024

_HASHER = argon2.PasswordHasher()
#: Compared with where no password is set, so that both take the same time.
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))


def owner_reset(db: Database) -> str:
    """A new one-time set-up link, as a path; older ones stop to work."""
    secret = new_secret()
    with db.transaction() as connection:
        connection.execute("DELETE FROM links WHERE purpose = 'set-up'")
        connection.execute(
            "INSERT INTO links (hash, purpose, expires) VALUES (?, 'set-up', ?)",
            (digest(secret), time.time() + SETUP_SECONDS),
        )
    return f"/auth/set-up?key={quote(secret)}"


def is_set_up(db: Database) -> bool:
    """Whether the owner has any way to sign in."""
    ways = "SELECT 1 FROM owner WHERE password IS NOT NULL UNION ALL SELECT 1 FROM passkeys"
    return db.one(ways) is not None


def set_password(db: Database, password: str) -> None:
    """Set the owner's password. Blocks for a moment. Raises ``ValueError`` for a poor one."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise ValueError(f"a password has at least {MIN_PASSWORD} characters")
    hashed = _HASHER.hash(password)
    with db.transaction() as connection:
        connection.execute(
            "INSERT INTO owner (id, handle, password) VALUES (1, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET password = excluded.password",
            (secrets.token_bytes(32), hashed),
        )


async def check_password(db: Database, password: str) -> bool:
    """Whether this is the owner's password. Takes as long where none is set."""
    row = db.one("SELECT password FROM owner WHERE password IS NOT NULL")
    stored = row["password"] if row else _NOBODY
    fits = await asyncio.to_thread(_fits, stored, password[:MAX_PASSWORD])
    return fits and row is not None


def _fits(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except argon2.exceptions.VerificationError:
        return False
