"""What SQLite's errors say of a file that another program may have changed or removed."""

from __future__ import annotations

import sqlite3

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_OTHERWISE_UNUSABLE = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PROTOCOL,
}
_IN_WORDS = ("no such table", "no such column", "Could not decode")


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file was overwritten or truncated."""
    return primary_code(error) in _DAMAGED or str(error).startswith(_IN_WORDS)


def is_unusable(error: sqlite3.Error) -> bool:
    """Whether another file in place of this one would help."""
    return is_damaged(error) or primary_code(error) in _OTHERWISE_UNUSABLE


def primary_code(error: sqlite3.Error) -> int | None:
    """SQLite's primary error code; errors of Python's module have none."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
