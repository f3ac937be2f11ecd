"""Limits on requests: the size and the time of a body, which is read in small pieces; each client's
share of the event loop's time, for parsing and handling what strangers send; and the number of
attempts, per IP address and, where guessing could help, in total.

If bytes were parsed as they arrive, the work for a hundred clients would delay every step of all
other requests. A :class:`FairQueue` gives all waiting clients an equal share of it, in short turns,
so that a client does not wait longer because others reconnect again and again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from itertools import count
from time import thread_time
from types import coroutine
from typing import Any, NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bridge.errors import InvalidRequest, PayloadTooLarge, TooManyRequests, Unavailable

T = TypeVar("T")

#: Called before bytes are kept. Raises if there is no room for them.
Take: TypeAlias = Callable[[int], None]
#: How many bytes are parsed at a time. The most expensive ones that were found take 4 ms.
_PIECE = 8 * 1024
#: How many bytes are read, at most, by the call that waits for more.
_AT_ONCE = 64
#: How far behind others the first turn of a body is, in seconds of their turns: requests whose
#: clients wait for an answer come first.
BODIES_LATER = 0.02

#: Largest time for which the loop is blocked at once, in seconds; afterwards other callbacks run.
_ROUND_SECONDS = 0.004
#: Cost of a byte in the most expensive input: chunks of one byte, false delimiters.
_SECONDS_A_BYTE = 0.25e-6
#: Cost of a turn, however little was sent.
_SECONDS_A_TURN = 50e-6


class ByteBudget:
    """A number of bytes that the bodies of all unauthenticated requests share."""

    def __init__(self, size: int) -> None:
        self._left = size

    @contextmanager
    def share(self) -> Iterator[Take]:
        """Take bytes from the budget for one body; all of them are returned at the end.

        Taking raises :class:`Unavailable` if other bodies hold the rest.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._left:
                raise Unavailable(
                    "Too many unauthenticated uploads at once. Send your token in the Authorization"
                    " header, or try again."
                )
            self._left -= count
            taken += count

        try:
            yield take
        finally:
            self._left += taken


def too_large(limit: int) -> PayloadTooLarge:
    """The error for a body over ``limit`` bytes."""
    return PayloadTooLarge(
        f"The request is larger than {limit:,} bytes, the largest that is accepted."
    )


class Share:
    """How much of a queue's time a client has had: its next turn comes when others had as much.

    Its first turn comes after ``later`` seconds of others' turns.
    """

    def __init__(self, later: float = 0.0) -> None:
        self.later = later
        self.had = 0.0


class _Turn(NamedTuple):
    """Work on one piece. ``begins`` and ``due`` are times on the queue's clock: when the client's
    turn comes, and when the work is expected to be done, which decides the order. ``is_last``:
    nothing else is done in its round.
    """

    due: float
    number: int
    begins: float
    share: Share
    work: Callable[[], object]
    is_last: bool


class FairQueue:
    """Short pieces of work, done one by one between the loop's other callbacks.

    Its clock shows how much time each waiting client has had, in seconds of work. A new client
    begins there, not at zero: otherwise clients that reconnect would always come first
    (self-clocked fair queueing).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._clock = 0.0
        self._due: list[_Turn] = []
        self._number = count()
        self._scheduled = False

    def soon(
        self, share: Share, size: int, work: Callable[[], object], *, is_last: bool = False
    ) -> None:
        """Queue ``work`` on ``size`` bytes, after which the loop may have others' callbacks run."""
        begins = max(self._clock + share.later, share.had)
        share.later = 0.0
        due = begins + _SECONDS_A_TURN + size * _SECONDS_A_BYTE
        heappush(self._due, _Turn(due, next(self._number), begins, share, work, is_last))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._round)

    async def run(self, share: Share, size: int, work: Callable[[], T]) -> T:
        """Queue ``work`` and wait for it; returns or raises what it does."""
        outcome: asyncio.Future[T] = self._loop.create_future()

        def settle() -> None:
            if outcome.done():
                return
            try:
                outcome.set_result(work())
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                outcome.set_exception(error)

        self.soon(share, size, settle)
        return await outcome

    async def handle(self, share: Share, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work`` when it is its turn. The time for which the loop is busy with it counts.

        In each round of the loop one such begins: it may take as long as parsing all that has come.
        """
        turn = asyncio.Event()
        self.soon(share, 0, turn.set, is_last=True)
        await turn.wait()
        return await _timed(work(), partial(self._charge, share))

    def _charge(self, share: Share, seconds: float) -> None:
        share.had = max(self._clock, share.had) + seconds
        # By the share of it that each waiting client, and a new one, could have had. Otherwise a
        # client that has had much would wait until all others have stopped connecting.
        self._clock += seconds / (len(self._due) + 2)

    def _round(self) -> None:
        began = thread_time()
        end = began + _ROUND_SECONDS
        try:
            while self._due and began < end:
                turn = heappop(self._due)
                self._clock = max(self._clock, turn.due)
                try:
                    turn.work()
                finally:
                    now = thread_time()
                    turn.share.had = max(turn.begins, turn.share.had) + now - began
                    began = now
                if turn.is_last:
                    break
        finally:
            self._scheduled = bool(self._due)
            if self._scheduled:
                self._loop.call_soon(self._round)


@coroutine
def _timed(work: Awaitable[T], note: Callable[[float], None]) -> Generator[Any, Any, T]:
    """Await ``work``, and note how long the loop is busy with each of its steps."""
    steps = work.__await__()
    step = partial(steps.send, None)
    while True:
        began = thread_time()
        try:
            waits_for = step()
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            note(thread_time() - began)
        try:
            step = partial(steps.send, (yield waits_for))
        except BaseException as error:  # noqa: BLE001 - such as a cancellation, which is passed on
            step = partial(steps.throw, error)


_OF_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, FairQueue] = WeakKeyDictionary()


def fair_queue() -> FairQueue:
    """The queue of the running loop, whose time it shares."""
    loop = asyncio.get_running_loop()
    found = _OF_LOOPS.get(loop)
    if found is None:
        found = _OF_LOOPS[loop] = FairQueue(loop)
    return found


async def receive(
    request: web.Request,
    use: Callable[[bytes], object],
    *,
    max_bytes: int,
    seconds: float,
    later: float = BODIES_LATER,
) -> None:
    """Pass the body to ``use``, piece by piece, sharing the event loop fairly with other requests,
    after ``later`` seconds of their turns.

    Raises what ``use`` raises; :class:`PayloadTooLarge` as soon as the client announces or sends
    more than ``max_bytes``; :class:`InvalidRequest` for a body that breaks off, is not encoded as
    its headers say, or has not arrived after ``seconds``.
    """
    # A client that announces too much is answered before it has sent anything.
    if (request.content_length or 0) > max_bytes:
        raise too_large(max_bytes)
    share, size = Share(later), 0
    expected = min(_PIECE, request.content_length or _PIECE)

    def use_more(piece: bytes) -> None:
        # Joining chunks of one byte is expensive, so this waits for its turn, too.
        nonlocal size
        piece += request.content.read_nowait(_PIECE)
        size += len(piece)
        if size > max_bytes:
            raise too_large(max_bytes)
        use(piece)

    try:
        async with asyncio.timeout(seconds):
            while some := await request.content.read(_AT_ONCE):
                await fair_queue().run(share, expected, partial(use_more, some))
    except TimeoutError as error:
        raise InvalidRequest(
            f"The body was not complete after {seconds:.0f} seconds."
            " Send it again, or send less at once."
        ) from error
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError, RuntimeError) as error:
        # aiohttp raises RuntimeError where the connection was closed before the read began.
        if isinstance(error, RuntimeError) and request.transport is not None:
            raise
        raise InvalidRequest("The body is truncated, or not encoded as its headers say.") from error


async def receive_all(request: web.Request, *, max_bytes: int, seconds: float) -> bytes:
    """The whole body; raises as :func:`receive`."""
    data = bytearray()
    await receive(request, data.extend, max_bytes=max_bytes, seconds=seconds)
    return bytes(data)


_MOST = 10_000


class Limiter:
    """Limits attempts within a period, per client and in total.

    ``overall`` is ``None`` for what cannot be guessed: there a total limit would only let strangers
    lock the owner out.
    """

    def __init__(
        self,
        *,
        each: int,
        overall: int | None,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._each = each
        self._overall = overall
        self._seconds = seconds
        self._clock = clock
        self._all: deque[float] = deque()
        self._by_who: OrderedDict[str, deque[float]] = OrderedDict()

    def attempt(self, who: str, *, exempt_from_total: bool = False) -> None:
        """Count one attempt, or raise :class:`TooManyRequests` without counting it.

        ``who`` is usually an IP address. An attempt that is ``exempt_from_total`` counts for
        ``who`` alone.
        """
        now = self._clock()
        mine = self._by_who.pop(who, deque())
        self._by_who[who] = mine
        while len(self._by_who) > _MOST:
            self._by_who.popitem(last=False)
        counts = [(mine, self._each)]
        if self._overall is not None and not exempt_from_total:
            counts.append((self._all, self._overall))
        for attempts, most in counts:
            while attempts and attempts[0] <= now - self._seconds:
                attempts.popleft()
            if len(attempts) >= most:
                wait = int(attempts[0] + self._seconds - now) + 1
                raise TooManyRequests(f"Try again in {wait} seconds.", retry_after=wait)
        for attempts, _ in counts:
            attempts.append(now)

    def succeeded(self, who: str) -> None:
        """Reset the count of a client that has signed in."""
        self._by_who.pop(who, None)


def client_ip(request: web.Request) -> str:
    """The client's IP address, as far as it is known; an IPv6 network counts as one client.

    A proxy on this machine is trusted to name its own peer, as the last address in its header.
    """
    peer = _ip(request.remote or "")
    if peer is not None and peer.is_loopback:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        peer = _ip(",".join(forwarded).rpartition(",")[2].strip()) or peer
    if isinstance(peer, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((peer, 64), strict=False))
    return str(peer)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
