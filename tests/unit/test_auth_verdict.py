"""Parsing responses of verification endpoints; everything unclear is rejected."""

from __future__ import annotations

import pytest

from bridge.auth.endpoint import read_verdict
from bridge.errors import InvalidToken, Unavailable

NOW = 1_000_000.0


def read(body: str, *, needs_active: bool = False) -> object:
    return read_verdict(body.encode(), now=NOW, needs_active=needs_active)


@pytest.mark.parametrize(
    "body",
    [
        '{"me":"https://me.example/","client_id":"https://app.example/",'
        '"scope":"create update","issued_at":1399155608,"nonce":501884823}',
        "me=https%3A%2F%2Fme.example%2F&client_id=https%3A%2F%2Fapp.example%2F"
        "&scope=create+update&issued_at=1399155608&nonce=501884823",
    ],
    ids=["JSON", "form-encoded"],
)
def test_the_body_of_a_hosted_token_endpoint(body: str) -> None:
    token = read_verdict(body.encode(), now=NOW, needs_active=False)
    assert token.me == "https://me.example/"
    assert token.scopes == {"create", "update"}
    assert token.client_id == "https://app.example/"
    assert token.expires is None


@pytest.mark.parametrize("body", ["me=https%3A%2F%2Fme.example%2F&scope=", '{"me":"https://m.e/"}'])
def test_a_blank_or_missing_scope_allows_nothing(body: str) -> None:
    assert read_verdict(body.encode(), now=NOW, needs_active=False).scopes == frozenset()


@pytest.mark.parametrize("active", ["true", '"true"'])
def test_active_is_true_or_the_text_true(active: str) -> None:
    body = f'{{"active": {active}, "me": "https://me.example/"}}'
    assert read_verdict(body.encode(), now=NOW, needs_active=True).me == "https://me.example/"


@pytest.mark.parametrize(
    "active", ["false", '"false"', "0", "1", "null", "[]", "{}", '"True"', '"TRUE"', '"yes"', '""']
)
@pytest.mark.parametrize("needs_active", [False, True])
def test_nothing_else_is_active(active: str, *, needs_active: bool) -> None:
    with pytest.raises(InvalidToken):
        read(f'{{"active": {active}, "me": "https://me.example/"}}', needs_active=needs_active)


def test_introspection_has_to_say_active() -> None:
    with pytest.raises(InvalidToken):
        read('{"me": "https://me.example/", "scope": "create"}', needs_active=True)


@pytest.mark.parametrize(
    "body",
    [
        '{"error": "unauthorized"}',
        '{"error": null, "me": "https://me.example/", "active": true}',
        "error=invalid_token&me=https://me.example/",
        '{"active": true}',
        '{"active": true, "me": ""}',
        '{"active": true, "me": " "}',
        '{"active": true, "me": null}',
        '{"active": true, "me": ["https://me.example/"]}',
        '{"active": true, "me": {"url": "https://me.example/"}}',
        '{"active": true, "me": true}',
        '{"active": true, "me": "https://me.example/", "scope": ["create"]}',
        '{"active": true, "me": "https://evil.example/", "me": "https://me.example/"}',
        '{"active": false, "active": true, "me": "https://me.example/"}',
        "me=https%3A%2F%2Fevil.example%2F&me=https%3A%2F%2Fme.example%2F",
        '{"active": true, "me": "https://me.example/", "scope": "a", "scope": "create"}',
        "scope=create",
    ],
)
def test_an_unclear_response_rejects_the_token(body: str) -> None:
    with pytest.raises(InvalidToken):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        "<!doctype html><title>Hello</title>",
        "  \n<html>me=https://me.example/</html>",
        "",
        "OK",
        "null",
        "[]",
        '[{"me": "https://me.example/"}]',
        '"https://me.example/"',
        '{"me": "https://me.example/"',
        '{"active": true, "me": "https://me.example/", "exp": NaN}',
        '{"active": true, "me": "https://me.example/", "exp": Infinity}',
        '{"a":' * 20_000,
        '{"exp": ' + "9" * 5_000 + "}",
    ],
)
def test_another_kind_of_response_is_unavailable(body: str) -> None:
    with pytest.raises(Unavailable):
        read(body)


def test_undecodable_bytes_are_unavailable() -> None:
    with pytest.raises(Unavailable):
        read_verdict(b'{"me": "\xff"}', now=NOW, needs_active=False)


@pytest.mark.parametrize("exp", ["1000001", "1000001.5", '"1000001"'])
def test_expiry_is_kept(exp: str) -> None:
    body = f'{{"active": true, "me": "https://me.example/", "exp": {exp}}}'
    expires = read_verdict(body.encode(), now=NOW, needs_active=True).expires
    assert expires is not None
    assert 1_000_001 <= expires < 1_000_002


@pytest.mark.parametrize("exp", ["999999", "1000000", "0", "-1", '"999"'])
def test_an_expired_token_is_not_valid(exp: str) -> None:
    with pytest.raises(InvalidToken):
        read(f'{{"active": true, "me": "https://me.example/", "exp": {exp}}}')


@pytest.mark.parametrize("exp", ["true", "[]", '"soon"', '""', "1e999", '"-5"'])
def test_an_expiry_that_cannot_be_read_is_not_for_ever(exp: str) -> None:
    with pytest.raises(InvalidToken):
        read(f'{{"active": true, "me": "https://me.example/", "exp": {exp}}}')
