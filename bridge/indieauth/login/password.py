"""The owner's password, and the one-time link that sets one up."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from functools import cache
from urllib.parse import quote

import argon2

from bridge.indieauth.database import Database, as_bytes
from bridge.indieauth.login import one_time_links

SETUP_SECONDS = 86400
MIN_PASSWORD = 10
MAX_PASSWORD = 1024

_SET_UP = "set-up"

_HASHER = argon2.PasswordHasher()


class LinkUsed(Exception):
    """A set-up link that was used, replaced, or is too old."""


def owner_reset(db: Database) -> str:
    """A new one-time set-up link, as a path; older ones stop to work."""
    secret = one_time_links.make(db, _SET_UP, seconds=SETUP_SECONDS, alone=True)
    return f"/auth/set-up?key={quote(secret)}"


def is_set_up(db: Database) -> bool:
    """Whether the owner has any way to sign in."""
    ways = "SELECT 1 FROM owner WHERE password IS NOT NULL UNION ALL SELECT 1 FROM passkeys"
    return db.one(ways) is not None


def has_password(db: Database) -> bool:
    """Whether a password is one of them."""
    return db.one("SELECT 1 FROM owner WHERE password IS NOT NULL") is not None


def set_password(db: Database, password: str) -> None:
    """Set the owner's password. Blocks for a moment. Raises ``ValueError`` for a poor one."""
    hashed = hash_password(password)
    with db.transaction() as connection:
        store_password(connection, hashed)


def hash_password(password: str) -> str:
    """What is stored of a password. Raises ``ValueError`` for one that is too short or too long."""
    if len(password) < MIN_PASSWORD:
        raise ValueError(f"A password needs at least {MIN_PASSWORD} characters.")
    if len(password) > MAX_PASSWORD:
        raise ValueError(f"A password has at most {MAX_PASSWORD} characters.")
    return _HASHER.hash(as_bytes(password))


def store_password(connection: sqlite3.Connection, hashed: str) -> None:
    """Inside a transaction: this is the password from now on."""
    owner_handle(connection)
    connection.execute("UPDATE owner SET password = ?", (hashed,))


def owner_handle(connection: sqlite3.Connection) -> bytes:
    """Inside a transaction: the random id under which passkeys know the owner, made once."""
    connection.execute(
        "INSERT OR IGNORE INTO owner (id, handle) VALUES (1, ?)", (secrets.token_bytes(32),)
    )
    (handle,) = connection.execute("SELECT handle FROM owner").fetchone()
    return bytes(handle)


async def check_password(db: Database, password: str) -> bool:
    """Whether this is the owner's password. Takes as long where none is set."""
    row = db.one("SELECT password FROM owner WHERE password IS NOT NULL")
    stored = row["password"] if row else None
    fits = await asyncio.to_thread(_fits, stored, password[:MAX_PASSWORD])
    return fits and row is not None


def _fits(stored: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(stored or _dummy_hash(), as_bytes(password))
    except argon2.exceptions.VerificationError:
        return False


@cache
def _dummy_hash() -> str:
    """Compared with where no password is set, so that both take the same time."""
    return _HASHER.hash(secrets.token_urlsafe(16))


def setup_link_is_good(db: Database, key: str) -> bool:
    """Whether a set-up link would work now."""
    return one_time_links.is_good(db, key, _SET_UP)


def start_over(connection: sqlite3.Connection, key: str) -> None:
    """Inside a transaction: use the set-up link up. Raises :class:`LinkUsed`.

    Every older way in ends: the one who needs the link has lost them, perhaps to someone else.
    """
    if one_time_links.use_within(connection, key, _SET_UP) is None:
        raise LinkUsed
    connection.execute("UPDATE owner SET password = NULL")
    connection.execute("DELETE FROM passkeys")
    connection.execute("DELETE FROM sessions")
    connection.execute("DELETE FROM links")
    connection.execute("DELETE FROM browsers")
