"""WebAuthn challenges: for one browser, valid once and briefly, without any state for new ones."""

from __future__ import annotations

import pytest

from bridge.indieauth.webauthn.passkeys import SECONDS, Challenges


@pytest.fixture
def now() -> list[float]:
    return [1000.5]


@pytest.fixture
def challenges(now: list[float]) -> Challenges:
    return Challenges(clock=lambda: now[0])


def test_a_challenge_is_valid_for_its_browser_only(challenges: Challenges) -> None:
    challenge = challenges.make("mine")
    assert challenges.is_open(challenge, "mine")
    assert not challenges.is_open(challenge, "another")


def test_no_two_challenges_are_equal(challenges: Challenges) -> None:
    assert len({challenges.make("mine") for _ in range(100)}) == 100


def test_an_answer_counts_once(challenges: Challenges) -> None:
    challenge, other = challenges.make("mine"), challenges.make("mine")
    challenges.answered(challenge)
    assert not challenges.is_open(challenge, "mine")
    assert challenges.is_open(other, "mine")


def test_a_challenge_ends(challenges: Challenges, now: list[float]) -> None:
    challenge = challenges.make("mine")
    now[0] += SECONDS - 1
    assert challenges.is_open(challenge, "mine")
    now[0] += 1
    assert not challenges.is_open(challenge, "mine")


def test_an_answered_one_is_remembered_for_as_long_as_it_would_be_good(
    challenges: Challenges, now: list[float]
) -> None:
    challenge = challenges.make("mine")
    challenges.answered(challenge)
    for _ in range(SECONDS):
        now[0] += 1
        assert not challenges.is_open(challenge, "mine")


@pytest.mark.parametrize("position", [0, 15, 16, 23, 24, 55])
def test_a_changed_challenge_is_none(challenges: Challenges, position: int) -> None:
    challenge = bytearray(challenges.make("mine"))
    challenge[position] ^= 1
    assert not challenges.is_open(bytes(challenge), "mine")


@pytest.mark.parametrize("made_up", [b"", b"x", b"\0" * 24, b"\xff" * 56, b"\0" * 200])
def test_a_made_up_challenge_is_none(challenges: Challenges, made_up: bytes) -> None:
    assert not challenges.is_open(made_up, "mine")


def test_a_challenge_of_before_a_restart_is_none(challenges: Challenges, now: list[float]) -> None:
    before = Challenges(clock=lambda: now[0]).make("mine")
    assert not challenges.is_open(before, "mine")


def test_requests_for_many_challenges_evict_none(challenges: Challenges) -> None:
    challenge = challenges.make("mine")
    for number in range(5000):
        challenges.make(f"stranger {number}")
    assert challenges.is_open(challenge, "mine")
