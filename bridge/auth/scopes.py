"""What a token's scopes allow (IndieAuth 5.1, RFC 6749 3.3). Sets of words, never substrings."""

from __future__ import annotations

from bridge.auth.token import Token
from bridge.errors import InsufficientScope

#: What a client can want to do, and the words of which any one is enough for it. ``post`` is the
#: old word for creating and updating; a draft is created and updated too, with what
#: :func:`only_drafts` says about it.
_ENOUGH: dict[str, frozenset[str]] = {
    "create": frozenset({"create", "post", "draft"}),
    "update": frozenset({"update", "post", "draft"}),
    "delete": frozenset({"delete"}),
    "undelete": frozenset({"undelete", "delete", "create", "post"}),
    "media": frozenset({"media", "create", "post"}),
}

#: The words that say who somebody is, and open nothing (IndieAuth 5.3.4).
_IDENTITY = frozenset({"profile", "email"})


def words(scope: str) -> frozenset[str]:
    """The words of a ``scope`` value. A blank one has none, and so allows nothing."""
    return frozenset(scope.split())


def allows_anything(token: Token) -> bool:
    """Whether the token opens anything at all: drafts and plans are not for all who may know a
    name (IndieAuth 5.2: without a scope, and with those of identity alone, there is no access).
    """
    return bool(token.scopes - _IDENTITY)


def require(token: Token, deed: str) -> None:
    """Return if the token allows the deed (``create``, ``update``, ``delete``, ``undelete``,
    ``media``); raise :class:`InsufficientScope` if not.
    """
    if not token.scopes & _ENOUGH[deed]:
        raise InsufficientScope(f"This needs a token with the scope '{deed}'.", scope=deed)


def only_drafts(token: Token, deed: str = "create") -> bool:
    """Whether it is the word ``draft`` alone that allows this.

    Then every post is saved as a draft, and only drafts may be updated. A token with ``create``
    or ``update`` besides is not made weaker by one word more.
    """
    return "draft" in token.scopes and not token.scopes & (_ENOUGH[deed] - {"draft"})
