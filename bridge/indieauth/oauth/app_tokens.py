"""App tokens: created by the owner for apps in which a token is pasted. Shown once, stored
hashed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from msgspec import Struct

from bridge.auth.token import OFFERED, Token
from bridge.errors import InvalidToken
from bridge.indieauth.database import Database, digest, new_secret

#: Smallest interval between two updates of a token's last use, in seconds.
_LAST_USE_SECONDS = 60


class AppToken(Struct, frozen=True):
    """An app token as listed for the owner, without its secret."""

    id: int
    name: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None
    last_used: float | None


def create_token(
    db: Database,
    name: str,
    scopes: Iterable[str],
    *,
    client_id: str = "",
    expires: float | None = None,
    renewable: bool = False,
) -> str:
    """Create an app token and return its secret, which is not stored.

    ``client_id`` is reported as the token's client; for pasted tokens it is the server itself.
    ``renewable``: its holder can extend its lifetime (:func:`renew_token`). Raises ``ValueError``
    for an unknown scope, no scope, or a blank name.
    """
    granted = tuple(dict.fromkeys(scopes))
    unknown = [scope for scope in granted if scope not in OFFERED]
    if unknown or not granted:
        raise ValueError(f"unknown scope; the known ones are: {' '.join(OFFERED)}")
    if not name.strip():
        raise ValueError("the name is empty; give the token a name to recognise it by")
    secret = new_secret()
    with db.transaction() as connection:
        connection.execute(
            "INSERT INTO tokens (hash, name, client_id, scope, created, expires, renewable)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(digest(secret), name.strip(), client_id, " ".join(granted)),
                *(time.time(), expires, renewable),
            ),
        )
    return secret


def list_tokens(db: Database) -> list[AppToken]:
    """The valid app tokens, newest first."""
    rows = db.all(
        "SELECT id, name, scope, created, expires, last_used FROM tokens"
        " WHERE grant_id IS NULL AND revoked IS NULL AND (expires IS NULL OR expires > ?)"
        " ORDER BY created DESC, id DESC",
        time.time(),
    )
    return [
        AppToken(
            id=row["id"],
            name=row["name"],
            scopes=tuple(row["scope"].split()),
            created=row["created"],
            expires=row["expires"],
            last_used=row["last_used"],
        )
        for row in rows
    ]


def revoke_token(db: Database, which: int | str) -> bool:
    """Revoke the app token with this id, or all with this name; true if there was any."""
    column = "id" if isinstance(which, int) else "name"
    with db.transaction() as connection:
        return (
            connection.execute(
                f"UPDATE tokens SET revoked = ? WHERE {column} = ?"  # noqa: S608 - one of two words above
                " AND grant_id IS NULL AND revoked IS NULL",
                (time.time(), which),
            ).rowcount
            > 0
        )


def rename_token(db: Database, token: int, name: str) -> None:
    """Rename an app token. Raises ``ValueError`` for a blank name."""
    if not name.strip():
        raise ValueError("the name is empty; give the token a name to recognise it by")
    with db.transaction() as connection:
        connection.execute(
            "UPDATE tokens SET name = ? WHERE id = ? AND grant_id IS NULL AND revoked IS NULL",
            (name.strip(), token),
        )


class StoredToken(Struct, frozen=True):
    """A valid access token, issued to an app or pasted; ``name`` is the owner's for the latter."""

    id: int
    name: str
    grant_id: int | None
    client_id: str
    scope: str
    created: float
    expires: float | None
    renewable: bool


def find_token(db: Database, secret: str) -> StoredToken | None:
    """The valid token with this secret, with its last use updated; ``None`` for any other text."""
    now = time.time()
    row = db.one(
        "SELECT tokens.id, tokens.name, grant_id, tokens.client_id, tokens.scope, tokens.created,"
        " expires, renewable, last_used FROM tokens LEFT JOIN grants ON grants.id = grant_id"
        " WHERE hash = ? AND tokens.revoked IS NULL AND grants.revoked IS NULL"
        " AND (expires IS NULL OR expires > ?)",
        digest(secret),
        now,
    )
    if row is None:
        return None
    if row["last_used"] is None or now - row["last_used"] > _LAST_USE_SECONDS:
        db.note("UPDATE tokens SET last_used = ? WHERE id = ?", now, row["id"])
    return StoredToken(
        id=row["id"],
        name="" if row["grant_id"] else row["name"],
        grant_id=row["grant_id"],
        client_id=row["client_id"],
        scope=row["scope"],
        created=row["created"],
        expires=row["expires"],
        renewable=bool(row["renewable"]),
    )


def renew_token(db: Database, token: StoredToken, now: float) -> None:
    """Extend a renewable token by its original lifetime from now on.

    The expiry of other tokens was chosen by the owner and stays.
    """
    if token.expires is None or not token.renewable:
        return
    with db.transaction() as connection:
        connection.execute(
            "UPDATE tokens SET created = ?, expires = ? WHERE id = ?",
            (now, now + token.expires - token.created, token.id),
        )


class BuiltinVerifier:
    """A :class:`bridge.auth.token.TokenVerifier` that reads the built-in server's database."""

    def __init__(self, db: Database, me: str) -> None:
        self._db = db
        self._me = me

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        """Look up a token. Raises :class:`InvalidToken`. Nothing is cached, so ``fresh`` has
        no effect.
        """
        found = find_token(self._db, token)
        if found is None:
            raise InvalidToken("This token is unknown, expired or revoked.")
        return Token(
            me=self._me,
            scopes=frozenset(found.scope.split()),
            client_id=found.client_id or None,
            expires=found.expires,
            name=found.name,
        )
