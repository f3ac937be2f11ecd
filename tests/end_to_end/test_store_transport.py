"""Remotes with a password or over ssh: git never prompts, and secrets are not stored anywhere."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_kit import done, refused
from git_kit import git, new_repo
from siege_kit import Besieged

from bridge.store import Change, Commit
from bridge.store.git import GitStore
from bridge.store.sync.remote import Remote, RemoteStatus

TOKEN = "a-very-secret-token"


class GitHost:
    """A git host over HTTP that requires a user name and password."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.seen: set[str] = set()
        self.elsewhere = ""

    async def serve(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        self.seen.add(base64.b64decode(given.removeprefix("Basic ")).decode())
        if self.elsewhere:
            raise web.HTTPFound(f"{self.elsewhere}{request.path_qs}")
        if TOKEN not in base64.b64decode(given.removeprefix("Basic ")).decode():
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="git"'})
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "REMOTE_USER": "you",
        }
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate(await request.read())
        head, _, body = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, body=body, headers=headers)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[tuple[GitHost, str]]:
    new_repo(tmp_path / "remote.git", bare=True)
    git(tmp_path / "remote.git", "config", "http.receivepack", "true")
    host = GitHost(tmp_path)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", host.serve)
    async with TestServer(app) as server:
        yield host, str(server.make_url("/remote.git"))


def store_with(tmp_path: Path, url: str) -> GitStore:
    new_repo(tmp_path / "site.git", bare=True)
    git(tmp_path / "site.git", "remote", "add", "origin", url)
    store = GitStore(tmp_path / "site.git", author="Ada <ada@example.com>")
    store.commit([Commit((Change("a.md", b"A", None),), "A post\n", None)])
    return store


async def outcome(store: GitStore, token: str) -> RemoteStatus:
    state = store.bare_repo.common.with_name("state")
    state.mkdir()
    remote = Remote(store, "origin", state=state, on_moved=lambda _: None, token=token)
    await remote.start()
    try:
        async with asyncio.timeout(200):
            while remote.status().state == "behind":
                await asyncio.sleep(0.01)
        return remote.status()
    finally:
        await remote.close()
        store.close()


async def test_the_owners_hooks_for_every_repo_do_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/{name}-ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    new_repo(tmp_path / "remote.git", bare=True)
    # The remote's own hooks do run.
    git(tmp_path / "remote.git", "config", "core.hooksPath", "hooks")
    (tmp_path / "remote.git/hooks/post-receive").write_text(f"#!/bin/sh\ntouch {tmp_path}/told\n")
    (tmp_path / "remote.git/hooks/post-receive").chmod(0o755)
    store = store_with(tmp_path, str(tmp_path / "remote.git"))
    owners = tmp_path / "gitconfig"
    owners.write_text(
        f"[core]\n\thooksPath = {hooks}\n[push]\n\tgpgSign = true\n[gpg]\n\tprogram = false\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(owners))
    assert (await outcome(store, "")).state == "ok"
    assert not [*tmp_path.glob("*-ran")]
    assert (tmp_path / "told").exists()


@pytest.mark.parametrize("token", [TOKEN, f"ada:{TOKEN}"])
@pytest.mark.parametrize("url_user", ["", "grace@"])
async def test_a_token_is_used_for_the_remote_and_not_stored(
    host: tuple[GitHost, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    token: str,
    url_user: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    server, url = host
    store = store_with(tmp_path, url.replace("://", f"://{url_user}"))
    status = await outcome(store, token)
    assert status.state == "ok", status.error
    assert git(tmp_path / "remote.git", "log", "--format=%s", "main") == "A post"
    user = url_user.removesuffix("@") or ("ada" if ":" in token else "git")
    assert f"{user}:{TOKEN}" in server.seen
    assert TOKEN not in caplog.text
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes()


async def test_a_wrong_token_is_reported_but_not_shown(
    host: tuple[GitHost, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _, url = host
    wrong = "another-secret"
    status = await outcome(store_with(tmp_path, url), wrong)
    assert status.state == "failed"
    assert "Authentication failed" in (status.error or "")
    assert wrong not in str(status)
    assert wrong not in caplog.text


async def test_a_password_in_the_url_is_not_shown(
    host: tuple[GitHost, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, url = host
    status = await outcome(store_with(tmp_path, url.replace("://", "://me:pass-in-url@")), "")
    assert status.state == "failed"
    assert "pass-in-url" not in str(status)
    assert "pass-in-url" not in caplog.text


async def test_the_token_is_not_sent_to_another_host(
    host: tuple[GitHost, str], tmp_path: Path
) -> None:
    server, url = host
    thief = GitHost(tmp_path)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", thief.serve)
    async with TestServer(app) as other:
        server.elsewhere = str(other.make_url("/")).rstrip("/")
        status = await outcome(store_with(tmp_path, url), TOKEN)
    assert status.state == "failed"
    assert not any(TOKEN in seen for seen in thief.seen)


async def test_without_a_token_git_does_not_prompt(
    host: tuple[GitHost, str], tmp_path: Path
) -> None:
    _, url = host
    status = await outcome(store_with(tmp_path, url), "")
    assert status.state == "failed"
    assert "terminal prompts disabled" in (status.error or "")


async def test_a_token_is_not_sent_unencrypted(tmp_path: Path) -> None:
    store = store_with(tmp_path, "http://git.example.invalid/remote.git")
    status = await outcome(store, TOKEN)
    assert status.state == "failed"
    assert not (tmp_path / "state" / "askpass").exists()


async def test_ssh_does_not_prompt(tmp_path: Path) -> None:
    new_repo(tmp_path / "remote.git", bare=True)
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/said\nfor last; do :; done\neval "$last"\n')
    ssh.chmod(0o755)
    store = store_with(tmp_path, f"ssh://ada@host.example/{tmp_path}/remote.git")
    git(tmp_path / "site.git", "config", "core.sshCommand", str(ssh))
    status = await outcome(store, "")
    assert status.state == "ok", status.error
    assert git(tmp_path / "remote.git", "log", "--format=%s", "main") == "A post"
    assert "-oBatchMode=yes" in (tmp_path / "said").read_text()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for a host on this machine other than the loopback address that the
    bridge trusts.
    """
    file = tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]  # made at once, unlike one of RSA
    names = ["-subj", "/CN=host", "-addext", "subjectAltName=IP:127.0.0.2"]
    subprocess.run([*command, *names, "-keyout", file, "-out", tmp_path / "half.pem"],
                   check=True, capture_output=True)  # fmt: skip
    file.write_text(file.read_text() + (tmp_path / "half.pem").read_text())
    return file


async def test_a_whole_bridge_pushes_over_https_with_a_token_from_a_file(
    tmp_path: Path, certificate: Path
) -> None:
    bridge = Besieged.in_folder(tmp_path)
    git(tmp_path, "clone", "-q", "--bare", "site.git", "remote.git")
    git(tmp_path / "remote.git", "config", "http.receivepack", "true")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    bridge.environment |= {
        "BRIDGE_PUBLISH__REMOTE": "origin",
        "BRIDGE_PUBLISH__TOKEN_FILE": str(tmp_path / "token"),
        "GIT_SSL_CAINFO": str(certificate),
    }
    host, secure = GitHost(tmp_path), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", host.serve)
    server = TestServer(app, scheme="https", host="127.0.0.2")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        await server.start_server(ssl=secure)
        git(bridge.repo, "remote", "set-url", "origin", str(server.make_url("/remote.git")))
        process, url = await bridge.start()
        assert (await bridge.post(url, "over https"))[0] == 202
        async with asyncio.timeout(200):
            while git(tmp_path / "remote.git", "log", "-1", "--format=%s") != "Note: over https":
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    told = {file for file in tmp_path.rglob("*")
            if file.is_file() and TOKEN.encode() in file.read_bytes()}  # fmt: skip
    assert told == {tmp_path / "token"}


async def test_init_clones_a_remote_that_wants_a_password(
    host: tuple[GitHost, str], tmp_path: Path
) -> None:
    server, url = host
    site = new_repo(tmp_path / "site")
    (site / "content").mkdir()
    (site / "content" / "a.md").write_text("Title: A\nDate: 2026-01-01\n\nText\n")
    (site / "pelicanconf.py").write_text('SITENAME = "S"\nSITEURL = "https://s.example"\n')
    git(site, "add", ".")
    git(site, "commit", "--quiet", "-m", "My site")
    git(site, "push", "--quiet", str(tmp_path / "remote.git"), "main")
    bridge = tmp_path / "bridge"
    bridge.mkdir()
    init = ("init", url, "--yes", "--author", "Ada <ada@example.com>")

    told = await asyncio.to_thread(refused, *init, cwd=bridge)
    assert "terminal prompts disabled. Try" in told
    assert f"git ls-remote {url}" in told
    assert "BRIDGE_PUBLISH__TOKEN" in told
    assert "askpass" not in told
    assert not list(bridge.iterdir())

    secret = {"BRIDGE_PUBLISH__TOKEN": TOKEN}
    await asyncio.to_thread(done, *init, cwd=bridge, env=secret)
    assert f"git:{TOKEN}" in server.seen
    assert git(bridge / "site.git", "log", "--format=%s") == "My site"
    assert not [
        file for file in bridge.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()
    ]
