"""One-time links: random, stored hashed, valid once, for one purpose and a short time.

The link for setting up is printed in the terminal; others are mailed.
"""

from __future__ import annotations

import sqlite3
import time
from urllib.parse import quote

from msgspec import Struct

from bridge.indieauth.database import Database, digest, new_secret

SECONDS = 600


class UsedLink(Struct, frozen=True):
    """A link that has just been used. ``then`` is the path to continue to, if any."""

    then: str | None


def make(
    db: Database,
    purpose: str,
    *,
    browser: str | None = None,
    then: str | None = None,
    seconds: float = SECONDS,
    alone: bool = False,
) -> str:
    """Create a link and return its secret.

    ``browser`` is the cookie of the only browser that may use it; ``alone`` deletes older links for
    this purpose.
    """
    secret, now = new_secret(), time.time()
    with db.transaction() as connection:
        connection.execute(
            "DELETE FROM links WHERE expires < ? OR (? AND purpose = ?)", (now, alone, purpose)
        )
        connection.execute(
            "INSERT INTO links (hash, purpose, name, browser, expires) VALUES (?, ?, ?, ?, ?)",
            (digest(secret), purpose, then, digest(browser) if browser else None, now + seconds),
        )
    return secret


def is_good(db: Database, secret: str, purpose: str) -> bool:
    """Whether a link that is not bound to a browser is valid now."""
    found = db.one(
        "SELECT 1 FROM links WHERE hash = ? AND purpose = ? AND browser IS NULL AND expires > ?",
        *(digest(secret), purpose, time.time()),
    )
    return found is not None


def use(db: Database, secret: str, purpose: str, *, browser: str | None = None) -> UsedLink | None:
    """Use up a link; ``None`` if it is unknown, used, expired, or bound to another browser."""
    with db.transaction() as connection:
        return use_within(connection, secret, purpose, browser=browser)


def use_within(
    connection: sqlite3.Connection, secret: str, purpose: str, *, browser: str | None = None
) -> UsedLink | None:
    """The same inside a transaction, which can include what the link is used for."""
    row = connection.execute(
        "DELETE FROM links WHERE hash = ? AND purpose = ? AND browser IS ? AND expires > ?"
        " RETURNING name",
        (digest(secret), purpose, digest(browser) if browser else None, time.time()),
    ).fetchone()
    return UsedLink(row["name"]) if row is not None else None


def path(secret: str) -> str:
    """The link's path. It contains nothing that the client has sent."""
    return f"auth/sign-in/link?key={quote(secret)}"
