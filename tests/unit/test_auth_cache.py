"""The cache of verified tokens."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from bridge.auth.cache import CALLER, CachingVerifier, CallerLimit
from bridge.auth.token import Token
from bridge.errors import InvalidToken, Unavailable


class Issuer:
    """Counts its requests and returns preset verdicts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: Token | Exception = Token("https://me.example/", frozenset({"create"}))

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        self.asked.append(token)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Clock:
    """A clock that tests advance."""

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


async def test_a_valid_token_is_cached_for_a_minute(
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


async def test_an_endpoint_that_cannot_be_asked_is_asked_again(
    issuer: Issuer, cached: CachingVerifier
) -> None:
    good, issuer.says = issuer.says, Unavailable("down")
    with pytest.raises(Unavailable):
        await cached.verify("abc")
    issuer.says = good
    assert (await cached.verify("abc")).me == "https://me.example/"


async def test_an_invalid_token_is_cached_for_some_seconds(
    issuer: Issuer, clock: Clock, cached: CachingVerifier
) -> None:
    good, issuer.says = issuer.says, InvalidToken("no")
    for fresh in (False, False, True):
        with pytest.raises(InvalidToken):
            await cached.verify("abc", fresh=fresh)
    assert len(issuer.asked) == 1
    issuer.says = good
    clock.now += 5
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


# --- made-up tokens ---------------------------------------------------------------------------


class SlowIssuer:
    """Answers when it is told to; only one token is valid."""

    def __init__(self, good: str) -> None:
        self.good = good
        self.under_way: list[str] = []
        self.most = 0
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def verify(self, token: str, *, fresh: bool = False) -> Token:
        self.asked += 1
        self.under_way.append(token)
        self.most = max(self.most, len(self.under_way))
        try:
            if token != self.good:
                await self.may_answer.wait()
                raise InvalidToken("no")
            return Token("https://me.example/", frozenset({"create"}))
        finally:
            self.under_way.remove(token)


async def asking(verifier: CachingVerifier, token: str, who: str) -> str:
    """Verify a token as a request from an address would; returns the outcome."""
    CALLER.set(who)
    try:
        await verifier.verify(token)
    except (InvalidToken, Unavailable) as error:
        return type(error).__name__
    return "good"


async def until_still() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_unknown_tokens_are_limited_and_known_ones_do_not_wait(clock: Clock) -> None:
    slow = SlowIssuer("owners")
    verifier = CachingVerifier(slow, 60, clock=clock, now=clock)
    await verifier.verify("owners")
    flood = [
        asyncio.create_task(asking(verifier, f"junk-{number}", f"192.0.2.{number % 100}"))
        for number in range(300)
    ]
    await until_still()
    assert len(slow.under_way) == 8
    # From the cache; then after it has expired; then for an update, which always verifies.
    assert await asking(verifier, "owners", "198.51.100.1") == "good"
    clock.now += 61
    assert await asking(verifier, "owners", "198.51.100.1") == "good"
    await verifier.verify("owners", fresh=True)
    slow.may_answer.set()
    assert set(await asyncio.gather(*flood)) == {"InvalidToken"}
    assert slow.most <= 9


async def test_one_address_cannot_take_every_place(clock: Clock) -> None:
    """A new token is verified despite a flood from another address."""
    slow = SlowIssuer("new")
    verifier = CachingVerifier(slow, 60, clock=clock, now=clock)
    flood = [
        asyncio.create_task(asking(verifier, f"junk-{number}", "192.0.2.1"))
        for number in range(100)
    ]
    await until_still()
    assert len(slow.under_way) == 2
    assert await asking(verifier, "new", "198.51.100.1") == "good"
    refused = [task.result() for task in flood if task.done()]
    assert refused == ["Unavailable"] * 78
    slow.may_answer.set()
    await asyncio.gather(*flood)


async def test_tokens_that_are_good_for_someone_else_push_none_of_the_owners_out(
    issuer: Issuer, clock: Clock
) -> None:
    """At a hosted endpoint anyone can have any number of them."""

    def is_owners(token: Token) -> bool:
        return token.me == "https://me.example/"

    verifier = CachingVerifier(issuer, 60, is_owners=is_owners, clock=clock, now=clock)
    await verifier.verify("owners")
    issuer.says = Token("https://somebody-else.example/", frozenset({"create"}))
    for number in range(1100):
        assert (await verifier.verify(f"theirs-{number}")).me == "https://somebody-else.example/"
    asked = len(issuer.asked)
    assert (await verifier.verify("owners")).me == "https://me.example/"
    assert len(issuer.asked) == asked


async def test_waiting_too_long_is_unavailable(clock: Clock) -> None:
    slow = SlowIssuer("good")
    turns = CallerLimit(at_once=1, seconds=0.01)
    verifier = CachingVerifier(slow, 60, turns=turns, clock=clock, now=clock)
    first = asyncio.create_task(asking(verifier, "junk", "192.0.2.1"))
    await until_still()
    assert await asking(verifier, "more", "192.0.2.2") == "Unavailable"
    slow.may_answer.set()
    assert await first == "InvalidToken"
    assert await asking(verifier, "more", "192.0.2.2") == "InvalidToken"


async def test_a_token_is_verified_once_at_a_time(clock: Clock) -> None:
    slow = SlowIssuer("good")
    verifier = CachingVerifier(slow, 60, clock=clock, now=clock)
    tasks = [asyncio.create_task(asking(verifier, "junk", f"{number}")) for number in range(50)]
    await until_still()
    # Clients that disconnect do not end the verification for others.
    for task in itertools.islice(tasks, 25):
        task.cancel()
    slow.may_answer.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert ended[25:] == ["InvalidToken"] * 25
    assert slow.asked == 1


async def test_a_revoked_token_is_unknown_again(issuer: Issuer, clock: Clock) -> None:
    turns = CallerLimit(at_once=1, seconds=0.01)
    verifier = CachingVerifier(issuer, 60, turns=turns, clock=clock, now=clock)
    await verifier.verify("abc")
    issuer.says = InvalidToken("revoked")
    with pytest.raises(InvalidToken):
        await verifier.verify("abc", fresh=True)
    clock.now += 10
    async with turns.one("192.0.2.1"):
        assert await asking(verifier, "abc", "192.0.2.2") == "Unavailable"
