"""``micropub-bridge init``: looks at a Pelican site, asks little, writes ``bridge.toml``."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bridge import private
from bridge.auth.me import profile_url
from bridge.cli import DEFAULT_FILE
from bridge.errors import Refused
from bridge.existing_site import ExistingSite, find_site
from bridge.settings import Content
from bridge.settings_file import LOOPBACK
from bridge.store import StoreBroken
from bridge.store.setup import (
    Found,
    clone_bare,
    has_file,
    is_remote,
    keep_out,
    look_at,
    look_into,
)
from bridge.web_url import BadURL, parse

_BARE = Path("site.git")
_OUTPUT = Path("output")
_DATABASE = "indieauth.sqlite*"
_RULE = Content().path


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``bridge.toml`` is going to say about a site.

    ``repo`` is the bridge's own bare clone where there is a ``remote``, else the owner's clone.
    """

    site: ExistingSite
    found: Found
    me: str
    public_url: str
    repo: Path

    @property
    def remote(self) -> str:
        """The remote's name in ``repo``."""
        return "origin" if self.found.remote else ""

    @property
    def conf(self) -> Path:
        """The owner's settings: where they are, or in the repo where there is no clone."""
        conf = self.site.conf
        return conf if self.found.branch else conf.relative_to(self.site.root)

    @property
    def settings(self) -> str:
        """Pelican's settings, as a path inside the repo."""
        return self.site.settings.relative_to(self.site.root).as_posix()


def init(site: str, *, me: str | None, public_url: str | None, ask: bool) -> None:
    """Write ``bridge.toml`` in the current folder and say what is left to do.

    ``site`` is the owner's clone, in which nothing changes, or the URL of the repo. Raises
    :class:`~bridge.errors.Refused`, and :class:`~bridge.settings.SettingsError` for Pelican's; then
    no ``bridge.toml`` was written.
    """
    if DEFAULT_FILE.exists():
        raise Refused(f"{DEFAULT_FILE} is there already. Edit it, or delete it to start over.")
    with tempfile.TemporaryDirectory(prefix="bridge-init-") as folder:
        found = _find(site, Path(folder))
        start = found.root if is_remote(site) else Path(site).resolve()
        existing = find_site(found.root, start)
        interview = Interview(ask)
        plan = Plan(
            site=existing,
            found=found,
            me=interview.me(me, existing.address),
            public_url=interview.bridge(public_url),
            repo=_BARE.resolve() if found.remote else found.root,
        )
        text, story = _toml(plan), _what_next(plan)
        _make_repo(plan)
        ours = [Path(name).absolute() for name in (DEFAULT_FILE, _BARE, _OUTPUT, _DATABASE)]
        keep_out(found.root, [*ours, existing.output])
    private.write(DEFAULT_FILE, text)
    print(story)


class Interview:
    """The two questions, each with an answer to suggest."""

    def __init__(self, ask: bool) -> None:
        """``ask``: whether somebody is there."""
        self._ask = ask
        self._me = ""

    def me(self, given: str | None, suggested: str) -> str:
        """The site's address. Raises :class:`Refused` for none, or one that cannot sign in."""
        answer = given or self._answer("The address of your site", suggested)
        if not answer:
            raise Refused("What is the address of your site? Give it with --me https://you.example")
        try:
            self._me = str(profile_url(_with_scheme(answer)))
        except BadURL as error:
            raise Refused(f"{answer!r} cannot be your address: {error}.") from error
        return self._me

    def bridge(self, given: str | None) -> str:
        """The bridge's address."""
        answer = given or self._answer("Where the world will reach the bridge", _beside(self._me))
        try:
            return str(parse(_with_scheme(answer).rstrip("/") + "/"))
        except BadURL as error:
            raise Refused(f"{answer!r} is no address for the bridge: {error}.") from error

    def _answer(self, question: str, suggested: str) -> str:
        if not self._ask:
            return suggested
        hint = f" [{suggested}]" if suggested else ""
        try:
            return input(f"{question}{hint}: ").strip() or suggested
        except EOFError:
            print()
            self._ask = False
            return suggested


def _with_scheme(address: str) -> str:
    return address if "://" in address else f"https://{address}"


def _beside(me: str) -> str:
    host = urlsplit(me).hostname or ""
    if host in LOOPBACK:
        return "http://127.0.0.1:8080/"
    return f"https://bridge.{host.removeprefix('www.')}/"


def _find(site: str, folder: Path) -> Found:
    """The repo of a site: where its clone is, or laid out in ``folder``. Raises Refused."""
    try:
        return look_into(site, _BARE.resolve(), folder) if is_remote(site) else look_at(Path(site))
    except StoreBroken as error:
        raise Refused(f"{error}.") from error


def _make_repo(plan: Plan) -> None:
    """The bare clone, which is no working tree that two could change at once.

    Without a remote it would have nowhere to bring the posts: git refuses a push into a branch
    that is checked out. Then the bridge works in the owner's clone. Raises :class:`Refused`.
    """
    found = plan.found
    try:
        if found.remote:
            clone_bare(found.remote, plan.repo, found.branch)
        elif not found.branch:
            raise Refused(f"No branch is checked out in {found.root}. Run there: git switch main")
    except StoreBroken as error:
        raise Refused(f"{error}.") from error
    for file in (plan.site.conf, plan.site.settings):
        path = file.relative_to(found.root).as_posix()
        if not has_file(plan.repo, path):
            lacks = f"push it to {found.remote}" if found.remote else "commit it"
            raise Refused(f"{path} is not in the repo that the bridge works with: {lacks} first.")


def _toml(plan: Plan) -> str:
    content, articles = plan.site.content, plan.site.articles
    rule = f"path = {_quote(f'{articles}/{_RULE}')}\n" if articles else ""
    author = f"author = {_quote(plan.found.author)}\n" if plan.found.author else ""
    return f"""\
# What each setting does, and all the others: docs/settings.md
[site]
me = {_quote(plan.me)}
repo = {_quote(str(plan.repo))}
settings = {_quote(plan.settings)}

[server]
host = "127.0.0.1"
port = 8080
public_url = {_quote(plan.public_url)}

[indieauth]
enabled = true   # the bridge signs you in; false where [auth] names another token endpoint

[content]
folder = {_quote(content)}
{rule}
[publish]
remote = {_quote(plan.remote)}
{author}
[rebuild]
{_rebuild(plan)}"""


def _rebuild(plan: Plan) -> str:
    if plan.remote and (recipe := plan.site.built_elsewhere()):
        return f'mode = "none"   # your host builds the site: {recipe}\n'
    if plan.remote:
        return f'output = "{_OUTPUT}"   # the pages: let your web server serve this folder\n'
    return '# output = "..."   # where the pages go, if not to Pelican\'s OUTPUT_PATH\n'


def _quote(text: str) -> str:
    """A JSON string is a TOML basic string, once no character is torn into two escapes."""
    return json.dumps(text, ensure_ascii=False)


def _what_next(plan: Plan) -> str:
    where = (
        f"The bridge has a clone of its own, {plan.repo}, and pushes to your remote."
        if plan.remote
        else f"The bridge commits in your own clone, {plan.repo}: it has no remote."
    )
    push = " and push" if plan.remote else ""
    additions = plan.site.additions(plan.public_url, plan.me)
    lines = "\n".join(f"    {line}" for line in additions)
    steps = [f"{plan.conf} says all that it should."]
    if additions:
        steps = [f"Add at the end of {plan.conf}:", lines, f"and commit{push} that."]
    if not plan.site.address:
        steps.append("Wherever you set SITEURL to something else, set it to that, too.")
    if plan.remote and (recipe := plan.site.built_elsewhere()):
        steps.append(f"Have your host install pelican-indieauth, too: see {recipe}.")
    todo = "\n\n".join(steps)
    return f"""
Wrote {DEFAULT_FILE}. {where}

{todo}

Then:

    micropub-bridge serve     prints a link to set your password or passkey
    micropub-bridge check     what would not work, and how to mend it
"""
