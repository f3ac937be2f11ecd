"""The stored passkeys, and the challenges (WebAuthn 13.4.3) that they sign.
:mod:`bridge.indieauth.webauthn.ceremony` creates and verifies passkeys.

A challenge is random, bound to one browser, and valid once and for a short time. Anyone may ask for
any number of them, so no state is kept for a challenge: it has a MAC. Only those that a passkey has
signed are remembered.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable

from msgspec import Struct

from bridge.indieauth.database import Database
from bridge.runtime.expiring_map import ExpiringMap

SECONDS = 300
_RANDOM, _TIME = 16, 8


class PasskeyRefused(Exception):
    """The browser's response is not a valid proof."""


class Passkey(Struct, frozen=True):
    """A passkey as listed for the owner."""

    id: int
    name: str
    created: float
    last_used: float | None


class Proven(Struct, frozen=True):
    """A new passkey that was verified but not stored yet."""

    credential: bytes
    public_key: bytes
    sign_count: int


class RelyingParty(Struct, frozen=True):
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


class Challenges:
    """Issues and recognises challenges; they do not survive a restart."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._answered: ExpiringMap[bool] = ExpiringMap(seconds=SECONDS, clock=clock)

    def make(self, browser: str) -> bytes:
        """A new challenge for the browser with this cookie."""
        until = int(self._clock()) + SECONDS
        head = secrets.token_bytes(_RANDOM) + until.to_bytes(_TIME, "big")
        return head + self._seal(head, browser)

    def is_open(self, challenge: bytes, browser: str) -> bool:
        """Whether a challenge was issued for this browser, has not expired, and was not used."""
        head, seal = challenge[: _RANDOM + _TIME], challenge[_RANDOM + _TIME :]
        return (
            hmac.compare_digest(seal, self._seal(head, browser))
            and self._clock() < int.from_bytes(head[_RANDOM:], "big")
            and not self._answered.get(challenge.hex())
        )

    def answered(self, challenge: bytes) -> None:
        """Mark a challenge as used, so that its signature cannot be replayed."""
        self._answered.put(challenge.hex(), True)

    def _seal(self, head: bytes, browser: str) -> bytes:
        return hmac.digest(self._key, head + browser.encode(), hashlib.sha256)
