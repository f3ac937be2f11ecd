"""Whatever is sent to a whole bridge is answered, in time, and never with a 5xx."""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from bridge_kit import picture
from demo_kit import Demo, demo_in
from http_fuzz import Answer, Fuzzer, Request, ask, corpus
from soak_kit import SOAK

WIRE = Path(__file__).parents[1] / "wire" / "requests"
#: A million in `make soak`, in runs with a bridge of their own.
RUNS, REQUESTS = (100, 10_000) if SOAK else (1, 500)
#: An answer takes no more than a second, ten on a busy machine.
PATIENCE = 10.0
LATE = 1.0 if SOAK else PATIENCE
#: How many clients send at once.
CLIENTS = 4
SEED = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(10**9) if SOAK else 1))


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Demo]:
    folder = tmp_path / "demo"
    secret = "x" * 20
    with demo_in(folder, BRIDGE_REBUILD__MODE="none", BRIDGE_PUBLISH__HOOK_SECRET=secret) as bridge:
        yield bridge


@dataclass
class Client:
    """Sends requests, and notes what was wrong with the answers."""

    bridge: Demo
    fuzzer: Fuzzer
    wrong: list[str]
    statuses: dict[int, int]

    async def send(self, request: Request) -> None:
        address = urlsplit(self.bridge.site)
        data = request.encoded()
        assert address.hostname
        assert address.port
        patience = PATIENCE if request.whole else 0.2
        answer = await ask(address.hostname, address.port, data, patience)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if answer.status in (201, 202) and answer.location.startswith(self.bridge.site):
            self.fuzzer.learn(answer.location)
        if fault := self._fault(request, answer):
            self.wrong.append(f"{fault}: {data[:3000]!r} -> {answer.text[:500]!r}")

    def _fault(self, request: Request, answer: Answer) -> str:
        if answer.status >= 500:
            return f"{answer.status}"
        if request.whole and answer.status == 0:
            return f"no answer after {answer.seconds:.1f} s"
        if request.whole and answer.seconds > LATE:
            return f"{answer.status} after {answer.seconds:.1f} s"
        if b"aiohttp" in answer.text.partition(b"\r\n\r\n")[0]:
            return "a version"
        return ""


async def words_of(bridge: Demo) -> dict[str, str]:
    """What the placeholders in the requests stand for."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        form = await (await http.get(f"{bridge.site}auth/sign-in")).text()
        csrf = re.findall(r'name="csrf" value="([^"]+)"', form)[0]
        fields = {"csrf": csrf, "password": bridge.password, "then": "/tokens"}
        page = await (await http.post(f"{bridge.site}auth/sign-in", data=fields)).text()
        cookies = "; ".join(f"{each.key}={each.value}" for each in http.cookie_jar)
        first = await http.post(
            bridge.micropub, data={"h": "entry", "content": "x"}, headers=bridge.headers
        )
        upload = aiohttp.FormData({"file": io.BytesIO(picture())})
        media = await http.post(bridge.media, data=upload, headers=bridge.headers)
    return {
        "token": bridge.token,
        "create-only": bridge.token_for("create"),
        "other": bridge.token_for("create"),
        "csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0],
        "cookie": cookies,
        "post": first.headers["Location"],
        "media": media.headers["Location"],
        "site": bridge.site,
        "host": urlsplit(bridge.site).netloc,
        "unique": "u",
    }


@pytest.mark.parametrize("run", range(RUNS))
async def test_whatever_is_sent_is_answered_in_time_and_harms_nothing(
    bridge: Demo, run: int
) -> None:
    seed = SEED + run
    words = await words_of(bridge)
    files = {b"{jpeg}": picture(), b"{png}": picture("gold", "PNG")}
    fuzzer = Fuzzer(seed, corpus(WIRE, files), words)
    client = Client(bridge, fuzzer, [], {})
    # Made before they are sent: what is drawn does not depend on what is answered first.
    for _ in range(REQUESTS // CLIENTS):
        await asyncio.gather(*(client.send(fuzzer.next()) for _ in range(CLIENTS)))
        assert not client.wrong, f"FUZZ_SEED={seed}\n" + "\n".join(client.wrong)
    print(f"FUZZ_SEED={seed}: {dict(sorted(client.statuses.items()))}")
    async with aiohttp.ClientSession(headers=bridge.headers) as http:
        answer = await http.get(bridge.micropub, params={"q": "config"})
        assert answer.status == 200, await answer.text()
