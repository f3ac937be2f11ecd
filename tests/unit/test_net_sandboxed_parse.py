"""Untrusted pages are parsed in reused processes, with limits for each page."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sending_kit import until

from bridge.net import sandboxed_parse
from bridge.net.sandboxed_parse import parse_in_subprocess

PAGE = b"<title>A page</title><p>Hello."
ENDLESS = b"<div>" * 100_000


@pytest.fixture(autouse=True)
def parsers(monkeypatch: pytest.MonkeyPatch) -> Iterator[sandboxed_parse._Parsers]:
    """A pool of processes for this test only."""
    parsers = sandboxed_parse._Parsers()
    monkeypatch.setattr(sandboxed_parse, "_parsers", parsers)
    monkeypatch.setenv("BRIDGE_INDIEAUTH__SECRET", "not for strangers")
    # What programs are forked from is a subprocess as well, and is there from now on.
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    yield parsers
    parsers.end_all()


async def parse(page: bytes = PAGE, seconds: float = 60) -> Any:
    """The name of the h-cite made from a page."""
    found = await parse_in_subprocess(
        "bridge.context.cite:cite", "https://a.example/", "", page=page, seconds=seconds
    )
    return found and found["properties"]["name"]


def children() -> set[int]:
    """The running subprocesses of this process."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent, *_ = status.read_text().rpartition(")")[2].split()
            if parent == str(os.getpid()) and state != "Z":
                found.add(int(status.parent.name))
    return found


async def test_a_process_parses_many_pages_with_limits_for_each() -> None:
    before = children()
    assert await parse() == ["A page"]
    (process,) = children() - before
    assert await parse(b"<title>Another</title>") == ["Another"]
    assert children() - before == {process}

    used = sum(
        map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13])
    )
    soft, _ = resource.prlimit(process, resource.RLIMIT_CPU)
    assert soft <= used / os.sysconf("SC_CLK_TCK") + 21
    assert resource.prlimit(process, resource.RLIMIT_AS)[0] <= 1024**3
    assert b"BRIDGE_" not in Path(f"/proc/{process}/environ").read_bytes()
    assert os.getpriority(os.PRIO_PROCESS, process) >= 10


@pytest.mark.cold
async def test_a_bridge_of_a_large_site_reuses_a_process_as_well() -> None:
    """What the bridge itself has used is no reason to start a process for each page."""
    bridge_uses = b"x" * 300_000_000
    before = children()
    assert await parse() == ["A page"]
    (process,) = children() - before
    assert await parse() == ["A page"]
    assert children() - before == {process}
    del bridge_uses


async def test_simultaneous_pages_are_parsed_in_parallel() -> None:
    before = children()
    pages = [b"<title>%d</title>" % number for number in range(4)]
    assert await asyncio.gather(*map(parse, pages)) == [[str(number)] for number in range(4)]
    assert len(children() - before) <= 2, "no more are kept"


async def test_exceeding_the_limits_kills_only_that_process() -> None:
    assert await parse() == ["A page"]
    assert await parse(ENDLESS, seconds=0.5) is None
    assert await parse() == ["A page"]


async def test_a_failure_ends_the_process() -> None:
    before = children()
    module = "bridge.context.cite:no_such_function"
    assert await parse_in_subprocess(module, page=PAGE, seconds=60) is None
    await until(lambda: children() == before)
    assert await parse() == ["A page"]


async def test_an_idle_process_that_was_killed_is_replaced() -> None:
    before = children()
    assert await parse() == ["A page"]
    (process,) = children() - before
    os.kill(process, 9)
    await until(lambda: children() == before)
    assert await parse() == ["A page"]


async def test_an_idle_process_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxed_parse, "_IDLE_SECONDS", 0.05)
    before = children()
    assert await parse() == ["A page"]
    await until(lambda: children() == before)
