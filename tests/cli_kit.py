"""Runs the command line as a new owner does, on a site made by ``pelican-quickstart``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from demo_kit import PATIENCE
from git_kit import new_repo
from warm_kit import Program, run_module

ROOT = Path(__file__).parents[1]
_PATH = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
OWNER = {
    "GIT_CONFIG_GLOBAL": str(Path(__file__).with_name("gitconfig")),
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def environment(**more: str) -> dict[str, str]:
    """Our environment without git's and the bridge's variables; the bridge is run from the
    clone.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "BRIDGE_"))
    }
    return {**kept, **OWNER, "PYTHONPATH": _PATH, **more}


def run(
    *arguments: str | Path,
    cwd: Path,
    text: str | None = "",
    env: Mapping[str, str] | None = None,
    proving: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``micropub-bridge`` with these arguments; ``text`` is typed in. ``proving``: let
    ``init`` build the site, which takes a while.
    """
    if arguments[0] == "init" and not proving:
        arguments = (*arguments, "--skip-build")
    return run_module("bridge", *arguments, cwd=cwd, env=environment(**(env or {})), text=text)


def done(
    *arguments: str | Path, cwd: Path, text: str | None = "", env: Mapping[str, str] | None = None
) -> str:
    """The output of a command that must succeed."""
    ended = run(*arguments, cwd=cwd, text=text, env=env)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def refused(
    *arguments: str | Path, cwd: Path, text: str | None = "", env: Mapping[str, str] | None = None
) -> str:
    """The error line of a command that must be refused: no traceback, and no exit status 2
    for wrong usage.
    """
    ended = run(*arguments, cwd=cwd, text=text, env=env)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert last.startswith("micropub-bridge: ")
    return last.removeprefix("micropub-bridge: ")


def git(*arguments: str | Path, cwd: Path) -> str:
    """The output of git."""
    ended = subprocess.run(
        ["git", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout.strip()


def quickstart(folder: Path, *, url: str = "https://example.com") -> Path:
    """A site as ``pelican-quickstart`` makes it: its URL is in ``publishconf.py`` only."""
    answers = [str(folder), "A site", "Me", "en", "y" if url else "n", *([url] if url else [])]
    answers += ["y", "10", "Europe/Paris", "n"]
    subprocess.run(
        [sys.executable, "-m", "pelican.tools.pelican_quickstart"],
        input="\n".join(answers) + "\n",
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    (folder / "content" / "first.md").write_text("Title: First\nDate: 2026-01-02\n\nHello.\n")
    return folder


def commit(folder: Path, message: str = "My site") -> None:
    """Commit everything in the owner's clone, as the owner."""
    if not (folder / ".git").exists():
        new_repo(folder)
    config = folder / ".git/config"
    if "[user]" not in config.read_text():
        with config.open("a") as file:
            file.write("[user]\n\tname = Ada Owner\n\temail = ada@example.com\n")
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message", message, cwd=folder)


def publish(folder: Path, remote: Path) -> Path:
    """A bare remote with all commits."""
    new_repo(remote, bare=True)
    git("remote", "add", "origin", remote, cwd=folder)
    git("push", "--quiet", "--set-upstream", "origin", "main", cwd=folder)
    return remote


def set_port(config: Path, port: int = 0) -> None:
    """Make a written ``bridge.toml`` use a free port."""
    text = config.read_text()
    config.write_text(re.sub(r"(?m)^port = .*$", f"port = {port}", text))


@dataclass(frozen=True)
class Served:
    """A running ``serve``: its URL and its output so far."""

    url: str
    folder: Path
    log: Path
    process: Program

    def token(self) -> str:
        """Create an app token."""
        return done("token", "create", "a test", cwd=self.folder).strip()

    async def post(self, http: aiohttp.ClientSession, content: str) -> str:
        """Post a note; returns its URL."""
        form = {"h": "entry", "content": content}
        headers = {"Authorization": f"Bearer {self.token()}"}
        async with http.post(f"{self.url}micropub", data=form, headers=headers) as answer:
            assert answer.status in (201, 202), await answer.text()
            return answer.headers["Location"]


@contextmanager
def served(folder: Path, **env: str) -> Iterator[Served]:
    """Run ``micropub-bridge serve`` in a folder with a ``bridge.toml``, from ready to a clean
    exit.
    """
    log = folder / "serve.log"
    process = Program("bridge", "serve", cwd=folder, env=environment(**env), stdout=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (ready := re.search(r"listening on (\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Served(ready[1], folder, log, process)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0, log.read_text()
