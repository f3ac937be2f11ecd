"""Rate limits for attempts, in memory: per address and, where guessing could help, in total."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from aiohttp import web

from bridge.errors import TooManyRequests

_MOST = 10_000


class Limiter:
    """Limits attempts within a period, per address and in total.

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

        ``who`` is usually an address. An attempt that is ``exempt_from_total`` counts for ``who``
        alone.
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


def address(request: web.Request) -> str:
    """The client's address, as far as it is known; an IPv6 network counts as one address.

    A proxy on this machine is trusted for the address of its own peer, which is the last one that
    it lists.
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
