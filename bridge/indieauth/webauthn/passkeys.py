"""The stored passkeys. :mod:`bridge.indieauth.webauthn.ceremony` creates and verifies them."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from bridge.indieauth.database import Database


class PasskeyRefused(Exception):
    """The browser's response is not a valid proof."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey as listed for the owner."""

    id: int
    name: str
    created: float
    last_used: float | None


@dataclass(frozen=True, slots=True)
class Proven:
    """A new passkey that was verified but not stored yet."""

    credential: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The relying party of passkeys: the host that they are bound to, and the only allowed
    origin.
    """

    host: str
    origin: str


def store_passkey(connection: sqlite3.Connection, proven: Proven, name: str) -> None:
    """Inside a transaction: store a passkey.

    Raises :class:`PasskeyRefused` if it is stored already.
    """
    try:
        connection.execute(
            "INSERT INTO passkeys (credential, public_key, sign_count, name, created)"
            " VALUES (?, ?, ?, ?, ?)",
            (proven.credential, proven.public_key, proven.sign_count, name, time.time()),
        )
    except sqlite3.IntegrityError as error:
        raise PasskeyRefused("That passkey is already here.") from error


def list_passkeys(db: Database) -> list[Passkey]:
    """The owner's passkeys, newest first."""
    rows = db.all("SELECT * FROM passkeys ORDER BY created DESC, id DESC")
    return [Passkey(row["id"], row["name"], row["created"], row["last_used"]) for row in rows]


def rename_passkey(db: Database, passkey: int, name: str) -> None:
    """Rename a passkey. Raises ``ValueError`` for a blank name."""
    if not name.strip():
        raise ValueError("the name is empty; give the passkey a name to recognise it by")
    with db.transaction() as connection:
        connection.execute("UPDATE passkeys SET name = ? WHERE id = ?", (name.strip(), passkey))


def remove_passkey(db: Database, passkey: int) -> None:
    """Remove a passkey."""
    with db.transaction() as connection:
        connection.execute("DELETE FROM passkeys WHERE id = ?", (passkey,))
