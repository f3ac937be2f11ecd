"""What each scope allows."""

from __future__ import annotations

import pytest

from bridge.auth.token import IDENTITY, OFFERED, SCOPES, Token, is_draft_only, require, words
from bridge.errors import InsufficientScope

DEEDS = ["create", "update", "delete", "undelete", "media"]


def token(scope: str) -> Token:
    return Token(me="https://me.example/", scopes=words(scope))


def allowed(scope: str) -> list[str]:
    found = []
    for permission in DEEDS:
        try:
            require(token(scope), permission)
        except InsufficientScope:
            continue
        found.append(permission)
    return found


def test_a_refusal_names_the_scope_that_was_needed() -> None:
    with pytest.raises(InsufficientScope) as refused:
        require(token("create"), "delete")
    assert refused.value.scope == "delete"


@pytest.mark.parametrize(
    ("scope", "permissions"),
    [
        ("create", ["create", "undelete", "media"]),
        ("update", ["update"]),
        ("delete", ["delete", "undelete"]),
        ("undelete", ["undelete"]),
        ("media", ["media"]),
        ("post", ["create", "update", "undelete", "media"]),
        ("draft", ["create", "update"]),
        ("profile email", []),
        ("read", []),
    ],
)
def test_what_a_scope_allows(scope: str, permissions: list[str]) -> None:
    assert allowed(scope) == permissions


def test_every_scope_with_a_permission_has_a_description() -> None:
    assert {"profile", "email"} == IDENTITY
    assert set(OFFERED) | {"post"} == set(SCOPES)
    for word, scope in SCOPES.items():
        assert scope.meaning
        assert allowed(word) == [
            permission for permission in DEEDS if permission in scope.permissions
        ]


@pytest.mark.parametrize("scope", ["", " ", "\t"])
def test_no_scope_allows_nothing(scope: str) -> None:
    assert allowed(scope) == []


@pytest.mark.parametrize(
    "scope", ["createx", "xcreate", "Create", "CREATE", "create,update", "create+update", "creat"]
)
def test_scopes_are_whole_words(scope: str) -> None:
    assert allowed(scope) == []


def test_words_are_separated_by_any_blanks() -> None:
    assert words("  create\tupdate  ") == {"create", "update"}


def test_a_draft_token_writes_drafts_alone() -> None:
    assert is_draft_only(token("draft"))
    assert is_draft_only(token("draft"), "update")


def test_an_additional_scope_restricts_nothing() -> None:
    assert not is_draft_only(token("create draft"))
    assert not is_draft_only(token("create"))
    assert not is_draft_only(token("draft update"), "update")
    assert is_draft_only(token("draft update"))
    assert is_draft_only(token("draft create"), "update")
