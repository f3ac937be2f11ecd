"""``micropub-bridge init``: analyses a Pelican site, asks for two URLs, writes ``bridge.toml``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from bridge.commands.init.existing_site import ExistingSite, find_site
from bridge.commands.init.interview import Interview
from bridge.commands.init.upgrade import upgrade
from bridge.commands.progress import step
from bridge.errors import Refused
from bridge.net.web_url import parse
from bridge.runtime import private
from bridge.runtime.command_name import DEFAULT_FILE, command, doc
from bridge.settings import Server
from bridge.settings_file import LOOPBACK, token_in
from bridge.store import StoreBroken
from bridge.store.owner_clone import allow_pushes_into, claim, keep_out
from bridge.store.setup import (
    OwnerRepo,
    clone_and_inspect,
    clone_bare,
    inspect_clone,
    is_remote,
    not_committed,
)

_BARE = Path("site.git")
_OUTPUT = Path("output")
_STATE = Path("state")
_DATABASE = "indieauth.sqlite*"
_PORT = Server().port


class Plan(Struct, frozen=True):
    """The contents of ``bridge.toml`` for a site; ``repo`` is the path of the bridge's bare
    clone.
    """

    site: ExistingSite
    found: OwnerRepo
    me: str
    public_url: str
    author: str
    repo: Path

    @property
    def conf(self) -> Path:
        """The owner's settings file, in their clone or, without one, in the repo."""
        conf = self.site.conf
        return conf if self.found.branch else conf.relative_to(self.site.root)

    @property
    def settings(self) -> str:
        """Pelican's settings file, relative to the repo."""
        return self.site.settings.relative_to(self.site.root).as_posix()

    @property
    def name(self) -> str:
        """The owner's name, from the site, else from their commits."""
        named = str(self.site.values.get("AUTHOR") or "") or self.author.partition(" <")[0]
        return " ".join(named.split())

    @property
    def listens_on(self) -> tuple[str, int]:
        """The bridge's own host and port: those of its public URL, if that is on this machine
        and names a port, since no proxy is needed then.
        """
        public = parse(self.public_url)
        if public.is_loopback and public.port_given and public.scheme == "http":
            return ("::1" if public.host == "[::1]" else "127.0.0.1"), public.port
        return "127.0.0.1", _PORT

    @property
    def notes(self) -> list[str]:
        """Advice on the given URLs."""
        me, public = urlsplit(self.me), urlsplit(self.public_url)
        built = urlsplit(self.site.address)
        is_other = (built.scheme, built.netloc) != (me.scheme, me.netloc)
        found = []
        if built.netloc and is_other and built.hostname not in LOOPBACK:
            found.append(
                f"{self.settings} says that your site is at {self.site.address} (SITEURL): posts"
                f" get URLs below that. If it is at {self.me}, change SITEURL."
            )
        if me.hostname == public.hostname and me.hostname not in LOOPBACK:
            found.append(
                f"Site and bridge share the host name {me.hostname}: have your web server forward"
                f" the bridge's paths to it, and know what that means ({doc('proxies.md')})."
            )
        return found

    @property
    def recipe(self) -> str:
        """The file with which the remote's host builds the site; ``""`` where it does not."""
        return "" if self.found.is_local else self.site.built_elsewhere()


def init(
    site: str,
    *,
    settings: str,
    me: str | None,
    public_url: str | None,
    author: str | None,
    remote: str,
    ask: bool,
) -> None:
    """Write ``bridge.toml`` in the current folder and print what is left to do.

    ``site`` is the owner's clone or the repo's URL, ``settings`` Pelican's settings file in it
    (``""``: search for it), ``remote`` where posts are pushed to (``""``: as
    :class:`~bridge.store.setup.OwnerRepo` finds it). If that is a clone, git is configured there to
    take pushes; nothing else in it changes. An existing ``bridge.toml`` is kept, and a set-up by an
    earlier version is upgraded.

    Raises :class:`~bridge.errors.Refused`, and :class:`~bridge.settings.SettingsError` for
    Pelican's settings; then no ``bridge.toml`` was written.
    """
    if DEFAULT_FILE.exists():
        print(upgrade(DEFAULT_FILE, site, remote))
        return
    site = site or "."
    with tempfile.TemporaryDirectory(prefix="bridge-init-") as folder:
        token = token_in(os.environ)
        found = _find(site, remote, Path(folder), token)
        start = found.root if is_remote(site) else Path(site).resolve()
        interview = Interview(ask)
        existing = find_site(found.root, start, named=settings, choose=interview.settings)
        _refuse_among_posts(existing, found)
        plan = _plan(existing, found, interview, me, public_url, author)
        text = _toml(plan)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            line = text[: error.start].count("\n")
            raise Refused(
                f"what was given is not in UTF-8: {text.splitlines()[line]!r}. Use a terminal with"
                " UTF-8, and rename folders whose names are not."
            ) from error
        was_there = plan.repo.exists()
        try:
            _make_repo(plan, token)
            names = (DEFAULT_FILE, _BARE, _OUTPUT, _STATE, _DATABASE)
            keep_out(found.root, [*(Path(name).absolute() for name in names), existing.output])
            story = _what_next(plan, _set_up_remote(plan))
            private.write(DEFAULT_FILE, text)
        except BaseException:
            if not was_there:
                shutil.rmtree(plan.repo, ignore_errors=True)
            raise
    print(story)


def _plan(
    existing: ExistingSite,
    found: OwnerRepo,
    interview: Interview,
    me: str | None,
    public_url: str | None,
    author: str | None,
) -> Plan:
    """What to set up, with what the owner answers."""
    return Plan(
        site=existing,
        found=found,
        me=interview.me(me, existing.address),
        public_url=interview.bridge(public_url, existing.bridge),
        author=interview.author(author, found),
        repo=_BARE.resolve(),
    )


def _refuse_among_posts(existing: ExistingSite, found: OwnerRepo) -> None:
    """Raises :class:`Refused` where Pelican would read this folder for posts."""
    if not existing.content and Path.cwd().is_relative_to(found.root):
        raise Refused(
            f"Your posts are at the root of {found.root} (PATH is '.'), where Pelican would"
            " take files of the bridge's for posts. Make a folder outside of it for the"
            f" bridge, and run there: {command()} init {found.root}"
        )


def _find(site: str, remote: str, folder: Path, token: str) -> OwnerRepo:
    """The repo of a site: its clone, or one made in ``folder``. Raises :class:`Refused`."""
    try:
        if not is_remote(site):
            return inspect_clone(Path(site), remote)
        if remote:
            raise Refused(f"{site} is itself a remote: omit --remote, or name a clone.")
        return clone_and_inspect(site, _BARE.resolve(), folder, token)
    except StoreBroken as error:
        named = "" if site != os.curdir else f". Or name your site: {command()} init ~/my-site"
        raise Refused(f"{error}{named}.") from error


def _make_repo(plan: Plan, token: str) -> None:
    """Create the bare clone. Raises :class:`Refused`."""
    found = plan.found
    try:
        with step("Cloning the site"):
            clone_bare(found.remote, plan.repo, found.branch, token)
    except StoreBroken as error:
        raise Refused(f"{error}.") from error
    files = (plan.site.conf, plan.site.settings)
    missing = not_committed(plan.repo, [file.relative_to(found.root).as_posix() for file in files])
    if missing:
        lacks = "commit it" if found.is_local else f"push it to {found.remote}"
        raise Refused(f"{missing[0]} is not in the repo that the bridge uses: {lacks} first.")


def _set_up_remote(plan: Plan) -> str:
    """Set up the remote; returns what was changed there, for the owner. Raises :class:`Refused`."""
    found = plan.found
    if is_remote(found.remote):
        return f"The bridge pushes to {found.remote}."
    try:
        changed = allow_pushes_into(Path(found.remote))
        warning = claim(Path(found.remote), plan.repo)
    except StoreBroken as error:
        raise Refused(f"{error}.") from error
    return f"""\
The bridge pushes to your clone, {found.remote}, where git updates the files. Uncommitted
changes are never touched: if they are in the way, posts wait, and /status says so.
{changed}{warning and f" {warning}"}"""


def _toml(plan: Plan) -> str:
    """``bridge.toml`` for this plan."""
    content, path = plan.site.content, plan.site.new_posts
    rule = f"path = {_quote(path)}\n" if path else ""
    host, port = plan.listens_on
    name = f"name = {_quote(plan.name)}   # your name, for apps\n" if plan.name else ""
    return f"""\
# What each setting does, and all the others: {doc("settings.md")}
[site]
me = {_quote(plan.me)}
repo = {_quote(str(plan.repo))}
settings = {_quote(plan.settings)}
{_environment(plan)}
[server]
host = "{host}"
port = {port}
public_url = {_quote(plan.public_url)}

[indieauth]
enabled = true   # the bridge signs you in; false where [auth] names another token endpoint
{name}
[content]
folder = {_quote(content or ".")}
{rule}
# Each type of post has a category of its own; to let several share one:
# [content.categories]
# like = "stream"
# repost = "stream"

[publish]
remote = "origin"
author = {_quote(plan.author)}

[rebuild]
{_rebuild(plan)}
[webmention]   # replies and likes from other sites, and yours there; false turns one off
send = true
receive = true
"""


def _environment(plan: Plan) -> str:
    """The folder and the variables with which Pelican's settings are evaluated."""
    run_in = "" if plan.site.run_in is None else f"run_in = {_quote(plan.site.run_in)}\n"
    given = ", ".join(f"{name} = {_quote(text)}" for name, text in plan.site.environment.items())
    return run_in + (f"environment = {{ {given} }}   # your settings ask for it\n" if given else "")


def _rebuild(plan: Plan) -> str:
    if plan.recipe:
        return f'mode = "none"   # your host builds the site: {plan.recipe}\n'
    return f'output = "{_OUTPUT}"   # the pages: let your web server serve this folder\n'


def _quote(text: str) -> str:
    """A TOML basic string. JSON strings are valid ones, unless a character is split into two
    escapes.
    """
    return json.dumps(text, ensure_ascii=False)


def _what_next(plan: Plan, remote: str) -> str:
    push = "" if plan.found.is_local else " and push"
    additions = plan.site.additions(plan.public_url, plan.me)
    lines = "\n".join(f"    {line}" for line in additions)
    steps = [f"{plan.conf} needs no changes."]
    if additions:
        steps = [f"Add these lines at the end of {plan.conf}:", lines, f"and commit{push} that."]
    if not plan.site.address and plan.site.has_own_siteurl:
        line = plan.site.siteurl_line(plan.me)
        steps.append(f"In {plan.site.settings}, which sets SITEURL as well, write:\n\n    {line}")
    elif not plan.site.address:
        steps.append("If you set SITEURL elsewhere, too, change it there as well.")
    if plan.recipe and not plan.site.lists_plugin(plan.recipe):
        steps.append(
            f"Your host builds the site, by {plan.recipe}, and needs the plugin for that: add"
            f" pelican-indieauth to the packages that it installs ({doc('deploy.md')})."
        )
    elif not plan.recipe:
        steps.append(
            f"The bridge will build your site into {_OUTPUT.absolute()}: let your web server serve"
            " that folder."
        )
    todo = "\n\n".join([*steps, *plan.notes, *plan.site.notes])
    branch = f" to the branch {plan.found.branch}" if plan.found.branch else ""
    return f"""
Wrote {DEFAULT_FILE}. The bridge has a clone of its own, {plan.repo}.
Posts are committed{branch} as {plan.author}.
{remote}

{todo}

Then:

    {command()} serve     prints a link to set your password or passkey
    {command()} check     finds what does not work, and how to fix it
"""
