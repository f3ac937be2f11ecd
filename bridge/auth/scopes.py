"""What a token's scopes allow (IndieAuth 5.1, RFC 6749 3.3).

The same table is shown on the consent screen and enforced.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.auth.token import Token
from bridge.errors import InsufficientScope


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope: its meaning on the consent screen, and the permissions that it grants."""

    meaning: str
    permissions: frozenset[str] = frozenset()


def _scope(meaning: str, *permissions: str) -> Scope:
    return Scope(meaning, frozenset(permissions))


#: The known scopes. ``draft`` grants creating and updating, restricted by :func:`is_draft_only`.
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

#: The scopes that are offered. ``post``, an older name for creating and updating, is accepted but
#: not offered.
OFFERED = tuple(word for word in SCOPES if word != "post")

#: The scopes for full access: all that add a permission, without ``draft``, which restricts.
ALL_SCOPES = tuple(word for word in OFFERED if word != "draft")

#: The scopes of reader apps (Microsub 3.1). They grant nothing here, but the owner's Microsub
#: server may verify the same token with this server.
READERS = frozenset({"read", "follow", "mute", "block", "channels"})

#: The scopes that only identify the owner (IndieAuth 5.3.4).
IDENTITY = frozenset(word for word, scope in SCOPES.items() if not scope.permissions)


def words(scope: str) -> frozenset[str]:
    """Parse a ``scope`` value. A blank one has no scopes and grants nothing."""
    return frozenset(scope.split())


def grants_any_access(scopes: frozenset[str]) -> bool:
    """Whether any of these scopes grants a permission.

    Drafts and scheduled posts are not shown to a token that only identifies the owner (IndieAuth
    5.2) or has only unknown scopes.
    """
    return any(scope.permissions for word, scope in SCOPES.items() if word in scopes)


def require(token: Token, permission: str) -> None:
    """Raise :class:`InsufficientScope` unless the token grants ``permission``, one of
    ``create``, ``update``, ``delete``, ``undelete`` and ``media``.
    """
    if not token.scopes & _scopes_granting(permission):
        raise InsufficientScope(
            f"This needs a token with the scope '{permission}'.", scope=permission
        )


def is_draft_only(token: Token, permission: str = "create") -> bool:
    """Whether only the scope ``draft`` grants the permission.

    Then every new post is saved as a draft, and only drafts may be updated. A token that has
    ``create`` or ``update`` as well is not restricted.
    """
    return "draft" in token.scopes and not token.scopes & (_scopes_granting(permission) - {"draft"})


def _scopes_granting(permission: str) -> frozenset[str]:
    """The scopes that grant a permission."""
    return frozenset(word for word, scope in SCOPES.items() if permission in scope.permissions)
