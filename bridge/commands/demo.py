"""``micropub-bridge demo``: the sample site, the bridge and its IndieAuth server on one origin."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import tempfile
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Struct
from msgspec.structs import asdict, replace

from bridge.app import REBUILDER, STORE, make_app
from bridge.auth.token import ALL_SCOPES
from bridge.commands.init.upgrade import upgrade
from bridge.commands.progress import step
from bridge.commands.serve import add_plugin_to_pythonpath, listen, only_bridge, run, start_threads
from bridge.errors import Refused
from bridge.http.static_site import StaticSite
from bridge.indieauth.database import Database
from bridge.indieauth.login.password import set_password
from bridge.indieauth.oauth.app_tokens import create_token
from bridge.runtime import private
from bridge.runtime.command_name import command
from bridge.runtime.terminal import tell
from bridge.settings import Settings
from bridge.settings_file import load
from bridge.store.owner_clone import allow_pushes_into, commit_file
from bridge.store.setup import clone_bare, create_site_repo
from bridge.syndication.fake.bluesky import APP_PASSWORD, HANDLE
from bridge.syndication.fake.mastodon import MASTODON_TOKEN
from bridge.syndication.fake.network import FakeNetwork

_PACKAGE = Path(__file__).parents[1]
#: Beside the package in a clone, inside it in an installation.
_SAMPLES = (_PACKAGE.parent / "sample_site", _PACKAGE / "sample_site")
_FIRST_BUILD_SECONDS = 60
_OWNER = {"name": "Demo Owner", "email": "owner@example.com"}
_CONF = "pelicanconf.py"
_MARK = "# The settings of a demo."
_ADDRESSES = "\n# Where this demo is.\n"


class DemoFacts(Struct, frozen=True):
    """The contents of ``demo.json``."""

    site: str
    me: str
    micropub: str
    media: str
    authorization: str
    token_endpoint: str
    webmention: str
    desk: str
    token: str
    password: str
    repo: str
    clone: str
    output: str
    pid: int


def demo(folder: Path | None, port: int, *, fake_network: bool = False) -> None:
    """Set up ``folder`` (by default a new temporary one) and serve until Ctrl-C.

    An existing demo is continued, at the same port if that is free. ``fake_network`` adds a network
    on this machine to syndicate to. Raises :class:`~bridge.errors.Refused` for a folder with other
    content.
    """
    folder = (folder or Path(tempfile.mkdtemp(prefix="micropub-bridge-demo-"))).resolve()
    config = folder / "bridge.toml"
    _refuse_others(folder, config)
    listener = _listen(config, port)
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    # From here on no other process sets up this folder.
    with listener, only_bridge(folder / "state"):
        _run(folder, config, origin, listener, fake_network=fake_network)


def _run(
    folder: Path, config: Path, origin: str, listener: socket.socket, *, fake_network: bool
) -> None:
    (folder / "demo.json").unlink(missing_ok=True)
    add_plugin_to_pythonpath()
    _prepare(folder, config, origin)
    private.tighten([config])
    network = _Network(listen("127.0.0.1", 0), folder / "network") if fake_network else None
    over = _overlay(origin) | (network.settings() if network else {})
    settings = load(config, os.environ, over=over)
    facts = _set_up_owner(settings.indieauth.database, _facts(folder, origin))
    # The environment can name another folder for the state.
    is_own = settings.site.state.resolve() == (folder / "state").resolve()
    try:
        with nullcontext() if is_own else only_bridge(settings.site.state):
            asyncio.run(_serve(settings, facts, listener, network))
    finally:
        (folder / "demo.json").unlink(missing_ok=True)


def _links(facts: DemoFacts) -> dict[str, str]:
    """The endpoints that the plugin advertises, by relation, for ``Link`` headers."""
    return {
        "authorization_endpoint": facts.authorization,
        "token_endpoint": facts.token_endpoint,
        "micropub": facts.micropub,
        "micropub_media": facts.media,
        "indieauth-metadata": f"{facts.site}.well-known/oauth-authorization-server",
        "webmention": facts.webmention,
    }


class _Network(Struct, frozen=True):
    """The fake network for syndication; ``folder`` is for its tokens."""

    listener: socket.socket
    folder: Path

    @property
    def base(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings for a default target at each network."""
        private.make_folder(self.folder)
        accounts = {
            "mastodon": ("https://mastodon.test/@you", MASTODON_TOKEN),
            "bluesky": (f"https://bsky.app/profile/{HANDLE}", APP_PASSWORD),
        }
        targets: list[dict[str, Any]] = []
        for kind, (uid, token) in accounts.items():
            private.write(self.folder / kind, token)
            name = f"{kind.title()} (fake)"
            place = {"server": self.base, "token_file": str(self.folder / kind)}
            targets.append({"uid": uid, "name": name, "type": kind, "default": True, **place})
        return {"syndication": {"targets": targets}}

    async def start(self) -> web.AppRunner:
        """Start serving it."""
        runner = web.AppRunner(FakeNetwork(base=self.base).app(), access_log=None)
        await runner.setup()
        await web.SockSite(runner, self.listener).start()
        return runner


async def _serve(
    settings: Settings, facts: DemoFacts, listener: socket.socket, network: _Network | None
) -> None:
    runner = await network.start() if network else None
    try:
        await _serve_demo(settings, facts, listener, network)
    finally:
        if runner is not None:
            await runner.cleanup()


async def _serve_demo(
    settings: Settings, facts: DemoFacts, listener: socket.socket, network: _Network | None
) -> None:
    start_threads()
    app = await make_app(settings, public_url=facts.site)
    app.router.add_get("/{path:.*}", StaticSite(Path(facts.output), _links(facts)).get)

    async def announce() -> None:
        if head := app[STORE].head():
            app[REBUILDER].changed(head)
            with step("Building the site for the first time"):
                await app[REBUILDER].live(head, "index.html", _FIRST_BUILD_SECONDS)
        # Written atomically: a program that waits for this file must not read a part of it.
        half = Path(facts.output).with_name(".demo.json")
        private.write(half, json.dumps(asdict(facts), indent=2))
        half.rename(half.with_name("demo.json"))
        tell(_welcome(facts, network.base if network else ""))

    await run(app, listener, announce)


def _refuse_others(folder: Path, config: Path) -> None:
    """Raise :class:`Refused` for a folder that has content of its own."""
    is_demo = config.is_file() and config.read_text(encoding="utf-8").startswith(_MARK)
    if not is_demo and folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} is neither empty nor a demo. Name another folder with --dir.")


def _listen(config: Path, port: int) -> socket.socket:
    """Listen on ``port``; for 0 on the port of the previous start, which apps may know, if it
    is free.
    """
    if not port and config.is_file():
        last = load(config, os.environ).server.port
        with suppress(Refused):
            return listen("127.0.0.1", last)
    return listen("127.0.0.1", port)


def _prepare(folder: Path, config: Path, origin: str) -> None:
    """Create the owner's clone with the demo's URL in its settings, the bridge's repo, and
    ``bridge.toml``.
    """
    clone, repo = folder / "site", folder / "site.git"
    if not config.is_file():
        sample = next((each for each in _SAMPLES if each.is_dir()), None)
        if sample is None:
            raise Refused("The sample site is missing from this installation. Install it again.")
        unwanted = shutil.ignore_patterns("output", "__pycache__", ".git")
        shutil.copytree(sample, clone, ignore=unwanted)
        _move(clone / _CONF, origin)
        create_site_repo(clone, **_OWNER)
        clone_bare(str(clone), repo, "main")
        allow_pushes_into(clone)
        private.write(config, _settings(origin))
        return
    if not repo.exists():
        upgrade(config, "", str(clone))
    if _addresses(origin) not in (clone / _CONF).read_text(encoding="utf-8"):
        # The site is built from commits, so its URL has to be committed.
        change = partial(_move, clone / _CONF, origin)
        commit_file(clone, _CONF, change, f"Move the site to {origin}")


def _move(settings: Path, origin: str) -> None:
    """Set the URLs of site and bridge in Pelican's settings."""
    text, _, _ = settings.read_text(encoding="utf-8").partition(_ADDRESSES)
    settings.write_text(text + _addresses(origin), encoding="utf-8")


def _addresses(origin: str) -> str:
    site = origin.rstrip("/")
    return (
        f'{_ADDRESSES}SITEURL = "{site}"\nINDIEAUTH_BRIDGE = "{origin}"\n'
        f'INDIEAUTH_WEBMENTION = "{origin}webmention"\n'
    )


def _overlay(origin: str) -> dict[str, dict[str, Any]]:
    """Settings of this run that override ``bridge.toml``: the port may differ from last time."""
    port = urlsplit(origin).port or 80
    return {"site": {"me": origin}, "server": {"port": port, "public_url": origin}}


def _settings(origin: str) -> str:
    return f"""\
{_MARK} What you change here stays, except for the URL and the port,
# which are those of the present run.
[site]
me = "{origin}"
repo = "site.git"

[server]
port = {urlsplit(origin).port}
public_url = "{origin}"

[indieauth]
enabled = true

[publish]
author = "{_OWNER["name"]} <{_OWNER["email"]}>"

[rebuild]
output = "output"

[webmention]
batch_seconds = 0   # approved mentions are shown at once; elsewhere they are committed together
"""


def _facts(folder: Path, origin: str) -> DemoFacts:
    return DemoFacts(
        site=origin,
        me=origin,
        micropub=f"{origin}micropub",
        media=f"{origin}media",
        authorization=f"{origin}auth",
        token_endpoint=f"{origin}token",
        webmention=f"{origin}webmention",
        desk=f"{origin}desk/",
        token="",
        password=secrets.token_urlsafe(9),
        repo=str(folder / "site.git"),
        clone=str(folder / "site"),
        output=str(folder / "output"),
        pid=os.getpid(),
    )


def _set_up_owner(database: Path, facts: DemoFacts) -> DemoFacts:
    """Set a new password and create an app token. Earlier ones cannot be shown again."""
    opened = Database(database)
    try:
        set_password(opened, facts.password)
        token = create_token(opened, "demo", ALL_SCOPES, client_id=facts.site)
    finally:
        opened.close()
    return replace(facts, token=token)


def _again(folder: Path, *, network: bool) -> str:
    """The command that starts this demo again, from a clone or as installed."""
    options = f"--dir {folder}{' --fake-network' if network else ''}"
    if (_PACKAGE.parent / "Makefile").is_file():
        return f'make demo ARGS="{options}"'
    return f"{command()} demo {options}"


def _welcome(facts: DemoFacts, network: str = "") -> str:
    folder = Path(facts.repo).parent
    copies = f"  The fake network       {network}/\n" if network else ""
    return f"""
The demo is ready.

  Write in the browser   {facts.desk}
                         sign in with the password {facts.password}
  Open the site          {facts.site}
  Post a note            curl {facts.micropub} -H "Authorization: Bearer {facts.token}" \\
                              -d h=entry -d "content=Hello from the command line"
  Use an app             sign in as {facts.me} with the same password
  The posts, as files    {facts.clone} (your clone: edit and commit there)
  The bridge's own repo  {facts.repo}
  The pages              {facts.output}
  The bridge's status    {facts.site}status
{copies}
Ctrl-C ends it. Everything is in {folder}; to continue there:

  {_again(folder, network=bool(network))}
"""
