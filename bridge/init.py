"""``micropub-bridge init``: looks at a Pelican site, asks little, writes ``bridge.toml``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pelican.settings import get_settings_from_file

from bridge.cli import DEFAULT_FILE, Refused
from bridge.settings_file import is_url
from bridge.store import StoreBroken
from bridge.store.setup import Found, clone_bare, find_repo

_BARE = Path("site.git")


@dataclass(frozen=True, slots=True)
class Answers:
    """What ``bridge.toml`` is made from. Paths are relative to the repo's root."""

    me: str
    public_url: str
    repo: Path
    remote: str
    settings: str
    folder: str


def init(site: Path, *, me: str | None, public_url: str | None, ask: bool) -> None:
    """Write ``bridge.toml`` in the current folder and say what is left to do.

    ``site`` is the owner's clone. Raises :class:`~bridge.cli.Refused`; then nothing was written.
    """
    if DEFAULT_FILE.exists():
        raise Refused(f"{DEFAULT_FILE} is there already. Delete it to start over, or edit it.")
    found = find_repo(site)
    if found is None:
        raise Refused(
            f"{site} is not in a git repo with a commit. Run `git init && git add . && git commit`"
            " there first: posts will be commits."
        )
    pelicanconf = _find_settings(found.root, site.resolve())
    values = _pelican_values(pelicanconf)
    siteurl = str(values.get("SITEURL") or "")
    me = me or _ask("The address of your site", _home_of(siteurl), ask)
    if not is_url(me):
        raise Refused(f"{me!r} is no address of a site. Give it with --me https://example.com/")
    public_url = public_url or _ask("Where the world will reach the bridge", _beside(me), ask)
    repo, remote = _choose_repo(found)
    content = Path(str(values.get("PATH") or "content"))
    answers = Answers(
        me=me,
        public_url=public_url.rstrip("/") + "/",
        repo=repo,
        remote=remote,
        settings=pelicanconf.relative_to(found.root).as_posix(),
        folder=(content if not content.is_absolute() else _inside(content, found.root)).as_posix(),
    )
    DEFAULT_FILE.write_text(_toml(answers), encoding="utf-8")
    print(_what_next(answers, values))


def _find_settings(root: Path, start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / "pelicanconf.py").is_file():
            return folder / "pelicanconf.py"
        if folder == root:
            break
    raise Refused(f"There is no pelicanconf.py in {start}. Name the folder of your Pelican site.")


def _pelican_values(pelicanconf: Path) -> dict[str, object]:
    """The owner's own settings; those for publishing, where there are some, say the address."""
    values: dict[str, object] = {}
    for file in (pelicanconf, pelicanconf.with_name("publishconf.py")):
        if file.is_file():
            try:
                values |= get_settings_from_file(str(file))
            except Exception as error:
                raise Refused(f"{file} cannot be run: {error}. Mend it first.") from error
    return values


def _home_of(siteurl: str) -> str:
    return siteurl.rstrip("/") + "/" if is_url(siteurl) else ""


def _beside(me: str) -> str:
    parts = urlsplit(me)
    return f"{parts.scheme}://bridge.{(parts.hostname or '').removeprefix('www.')}/"


def _ask(question: str, default: str, ask: bool) -> str:
    if not ask:
        return default
    hint = f" [{default}]" if default else ""
    return input(f"{question}{hint}: ").strip() or default


def _choose_repo(found: Found) -> tuple[Path, str]:
    """The bridge's own bare clone where there is a remote; else the owner's clone itself.

    A bare clone is no working tree that two could change at once. But without a remote it would
    have nowhere to bring the posts: git refuses a push into a branch that is checked out.
    """
    if not found.origin:
        return found.root, ""
    target = _BARE.resolve()
    if target.exists():
        raise Refused(f"{target} is there already. Delete it, or write bridge.toml by hand.")
    try:
        clone_bare(found.origin, target)
    except StoreBroken as error:
        raise Refused(f"{error}. See that this machine may read it.") from error
    return target, "origin"


def _inside(content: Path, root: Path) -> Path:
    if not content.is_relative_to(root):
        raise Refused(f"Pelican's PATH is {content}, outside the repo {root}: move it inside.")
    return content.relative_to(root)


def _toml(answers: Answers) -> str:
    quote = json.dumps  # a JSON string is a TOML basic string
    return f"""\
# What each setting does, and all the others: docs/settings.md
[site]
me = {quote(answers.me)}
repo = {quote(str(answers.repo))}
settings = {quote(answers.settings)}

[server]
host = "127.0.0.1"
port = 8080
public_url = {quote(answers.public_url)}

[indieauth]
enabled = true   # the bridge signs you in; false where [auth] names another token endpoint

[content]
folder = {quote(answers.folder)}

[publish]
remote = {quote(answers.remote)}
"""


def _what_next(answers: Answers, values: dict[str, object]) -> str:
    plugins = [*_listed(values, "PLUGINS", []), "pelican_indieauth"]
    static = [*_listed(values, "STATIC_PATHS", ["images"]), "media"]
    where = (
        f"The bridge has a clone of its own, {answers.repo}, and pushes to your remote."
        if answers.remote
        else f"The bridge commits in your own clone, {answers.repo}: it has no remote."
    )
    return f"""
Wrote bridge.toml. {where}

Add to {answers.settings}, and commit:

    PLUGINS = {plugins!r}
    INDIEAUTH_BRIDGE = {answers.public_url!r}
    STATIC_PATHS = {static!r}

Then:

    micropub-bridge check     what would not work, and how to mend it
    micropub-bridge serve     prints a link to set your password or passkey
"""


def _listed(values: dict[str, object], name: str, default: list[object]) -> list[object]:
    found = values.get(name)
    return list(found) if isinstance(found, list | tuple) else default
