"""Grants: authorization codes, and the tokens that they are exchanged for (IndieAuth 5).

A grant is one consent of the owner. Its code, access tokens and refresh tokens belong to it, so
revoking the grant revokes all of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import sqlite3
import time
from collections.abc import Set

from msgspec import Struct

from bridge.auth.token import IDENTITY, words
from bridge.errors import OAuthError
from bridge.indieauth.database import Database, digest, new_secret
from bridge.indieauth.server import IndieAuthServer

CODE_SECONDS = 600
ACCESS_SECONDS = 30 * 86400
REFRESH_SECONDS = 365 * 86400
_UNKNOWN_REFRESH = "This refresh token is unknown, expired or revoked."
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def profile(server: IndieAuthServer, scopes: Set[str]) -> dict[str, str]:
    """Name, photo and URL of the owner; the e-mail address only with the scope ``email``."""
    about = {"name": server.config.name, "url": server.me, "photo": server.config.photo}
    if "email" in scopes:
        about["email"] = server.config.email
    return {key: value for key, value in about.items() if value}


class Consent(Struct, frozen=True):
    """What the owner consented to. ``challenge`` is ``None`` for an app without PKCE."""

    client_id: str
    client_name: str
    redirect_uri: str
    challenge: str | None
    scope: str


class Grant(Struct, frozen=True):
    """A grant whose code or refresh token was just redeemed."""

    id: int
    client_id: str
    scope: str


class Issued(Struct, frozen=True):
    """An access token with its refresh token."""

    access: str
    refresh: str
    scope: str
    seconds: int


class ConnectedApp(Struct, frozen=True):
    """A grant as listed for the owner."""

    id: int
    client_id: str
    name: str
    scopes: tuple[str, ...]
    created: float
    last_used: float | None


def gives_access(scope: str) -> bool:
    """Whether these scopes allow more than to identify the owner."""
    return bool(words(scope) - IDENTITY)


def issue_code(db: Database, consent: Consent) -> str:
    """Store the grant and return its code, which is valid once and for ten minutes."""
    code, now = new_secret(), time.time()
    with db.transaction() as connection:
        connection.execute("DELETE FROM codes WHERE expires < ?", (now - 86400,))
        grant = connection.execute(
            "INSERT INTO grants (client_id, name, scope, created) VALUES (?, ?, ?, ?)",
            (consent.client_id, consent.client_name, consent.scope, now),
        ).lastrowid
        connection.execute(
            "INSERT INTO codes (hash, grant_id, redirect_uri, challenge, expires)"
            " VALUES (?, ?, ?, ?, ?)",
            (digest(code), grant, consent.redirect_uri, consent.challenge, now + CODE_SECONDS),
        )
    return code


def redeem_code(
    db: Database, code: str, *, client_id: str, redirect_uri: str | None, verifier: str | None
) -> Grant:
    """Redeem a code and return its grant; a second use revokes the grant.

    The code is used up in any case. Raises :class:`OAuthError` (``invalid_grant``).
    """
    with db.transaction() as connection:
        row = connection.execute(
            "SELECT codes.*, client_id, scope, revoked FROM codes"
            " JOIN grants ON grants.id = grant_id WHERE hash = ?",
            (digest(code),),
        ).fetchone()
        if row is not None:
            _consume(connection, "codes", row)
    # Checked after the code is durably used up.
    if row is None or row["revoked"] is not None or row["expires"] <= time.time():
        raise OAuthError("invalid_grant", "This code is unknown or has expired.")
    if row["used"] is not None:
        # RFC 6749 4.1.2: a code used twice may have been stolen.
        raise OAuthError("invalid_grant", "This code has been used before; its tokens are revoked.")
    if row["client_id"] != client_id:
        raise OAuthError("invalid_grant", "This code was issued to another client_id.")
    if row["redirect_uri"] != redirect_uri:
        raise OAuthError("invalid_grant", "This code was issued for another redirect_uri.")
    _check_pkce(row["challenge"], verifier)
    return Grant(row["grant_id"], row["client_id"], row["scope"])


def can_be_redeemed(db: Database, code: str) -> bool:
    """Whether a code is neither used, nor expired, nor revoked."""
    sql = (
        "SELECT 1 FROM codes JOIN grants ON grants.id = grant_id"
        " WHERE hash = ? AND used IS NULL AND expires > ? AND revoked IS NULL"
    )
    return db.one(sql, digest(code), time.time()) is not None


def revoke_code(db: Database, code: str) -> None:
    """Revoke the grant of a code, with its tokens."""
    with db.transaction() as connection:
        row = connection.execute("SELECT grant_id FROM codes WHERE hash = ?", (digest(code),))
        for grant in row.fetchall():
            _end(connection, grant["grant_id"])


def _check_pkce(challenge: str | None, verifier: str | None) -> None:
    """Verify PKCE (RFC 7636 4.6); against downgrades, challenge and verifier are both present
    or both absent (RFC 9700 2.1.1).
    """
    if challenge is None and verifier is None:
        return
    if challenge is None:
        raise OAuthError(
            "invalid_grant", "code_verifier was sent, but the request had no code_challenge."
        )
    if verifier is None:
        raise OAuthError("invalid_grant", "code_verifier is missing.")
    if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(s256(verifier), challenge):
        raise OAuthError("invalid_grant", "code_verifier does not match the code_challenge.")


def s256(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 4.2)."""
    hashed = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(hashed).rstrip(b"=").decode("ascii")


def issue_tokens(db: Database, grant: Grant) -> Issued:
    """Issue new tokens for a grant and revoke its previous access token.

    Its scope must give access (see :func:`gives_access`).
    """
    access, refresh, now = new_secret(), new_secret(), time.time()
    with db.transaction() as connection:
        connection.execute(
            "UPDATE tokens SET revoked = ? WHERE grant_id = ? AND revoked IS NULL", (now, grant.id)
        )
        connection.execute(
            "INSERT INTO tokens (hash, grant_id, name, client_id, scope, created, expires)"
            " VALUES (?, ?, '', ?, ?, ?, ?)",
            (digest(access), grant.id, grant.client_id, grant.scope, now, now + ACCESS_SECONDS),
        )
        connection.execute(
            "INSERT INTO refreshes (hash, grant_id, scope, expires) VALUES (?, ?, ?, ?)",
            (digest(refresh), grant.id, grant.scope, now + REFRESH_SECONDS),
        )
    return Issued(access, refresh, grant.scope, ACCESS_SECONDS)


def redeem_refresh(db: Database, secret: str, *, client_id: str, scope: str | None) -> Grant:
    """Redeem a refresh token; a second use revokes the whole grant (RFC 9700 4.14.2).

    ``scope`` may only narrow the granted one. A request that is rejected for its scope does not use
    up the token. Raises :class:`OAuthError`.
    """
    if scope is not None and not gives_access(scope):
        raise OAuthError("invalid_scope", "A token needs a scope beyond profile and email.")
    with db.transaction() as connection:
        row = connection.execute(
            "SELECT refreshes.*, client_id, revoked FROM refreshes"
            " JOIN grants ON grants.id = grant_id WHERE hash = ?",
            (digest(secret),),
        ).fetchone()
        if row is None or row["client_id"] != client_id or row["revoked"] is not None:
            raise OAuthError("invalid_grant", _UNKNOWN_REFRESH)
        reused = row["used"] is not None
        if not reused and row["expires"] <= time.time():
            raise OAuthError("invalid_grant", _UNKNOWN_REFRESH)
        if not reused and not words(scope or "") <= words(row["scope"]):
            raise OAuthError("invalid_scope", "Refreshing can narrow the scope, not widen it.")
        _consume(connection, "refreshes", row)
    # Checked after the revocation is durable.
    if reused:
        raise OAuthError(
            "invalid_grant", "This token has been used before; all tokens of its grant are revoked."
        )
    narrowed = " ".join(dict.fromkeys(scope.split())) if scope else row["scope"]
    return Grant(row["grant_id"], client_id, narrowed)


def _consume(connection: sqlite3.Connection, table: str, row: sqlite3.Row) -> None:
    """Inside a transaction: mark a code or token as used; a second use revokes its grant."""
    if row["used"] is not None:
        _end(connection, row["grant_id"])
    else:
        connection.execute(
            f"UPDATE {table} SET used = ? WHERE hash = ?",  # noqa: S608 - named above
            (time.time(), row["hash"]),
        )


def revoke_secret(db: Database, secret: str) -> None:
    """Revoke what this secret belongs to: a whole grant, or one pasted token."""
    hashed = digest(secret)
    with db.transaction() as connection:
        connection.execute(
            "UPDATE tokens SET revoked = ? WHERE hash = ? AND revoked IS NULL",
            (time.time(), hashed),
        )
        row = connection.execute(
            "SELECT grant_id FROM tokens WHERE hash = ? AND grant_id IS NOT NULL"
            " UNION SELECT grant_id FROM refreshes WHERE hash = ?",
            (hashed, hashed),
        ).fetchone()
        if row is not None:
            _end(connection, row["grant_id"])


def revoke_grant(db: Database, grant: int) -> None:
    """Revoke an app's access."""
    with db.transaction() as connection:
        _end(connection, grant)


def connected_apps(db: Database) -> list[ConnectedApp]:
    """The apps that have access now, newest first."""
    now = time.time()
    rows = db.all(
        "SELECT grants.*, MAX(tokens.last_used) AS last_used FROM grants"
        " JOIN tokens ON tokens.grant_id = grants.id"
        " WHERE grants.revoked IS NULL AND ("
        "  EXISTS (SELECT 1 FROM tokens WHERE grant_id = grants.id"
        "   AND revoked IS NULL AND expires > ?)"
        "  OR EXISTS (SELECT 1 FROM refreshes WHERE grant_id = grants.id"
        "   AND used IS NULL AND expires > ?))"
        " GROUP BY grants.id ORDER BY grants.created DESC, grants.id DESC",
        now,
        now,
    )
    return [
        ConnectedApp(
            id=row["id"],
            client_id=row["client_id"],
            name=row["name"],
            scopes=tuple(row["scope"].split()),
            created=row["created"],
            last_used=row["last_used"],
        )
        for row in rows
    ]


def _end(connection: sqlite3.Connection, grant: int) -> None:
    connection.execute(
        "UPDATE grants SET revoked = ? WHERE id = ? AND revoked IS NULL", (time.time(), grant)
    )
