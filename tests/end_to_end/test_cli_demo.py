"""``demo`` and ``serve`` as processes: output and shutdown."""

from __future__ import annotations

import io
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from bridge_kit import picture
from cli_kit import done, environment
from demo_kit import Demo, demo_in, start_demo, wait_until
from soak_kit import SOAK


def test_the_printed_curl_line_posts_and_the_owners_clone_has_it_a_moment_later(
    tmp_path: Path,
) -> None:
    """The promise is within a second; the limit here is for busy machines."""
    with demo_in(tmp_path / "demo", ending=signal.SIGTERM, BRIDGE_WEBMENTION__SEND="false") as demo:
        demo.in_step()
        told = (tmp_path / "demo.log").read_text()
        command = re.search(r"(?s)curl .*?command line\"", told)
        assert command
        answer = subprocess.run(
            [*shlex.split(command[0].replace("\\\n", " ")), "--silent", "--include"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert re.match(r"HTTP/1.1 20[12]", answer)
        wait_until(lambda: [*(demo.clone / "content").rglob("hello-from-*.md")], seconds=60)
        demo.in_step()
        assert_secrets_are_private(tmp_path / "demo")
        assert demo.git("log", "-1", "--format=%s") == "Note: Hello from the command line"
        for value in (demo.site, demo.password, str(demo.repo), str(demo.clone), str(demo.output)):
            assert value in told
        assert demo.webmention == f"{demo.site}webmention"
        assert demo.desk == f"{demo.site}desk/"
        plain = {"bridge.toml", "demo.json", "indieauth.sqlite", "output", "site", "site.git"}
        made = {path.name for path in (tmp_path / "demo").iterdir()}
        assert {name for name in made if not name.startswith("indieauth.sqlite-")} == {
            *plain, "state",
        }  # fmt: skip
    assert not (tmp_path / "demo" / "demo.json").exists(), "no one takes it for running"
    assert not leftovers(tmp_path)


def assert_secrets_are_private(folder: Path) -> None:
    """Settings, tokens, and files derived from drafts are accessible to this user only."""
    private = [folder / "bridge.toml", folder / "demo.json", *folder.rglob("*.sqlite*")]
    (index,) = folder.rglob("index.sqlite")
    private.append(index.parent)
    assert [path for path in private if path.stat().st_mode & 0o077] == []


@pytest.mark.soak
async def test_a_second_start_continues_with_changed_settings_which_the_environment_overrides(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    with demo_in(tmp_path / "demo", BRIDGE_REBUILD__MODE="none") as demo:
        head = demo.git("rev-parse", "HEAD")
    config = tmp_path / "demo" / "bridge.toml"
    with config.open("a") as file:
        file.write('\n[[syndication.targets]]\nuid = "https://social.example/@me"\nname = "Mine"\n')
    changed = config.read_bytes()
    targets = '[{"uid": "https://other.example/@me", "name": "Other"}]'
    for value, name in ("", "Mine"), (targets, "Other"):
        more = {"BRIDGE_REBUILD__MODE": "none"}
        more |= {"BRIDGE_SYNDICATION__TARGETS": value} if value else {}
        with demo_in(tmp_path / "demo", ending=signal.SIGINT, **more) as again:
            assert again.site == demo.site
            assert again.git("rev-parse", "HEAD") == head
            query = {"q": "syndicate-to"}
            async with http.get(again.micropub, params=query, headers=again.headers) as answer:
                assert [each["name"] for each in (await answer.json())["syndicate-to"]] == [name]
    assert config.read_bytes() == changed


async def test_after_a_kill_it_starts_at_another_url_with_changed_settings(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    demo, process = start_demo(tmp_path / "demo", BRIDGE_WEBMENTION__SEND="false")
    process.kill()
    process.wait()
    # What it left does not count as running.
    stale = tmp_path / "demo" / "demo.json"
    assert stale.exists()
    stale.rename(tmp_path / "stale.json")
    config = tmp_path / "demo" / "bridge.toml"
    with config.open("a") as file:
        file.write('\n[[syndication.targets]]\nuid = "https://social.example/@me"\nname = "Mine"\n')
        file.write("\n[media]\nmax_bytes = 10\n")
    changed = config.read_bytes()
    port = int(demo.site.split(":")[2].rstrip("/"))
    # Another program uses the previous port now.
    with (
        socket.create_server(("127.0.0.1", port)),
        demo_in(
            tmp_path / "demo", BRIDGE_WEBMENTION__SEND="false", BRIDGE_MEDIA__MAX_BYTES="2000000"
        ) as again,
    ):
        # The settings are those of the file, which stays, and the environment wins.
        async with http.get(f"{again.micropub}?q=config", headers=again.headers) as answer:
            said = await answer.json()
        assert [each["name"] for each in said["syndicate-to"]] == ["Mine"]
        async with http.post(
            again.media, data={"file": io.BytesIO(picture())}, headers=again.headers
        ) as answer:
            assert answer.status == 201
        assert config.read_bytes() == changed
        assert again.pid != demo.pid
        assert again.site != demo.site
        assert again.git("log", "-1", "--format=%s") == f"Move the site to {again.site}"
        wait_until(lambda: not [page for page in pages(again) if demo.site in page.read_text()])
        assert again.micropub in (again.output / "index.html").read_text()


def pages(demo: Demo) -> list[Path]:
    return [*demo.output.rglob("*.html")]


def test_the_demo_needs_no_folder_and_bridge_commands_work_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "demo"],
            cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT,
            env=environment(TMPDIR=str(tmp_path), BRIDGE_WEBMENTION__SEND="false"),
        )  # fmt: skip
    try:
        wait_until(lambda: "Ctrl-C ends it" in log.read_text())
        (folder,) = tmp_path.glob("micropub-bridge-demo-*")
        assert "demo" in done("token", "list", "-c", folder / "bridge.toml", cwd=tmp_path)
        if SOAK:
            told = done("check", "-c", folder / "bridge.toml", cwd=tmp_path)
            assert "Everything works." in told
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(150) == 0


def leftovers(folder: Path) -> list[str]:
    """The processes that are still running in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
