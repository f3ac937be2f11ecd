"""The owner's password, and the one-time link for setting up."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from functools import cache
from urllib.parse import quote

import argon2

from bridge.errors import Unavailable
from bridge.indieauth.database import Database, as_bytes
from bridge.indieauth.login import one_time_links
from bridge.runtime.command_name import command

SETUP_SECONDS = 86400
MIN_PASSWORD = 10
MAX_PASSWORD = 1024

_SET_UP = "set-up"

_HASHER = argon2.PasswordHasher()

#: What argon2 reports of a machine that has no memory, or no threads, for it.
_SHORT = {"Memory allocation error", "Threading failure"}

_log = logging.getLogger(__name__)


class LinkUsed(Exception):
    """The set-up link was used, replaced, or has expired."""


def owner_reset(db: Database) -> str:
    """Create a set-up link and return its path; older ones become invalid."""
    secret = one_time_links.make(db, _SET_UP, seconds=SETUP_SECONDS, alone=True)
    return f"/auth/set-up?key={quote(secret)}"


def is_set_up(db: Database) -> bool:
    """Whether the owner has any way to sign in."""
    ways = "SELECT 1 FROM owner WHERE password IS NOT NULL UNION ALL SELECT 1 FROM passkeys"
    return db.one(ways) is not None


def has_password(db: Database) -> bool:
    """Whether a password is set."""
    return db.one("SELECT 1 FROM owner WHERE password IS NOT NULL") is not None


def set_password(db: Database, password: str) -> None:
    """Set the password; hashing blocks for a moment. Raises ``ValueError`` for a wrong length."""
    hashed = hash_password(password)
    with db.transaction() as connection:
        store_password(connection, hashed)


def hash_password(password: str) -> str:
    """The argon2id hash of a password. Raises ``ValueError`` if it is too short or too long."""
    if len(password) < MIN_PASSWORD:
        problem = f"A password needs at least {MIN_PASSWORD} characters."
        raise ValueError(problem)
    if len(password) > MAX_PASSWORD:
        problem = f"A password has at most {MAX_PASSWORD} characters."
        raise ValueError(problem)
    return _hash(password)


def _hash(password: str) -> str:
    try:
        return _HASHER.hash(as_bytes(password))
    except argon2.exceptions.HashingError as error:
        raise _no_memory() from error


def _no_memory() -> Unavailable:
    return Unavailable(
        "This machine is out of memory for checking a password. Try again in a moment."
    )


def store_password(connection: sqlite3.Connection, hashed: str) -> None:
    """Inside a transaction: store the hash of the new password."""
    owner_handle(connection)
    connection.execute("UPDATE owner SET password = ?", (hashed,))


def owner_handle(connection: sqlite3.Connection) -> bytes:
    """Inside a transaction: the random WebAuthn user handle of the owner, created once."""
    connection.execute(
        "INSERT OR IGNORE INTO owner (id, handle) VALUES (1, ?)", (secrets.token_bytes(32),)
    )
    (handle,) = connection.execute("SELECT handle FROM owner").fetchone()
    return bytes(handle)


async def check_password(db: Database, password: str) -> bool:
    """Whether this is the owner's password. Takes the same time where none is set."""
    row = db.one("SELECT password FROM owner WHERE password IS NOT NULL")
    stored = row["password"] if row else None
    fits = await asyncio.to_thread(_fits, stored, password[:MAX_PASSWORD])
    return fits and row is not None


def _fits(stored: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(stored or _dummy_hash(), as_bytes(password))
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.VerificationError, ValueError) as error:
        if str(error) in _SHORT:
            raise _no_memory() from error
        _log.error(
            "the stored hash of the password is damaged: no password fits. `%s owner reset` prints"
            " a link with which to set another",
            command(),
        )
        return False


@cache
def _dummy_hash() -> str:
    """A hash to compare with where no password is set, so that both cases take the same time."""
    return _hash(secrets.token_urlsafe(16))


def setup_link_is_good(db: Database, key: str) -> bool:
    """Whether a set-up link is valid now."""
    return one_time_links.is_good(db, key, _SET_UP)


def start_over(connection: sqlite3.Connection, key: str) -> None:
    """Inside a transaction: use up the set-up link and remove all ways to sign in.

    They may have been lost to someone else. Raises :class:`LinkUsed`.
    """
    if one_time_links.use_within(connection, key, _SET_UP) is None:
        raise LinkUsed
    connection.execute("UPDATE owner SET password = NULL")
    connection.execute("DELETE FROM passkeys")
    connection.execute("DELETE FROM sessions")
    connection.execute("DELETE FROM links")
    connection.execute("DELETE FROM browsers")
