"""The foundation of all parts: the repo, the site, and what follows each commit.

:func:`open_core` creates these parts in order; ``app.py`` adds the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct, field

from bridge.errors import BridgeError
from bridge.media.library import MediaLibrary
from bridge.net.fetch import GuardedFetch
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import CommitQueue, Committer, is_ours
from bridge.posts.post_files import PostReader
from bridge.posts.reservations import Reservations
from bridge.posts.urls import hosts
from bridge.rebuild import Rebuilder
from bridge.rebuild.output_folder import (
    ONLY_PAGES,
    DeferredRebuilder,
    others_in,
    output_folder,
    why_not,
)
from bridge.rebuild.webhook import make_remote_rebuilder
from bridge.runtime import private
from bridge.runtime.lifetime import Lifetime
from bridge.settings import Settings, SettingsError
from bridge.settings_file import LOOPBACK
from bridge.site.current import CurrentSite, VersionFiles
from bridge.site.process import SiteProcess
from bridge.site.sandbox import Sandbox, make_sandbox
from bridge.site.site_reader import start_of
from bridge.store import ContentStore, StoreError, Version
from bridge.store.checkout.checkout import Checkout, Submodules
from bridge.store.checkout.submodules import submodules_of
from bridge.store.git import GitStore
from bridge.store.sync.remote import Remote

log = logging.getLogger(__name__)

#: Called with each new commit of the branch.
Listener = Callable[[Version], None]


class Repo(Struct, frozen=True):
    """The content store, the site and the index of its posts."""

    store: GitStore
    submodules: Submodules
    queue: CommitQueue
    site: CurrentSite
    catalogue: Catalogue
    posts: PostReader
    media: MediaLibrary


class Core(Struct, frozen=True):
    """The parts that most others depend on.

    ``public_url`` is the bridge's public URL, with a slash at its end. ``fetch`` is for untrusted
    URLs. ``lifetime`` closes what is opened, last opened first. ``began`` is the newest commit of
    the branch when the core was opened.
    """

    settings: Settings
    public_url: str
    lifetime: Lifetime
    repo: Repo
    rebuilder: Rebuilder
    remote: Remote
    fetch: GuardedFetch
    committer: Committer
    reservations: Reservations
    began: Version | None
    #: Called with our own commits, and with those that come from the remote.
    committed: list[Listener] = field(default_factory=list)
    moved: list[Listener] = field(default_factory=list)

    def follow(self, listener: Listener) -> None:
        """Call ``listener`` with every new commit, including commits made by others."""
        self.committed.append(listener)
        self.moved.append(listener)

    @property
    def state(self) -> Path:
        """The folder of derived state."""
        return self.settings.site.state


async def open_core(settings: Settings, public_url: str, lifetime: Lifetime) -> Core:
    """Open the repo and start the parts that follow its branch.

    Raises what the store raises where the repo cannot be used, and :class:`SettingsError`.
    """
    repo = await _open_repo(settings, public_url, lifetime)
    began = await asyncio.to_thread(repo.store.head)
    if problem := await asyncio.to_thread(why_not, settings, repo.store):
        raise SettingsError("settings", "rebuild.output", problem, f"{ONLY_PAGES}.")
    rebuilder = _make_rebuilder(settings, repo)
    moved: list[Listener] = [rebuilder.changed]
    remote = _make_remote(settings, repo, moved)

    async def close() -> None:
        # Concurrently: each may wait for a subprocess.
        await asyncio.gather(rebuilder.close(), remote.close())

    lifetime.close_later(close)
    await remote.start()
    # With a loopback URL only the owner can reach the bridge, and the demo's own apps and pages are
    # on loopback, too.
    fetch = GuardedFetch(allow_loopback=urlsplit(public_url).hostname in LOOPBACK)
    lifetime.close_later(fetch.close)
    committed: list[Listener] = [repo.catalogue.changed, rebuilder.changed, remote.changed]
    committer = Committer(repo.queue, repo.catalogue, repo.media, committed)
    lifetime.close_later(committer.close)
    return Core(
        settings,
        public_url,
        lifetime,
        repo,
        rebuilder,
        remote,
        fetch,
        committer,
        Reservations(repo.posts, repo.store),
        began,
        committed,
        moved,
    )


def _make_remote(settings: Settings, repo: Repo, moved: list[Listener]) -> Remote:
    """What pushes to the remote and fetches from it; ``moved`` are called with commits that come
    from there.
    """
    publish = settings.publish
    return Remote(
        repo.store,
        publish.remote,
        state=settings.site.state,
        on_moved=partial(_tell, moved),
        token=publish.token,
        poll=publish.poll_seconds,
        # The owner may force-push away their own commits; the bridge's posts stay.
        is_post=is_ours,
        # A branch that the owner merges may be deleted after that; the main one is renamed.
        recreates=bool(settings.site.branch),
    )


def _tell(listeners: list[Listener], version: Version) -> None:
    for listener in listeners:
        listener(version)


async def _open_repo(settings: Settings, public_url: str, lifetime: Lifetime) -> Repo:
    site, state = settings.site, settings.site.state
    store = GitStore(site.repo, branch=site.branch, author=settings.publish.author)
    lifetime.close_later(partial(asyncio.to_thread, store.close))
    private.make_folder(state)
    queue = CommitQueue(store)
    lifetime.close_later(queue.close)
    objects = store.bare_repo.common / "objects"
    sandbox = make_sandbox(settings, state, objects=objects)
    submodules = submodules_of(store, settings)
    checkout = Checkout(
        objects,
        state / "site" / "checkout",
        submodules=submodules,
        may_read=sandbox.may_read,
        git_dir=sandbox.git_dirs / "site",
    )
    current = make_current_site(settings, store, checkout, sandbox)
    lifetime.close_later(current.close)
    catalogue = Catalogue(
        store,
        current,
        state / "index.sqlite",
        folder=settings.content.folder,
        own=hosts(site.me, *site.aliases),
    )
    lifetime.close_later(catalogue.close)
    posts = PostReader(store, catalogue, settings, public_url=public_url)
    media = MediaLibrary(
        store,
        state / "keep" / "media",
        settings,
        public_url=public_url,
        cache=state / "media",
    )
    await media.start()
    return Repo(store, submodules, queue, current, catalogue, posts, media)


def make_current_site(
    settings: Settings, store: ContentStore, checkout: VersionFiles, sandbox: Sandbox
) -> CurrentSite:
    """The site, read in ``checkout``."""
    start = start_of(settings, checkout.folder)
    return CurrentSite(
        store,
        checkout,
        lambda: SiteProcess(start, sandbox),
        content=settings.content.folder,
        uploads=start.uploads,
        mentions=settings.webmention.folder,
    )


def _make_rebuilder(settings: Settings, repo: Repo) -> Rebuilder:
    """Construct the rebuilder; it is not started."""
    state = settings.site.state
    if settings.rebuild.mode in {"webhook", "none"}:
        return make_remote_rebuilder(settings, repo.store, state)
    return DeferredRebuilder(partial(_output_folder, settings, repo))


async def _output_folder(settings: Settings, repo: Repo) -> Path:
    """The folder of pages: as the bridge's settings name it, or the site's."""
    if settings.rebuild.output:
        if warning := await asyncio.to_thread(others_in, settings):
            log.warning("%s", warning)
        return Path(settings.rebuild.output)
    return await _output_of_site(repo, settings.site.state)


async def _output_of_site(repo: Repo, state: Path) -> Path:
    """The folder for Pelican's ``OUTPUT_PATH``."""
    try:
        if (head := repo.store.head()) is not None:
            await repo.site.bring_to(head)
        return await asyncio.to_thread(output_folder, repo.site.reader.facts.output, state)
    except (BridgeError, StoreError) as error:
        log.warning("pages go to %s for now: %s", state / "output", error)
        return state / "output"
