"""What a token's scopes allow (IndieAuth 5.1, RFC 6749 3.3). Sets of words, never substrings.

One table is what the owner reads before saying yes, and what is enforced afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.auth.token import Token
from bridge.errors import InsufficientScope


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope: what it means to the owner, and the permissions that it grants."""

    meaning: str
    permissions: frozenset[str] = frozenset()


def _scope(meaning: str, *permissions: str) -> Scope:
    return Scope(meaning, frozenset(permissions))


#: Every word that means something here. A draft is created and updated too, with what
#: :func:`is_draft_only` says about it.
SCOPES: dict[str, Scope] = {
    "create": _scope(
        "Publish new posts with their files, and bring deleted posts back",
        *("create", "media", "undelete"),
    ),
    "update": _scope("Change posts", "update"),
    "delete": _scope(
        "Delete posts and uploaded files, and bring deleted posts back", "delete", "undelete"
    ),
    "undelete": _scope("Bring deleted posts back", "undelete"),
    "media": _scope("Upload photos and other files, and delete them", "media"),
    "draft": _scope(
        "Write drafts, which have no page on your site until you publish them", "create", "update"
    ),
    "profile": _scope("See your name and picture"),
    "email": _scope("See your e-mail address"),
    "post": _scope(
        "Publish new posts with their files, change posts, and bring deleted posts back",
        *("create", "update", "media", "undelete"),
    ),
}

#: The words that are offered. ``post`` is what apps called creating and updating before there were
#: words for each: it is understood, and not spread.
OFFERED = tuple(word for word in SCOPES if word != "post")

#: What an app that may do everything gets: every scope that adds a permission, and none that only
#: narrows one.
ALL_SCOPES = tuple(word for word in OFFERED if word != "draft")

#: What apps for reading ask for (Microsub 3.1). It opens nothing here, but perhaps at the owner's
#: Microsub server, which asks here what a token is good for.
READERS = frozenset({"read", "follow", "mute", "block", "channels"})

#: The words that say who someone is, and open nothing (IndieAuth 5.3.4).
IDENTITY = frozenset(word for word, scope in SCOPES.items() if not scope.permissions)


def words(scope: str) -> frozenset[str]:
    """The scopes of a ``scope`` value. A blank value has none, and so grants nothing."""
    return frozenset(scope.split())


def grants_any_access(scopes: frozenset[str]) -> bool:
    """Whether any of these scopes grants a permission here. Drafts and scheduled posts are not
    shown to a token that only identifies someone (IndieAuth 5.2), or has scopes unknown here.
    """
    return any(scope.permissions for word, scope in SCOPES.items() if word in scopes)


def require(token: Token, permission: str) -> None:
    """Raise :class:`InsufficientScope` unless the token grants the permission (``create``,
    ``update``, ``delete``, ``undelete``, ``media``).
    """
    if not token.scopes & _scopes_granting(permission):
        raise InsufficientScope(
            f"This needs a token with the scope '{permission}'.", scope=permission
        )


def is_draft_only(token: Token, permission: str = "create") -> bool:
    """Whether the permission comes from the scope ``draft`` alone.

    Then every post is saved as a draft, and only drafts may be updated. A token with ``create``
    or ``update`` besides is not made weaker by one word more.
    """
    return "draft" in token.scopes and not token.scopes & (_scopes_granting(permission) - {"draft"})


def _scopes_granting(permission: str) -> frozenset[str]:
    """The scopes each of which grants a permission."""
    return frozenset(word for word, scope in SCOPES.items() if permission in scope.permissions)
