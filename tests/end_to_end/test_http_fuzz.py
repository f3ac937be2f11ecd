"""Any request to a whole bridge is answered, in time, and never with 5xx."""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from bridge_kit import picture
from demo_kit import Demo, demo_in
from git_kit import assert_sound
from http_fuzz import Answer, Fuzzer, Request, ask, corpus
from run_queue import RunQueue, run_queue
from soak_kit import SOAK

WIRE = Path(__file__).parents[1] / "wire" / "requests"
#: A million in `make soak`, in runs that each have a bridge.
RUNS, REQUESTS = (50, 20_000) if SOAK else (1, 100)
#: A response takes at most a second, in addition to the time that the bridge waited for a
#: processor.
LATE = 1.0 if SOAK else 10.0
PATIENCE = 300.0
#: The number of concurrent clients, and of requests that are generated before they are sent.
CLIENTS, BATCH = 4, 20
MOST_TOLD = 10
SEED = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(10**9) if SOAK else 1))


#: Every tenth bridge of `make soak` has all features of a demo; pushing each post and polling pages
#: takes most of the time.
ALL = {"BRIDGE_PUBLISH__HOOK_SECRET": "x" * 20}
ALONE = {"BRIDGE_WEBMENTION__SEND": "false", "BRIDGE_PUBLISH__REMOTE": ""}


@pytest.fixture
def bridge(tmp_path: Path, run: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    for name, value in (ALONE if run % 10 else ALL).items():
        monkeypatch.setenv(name, value)
    with demo_in(tmp_path / "demo", BRIDGE_REBUILD__MODE="none") as bridge:
        yield bridge
    # Failures after the response are only visible in the log.
    log = (tmp_path / "demo.log").read_text()
    assert "Traceback" not in log, log[-20_000:]
    assert_sound(bridge.repo)


@dataclass
class Client:
    """Sends requests and records what was wrong with the responses."""

    bridge: Demo
    fuzzer: Fuzzer
    queue: RunQueue
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    #: The number of concurrent requests.
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CLIENTS))

    async def send_all(self, requests: Iterable[Request]) -> None:
        async def in_turn(request: Request) -> None:
            async with self.free:
                await self.send(request)

        await asyncio.gather(*map(in_turn, requests))

    async def send(self, request: Request) -> None:
        address = urlsplit(self.bridge.site)
        data = request.encoded()
        assert address.hostname
        assert address.port
        patience = PATIENCE if request.whole else 0.2
        began = time.monotonic()
        answer = await ask(address.hostname, address.port, data, patience)
        self.statuses[answer.status] += 1
        if answer.status in (201, 202) and answer.location.startswith(self.bridge.site):
            self.fuzzer.learn(answer.location)
        if fault := self._fault(request, answer, began):
            self.wrong.append(f"{fault}: {data[:3000]!r} -> {answer.text[:500]!r}")

    def _fault(self, request: Request, answer: Answer, began: float) -> str:
        if request.whole and answer.status == 0:
            return f"no answer after {answer.seconds:.1f} s"
        waited = 0.0
        if answer.seconds > LATE:
            self.queue.look()
            waited = self.queue.waited(began, began + answer.seconds)
        # If there was no processor time, "try again in a moment" is a correct response.
        if answer.status == 503 and b"\r\nRetry-After: " in answer.text and waited > LATE:
            return ""
        if answer.status >= 500:
            return f"{answer.status}"
        if request.whole and answer.seconds - waited > LATE:
            return f"{answer.status} after {answer.seconds:.1f} s less {waited:.1f}"
        if b"aiohttp" in answer.text.partition(b"\r\n\r\n")[0]:
            return "a version"
        return ""


async def words_of(bridge: Demo) -> dict[str, str]:
    """The values of the placeholders in the requests."""
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
async def test_any_request_gets_a_response_in_time_and_does_no_harm(bridge: Demo, run: int) -> None:
    seed = SEED + run
    words = await words_of(bridge)
    files = {b"{jpeg}": picture(), b"{png}": picture("gold", "PNG")}
    fuzzer = Fuzzer(seed, corpus(WIRE, files), words)
    async with run_queue(bridge.pid) as queue:
        client = Client(bridge, fuzzer, queue)
        # Generated before sending, so that random choices do not depend on the order of responses.
        for _ in range(REQUESTS // BATCH):
            await client.send_all([fuzzer.next() for _ in range(BATCH)])
            if len(client.wrong) > MOST_TOLD:
                break
    print(f"FUZZ_SEED={seed}: {dict(sorted(client.statuses.items()))}")
    assert not client.wrong, f"FUZZ_SEED={seed}\n" + "\n".join(client.wrong)
    async with aiohttp.ClientSession(headers=bridge.headers) as http:
        answer = await http.get(bridge.micropub, params={"q": "config"})
        assert answer.status == 200, await answer.text()
