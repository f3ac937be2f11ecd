"""Independent implementations of networks, for copies: mastodon-mock, and a real PDS.

They are installed once, outside of the clone, in a folder named by their lock files.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from process_kit import port_of_its_own

PARTNERS = Path(__file__).parent / "syndication" / "partners"
PDS = pytest.param("pds", marks=[pytest.mark.node, pytest.mark.nightly, pytest.mark.pds])
#: The most important cases are tested with mastodon-mock in every run.
each_network = pytest.mark.parametrize(
    "one",
    ["mastodon", "bluesky", pytest.param("mastodon-mock", marks=pytest.mark.cold), PDS],
    indirect=True,
)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pelican-indieauth"
#: Far more than a start takes on a busy machine.
_PATIENCE = 300.0
_POST = "app.bsky.feed.post"


class Partner:
    """An account at a server, seen from outside. ``secret`` is for the bridge to sign in."""

    url: str
    secret: str
    did: str

    @property
    def uid(self) -> str:
        """The account's uid in a target."""
        raise NotImplementedError

    def copies(self) -> list[str]:
        """The texts of all its posts."""
        raise NotImplementedError

    def clear(self) -> None:
        """Delete all posts."""
        raise NotImplementedError


@dataclass
class MastodonMock(Partner):
    """mastodon-mock from PyPI: a Mastodon API with a database in memory."""

    url: str
    secret: str = "mock_token"
    did: str = ""

    @property
    def uid(self) -> str:
        return f"{self.url}/@testuser"

    def copies(self) -> list[str]:
        account = self._get("/api/v1/accounts/verify_credentials")["id"]
        listed = self._get(f"/api/v1/accounts/{account}/statuses?limit=40")
        ids = [each["id"] for each in reversed(listed) if each.get("reblog") is None]
        texts = list[str]()
        for each in ids:
            try:
                texts.append(self._get(f"/api/v1/statuses/{each}/source")["text"])
            except urllib.error.HTTPError as error:
                # Deleted since the list was made.
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
        return texts

    def statuses(self) -> list[Any]:
        account = self._get("/api/v1/accounts/verify_credentials")["id"]
        return list(self._get(f"/api/v1/accounts/{account}/statuses?limit=40"))

    def reply(self, status: str, words: str, visibility: str) -> None:
        """Reply to a status from another account."""
        someone = ask(f"{self.url}/api/v1/_mock/dev_user", {"display_name": "Alice"})
        body = {"status": words, "in_reply_to_id": status, "visibility": visibility}
        ask(f"{self.url}/api/v1/statuses", body, someone["access_token"])

    def fault(self, **rule: Any) -> None:
        """Configure the server's own faults."""
        ask(f"{self.url}/api/v1/_mock/faults", rule)

    def clear(self) -> None:
        ask(f"{self.url}/api/v1/_mock/reset", {})

    def _get(self, path: str) -> Any:
        return ask(f"{self.url}{path}", token=self.secret)


@dataclass
class Pds(Partner):
    """The reference implementation, https://github.com/bluesky-social/atproto/."""

    url: str
    secret: str = ""
    did: str = ""
    handle: str = ""
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return f"https://bsky.app/profile/{self.handle}"

    def copies(self) -> list[str]:
        return [each["value"].get("text", "") for each in reversed(self.records())]

    def records(self, collection: str = _POST) -> list[Any]:
        asked = f"repo={self.did}&collection={collection}&limit=100"
        found = ask(f"{self.url}/xrpc/com.atproto.repo.listRecords?{asked}")
        return list(found["records"])

    def clear(self) -> None:
        self.handle = f"u{secrets.token_hex(6)}.test"
        made = self._call(
            "com.atproto.server.createAccount",
            {"handle": self.handle, "email": f"{self.handle}@example.org", "password": "password"},
        )
        self.did, token = made["did"], made["accessJwt"]
        named = {"name": "bridge"}
        self.secret = self._call("com.atproto.server.createAppPassword", named, token)["password"]

    def _call(self, name: str, body: Any, token: str = "") -> Any:
        return ask(f"{self.url}/xrpc/{name}", body, token)


def ask(url: str, body: Any = None, token: str = "") -> Any:
    """Send a GET, or a POST with JSON."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.loads(answer.read() or b"null")


@contextmanager
def mastodon_mock() -> Iterator[MastodonMock]:
    """mastodon-mock, served."""
    port = port_of_its_own()
    program = installed(PARTNERS / "mastodon.lock", _install_mock) / "bin" / "mastodon_mock"
    options = ["--in-memory", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen([program, "serve", *options], cwd=program.parent)
    try:
        partner = MastodonMock(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                ask(f"{partner.url}/api/v2/instance")
                break
            except urllib.error.URLError:
                assert process.poll() is None, "mastodon-mock has ended"
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield partner
    finally:
        process.terminate()
        process.wait(300)


@contextmanager
def real_pds() -> Iterator[Pds]:
    """A PDS, served."""
    folder = installed(PARTNERS / "package-lock.json", install_from_npm)
    command = ["node", str(PARTNERS / "pds.js")]
    environment = {**os.environ, "NODE_PATH": str(folder / "node_modules")}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, encoding="utf-8"
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = ""
        while not line.startswith('{"url"'):
            line = process.stdout.readline()
            assert line, "the PDS has ended"
        yield Pds(json.loads(line)["url"])
    finally:
        process.stdin.close()
        process.wait(300)
        process.stdout.close()


def installed(lock: Path, install: Callable[[Path, Path], None], *also: Path) -> Path:
    """The folder in which a lock file's packages are installed, by the first test that needs
    them; ``install`` gets the lock file and that folder. They depend on the files ``also``, too.
    """
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in (lock, *also))).hexdigest()[:12]
    folder = _CACHE / f"{lock.name.partition('.')[0]}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            install(lock, folder)
            (folder / "complete").touch()
    return folder


def _install_mock(lock: Path, folder: Path) -> None:
    _run([sys.executable, "-m", "venv", folder])
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    _run([folder / "bin" / "python", "-m", "pip", "install", *options, "-r", lock])


def install_from_npm(lock: Path, folder: Path) -> None:
    """Install what a ``package-lock.json`` and its ``package.json`` name."""
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(lock.with_name(name), folder)
    _run(["npm", "ci", "--no-audit", "--no-fund"], folder)


def _run(command: list[Any], folder: Path | None = None) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr
