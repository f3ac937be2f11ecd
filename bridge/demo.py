"""``micropub-bridge demo``: the sample site, the bridge and its IndieAuth server on one origin."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bridge.app import REBUILDER, STORE, make_app
from bridge.cli import Refused
from bridge.indieauth.database import Database
from bridge.indieauth.owner import set_password
from bridge.indieauth.tokens import ALL_SCOPES, create_token
from bridge.serve import lend_plugin, listen, run
from bridge.settings import Settings
from bridge.settings_file import load
from bridge.store.setup import found_site
from bridge.web.site import StaticSite

_PACKAGE = Path(__file__).parent
#: Beside the package in a clone; inside it where it was installed.
_SAMPLES = (_PACKAGE.parent / "sample_site", _PACKAGE / "sample_site")
_FIRST_BUILD_SECONDS = 60
_OWNER = {"name": "Demo Owner", "email": "owner@example.com"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What ``demo.json`` says."""

    site: str
    me: str
    micropub: str
    media: str
    authorization: str
    token_endpoint: str
    token: str
    password: str
    repo: str
    remote: str
    output: str
    pid: int


def demo(folder: Path | None, port: int) -> None:
    """Set up ``folder`` (a new temporary one) and serve until Ctrl-C.

    A folder that holds a demo already goes on where it was. Raises :class:`~bridge.cli.Refused`
    for one that holds anything else.
    """
    folder = (folder or Path(tempfile.mkdtemp(prefix="micropub-bridge-demo-"))).resolve()
    listener = listen("127.0.0.1", port)
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    # The sample site's settings ask the environment where it is going to live.
    os.environ |= {"SITE_URL": origin.rstrip("/"), "INDIEAUTH_BRIDGE": origin}
    lend_plugin()
    config = _prepare(folder)
    settings = load(
        config, {**os.environ, "BRIDGE_SITE__ME": origin, "BRIDGE_SERVER__PUBLIC_URL": origin}
    )
    facts = _let_in(settings.indieauth.database, _facts(folder, origin))
    try:
        asyncio.run(_serve(settings, facts, listener))
    finally:
        (folder / "demo.json").unlink(missing_ok=True)


async def _serve(settings: Settings, facts: Facts, listener: socket.socket) -> None:
    app = await make_app(settings, public_url=facts.site)
    app.router.add_get("/{path:.*}", StaticSite(Path(facts.output)).get)

    async def announce() -> None:
        if head := app[STORE].head():
            await app[REBUILDER].live(head, "index.html", _FIRST_BUILD_SECONDS)
        file = Path(facts.output).with_name("demo.json")
        file.write_text(json.dumps(asdict(facts), indent=2), encoding="utf-8")
        print(_welcome(facts), flush=True)

    await run(app, listener, announce)


def _prepare(folder: Path) -> Path:
    """The site's repo and remote, and the bridge's settings. Returns the settings file."""
    config = folder / "bridge.toml"
    if config.exists():
        return config
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} is neither empty nor a demo. Name another folder with --dir.")
    sample = next((each for each in _SAMPLES if each.is_dir()), None)
    if sample is None:
        raise Refused("The sample site is missing from this installation. Install it again.")
    shutil.copytree(
        sample, folder / "site", ignore=shutil.ignore_patterns("output", "__pycache__", ".git")
    )
    found_site(folder / "site", folder / "remote.git", **_OWNER)
    config.write_text(
        """\
# The demo tells the bridge on which port it is: me and public_url come from the environment.
[site]
me = "http://127.0.0.1/"
repo = "site"

[indieauth]
enabled = true

[rebuild]
output = "output"
""",
        encoding="utf-8",
    )
    return config


def _facts(folder: Path, origin: str) -> Facts:
    return Facts(
        site=origin,
        me=origin,
        micropub=f"{origin}micropub",
        media=f"{origin}media",
        authorization=f"{origin}auth",
        token_endpoint=f"{origin}token",
        token="",
        password=secrets.token_urlsafe(9),
        repo=str(folder / "site"),
        remote=str(folder / "remote.git"),
        output=str(folder / "output"),
        pid=os.getpid(),
    )


def _let_in(database: Path, facts: Facts) -> Facts:
    """A password and an app token for the newcomer: new ones each time, since old ones are gone."""
    opened = Database(database)
    try:
        set_password(opened, facts.password)
        token = create_token(opened, "demo", ALL_SCOPES, client_id=facts.site)
    finally:
        opened.close()
    return replace(facts, token=token)


def _welcome(facts: Facts) -> str:
    return f"""
The demo is ready.

  Open the site          {facts.site}
  Post a note            curl {facts.micropub} -H "Authorization: Bearer {facts.token}" \\
                              -d h=entry -d "content=Hello from the command line"
  Use an app             sign in as {facts.me} with the password {facts.password}
  The posts, as files    {facts.repo}
  The remote, bare       {facts.remote}
  The pages              {facts.output}
  What the bridge does   {facts.site}status

Ctrl-C ends it. Everything is in {Path(facts.repo).parent}; start there again with --dir.
"""
