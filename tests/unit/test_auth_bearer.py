"""Extracting a request's token, and what is not a token."""

from __future__ import annotations

import pytest

from bridge.auth.token import MAX_LENGTH, bearer_token
from bridge.errors import InvalidRequest, Unauthorized


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_case_insensitive(scheme: str) -> None:
    assert bearer_token([f"{scheme} abc.-_~+/="], None, strict=False) == "abc.-_~+/="


def test_more_than_one_space_is_harmless() -> None:
    assert bearer_token(["Bearer   abc "], None, strict=True) == "abc"


def test_the_form_field_is_as_good() -> None:
    assert bearer_token([], "abc", strict=True) == "abc"


@pytest.mark.parametrize("headers", [[], ["Basic dXNlcjpwYXNz"], ["Bearer"], ["Bearer "], [""]])
def test_no_token_is_unauthorized(headers: list[str]) -> None:
    with pytest.raises(Unauthorized):
        bearer_token(headers, None, strict=False)


def test_an_empty_form_field_is_no_token() -> None:
    with pytest.raises(Unauthorized):
        bearer_token([], "", strict=False)


def test_another_scheme_leaves_the_form_field() -> None:
    assert bearer_token(["Basic dXNlcjpwYXNz"], "abc", strict=True) == "abc"


def test_two_headers_are_refused_even_if_they_agree() -> None:
    with pytest.raises(InvalidRequest):
        bearer_token(["Bearer abc", "Bearer abc"], None, strict=False)


def test_the_same_token_in_header_and_form_is_accepted() -> None:
    assert bearer_token(["Bearer abc"], "abc", strict=False) == "abc"


def test_the_same_token_twice_is_refused_when_strict() -> None:
    with pytest.raises(InvalidRequest):
        bearer_token(["Bearer abc"], "abc", strict=True)


def test_two_different_tokens_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        bearer_token(["Bearer abc"], "abd", strict=False)


@pytest.mark.parametrize(
    "token", ["a\x00b", "a\tb", "a\nb", "a b", "a\x7fb", "é", "a, Bearer b", "a\udcffb"]
)
def test_a_token_with_other_characters_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest):
        bearer_token([f"Bearer {token}"], None, strict=False)
    with pytest.raises(InvalidRequest):
        bearer_token([], token, strict=False)


def test_a_token_of_four_kilobytes_is_the_longest() -> None:
    assert bearer_token(["Bearer " + "a" * MAX_LENGTH], None, strict=False)
    with pytest.raises(InvalidRequest) as refused:
        bearer_token(["Bearer " + "a" * (MAX_LENGTH + 1)], None, strict=False)
    assert "aaaa" not in str(refused.value)
