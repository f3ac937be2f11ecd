"""``demo`` and ``serve`` as processes: what they print, and how they end."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
from cli_kit import done, environment
from demo_kit import start_demo, wait_until


def end(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> None:
    process.send_signal(number)
    assert process.wait(15) == 0


def test_the_printed_curl_line_posts(tmp_path: Path) -> None:
    demo, process = start_demo(tmp_path / "demo")
    told = (tmp_path / "demo.log").read_text()
    command = re.search(r"(?s)curl .*?command line\"", told)
    assert command
    answer = subprocess.run(
        [*shlex.split(command[0].replace("\\\n", " ")), "--silent", "--include"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert re.match(r"HTTP/1.1 20[12]", answer)
    assert demo.git("log", "-1", "--format=%s") == "Note: Hello from the command line"
    for value in (demo.site, demo.password, str(demo.repo), str(demo.remote), str(demo.output)):
        assert value in told
    end(process, signal.SIGTERM)
    assert not (tmp_path / "demo" / "demo.json").exists(), "nobody takes it for running"
    assert not leftovers(tmp_path)


async def test_a_second_start_goes_on_at_the_same_address_with_the_same_posts(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    demo, process = start_demo(tmp_path / "demo")
    head = demo.git("rev-parse", "HEAD")
    end(process)
    again, process = start_demo(tmp_path / "demo")
    assert again.site == demo.site
    assert again.git("rev-parse", "HEAD") == head
    async with http.get(again.site) as answer:
        assert answer.status == 200
    end(process)


async def test_at_another_address_every_page_says_the_new_one(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    demo, process = start_demo(tmp_path / "demo")
    end(process)
    config = tmp_path / "demo" / "bridge.toml"
    port = demo.site.split(":")[2].rstrip("/")
    # As if the port of last time had been another.
    config.write_text(config.read_text().replace(f"port = {port}", "port = 1"))
    again, process = start_demo(tmp_path / "demo")
    assert again.site != demo.site
    assert again.git("log", "-1", "--format=%s") == f"The site lives at {again.site} now"
    index = again.output / "index.html"
    wait_until(lambda: again.micropub in index.read_text())
    assert not [page for page in again.output.rglob("*.html") if demo.site in page.read_text()]
    end(process)


def test_what_an_earlier_end_by_force_left_behind_is_not_taken_for_running(tmp_path: Path) -> None:
    demo, process = start_demo(tmp_path / "demo")
    process.kill()
    process.wait()
    stale = tmp_path / "demo" / "demo.json"
    assert stale.exists()
    stale.rename(tmp_path / "stale.json")
    again, process = start_demo(tmp_path / "demo")
    assert again.pid == process.pid != demo.pid
    end(process)


def test_the_demo_needs_no_folder_and_bridge_commands_work_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "demo"],
            cwd=tmp_path, env=environment(TMPDIR=str(tmp_path)), stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    wait_until(lambda: "Ctrl-C ends it" in log.read_text())
    (folder,) = tmp_path.glob("micropub-bridge-demo-*")
    assert "Everything works." in done("check", "-c", folder / "bridge.toml", cwd=tmp_path)
    end(process)


def leftovers(folder: Path) -> list[str]:
    """Processes that still work below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
