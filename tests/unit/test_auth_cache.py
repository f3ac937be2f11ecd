"""How long a good verdict is remembered."""

from __future__ import annotations

import pytest

from bridge.auth.cache import CachingVerifier
from bridge.auth.token import Token
from bridge.errors import InvalidToken, Unavailable


class Issuer:
    """Counts how often it is asked; says what it is told to say."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: Token | Exception = Token("https://me.example/", frozenset({"create"}))

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        self.asked.append(token)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cached(issuer: Issuer, clock: Clock) -> CachingVerifier:
    return CachingVerifier(issuer, 60, clock=clock, now=clock)


async def test_a_good_verdict_is_remembered_for_a_minute(
    issuer: Issuer, clock: Clock, cached: CachingVerifier
) -> None:
    first = await cached.verify("abc")
    clock.now += 59.9
    assert await cached.verify("abc") == first
    assert len(issuer.asked) == 1
    clock.now += 0.1
    await cached.verify("abc")
    assert len(issuer.asked) == 2


async def test_never_past_the_tokens_own_expiry(
    issuer: Issuer, clock: Clock, cached: CachingVerifier
) -> None:
    issuer.says = Token("https://me.example/", frozenset(), expires=clock.now + 10)
    await cached.verify("abc")
    clock.now += 10
    issuer.says = InvalidToken("expired")
    with pytest.raises(InvalidToken):
        await cached.verify("abc")


async def test_deletes_and_updates_ask_again(issuer: Issuer, cached: CachingVerifier) -> None:
    await cached.verify("abc")
    await cached.verify("abc", fresh=True)
    assert len(issuer.asked) == 2


async def test_a_revoked_token_is_forgotten_at_once(
    issuer: Issuer, cached: CachingVerifier
) -> None:
    await cached.verify("abc")
    issuer.says = InvalidToken("revoked")
    with pytest.raises(InvalidToken):
        await cached.verify("abc", fresh=True)
    with pytest.raises(InvalidToken):
        await cached.verify("abc")


@pytest.mark.parametrize("failure", [InvalidToken("no"), Unavailable("down")])
async def test_failures_are_never_remembered(
    issuer: Issuer, cached: CachingVerifier, failure: Exception
) -> None:
    good, issuer.says = issuer.says, failure
    with pytest.raises(type(failure)):
        await cached.verify("abc")
    issuer.says = good
    assert (await cached.verify("abc")).me == "https://me.example/"


async def test_the_whole_token_is_the_key(issuer: Issuer, cached: CachingVerifier) -> None:
    await cached.verify("a" * 4000 + "b")
    await cached.verify("a" * 4000 + "c")
    await cached.verify("a" * 4000)
    assert len(issuer.asked) == 3


async def test_no_token_is_kept_in_memory(cached: CachingVerifier) -> None:
    await cached.verify("a-secret-token")
    assert "a-secret-token" not in repr(vars(cached))


async def test_zero_seconds_is_never(issuer: Issuer, clock: Clock) -> None:
    uncached = CachingVerifier(issuer, 0, clock=clock, now=clock)
    await uncached.verify("abc")
    await uncached.verify("abc")
    assert len(issuer.asked) == 2


async def test_memory_is_bounded(issuer: Issuer, cached: CachingVerifier) -> None:
    for number in range(1100):
        await cached.verify(f"token-{number}")
    await cached.verify("token-1099")
    assert len(issuer.asked) == 1100
    await cached.verify("token-0")
    assert len(issuer.asked) == 1101
