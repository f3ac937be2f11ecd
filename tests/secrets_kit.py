"""Finds leaks of the tokens, codes, links and passwords that tests use.

Results of :func:`secrets.token_urlsafe` are recorded, in this process and in those that tests start
(``watched/sitecustomize.py``), and so are passwords passed to argon2, and tokens sent to a server.
They must not appear in logs, in responses (except those that deliver a secret), or in any file that
the tests leave, including git's objects.

This is a pytest plugin: each process that runs tests searches at its end, and a secret found, or a
process that did not search, fails the run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import aiohttp
import argon2
import pytest

_WATCH = pytest.StashKey["Watch"]()
_PATCH = pytest.StashKey[pytest.MonkeyPatch]()
#: The folder of all files that this process's tests write.
_WRITTEN = pytest.StashKey[Path]()
#: The findings of the whole run, from all workers.
_LEAKS = pytest.StashKey[list[str]]()

#: Shorter ones could be ordinary words.
_LEAST = 12
#: The length of generated secrets; any run of that many such characters is searched for.
_MADE = 43
_RUN = re.compile(rb"[A-Za-z0-9_-]{%d,}" % _MADE)

#: Responses that deliver secrets: RFC 6749 4.1.2 and 5.1, a new app token shown once, those of
#: Micro.blog's API and of Bluesky.
_GIVING = ("/token", "/auth", "/account/verify", "/xrpc/com.atproto.server.")
#: Pages whose form repeats the secret.
_ASKING = ("/auth/set-up", "/auth/sign-in/link")
#: Output of the demo and of the first start, for the owner.
_ANNOUNCEMENTS = (
    *(b"Authorization: Bearer ", b"with the password "),
    b"Set up how you sign in: ",
)
_ANNOUNCED = re.compile(rb"^.*(?:%b).*$" % b"|".join(_ANNOUNCEMENTS), re.MULTILINE)
#: Files that the demo writes for that purpose, and copies of them.
_FACTS = ("demo.json", "stale.json")
#: Files with tokens of accounts at other servers, readable by the user only (``token_file``, the
#: vault).
_VAULTS = ("account.token", "mastodon", "bluesky", "secrets.json", ".secrets.json")
#: Sessions at the fake network, which uses the built-in server's database.
_DATABASE, _SESSIONS = "indieauth.sqlite", re.compile(rb"e30\.[\w-]+\.c2ln")
#: Programs that tests install, but do not write.
_INSTALLED = ("site-packages", "node_modules")


def pytest_configure(config: pytest.Config) -> None:
    """From now on record secrets, and texts in which they must not be."""
    config.stash[_WATCH], config.stash[_PATCH] = Watch(), pytest.MonkeyPatch()
    config.stash[_LEAKS] = []
    config.stash[_WATCH].start(config.stash[_PATCH])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Restore the process."""
    config.stash[_PATCH].undo()


@pytest.fixture
def watched(pytestconfig: pytest.Config) -> Watch:
    """What has been recorded in this process."""
    return pytestconfig.stash[_WATCH]


@pytest.fixture(scope="session", autouse=True)
def _written(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytestconfig.stash[_WRITTEN] = tmp_path_factory.getbasetemp()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """All tests have run: search. A worker of xdist reports to the process that started it."""
    config = session.config
    if _WRITTEN in config.stash:
        config.stash[_LEAKS] += sorted(set(config.stash[_WATCH].leaks(config.stash[_WRITTEN])))
    if hasattr(config, "workeroutput"):
        config.workeroutput["leaks"] = config.stash[_LEAKS]
    elif config.stash[_LEAKS]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect what a worker has found."""
    output = getattr(node, "workeroutput", {})
    unseen = f"{node.gateway.id} ended without having looked for secrets"
    node.config.stash[_LEAKS] += output.get("leaks", [unseen])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List every place where a secret was found."""
    leaks = terminalreporter.config.stash[_LEAKS]
    if leaks:
        terminalreporter.section("secrets that have leaked", red=True)
        for leak in leaks:
            terminalreporter.line(leak)


class Watch:
    """Records secrets and texts after its start."""

    def __init__(self) -> None:
        self.secrets: set[bytes] = set()
        self.texts: dict[bytes, str] = {}
        handle, name = tempfile.mkstemp(prefix="watched-")
        os.close(handle)
        self._children = Path(name)

    def start(self, patch: pytest.MonkeyPatch) -> None:
        """Record everything until ``patch`` is undone."""
        patch.setenv("WATCHED_SECRETS", str(self._children))
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "watched"), prepend=os.pathsep)
        self._watch_what_is_made(patch)
        self._watch_passwords(patch)
        self._watch_requests(patch)
        log = logging.StreamHandler(_Lines(self))
        log.setLevel(logging.INFO)
        logging.getLogger().addHandler(log)

    def leaks(self, folder: Path) -> Iterator[str]:
        """The places where a secret was found: in recorded texts, and in files below ``folder``.

        A text that is in several places (the theme of each site) is searched, and told of, once.
        """
        self.secrets |= set(self._children.read_bytes().split())
        made = {secret for secret in self.secrets if len(secret) == _MADE}
        given = self.secrets - made
        texts = ((where, text) for text, where in self.texts.items())
        searched, runs = set[bytes](), set[bytes]()
        for where, text in chain(texts, files(folder)):
            digest = hashlib.blake2b(text, digest_size=16).digest()
            if digest not in searched:
                searched.add(digest)
                # Most runs are hashes, which many files have.
                of_it = {*_RUN.findall(text)} - runs
                found = _made_in(of_it) & made
                runs |= of_it if not found else set()
                found |= {secret for secret in given if secret in text}
                yield from (f"{where}: {secret.decode(errors='replace')}" for secret in found)

    def note(self, secret: str | bytes) -> None:
        """Record a secret."""
        written = secret if isinstance(secret, bytes) else os.fsencode(secret)
        if len(written) >= _LEAST:
            self.secrets.add(written)

    def _watch_what_is_made(self, patch: pytest.MonkeyPatch) -> None:
        make = secrets.token_urlsafe

        def noting(nbytes: int | None = None) -> str:
            secret = make(nbytes)
            self.note(secret)
            return secret

        patch.setattr(secrets, "token_urlsafe", noting)

    def _watch_passwords(self, patch: pytest.MonkeyPatch) -> None:
        for name, position in (("hash", 0), ("verify", 1)):
            patch.setattr(argon2.PasswordHasher, name, self._noting(name, position))

    def _noting(self, name: str, position: int) -> Any:
        original = getattr(argon2.PasswordHasher, name)

        def noting(hasher: argon2.PasswordHasher, *values: Any, **options: Any) -> Any:
            self.note(values[position])
            return original(hasher, *values, **options)

        return noting

    def _watch_requests(self, patch: pytest.MonkeyPatch) -> None:
        request, read = aiohttp.ClientSession._request, aiohttp.ClientResponse.read

        async def requested(session: aiohttp.ClientSession, *values: Any, **options: Any) -> Any:
            bearer = dict(options.get("headers") or {}).get("Authorization", "")
            self.note(bearer.partition("Bearer ")[2])
            return await request(session, *values, **options)

        async def was_read(response: aiohttp.ClientResponse) -> bytes:
            body = await read(response)
            path, status = response.url.path, response.status
            giving = path.startswith(_GIVING) and status < 400
            if not giving and not path.startswith(_ASKING):
                given = [f"{k}: {v}\n" for k, v in response.headers.items() if k != "Set-Cookie"]
                self.texts["".join(given).encode() + body] = f"{response.method} {path} {status}"
            return body

        patch.setattr(aiohttp.ClientSession, "_request", requested)
        patch.setattr(aiohttp.ClientResponse, "read", was_read)


class _Lines:
    """The log as a stream."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def write(self, text: str) -> None:
        self._watch.texts[text.encode("utf-8", "surrogateescape")] = "log"

    def flush(self) -> None:
        """Nothing is buffered."""


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All files below a folder, and the objects of all repos in it, decompressed."""
    seen, todo = set[str](), [str(folder)]
    while todo:
        place = todo.pop()
        with os.scandir(place) as listed:
            entries = {entry.name: entry for entry in listed}
        if {"objects", "refs", "HEAD"} <= entries.keys():
            objects = _object_files(entries.pop("objects").path)
            if not objects <= seen:
                seen |= objects
                yield place, _objects(place)
        for name, entry in entries.items():
            if entry.is_dir(follow_symlinks=False):
                todo += [entry.path] if name not in _INSTALLED else []
            elif entry.is_file(follow_symlinks=False) and not _is_for_secrets(name):
                data = _without_announcements(Path(entry.path).read_bytes())
                yield entry.path, _SESSIONS.sub(b"", data) if name.startswith(_DATABASE) else data


def _is_for_secrets(name: str) -> bool:
    return name in _FACTS or name in _VAULTS


def _without_announcements(data: bytes) -> bytes:
    return _ANNOUNCED.sub(b"", data) if any(each in data for each in _ANNOUNCEMENTS) else data


def _object_files(folder: str) -> set[str]:
    """Git names them by their contents."""
    return {name for _, _, names in os.walk(folder) for name in names}


def _objects(repo: str) -> bytes:
    command = ["git", f"--git-dir={repo}", "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(command, capture_output=True, check=False).stdout


def _made_in(runs: Iterable[bytes]) -> set[bytes]:
    """Everything in runs of a text that could be a generated secret."""
    return {run[at : at + _MADE] for run in runs for at in range(len(run) - _MADE + 1)}
