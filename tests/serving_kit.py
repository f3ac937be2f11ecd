"""``serve`` as a process on the repos of :mod:`crowd_kit`, and its processor time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crowd_kit import HOOK_SECRET, SITE, Repos
from warm_kit import Program

from bridge.auth.token import ALL_SCOPES
from bridge.indieauth.database import Database
from bridge.indieauth.oauth.app_tokens import create_token

PATIENCE = 300.0


@dataclass(frozen=True)
class Serving:
    """A running bridge."""

    process: Program
    url: str
    token: str
    log: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def rests(self) -> None:
        """Return when the process is idle; fail if it never is.

        Measured by how long its threads ran or waited for a processor, so that other processes do
        not matter.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            begin, before = time.monotonic(), self._runnable()
            time.sleep(0.4)
            if self._runnable() - before < 0.5 * (time.monotonic() - begin):
                return
        raise AssertionError(f"busy all the time: {self.log.read_text()}")

    def _runnable(self) -> float:
        """Seconds, summed over its threads."""
        found = 0
        for file in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"):
            try:
                ran, waited, _ = map(int, file.read_text().split())
            except OSError:
                continue  # it has just ended
            found += ran + waited
        return found / 1e9


@contextmanager
def serving(repos: Repos, **environment: str) -> Iterator[Serving]:
    """``serve`` without building pages, unless the environment says otherwise; killed if it
    still runs.
    """
    settings = {
        "BRIDGE_SITE__ME": f"{SITE}/",
        "BRIDGE_SITE__REPO": str(repos.bare),
        "BRIDGE_SERVER__PORT": "0",
        "BRIDGE_INDIEAUTH__ENABLED": "true",
        "BRIDGE_INDIEAUTH__DATABASE": str(repos.folder / "indieauth.sqlite"),
        "BRIDGE_PUBLISH__AUTHOR": "Ada <ada@example.com>",
        "BRIDGE_PUBLISH__HOOK_SECRET": HOOK_SECRET,
        "BRIDGE_PUBLISH__POLL_SECONDS": "3600",
        "BRIDGE_REBUILD__MODE": "none",
        "BRIDGE_REBUILD__WAIT_SECONDS": "0",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    database = Database(repos.folder / "indieauth.sqlite")
    token = create_token(database, "a test", ALL_SCOPES)
    database.close()
    log = repos.folder / "serve.log"
    everything = {**os.environ, **settings, **environment}
    process = Program("bridge", "serve", cwd=repos.folder, env=everything, stdout=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while "listening on " not in (said := log.read_text()):
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        url = said.partition("listening on ")[2].split()[0]
        yield Serving(process, url, token, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
