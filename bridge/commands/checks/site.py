"""The checks of the site: its checkout, Pelican's settings, the posts."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from bridge.commands.checks import Finding
from bridge.commands.checks.build import (
    NO_LOCALE,
    check_build,
    remedy_of,
    remedy_of_logged,
    sandbox_of,
)
from bridge.commands.checks.comparison import check_folder
from bridge.commands.progress import step
from bridge.errors import BridgeError, SiteBroken
from bridge.posts.linked import found_files
from bridge.posts.separate import described_at, places_in_submodules
from bridge.rebuild.local.checkout import BuilderCheckout
from bridge.rebuild.local.pelican_log import NO_MODULE
from bridge.settings import Settings
from bridge.site.current import folders_warning
from bridge.site.messages import IndexedPost, Locate, PostQuestions, SiteFacts, Source, Unread
from bridge.site.missing_locales import how_to_install, locales_warning
from bridge.site.process import SiteProcess
from bridge.site.site_reader import start_of
from bridge.store import Version, has_files
from bridge.store.checkout.lfs import large_files_of
from bridge.store.checkout.submodules import submodules_of
from bridge.store.git import GitStore

_AT_ONCE = 50
_SHOWN = 10
#: How many of the files with one fault are named.
_NAMED = 3
#: Its title has several words, since a reader may require some in the name of a file.
_NEW_POST = "a new post of more than a few words"
_LACKING = (
    "The bridge builds the site without it. Add what the site needs to the repo, or name the"
    " folder that a link leads to in [site] folders."
)


async def check_site(store: GitStore, head: Version, settings: Settings) -> AsyncIterator[Finding]:
    """Check that the bridge can read and build the site at a commit as ``pelican`` does."""
    with tempfile.TemporaryDirectory(prefix="bridge-check-") as folder:
        checkout = Path(folder, "site")
        sandbox = sandbox_of(store, checkout, settings)
        files = BuilderCheckout(
            store,
            checkout,
            submodules=submodules_of(store, settings),
            large_files=large_files_of(store, settings),
            may_read=sandbox.may_read,
            git_dir=sandbox.git_dirs / "check",
        )
        with step("Checking out the site's files and submodules"):
            await asyncio.to_thread(files.bring_to, head)
        if lacking := files.warnings:
            # A repo of plugins has dozens of submodules.
            more = f"; and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            yield Finding("checkout", f"{'; '.join(lacking[:_NAMED])}{more}", _LACKING)
        if finding := await asyncio.to_thread(check_folder, settings, store):
            yield finding
        async for finding in _check_pelican(store, files, head, settings):
            yield finding


async def _check_pelican(
    store: GitStore, files: BuilderCheckout, head: Version, settings: Settings
) -> AsyncIterator[Finding]:
    checkout = files.folder
    sandbox = sandbox_of(store, checkout, settings)
    site = SiteProcess(start_of(settings, checkout), sandbox)
    try:
        with step("Reading the site's settings"):
            facts = await site.load()
        unread = await _unread(store, head, site, settings)
        separate = await _separate(store, head, site, files, settings.content.folder)
        refusal = await _refusal_of_new_posts(site)
    except SiteBroken as error:
        yield Finding("Pelican settings", error.description, "Correct the file, and commit it.")
        return
    finally:
        await site.close()
    yield _check_settings(facts, settings, checkout)
    if finding := await asyncio.to_thread(_check_content, store, head, facts, settings):
        yield finding
    if missing := facts.missing_locales:
        yield Finding("locale", locales_warning(missing), how_to_install(missing), broken=False)
    yield _check_confinement(site)
    yield _check_siteurl(facts, settings)
    yield _check_articles(unread, checkout)
    if separate:
        yield Finding(
            "articles",
            f"posts in {', '.join(separate)} are in a submodule, a separate repo: the site has"
            " them, and apps and the desk can neither list nor change them",
            "Change them in that repo, or move them into the site's.",
            broken=False,
        )
    if refusal:
        yield Finding(
            "new posts", refusal, "Until that is corrected, apps and the desk cannot post."
        )
    async for finding in check_build(store, files, head, settings, facts, site.denied):
        yield finding


async def _refusal_of_new_posts(site: SiteProcess) -> str:
    """Why there could be no new post; ``""`` where there can."""
    text = (
        "Title: A new post\nDate: 2026-01-02T03:04:05Z\nCategory: notes\nStatus: published\n\nText."
    )
    try:
        await site.ask(PostQuestions(place=Locate(text, slug_from=(_NEW_POST,))))
    except BridgeError as error:
        return error.description
    return ""


async def _unread(
    store: GitStore, head: Version, site: SiteProcess, settings: Settings
) -> list[Unread]:
    """The articles that Pelican cannot read."""
    suffixes = tuple(f".{suffix}" for suffix in site.facts.suffixes)

    def sources() -> list[Source]:
        listed = found_files(store, settings.content.folder, head)
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


async def _separate(
    store: GitStore, head: Version, site: SiteProcess, checkout: BuilderCheckout, folder: str
) -> list[str]:
    """The places below the content folder that have posts and are in a submodule, of which the
    index knows nothing.
    """
    separate = []
    places = await asyncio.to_thread(places_in_submodules, store, head, checkout, folder)
    for place, root in places.items():
        async with aclosing(described_at(place, root, site)) as found:
            async for each in found:
                if isinstance(each, IndexedPost):
                    separate.append(place)
                    break
    return separate


def _check_settings(facts: SiteFacts, settings: Settings, checkout: Path) -> Finding:
    if not facts.problems:
        return Finding("Pelican settings", f"{settings.site.settings} can be read")
    return Finding(
        "Pelican settings",
        f"{settings.site.settings} can be read, but Pelican logs: {'; '.join(facts.problems)}",
        remedy_of_logged("\n".join(facts.problems), checkout),
        broken=False,
    )


def _check_content(
    store: GitStore, head: Version, facts: SiteFacts, settings: Settings
) -> Finding | None:
    """Whether the posts are where Pelican's settings and ``bridge.toml`` say; ``None`` if so."""
    folder, named = settings.content.folder, facts.named_content
    there = has_files(store, folder, head)
    if folders_warning(facts):
        return Finding(
            "content folder",
            f"[content] folder in bridge.toml is {folder or '.'}"
            f"{'' if there else ', where the repo has no files'}, and PATH in"
            f" {settings.site.settings} is {named}",
            f'If your posts are in {named}, write folder = "{named}" into [content] of bridge.toml,'
            " and restart the bridge; otherwise correct PATH.",
            broken=not there and has_files(store, named, head),
        )
    if there:
        return None
    return Finding(
        "content folder",
        f"the repo has no files in {folder}: the site is built without posts",
        "If your posts are elsewhere, correct [content] folder in bridge.toml, and restart the"
        " bridge.",
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


def _check_articles(unread: Sequence[Unread], checkout: Path) -> Finding:
    if not unread:
        return Finding("articles", "all can be read")
    shown = _by_reason(unread)
    return Finding(
        "articles",
        f"Pelican makes no page for {shown}",
        remedy_of(shown, checkout)
        if NO_MODULE.search(shown) or NO_LOCALE in shown
        else "Correct these files, or move them out of the articles' folders.",
        broken=False,
    )


def _by_reason(unread: Sequence[Unread]) -> str:
    """Each reason once, that of most files first, with some of the files."""
    paths: dict[str, list[str]] = {}
    for each in unread:
        paths.setdefault(each.reason, []).append(each.path)
    reasons = sorted(paths, key=lambda reason: -len(paths[reason]))
    shown = [f"{_some(paths[reason])} ({reason})" for reason in reasons[:_SHOWN]]
    if others := sum(len(paths[reason]) for reason in reasons[_SHOWN:]):
        shown.append(f"{others} more")
    return "; ".join(shown)


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more


def _check_siteurl(facts: SiteFacts, settings: Settings) -> Finding:
    configured = str(facts.values.get("SITEURL") or "").rstrip("/")
    if configured:
        # "/blog" and "//example.com" lack what the owner's URL has.
        whole = urljoin(settings.site.me, configured) if configured[0] == "/" else configured
        here, me = urlsplit(whole), urlsplit(settings.site.me)
        fact, file = f"apps get URLs below {whole}", settings.site.settings
        if (here.scheme, here.netloc) == (me.scheme, me.netloc):
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
