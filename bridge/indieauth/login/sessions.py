"""The sessions of signed-in browsers."""

from __future__ import annotations

import sqlite3
import time

from msgspec import Struct

from bridge.indieauth.database import Database, digest, new_secret

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("Chrome", "Chrome"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
)
SECONDS = 30 * 86400
_LAST_USE_SECONDS = 60
#: For how many seconds after a proof of identity sensitive changes are allowed.
RECENT_SECONDS = 300


def device(user_agent: str) -> str:
    """A name such as “Firefox on Linux”. The order of the lists matters, since browsers name
    each other in their user agents.
    """
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return " on ".join(filter(None, (browser, system))) or "Unknown browser"


class Session(Struct, frozen=True):
    """One signed-in browser.

    ``way`` is how it signed in, ``device`` its name, ``proven`` when the owner last proved their
    identity in it.
    """

    id: int
    way: str
    device: str
    created: float
    last_used: float
    proven: float

    @property
    def is_recent(self) -> bool:
        """Whether that was within the last :data:`RECENT_SECONDS`."""
        # A proof that is in the future was given while the clock was ahead, perhaps long ago.
        return abs(time.time() - self.proven) <= RECENT_SECONDS


def start_session(db: Database, *, way: str, device: str) -> str:
    """Start a session; returns the new value of the browser's cookie."""
    secret, now = new_secret(), time.time()
    with db.transaction() as connection:
        connection.execute("DELETE FROM sessions WHERE expires < ?", (now,))
        connection.execute(
            "INSERT INTO sessions (hash, way, device, created, last_used, expires)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (digest(secret), way, device, now, now, now + SECONDS),
        )
    return secret


def find_session(db: Database, secret: str) -> Session | None:
    """The session of a cookie, with its last use updated; ``None`` if there is none."""
    now = time.time()
    row = db.one("SELECT * FROM sessions WHERE hash = ? AND expires > ?", digest(secret), now)
    if row is None:
        return None
    if now - row["last_used"] > _LAST_USE_SECONDS:
        db.note(
            "UPDATE sessions SET last_used = ?, expires = ? WHERE id = ?",
            *(now, now + SECONDS, row["id"]),
        )
    return _session(row)


def _session(row: sqlite3.Row) -> Session:
    proven = row["proven"] or row["created"]
    return Session(row["id"], row["way"], row["device"], row["created"], row["last_used"], proven)


def prove_again(db: Database, session: int) -> None:
    """Record that the owner has just proved their identity in this session."""
    with db.transaction() as connection:
        connection.execute("UPDATE sessions SET proven = ? WHERE id = ?", (time.time(), session))


def list_sessions(db: Database) -> list[Session]:
    """All signed-in browsers, the most recently used first."""
    rows = db.all(
        "SELECT * FROM sessions WHERE expires > ? ORDER BY last_used DESC, id DESC", time.time()
    )
    return [_session(row) for row in rows]


def end_session(db: Database, session: int) -> None:
    """End one session."""
    with db.transaction() as connection:
        connection.execute("DELETE FROM sessions WHERE id = ?", (session,))


def end_other_sessions(db: Database, keep: int) -> None:
    """End all sessions but one."""
    with db.transaction() as connection:
        connection.execute("DELETE FROM sessions WHERE id <> ?", (keep,))
