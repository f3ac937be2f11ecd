"""The checks on this machine: the repo, its remote, Pelican's settings, a test build."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from bridge.commands.checks import Finding, address_of
from bridge.commands.checks.comparison import check_comparison, check_folder
from bridge.commands.progress import step
from bridge.errors import BridgeError, SiteBroken
from bridge.net.link_rels import html_links
from bridge.rebuild.build import BuildFailed, BuildOutcome, Task
from bridge.rebuild.local.checkout import BuilderCheckout
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.pelican_log import NO_MODULE
from bridge.rebuild.rebuilder import importing_from, make_builder
from bridge.runtime import private
from bridge.runtime.command_name import doc
from bridge.settings import Settings
from bridge.site.locales import how_to_install, told_of_locales
from bridge.site.messages import Ask, Locate, SiteFacts, Source, Unread
from bridge.site.process import SiteProcess, start_of
from bridge.site.sandbox import Sandbox, make_sandbox
from bridge.store import StoreError, Version
from bridge.store.checkout.lfs import large_files_of
from bridge.store.checkout.submodules import submodules_of
from bridge.store.git import GitStore
from bridge.store.sync.round import SyncRound
from bridge.store.sync.transport import Transport, TransportError

_AT_ONCE = 50
_SHOWN = 10
#: A theme that is named by its whole path, or by one that leads out of the folder.
_THEME = re.compile(r"Could not find the theme (/.*\S|\.\./.*\S)")
#: A missing plugin. Pelican builds without it; the bridge does not publish such a site.
_PLUGIN = re.compile(r"Cannot (?:load|import|register) plugin")
#: Some readers want a date, or as many words, in the name of a file.
_NEW_POST = "a new post of more than a few words"
_ELSEWHERE = "The bridge builds in a checkout elsewhere"
_LACKING = (
    "The bridge builds the site without it. Have what the site needs in the repo, or name the"
    " folder that a link leads to in [site] folders."
)


async def check_inside(settings: Settings, file: Path) -> AsyncIterator[Finding]:
    """Check the repo first, which all other checks need. ``file`` is ``bridge.toml``."""
    try:
        store = GitStore(
            settings.site.repo, branch=settings.site.branch, author=settings.publish.author
        )
    except StoreError as error:
        yield Finding("repo", str(error), "See [site] repo in bridge.toml.")
        return
    try:
        head = store.head()
        if head is None:
            yield Finding("repo", "its branch has no commit", "Commit your site there first.")
            return
        yield _check_repo(store, settings)
        yield _check_private(file, settings.site.state, settings)
        remote, newest = await asyncio.to_thread(_check_remote, store, head, settings)
        yield remote
        async for finding in check_site(store, newest, settings):
            yield finding
    finally:
        store.close()


async def check_site(store: GitStore, head: Version, settings: Settings) -> AsyncIterator[Finding]:
    """Check that the bridge can read and build the site at a commit as ``pelican`` does."""
    with tempfile.TemporaryDirectory(prefix="bridge-check-") as folder:
        checkout = Path(folder, "site")
        sandbox = _sandbox(store, checkout, settings)
        files = BuilderCheckout(
            store,
            checkout,
            submodules=submodules_of(store, settings),
            large_files=large_files_of(store, settings),
            may_read=sandbox.may_read,
            git_dir=sandbox.git_dirs / "check",
        )
        with step("Laying out the site's files and submodules"):
            await asyncio.to_thread(files.bring_to, head)
        for warning in files.warnings:
            yield Finding("checkout", warning, _LACKING)
        if finding := await asyncio.to_thread(check_folder, settings, store):
            yield finding
        async for finding in _check_pelican(store, files, head, settings):
            yield finding


def _check_repo(store: GitStore, settings: Settings) -> Finding:
    state = settings.site.state
    try:
        private.make_folder(state)
    except OSError as error:
        remedy = "Create it for the user that runs the bridge, or set [site] state."
        return Finding("repo", f"the folder {state} cannot be created: {error.strerror}", remedy)
    places = [state, store.bare_repo.common, store.bare_repo.common / "objects"]
    closed = next((place for place in places if not os.access(place, os.W_OK)), None)
    if closed is None:
        return Finding("repo", f"{settings.site.repo} can be read and written")
    return Finding(
        "repo",
        f"{closed} cannot be written",
        "Give the user that runs the bridge write access to all of it.",
    )


def _check_private(file: Path, state: Path, settings: Settings) -> Finding:
    """Check that other users cannot read secrets and drafts; restricts permissions where they
    could.
    """
    database = private.database_files(settings.indieauth.database)
    paths = [file, state, *database, *private.database_files(state / "index.sqlite")]
    opened = private.tighten(paths)
    if still := [str(path) for path in opened if private.is_open(path)]:
        return Finding(
            "privacy",
            f"other users of this machine can open {', '.join(still)}",
            f"As their owner run: chmod go= {' '.join(still)}",
            broken=False,
        )
    if opened:
        told = ", ".join(str(path) for path in opened)
        return Finding(
            "privacy", f"{told} could be opened by other users of this machine; no longer"
        )
    return Finding("privacy", "settings, state and database are accessible to this user only")


def _check_remote(store: GitStore, head: Version, settings: Settings) -> tuple[Finding, Version]:
    """Whether the remote can be used; and the commit to check, which is the remote's where that is
    what the bridge fetches as soon as it runs.
    """
    name = settings.publish.remote
    if not name:
        return Finding("remote", "none is configured ([publish] remote is empty)"), head
    state, token = settings.site.state, settings.publish.token
    transport = Transport(store.bare_repo, name, token, state, store.disk)
    if not transport.url():
        finding = Finding(
            "remote",
            f"the repo has no remote named {name!r}",
            f"git -C {settings.site.repo} remote add {name} URL, or set [publish] remote.",
        )
        return finding, head
    try:
        transport.fetch()
        transport.try_push()
    except TransportError as error:
        finding = Finding(
            "remote",
            f"{name} cannot be pushed to: {error}",
            f"Give this user a key for it, or set [publish] token ({doc('git.md')}).",
        )
        return finding, head
    sync = SyncRound(store, transport, lambda _: False)
    apart = sync.counts()
    newest = sync.theirs()
    if newest is None or apart is None or apart.behind or not apart.ahead:
        return Finding("remote", f"{name} can be read and pushed to"), head
    fact = f"{name} can be read and pushed to; its newest commit, {newest[:10]}, is checked here"
    return Finding("remote", fact), newest


async def _check_pelican(
    store: GitStore, files: BuilderCheckout, head: Version, settings: Settings
) -> AsyncIterator[Finding]:
    checkout = files.folder
    sandbox = _sandbox(store, checkout, settings)
    site = SiteProcess(start_of(settings, checkout), sandbox)
    try:
        with step("Reading the site's settings"):
            facts = await site.load()
        unread = await _unread(store, head, site, settings)
        refusal = await _refusal_of_new_posts(site)
    except SiteBroken as error:
        yield Finding("Pelican settings", error.description, "Correct the file, and commit it.")
        return
    finally:
        await site.close()
    yield _check_settings(facts, settings)
    if missing := facts.missing_locales:
        yield Finding("locale", told_of_locales(missing), how_to_install(missing), broken=False)
    yield _check_confinement(site)
    yield _check_siteurl(facts, settings)
    yield _check_articles(unread)
    if refusal:
        yield Finding("new posts", refusal, "Until then apps and the desk are refused.")
    async for finding in _check_build(store, files, head, settings, facts, site.denied):
        yield finding


async def _check_build(
    store: GitStore,
    files: BuilderCheckout,
    head: Version,
    settings: Settings,
    facts: SiteFacts,
    denied: Sequence[str],
) -> AsyncIterator[Finding]:
    output = files.folder.with_name("output")
    try:
        with step("Building the site as the bridge does"):
            outcome = await _build(store, files, output, head, settings)
    except BuildFailed as failure:
        where = f" because of {failure.file}" if failure.file else ""
        yield Finding(
            "build",
            f"Pelican fails{where}: {failure.reason}",
            _remedy(failure.reason),
            broken=_builds_here(settings),
        )
        return
    for finding in _check_pages(output, outcome):
        yield finding
    causes = [f"the site's code may not read {path}" for path in denied]
    causes += files.warnings
    if facts.values.get("DEFAULT_DATE") == "fs":
        causes.append("DEFAULT_DATE is 'fs', and file times differ in each checkout")
    yield await check_comparison(store, head, output, settings, causes)
    yield _check_advertised(output, facts, settings)


def _sandbox(store: GitStore, checkout: Path, settings: Settings) -> Sandbox:
    """What the site's code may see in the checkout, with the history: settings may ask git."""
    objects = store.bare_repo.common / "objects"
    return make_sandbox(settings, checkout.with_name("state"), objects=objects)


async def _refusal_of_new_posts(site: SiteProcess) -> str:
    """Why there could be no new post; ``""`` where there can."""
    text = (
        "Title: A new post\nDate: 2026-01-02T03:04:05Z\nCategory: notes\nStatus: published\n\nText."
    )
    try:
        await site.ask(Ask(place=Locate(text, wishes=(_NEW_POST,))))
    except BridgeError as error:
        return error.description
    return ""


async def _unread(
    store: GitStore, head: Version, site: SiteProcess, settings: Settings
) -> list[Unread]:
    """The articles that Pelican cannot read."""
    suffixes = tuple(f".{suffix}" for suffix in site.facts.suffixes)

    def sources() -> list[Source]:
        listed = store.files(settings.content.folder, head)
        files = [(path, blob) for path, blob in listed if path.endswith(suffixes)]
        blobs = store.blobs(blob for _, blob in files)
        return [
            Source(path, blob, found.data) for (path, blob), found in zip(files, blobs, strict=True)
        ]

    files = await asyncio.to_thread(sources)
    unread: list[Unread] = []
    with step("Reading the posts") as tell:
        for at in range(0, len(files), _AT_ONCE):
            tell(f"{at} of {len(files)}")
            described = await site.describe(files[at : at + _AT_ONCE])
            unread += [each for each in described if isinstance(each, Unread)]
    return unread


def _check_settings(facts: SiteFacts, settings: Settings) -> Finding:
    if not facts.problems:
        return Finding("Pelican settings", f"{settings.site.settings} can be read")
    return Finding(
        "Pelican settings",
        f"{settings.site.settings} can be read, but Pelican logs: {'; '.join(facts.problems)}",
        _remedy_of_logged("\n".join(facts.problems)),
        broken=False,
    )


def _check_confinement(site: SiteProcess) -> Finding:
    if not site.confined:
        return Finding(
            "confinement",
            "this kernel has no Landlock: the site's own code, and anyone who can commit posts, can"
            " read every file that the bridge can",
            "Run the bridge on Linux 5.13 or newer, with Landlock switched on.",
            broken=False,
        )
    if not site.denied:
        return Finding("confinement", "the site's own code can access the site and no other files")
    return Finding(
        "confinement",
        f"the site's own code may not read {', '.join(site.denied)}",
        "If it needs to, name the folder in [site] folders.",
        broken=False,
    )


def _remedy(reason: str) -> str:
    """The remedy for a failure of Pelican."""
    if "[site] folders" in reason:
        return f"{_ELSEWHERE}: have that folder in the repo, or name it in [site] folders."
    if NO_MODULE.search(reason) or _PLUGIN.search(reason):
        line = f"{sys.executable} -m pip install PACKAGE"
        instead = ", or take it out of PLUGINS" if _PLUGIN.search(reason) else ""
        return (
            f"Install the package that has it in the bridge's environment, too ({line}){instead}."
        )
    theme = _THEME.search(reason)
    if theme and theme[1].startswith("."):
        return (
            f"{_ELSEWHERE}, and that folder is not in the repo. Have it in the repo (git submodule"
            " add, or a copy); or write its absolute path in the settings, and the same path in"
            " [site] folders."
        )
    if theme and Path(theme[1]).is_dir():
        return (
            f"{_ELSEWHERE}, and is not let read that folder. Have it in the repo, and write its"
            f' relative path; or in bridge.toml, below [site]: folders = ["{theme[1]}"].'
        )
    return "Build the site by hand with these settings, and fix the error."


def _remedy_of_logged(warning: str) -> str:
    """The remedy for what is logged by a run of Pelican that does not fail."""
    if _PLUGIN.search(warning):
        return f"The site is built without that plugin. {_remedy(warning)}"
    return "The site is built nevertheless; see whether something is missing."


def _check_articles(unread: Sequence[Unread]) -> Finding:
    if not unread:
        return Finding("articles", "all can be read")
    shown = "; ".join(f"{each.path} ({each.reason})" for each in unread[:_SHOWN])
    more = f"; and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
    return Finding(
        "articles",
        f"Pelican makes no page for {shown}{more}",
        _remedy(shown)
        if NO_MODULE.search(shown)
        else "Correct these files, or move them out of the articles' folders.",
        broken=False,
    )


def _check_siteurl(facts: SiteFacts, settings: Settings) -> Finding:
    configured = str(facts.values.get("SITEURL") or "").rstrip("/")
    if configured:
        here, me = urlsplit(configured), urlsplit(settings.site.me)
        fact, file = f"apps get URLs below {configured}", settings.site.settings
        if (here.scheme or me.scheme, here.netloc) == (me.scheme, me.netloc):
            return Finding("SITEURL", fact)
        return Finding(
            "SITEURL",
            f"{fact}, but you sign in as {settings.site.me}",
            f"If you did not mean that, correct SITEURL in {file}, or [site] me.",
            broken=False,
        )
    return Finding(
        "SITEURL",
        f"it is empty in {settings.site.settings}: apps get URLs below"
        f" {settings.site.me}, but feeds and the plugin need it",
        "Set it there, or set [site] settings to your publishing settings.",
        broken=False,
    )


async def _build(
    store: GitStore, files: BuilderCheckout, output: Path, head: Version, settings: Settings
) -> BuildOutcome:
    """Build the site as the bridge does, but publish nothing. A custom command may have other
    effects.
    """
    checkout = files.folder
    sandbox = _sandbox(store, checkout, settings)
    beside = (checkout / settings.site.settings).parent
    builder = make_builder(
        replace(settings, rebuild=replace(settings.rebuild, command=())),
        checkout.with_name("rebuild"),
        Output(output, output.with_name("kept") / "output.json"),
        sandbox=dataclasses.replace(sandbox, confined=settings.rebuild.confined),
        environment=importing_from(beside, sandbox.environment()),
        listed=store.listed,
    )
    try:
        return await builder.build(Task(head, checkout, frozenset(), lacks=files.lacks))
    finally:
        await builder.close()


def _check_pages(output: Path, outcome: BuildOutcome) -> Iterator[Finding]:
    pages = sum(1 for _ in output.rglob("*.html"))
    if not outcome.left_out:
        yield Finding("build", f"Pelican builds the site: {pages} pages")
    else:
        files = "; ".join(f"{file} ({reason})" for file, reason in outcome.left_out)
        yield Finding(
            "build",
            f"Pelican builds the site ({pages} pages), but without {files}",
            "Fix these files.",
            broken=False,
        )
    if outcome.slow is not None:
        yield Finding(
            "build",
            f"each change needs a full run of Pelican, since {outcome.slow.reason}",
            f"{outcome.slow.remedy}; or ignore this, if that is fast enough.",
            broken=False,
        )
    for warning in outcome.warnings:
        yield Finding(
            "build",
            f"a plugin or Pelican logs an error: {warning}",
            _remedy_of_logged(warning),
            broken=False,
        )


def _check_advertised(output: Path, facts: SiteFacts, settings: Settings) -> Finding:
    """Whether the plugin is active: endpoints missing in these pages will be missing live, too."""
    base = address_of(settings)
    index = output / str(facts.values.get("INDEX_SAVE_AS") or "index.html")
    html = index.read_bytes() if index.is_file() else b""
    if f"{base}micropub" in html_links(html, settings.site.me, "micropub"):
        return Finding("plugin", "the pages that Pelican builds name the bridge")
    return Finding(
        "plugin",
        "the home page that Pelican builds does not name the bridge",
        f'Add INDIEAUTH_BRIDGE = "{base}" to your Pelican settings (and "pelican_indieauth" to'
        " PLUGINS, if you set that), and commit it.",
        broken=_builds_here(settings),
    )


def _builds_here(settings: Settings) -> bool:
    """Whether the site is to be built on this machine."""
    return settings.rebuild.mode in {"resident", "command"}
