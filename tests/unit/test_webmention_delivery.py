"""The outcome of one delivery, by the target's response, and rate limits towards targets."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from itertools import pairwise

import pytest
from aiohttp import web
from webmention_kit import Elsewhere, elsewhere

from bridge.net.fetch import GuardedFetch
from bridge.webmention.outgoing.delivery import AttemptResult, Courier, DeliveryTiming
from bridge.webmention.outgoing.outbox import Delivery

SOURCE = "https://me.example/post/"
DAY = 86400.0


@pytest.fixture
async def fetch() -> AsyncIterator[GuardedFetch]:
    async with GuardedFetch(allow_loopback=True) as guarded:
        yield guarded


@pytest.fixture
async def site() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as other:
        yield other


class Clock:
    """A clock on which sleeping takes no time."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


def courier(fetch: GuardedFetch, clock: Clock | None = None, **timing: float) -> Courier:
    return Courier(fetch, DeliveryTiming(**{"gap": 0.0, **timing}), clock or Clock())  # type: ignore[arg-type] # numbers


async def told(fetch: GuardedFetch, site: Elsewhere, status: int, tries: int = 0) -> AttemptResult:
    site.takes = lambda _: web.Response(status=status)
    target = site.taker("/target")
    return await courier(fetch).deliver(SOURCE, Delivery(target, tries=tries))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299, 302, 303])
async def test_every_success_is_one(status: int, fetch: GuardedFetch, site: Elsewhere) -> None:
    assert await told(fetch, site, status) == AttemptResult("sent", status)
    assert site.posted[0].form == {"source": SOURCE, "target": f"{site.base}target"}


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 422, 451])
async def test_a_refusal_is_final(status: int, fetch: GuardedFetch, site: Elsewhere) -> None:
    outcome = await told(fetch, site, status)
    assert (outcome.state, outcome.status) == ("failed", status)
    assert str(status) in outcome.reason


async def test_a_receiver_that_saw_an_older_page_is_asked_once_more(
    fetch: GuardedFetch, site: Elsewhere
) -> None:
    first = await told(fetch, site, 400)
    assert (first.state, first.wait) == ("waiting", 900.0)
    assert (await told(fetch, site, 400, tries=1)).state == "failed"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_server_in_trouble_is_asked_ever_more_rarely(
    status: int, fetch: GuardedFetch, site: Elsewhere
) -> None:
    waits = [(await told(fetch, site, status, tries)).wait for tries in range(5)]
    assert waits[0] <= 60, "the first retry comes within a minute"
    for wait, about in zip(waits, (50, 600, 3600, 21600, DAY), strict=True):
        assert 0.8 * about <= wait <= 1.2 * about
    last = await told(fetch, site, status, 5)
    assert (last.state, last.status) == ("failed", status)


@pytest.mark.parametrize(
    ("after", "wait"), [("7", 7.0), ("999999", DAY), ("0", 0.0), ("soon", None), ("-5", None)]
)
async def test_a_server_says_when_it_wants_to_be_asked(
    after: str, wait: float | None, fetch: GuardedFetch, site: Elsewhere
) -> None:
    site.takes = lambda _: web.Response(status=503, headers={"Retry-After": after})
    outcome = await courier(fetch).deliver(SOURCE, Delivery(site.taker("/target")))
    assert outcome.wait == wait if wait is not None else 40 <= outcome.wait <= 60


async def test_a_server_may_say_it_by_a_date(fetch: GuardedFetch, site: Elsewhere) -> None:
    later = formatdate(time.time() + 600, usegmt=True)
    site.takes = lambda _: web.Response(status=429, headers={"Retry-After": later})
    outcome = await courier(fetch).deliver(SOURCE, Delivery(site.taker("/target")))
    assert 500 < outcome.wait <= 600


async def test_a_host_that_is_down_is_asked_again(fetch: GuardedFetch, site: Elsewhere) -> None:
    down = f"http://127.0.0.1:{9}/"
    assert (await courier(fetch).deliver(SOURCE, Delivery(down))).state == "waiting"
    gone = site.page("/page", "", Link=f"<{down}>; rel=webmention")
    assert (await courier(fetch).deliver(SOURCE, Delivery(gone))).state == "waiting"


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1/hook", "http://localhost:8080/", "http://169.254.169.254/latest"]
)
async def test_an_endpoint_that_only_this_machine_reaches_is_never_posted_to(
    endpoint: str, site: Elsewhere
) -> None:
    """The page may be untrusted, so the endpoint that it names is checked as well (4.3)."""
    reached = list[str]()

    def admits(address: str) -> bool:
        reached.append(address)
        # Only the page itself is allowed.
        return len(reached) == 1

    page = site.page("/page", "", Link=f"<{endpoint}>; rel=webmention")
    async with GuardedFetch(admits=admits) as strict:
        outcome = await courier(strict).deliver(SOURCE, Delivery(page))
    assert outcome.state == "failed"
    assert "is not allowed" in outcome.reason
    assert site.posted == []


async def test_a_page_without_an_endpoint_is_not_asked_again_for_a_day(
    fetch: GuardedFetch, site: Elsewhere
) -> None:
    clock = Clock()
    sender = courier(fetch, clock)
    plain = site.page("/plain", "<p>")
    for _ in range(2):
        assert (await sender.deliver(SOURCE, Delivery(plain))).state == "none"
    assert len(site.asked) == 1
    await sender.deliver(SOURCE, Delivery(plain, heard=True))
    assert len(site.asked) == 2, "one that has heard before may have a reason"
    clock.time += DAY + 1
    await sender.deliver(SOURCE, Delivery(plain))
    assert len(site.asked) == 3


async def test_what_a_page_says_of_its_freshness_counts(
    fetch: GuardedFetch, site: Elsewhere
) -> None:
    clock = Clock()
    sender = courier(fetch, clock)
    headers = {"Cache-Control": "public, max-age=99999999"}
    plain = site.page("/plain", "<p>", **headers)
    await sender.deliver(SOURCE, Delivery(plain))
    clock.time += 6 * DAY
    await sender.deliver(SOURCE, Delivery(plain))
    assert len(site.asked) == 1
    clock.time += 2 * DAY
    await sender.deliver(SOURCE, Delivery(plain))
    assert len(site.asked) == 2, "a week at most"


async def test_one_host_is_asked_one_thing_at_a_time_and_not_at_once_again(
    fetch: GuardedFetch, site: Elsewhere
) -> None:
    moments = list[float]()
    at_once = [0, 0]

    async def slow(request: web.Request) -> web.Response:
        moments.append(time.monotonic())
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(0.02)
        at_once[0] -= 1
        return web.Response(headers={"Link": "</e>; rel=webmention"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", slow)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    sender = courier(fetch, gap=0.05)
    targets = [Delivery(f"{base}{number}") for number in range(3)]
    await asyncio.gather(*(sender.deliver(SOURCE, each) for each in targets))
    await runner.cleanup()
    assert at_once[1] == 1
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert len(moments) == 6
    assert min(pauses) >= 0.05


async def test_in_an_hour_there_is_an_end(fetch: GuardedFetch, site: Elsewhere) -> None:
    clock = Clock()
    sender = courier(fetch, clock, hourly=2)
    target = site.taker("/target")
    assert sender.free_at() == 0
    for _ in range(2):
        await sender.deliver(SOURCE, Delivery(target))
    assert sender.free_at() == clock.time + 3600
    clock.time += 3601
    assert sender.free_at() == 0
    for _ in range(2):
        await sender.deliver(SOURCE, Delivery(target))
    # The clock was ahead.
    clock.time -= 86400
    assert sender.free_at() == 0


@pytest.mark.parametrize("kind", ["endless", "bomb", "nested", "no text"])
async def test_a_hostile_target_costs_its_limits(
    kind: str, fetch: GuardedFetch, site: Elsewhere
) -> None:
    link = b'<a rel="webmention" href="/e">x</a>'
    bodies = {
        "endless": (b"<p>" * 20_000 + link + b"<p>" * 500_000, {}),
        "bomb": (gzip.compress(link + b"\0" * 50_000_000), {"Content-Encoding": "gzip"}),
        "nested": (b"<div>" * 100_000 + link, {}),
        "no text": (bytes(range(256)) * 2_000 + link, {}),
    }
    body, headers = bodies[kind]
    site.pages["/page"] = lambda: web.Response(body=body, content_type="text/html", headers=headers)
    started = time.process_time()
    outcome = await courier(fetch).deliver(SOURCE, Delivery(f"{site.base}page"))
    assert outcome.state == "sent"
    assert time.process_time() - started < 20
