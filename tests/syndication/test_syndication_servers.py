"""Peculiarities of servers: other software, rate limits, clocks, unknown handles."""

from __future__ import annotations

import asyncio
import html
import io
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from partner_kit import PDS, MastodonMock, Pds, each_network
from PIL import Image, PngImagePlugin
from syndication_kit import Bench, Fault, close_bench, make_bench, there

from bridge.store.git import GitStore
from bridge.syndication import api
from bridge.syndication.compose import images
from bridge.syndication.compose.fit import fit
from bridge.syndication.compose.measure import shorten_alt
from bridge.syndication.fake.dialects import DIALECTS, Dialect

VECTORS = Path(__file__).with_name("syndication_vectors.json")
LONG = f"See https://example.org/{'x' * 200} and https://example.org/{'y' * 200}, {'word ' * 60}"


@pytest.fixture(params=DIALECTS)
async def other(
    request: pytest.FixtureRequest, store: GitStore, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A server with Mastodon's API: each software in turn."""
    bench = await make_bench(tmp_path, store, ["mastodon"])
    bench.networks.fake.dialect = DIALECTS[request.param]
    yield bench
    await close_bench(bench)


def dialect(bench: Bench) -> Dialect:
    return bench.networks.fake.dialect


async def test_whatever_software_it_is_there_is_one_copy(other: Bench) -> None:
    other.networks.faults.append(Fault("POST", "/api/v1/statuses", lose=True))
    other.start()
    long, short = other.post(LONG, name="long"), other.post("Short", name="short")
    await other.done(long)
    await other.done(short)
    assert len(there(other)) == 2
    assert len(other.copies(long)) == len(other.copies(short)) == 1
    (text,) = (each for each in there(other) if each != "Short")
    if dialect(other).counts_raw:
        assert len(text) <= 500


async def test_whatever_software_it_is_edits_and_deletions_end_well(other: Bench) -> None:
    other.start()
    path = other.post("One")
    await other.done(path)
    other.edit(path, "Two")
    await other.until(lambda: any(each.startswith("PUT") for each in other.networks.requests))
    await other.done(path)
    assert there(other) == ["Two" if dialect(other).edits else "One"]
    other.put(path, None)
    await other.until(lambda: there(other) == [] and not other.jobs())


async def test_every_server_software_has_its_bad_token_reported(other: Bench) -> None:
    other.networks.fake.token = "another"
    syndicator = other.start()
    other.post("One")
    uid = other.targets[0].uid
    await other.until(lambda: syndicator.ledger.trouble(uid) is not None)
    (job,) = other.jobs()
    assert job.state == "waiting"


async def test_whatever_software_it_is_a_copy_made_by_hand_is_enough(other: Bench) -> None:
    other.start()
    copy = f"{other.networks.fake.base}{dialect(other).page.format('1')}"
    path = other.post("One", syndication=[copy])
    await other.done(path)
    assert there(other) == []
    assert other.copies(path) == [copy]


@pytest.mark.parametrize(
    ("method", "path", "scope", "extra"),
    [
        ("GET", "/api/v2/search", "read:search", {"in-reply-to": ["https://a.example/@a/1"]}),
        ("POST", "/api/v2/media", "write:media", {"photo": True}),
    ],
)
async def test_a_token_that_is_good_for_most_posts_keeps_none_of_them_waiting(
    mastodon: Bench, method: str, path: str, scope: str, extra: dict[str, Any]
) -> None:
    words = "This action is outside the authorized scopes"
    mastodon.networks.faults.append(Fault(method, path, 9, status=403, words=words))
    if "photo" in extra:
        extra = {"photo": [await photo(mastodon, 1)]}
    syndicator = mastodon.start()
    mastodon.post("Special", name="special", **extra)
    await mastodon.until(lambda: any(job.state == "failed" for job in mastodon.jobs()))
    (job,) = mastodon.jobs()
    assert scope in job.error
    assert syndicator.ledger.trouble(mastodon.targets[0].uid) is None
    await mastodon.done_with(mastodon.post("Plain", name="plain"))
    assert there(mastodon) == ["Plain"]


# ---- limits -----------------------------------------------------------------------------------


def limits(kind: str, left: int, seconds: float, most: int) -> dict[str, str]:
    """Rate limit headers as of Mastodon and of Bluesky's servers."""
    when = time.time() + seconds
    if kind == "bluesky":
        names = {"Limit": most, "Remaining": left, "Reset": int(when)}
        return {f"RateLimit-{name}": str(value) for name, value in names.items()}
    reset = datetime.fromtimestamp(when, UTC).isoformat()
    return {
        "X-RateLimit-Limit": str(most),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": reset,
    }


async def test_a_server_is_left_alone_before_its_limit_is_reached(
    fake: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, ahead = fake.targets[0].type, 0.0
    monkeypatch.setattr(api, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead))
    syndicator = fake.start()
    await fake.done(fake.post("One", name="a"))
    headers = limits(kind, 19, 3600, 300)
    fake.networks.faults.append(Fault("POST", "", headers=headers))
    await fake.done(fake.post("Two", name="b"))
    before = len(fake.networks.requests)
    third = fake.post("Three", name="c")
    await fake.until(
        lambda: any("nearly reached its rate limit" in job.error for job in fake.jobs())
    )
    (job,) = fake.jobs()
    # It does not count as a failed try, and makes no requests.
    assert job.tries == 0
    assert len(fake.networks.requests) == before
    fake.clock, ahead = timedelta(hours=2), 7200.0
    syndicator._wake(fake.targets[0].uid)
    await fake.done(third)
    assert len(there(fake)) == 3


@pytest.mark.parametrize(("left", "most"), [(20, 300), (3, 30)])
async def test_a_rate_limit_of_one_endpoint_does_not_stop_the_others(
    fake: Bench, left: int, most: int
) -> None:
    headers = limits(fake.targets[0].type, left, 3_600, most)
    fake.networks.faults.append(Fault("POST", "", headers=headers))
    fake.start()
    await fake.done(fake.post("One", name="a"))
    await fake.done(fake.post("Two", name="b"))


async def test_repeated_retry_after_is_respected(mastodon: Bench) -> None:
    mastodon.retries = (0.01,) * 2
    headers = {"Retry-After": "0"}
    fault = Fault("POST", "/api/v1/statuses", 9, status=429, headers=headers)
    mastodon.networks.faults.append(fault)
    mastodon.start()
    await mastodon.done(mastodon.post("One"))
    assert there(mastodon) == ["One"]


# ---- clocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_lost_answer_is_found_whatever_our_clock_says(one: Bench, hours: int) -> None:
    one.networks.fake.honours_keys = False
    one.clock = timedelta(hours=hours)
    method, path = {
        "mastodon": ("POST", "/api/v1/statuses"),
        "bluesky": ("POST", "repo.putRecord"),
    }[one.targets[0].type]
    one.networks.faults.append(Fault(method, path, lose=True))
    one.start()
    post = one.post("One")
    await one.done(post)
    assert there(one) == ["One"]


async def test_a_clock_that_is_put_right_delays_nothing(fake: Bench) -> None:
    """By the wrong clock, a retry in a minute was due in a year."""
    method, path = {
        "mastodon": ("POST", "/api/v1/statuses"),
        "bluesky": ("POST", "repo.putRecord"),
    }[fake.targets[0].type]
    fake.retries = (60.0,) * 3
    fake.networks.faults.append(Fault(method, path, status=503))
    fake.clock = timedelta(days=400)
    syndicator = fake.start()
    await fake.until(lambda: syndicator.ledger.cursor() is not None)
    post = fake.post("One", when=datetime.now(UTC).replace(microsecond=0))
    await fake.until(lambda: any(job.tries for job in fake.jobs()))
    fake.clock = timedelta()
    syndicator._wake(fake.targets[0].uid)
    await fake.done(post)
    assert there(fake) == ["One"]
    for record in fake.networks.fake.records.values():
        assert record["value"]["createdAt"] < f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"


# ---- texts, at a server that checks them ---------------------------------------------------------

TEXTS = {
    "just fits": "a" * 300,
    "one too many": "a" * 301,
    "families": "👨‍👩‍👧‍👦" * 320,
    "flags": "🇩🇪" * 301,
    "right to left": "שלום עולם " * 40,
    "a link at the cut": f"{'word ' * 57}https://example.org/{'x' * 80} and on",
    "no one of that name": "Hello @nobody.invalid and @someone.example.org, see me@example.org",
    "tags": "#c++ #tag, #Zwei_wörter #123 #2026now ＃full # #" + "x" * 70,
    "marks without end": "a" + "\u0301" * 2_000,
    "brackets": "(https://example.org/foo_(bar)) [https://example.org/x] <https://example.org/>",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=[*TEXTS])
async def test_a_server_takes_every_text(one: Bench, text: str) -> None:
    one.start()
    path = one.post(text)
    await one.done(path)
    (copy,) = there(one)
    assert copy.strip()


@each_network
async def test_five_photos_with_long_descriptions_are_four_and_a_link(one: Bench) -> None:
    urls = [await photo(one, number) for number in range(5)]
    alt = "A 👨‍👩‍👧‍👦 by the sea. " * 400
    one.start()
    path = one.post("Look", photo=[{"value": url, "alt": alt} for url in urls])
    await one.done(path)
    (copy,) = there(one)
    assert copy.startswith("Look\n\nhttps://example.com/")
    partner = one.networks.partner
    if isinstance(partner, MastodonMock):
        (status,) = partner.statuses()
        assert len(status["media_attachments"]) == 4
    elif isinstance(partner, Pds):
        (record,) = partner.records()
        assert [each["alt"] for each in record["value"]["embed"]["images"]] == [alt.strip()] * 4


async def photo(bench: Bench, number: int) -> str:

    out = io.BytesIO()
    Image.new("RGB", (64 + number, 48), (number * 40, 90, 90)).save(out, "JPEG")
    return bench.media.url_of(await bench.media.accept(out.getvalue(), f"{number}.jpg"))


async def test_a_name_whose_server_fails_again_and_again_is_a_word(bluesky: Bench) -> None:
    bluesky.networks.faults.append(Fault("GET", "resolveHandle", 99, status=500))
    bluesky.start()
    path = bluesky.post("Hello @alice.example")
    await bluesky.done(path)
    assert there(bluesky) == ["Hello @alice.example"]


async def test_a_warning_that_is_too_long_leaves_room_for_the_text(mastodon: Bench) -> None:
    mastodon.start()
    extra: dict[str, Any] = {"content-warning": ["Careful! " * 100]}
    path = mastodon.post("Text", **extra)
    await mastodon.done(path)
    (status,) = mastodon.networks.fake.statuses.values()
    assert status["spoiler_text"].startswith("Careful! Careful!")
    assert len(status["spoiler_text"]) <= 250
    assert status["_text"] == "Text"


def test_descriptions_are_counted_as_servers_count_them() -> None:
    assert shorten_alt("short", 10) == "short"
    made = shorten_alt("👨‍👩‍👧‍👦" * 1_000, 1_500)
    assert len(made) <= 1_500
    assert made.endswith("👨‍👩‍👧‍👦…")
    assert shorten_alt("word " * 400, 100).endswith("word…")


def test_what_is_sent_has_no_words_of_its_camera(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("GPS", "48.137, 11.575")
    image = Image.effect_noise((300, 300), 90).convert("RGB")
    file = tmp_path / "a.png"
    image.save(file, pnginfo=info)
    jpeg = tmp_path / "a.jpg"
    image.save(jpeg, comment=b"48.137, 11.575", quality=95)
    for data in (file.read_bytes(), jpeg.read_bytes()):
        assert b"48.137" in data
        for most in (1_000_000, 20_000):
            made = fit(data, most_bytes=most, longest=2_000)
            assert b"48.137" not in made.data
            assert len(made.data) <= most


async def test_pictures_are_decoded_in_a_process_with_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "large.png"
    Image.new("L", (9_000, 6_750)).save(file, compress_level=1)
    made = await images.fit_in_subprocess(file.read_bytes(), most_bytes=1_000_000, longest=2_000)
    assert (made.width, made.height) == (2_000, 1_500)
    small = io.BytesIO()
    Image.new("L", (400, 300), 99).save(small, "PNG")
    made = await images.fit_in_subprocess(small.getvalue(), most_bytes=1_000_000, longest=200)
    assert made == fit(small.getvalue(), most_bytes=1_000_000, longest=200)
    with pytest.raises(images.NoImage, match="format is not supported"):
        await images.fit_in_subprocess(b"no picture", most_bytes=1_000_000, longest=2_000)
    monkeypatch.setattr(images, "_SECONDS", 0.001)
    with pytest.raises(images.NoImage, match="too much time"):
        await images.fit_in_subprocess(file.read_bytes(), most_bytes=1_000_000, longest=2_000)


async def test_ten_posts_at_once_are_ten_copies(one: Bench) -> None:
    one.start()
    paths = [one.post(f"Number {number}", name=f"n{number}") for number in range(10)]
    await asyncio.gather(*(one.done(path) for path in paths))
    assert sorted(there(one)) == sorted(f"Number {number}" for number in range(10))


@pytest.mark.cold
@pytest.mark.parametrize("one", ["mastodon-mock"], indirect=True)
async def test_the_servers_own_faults_make_no_second_copy(
    one: Bench,
) -> None:
    """mastodon-mock truncates responses, is slow, and has rate limits."""
    partner = one.networks.partner
    assert isinstance(partner, MastodonMock)
    effects: list[dict[str, Any]] = [
        {"type": "malformed"},
        {"type": "status", "status": 503},
        {"type": "ratelimit", "headers": {"Retry-After": "1"}},
        {"type": "latency", "delay_ms": 300},
    ]
    one.start()
    for number, effect in enumerate(effects):
        match = {"methods": ["POST"], "path": "/api/v1/statuses"}
        partner.fault(match=match, effect=effect, count=1)
        path = one.post(f"Number {number}", name=f"n{number}")
        await one.done(path)
    assert sorted(there(one)) == [f"Number {number}" for number in range(len(effects))]


@pytest.mark.parametrize("one", ["bluesky", PDS], indirect=True)
async def test_a_server_takes_every_text_of_the_vectors_with_its_facets(one: Bench) -> None:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    bodies = [each["html"] for each in vectors["anchors"]]
    bodies += [f"<p>{html.escape(each['text'])}</p>" for each in vectors["truncation"]]
    one.start()
    paths = [one.post(body, name=f"n{number}") for number, body in enumerate(bodies)]
    for path in paths:
        await one.done(path)
    assert len(there(one)) == len(bodies)
