"""Finds leaks of the tokens, codes, links and passwords that tests use.

Results of :func:`secrets.token_urlsafe` are recorded, in this process and in those that tests start
(``watched/sitecustomize.py``), and so are passwords passed to argon2, and tokens sent to a server.
They must not appear in logs, in responses (except those that deliver a secret), or in any file that
the tests leave, including git's objects.

This is a pytest plugin: each process that runs tests searches at its end, and a secret found, or a
process that did not search, fails the run.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
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
_LINE = re.compile(rb"[^\0\n]{%d,}" % _LEAST)
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
#: Git's object that is in no pack.
_LOOSE = re.compile("[0-9a-f]{2}/[0-9a-f]{38,62}")
#: The kinds of entries of a pack that are whole objects, and up to where a pack is small.
_IN_FULL, _SMALL = (1, 2, 3, 4), 50_000
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

        A line that is in several places (the theme of each site) is searched, and told of, once:
        few are new in most files.
        """
        self.secrets |= set(self._children.read_bytes().split())
        made = {secret for secret in self.secrets if len(secret) == _MADE}
        given = self.secrets - made
        in_lines = {secret for secret in given if _LINE.fullmatch(secret)}
        texts = ((where, text) for text, where in self.texts.items())
        searched, runs, places = set[bytes](), set[bytes](), list[tuple[str, bytes]]()
        for where, text in chain(texts, files(folder)):
            if new := _lines(text) - searched:
                searched |= new
                lines = b"\n".join(new)
                places.append((where, lines))
                # Most runs are hashes, which many files have.
                of_it = {*_RUN.findall(lines)} - runs
                found = _made_in(of_it) & made
                runs |= of_it if not found else set()
                yield from (_told(where, secret) for secret in found)
            yield from (_told(where, secret) for secret in given - in_lines if secret in text)
        everything = b"\n".join(lines for _, lines in places)
        leaked = [secret for secret in in_lines if secret in everything]
        for secret in leaked:
            yield from (_told(where, secret) for where, lines in places if secret in lines)

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


def _lines(text: bytes) -> set[bytes]:
    """Those that are long enough for a secret, at least."""
    return {*(_LINE.findall(text) if b"\0" in text else text.split(b"\n"))}


def _read(file: str) -> bytes:
    with open(file, "rb") as stream:  # noqa: PTH123 # there are ten thousands
        return stream.read()


def _told(where: str, secret: bytes) -> str:
    return f"{where}: {secret.decode(errors='replace')}"


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All files below a folder, and the objects of all repos in it, decompressed."""
    seen, todo = set[str](), [str(folder)]
    while todo:
        place = todo.pop()
        with os.scandir(place) as listed:
            entries = {entry.name: entry for entry in listed}
        if {"objects", "refs", "HEAD"} <= entries.keys():
            new = _object_files(entries.pop("objects").path) - seen
            seen |= new
            yield from ((place, data) for data in _objects(place, new))
        for name, entry in entries.items():
            if entry.is_dir(follow_symlinks=False):
                todo += [entry.path] if name not in _INSTALLED else []
            elif entry.is_file(follow_symlinks=False) and not _is_for_secrets(name):
                data = _without_announcements(_read(entry.path))
                yield entry.path, _SESSIONS.sub(b"", data) if name.startswith(_DATABASE) else data


def _is_for_secrets(name: str) -> bool:
    return name in _FACTS or name in _VAULTS


def _without_announcements(data: bytes) -> bytes:
    return _ANNOUNCED.sub(b"", data) if any(each in data for each in _ANNOUNCEMENTS) else data


def _object_files(folder: str) -> set[str]:
    """Their places in the folder: git names them by their contents."""
    start = len(folder) + 1
    return {f"{at}/{name}"[start:] for at, _, names in os.walk(folder) for name in names}


def _objects(repo: str, files: Iterable[str]) -> Iterator[bytes]:
    """What is in files of a repo's objects. Git reads what is not simple."""
    all_read = True
    for name in files:
        if _LOOSE.fullmatch(name):
            with suppress(zlib.error, OSError):  # damaged by a test
                yield zlib.decompress(_read(f"{repo}/objects/{name}"))
        elif name.endswith(".pack"):
            found = _packed(f"{repo}/objects/{name}")
            all_read = all_read and found is not None
            yield from found or ()
    if not all_read:
        command = ["git", f"--git-dir={repo}", "cat-file", "--batch-all-objects", "--batch"]
        yield subprocess.run(command, capture_output=True, check=False).stdout


def _packed(file: str) -> list[bytes] | None:
    """The objects in a small pack that has each in full; ``None`` for another one, or where it
    cannot be read, or is damaged. (gitformat-pack(5))
    """
    found, at = list[bytes](), 12
    with suppress(zlib.error, IndexError, OSError):
        pack = _read(file)
        if not 12 < len(pack) < _SMALL:
            return None
        for _ in range(int.from_bytes(pack[8:12], "big")):
            if pack[at] >> 4 & 7 not in _IN_FULL:
                return None
            while pack[at] & 0x80:
                at += 1
            stream = zlib.decompressobj()
            found.append(stream.decompress(pack[at + 1 :]))
            at = len(pack) - len(stream.unused_data)
        return found
    return None


def _made_in(runs: Iterable[bytes]) -> set[bytes]:
    """Everything in runs of a text that could be a generated secret."""
    return {run[at : at + _MADE] for run in runs for at in range(len(run) - _MADE + 1)}
