"""A bridge without HTTP: actions are published into a real repo.

The site is in a separate process, as in a running bridge.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from git_kit import bare_copy, bring_objects, commit_all, git, new_repo
from site_kit import lay_out

from bridge.auth.token import Token
from bridge.core import make_current_site
from bridge.media.library import MediaLibrary
from bridge.micropub.action import Action, Create, Delete, Undelete, Update
from bridge.micropub.post import Json, Post
from bridge.net.fetch import GuardedFetch
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import CommitQueue, Committer, Once
from bridge.posts.moved_by_hand import MovedByHand
from bridge.posts.post_files import PostReader
from bridge.posts.reply_contexts import ReplyContexts
from bridge.posts.reservations import Reservations
from bridge.posts.urls import hosts
from bridge.publisher import Followers, Published, Publisher
from bridge.rebuild.webhook import NoRebuild
from bridge.settings import Content, Settings, Site
from bridge.site.current import CurrentSite
from bridge.site.sandbox import make_sandbox
from bridge.store import Version
from bridge.store.checkout.checkout import Checkout
from bridge.store.checkout.submodules import SiteRemote, SubmoduleCache
from bridge.store.git import GitStore
from bridge.store.repo import read_ref
from bridge.webmention.tombstones import Tombstones

ALL = Token(me="https://example.com/", scopes=frozenset({"create", "update", "delete"}))
#: How many commits of the bridge in a row a push may meet.
_PUSHES = 100
WHEN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass
class Bench:
    """A bare repo, its owner's clone, and the publisher."""

    clone: Path
    bare: Path
    store: GitStore
    current: CurrentSite
    catalogue: Catalogue
    posts: PostReader
    publisher: Publisher
    media: MediaLibrary
    moved: MovedByHand

    async def do(self, action: Action) -> Published:
        return await self.publisher.carry_out(action, ALL)

    async def create(self, commands: Mapping[str, Any] | None = None, **properties: Json) -> str:
        """Create a post; returns its URL."""
        given = {name: (value,) for name, value in properties.items()}
        action = Create(Post("entry", MappingProxyType(given)), commands=dict(commands or {}))
        return (await self.do(action)).url

    async def update(self, url: str, **replace: Json) -> str:
        """Replace properties of a post."""
        return (await self.do(Update(url, replace={n: (v,) for n, v in replace.items()}))).url

    async def add(self, url: str, **values: Json) -> str:
        return (await self.do(Update(url, add={n: (v,) for n, v in values.items()}))).url

    async def delete(self, url: str) -> None:
        await self.do(Delete(url))

    async def undelete(self, url: str) -> str:
        return (await self.do(Undelete(url))).url

    async def source(self, url: str) -> dict[str, Any]:
        """The properties of a post, each with its only value."""
        await self.catalogue.refresh()
        post = await self.posts.post(self.posts.find(url))
        return {name: values[0] for name, values in post.properties.items()}

    def pull(self) -> None:
        """Have the owner's clone at the newest version, as it has no commits of its own."""
        git(self.clone, "merge", "-q", "--ff-only", _main(self.bare))

    def push(self, files: Mapping[str, str | bytes | None], message: str = "by hand") -> Version:
        """Change files as the owner, commit and push."""
        for name, text in files.items():
            file = self.clone / name
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode() if isinstance(text, str) else text)
        before = _main(self.clone / ".git")
        commit_all(self.clone, message)
        # As `git pull --rebase && git push`, which is twenty processes.
        for _ in range(_PUSHES):
            seen = _main(self.bare)
            if seen != before:
                git(self.clone, "rebase", "-q", seen)
                before = seen
            ours = _main(self.clone / ".git")
            bring_objects(self.clone, self.bare)
            with suppress(subprocess.CalledProcessError):  # the bridge has made a commit
                git(self.bare, "update-ref", "refs/heads/main", ours, seen)
                return Version(ours)
        raise AssertionError("other commits kept getting in between")

    async def arrived(self, files: Mapping[str, str | bytes | None]) -> None:
        """The same, and wait until the bridge has seen it."""
        version, deadline = self.push(files), time.monotonic() + 300
        while await self.catalogue.refresh() != version:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    def read(self, path: str) -> str:
        """The bytes of a file in the latest commit."""
        line = ["git", "-C", str(self.bare), "cat-file", "blob", f"main:{path}"]
        return subprocess.run(line, check=True, capture_output=True).stdout.decode()

    def changed(self) -> list[str]:
        """The lines that the last commit removed and added."""
        shown = git(self.bare, "show", "--format=", "-U0", "--no-color", "main").splitlines()
        return [line for line in shown if line[:1] in "+-" and line[:3] not in {"+++", "---"}]

    def mode(self, path: str) -> str:
        return git(self.bare, "ls-tree", "main", path).split()[0]

    def pages(self, folder: Path) -> set[str]:
        """The pages that ``pelican`` builds in a clone, which must succeed."""
        clone, output = folder / "built", folder / "output"
        git(folder, "clone", "-q", str(self.bare), str(clone))
        command = (sys.executable, "-m", "pelican", "content", "-o", output, "-s", "pelicanconf.py")
        subprocess.run(command, cwd=clone, check=True, capture_output=True)
        return {file.relative_to(output).as_posix() for file in output.rglob("*.html")}


def _main(git_dir: Path) -> str:
    commit = read_ref(git_dir, "refs/heads/main")
    assert commit is not None
    return commit.hex()


@asynccontextmanager
async def bench(
    folder: Path, files: Mapping[str, str | bytes], conf: str, *, send: bool = False, **content: str
) -> AsyncIterator[Bench]:
    """A site with these files, committed, and its publisher. ``send``: deleted posts leave a
    tombstone.
    """
    clone, state = new_repo(lay_out(folder / "clone", files, conf)), folder / "s"
    commit_all(clone, "the site")
    bare = bare_copy(clone, folder / "site.git")
    # What the bridge commits is in the clone without being fetched.
    (clone / ".git/objects/info/alternates").write_text(f"{bare / 'objects'}\n")
    settings = Settings(
        site=Site(me="https://example.com/", repo=bare),
        content=msgspec.structs.replace(Content(), **content),
    )
    store, public_url = GitStore(bare, author="A <a@example.com>"), "https://b.example/"
    objects = store.bare_repo.common / "objects"
    sandbox = make_sandbox(settings, state, objects=objects)
    submodules = SubmoduleCache(
        state / "submodules", lambda: SiteRemote(str(clone), {}), lambda _: False
    )
    checkout = Checkout(
        objects, state / "checkout", submodules=submodules, git_dir=sandbox.git_dirs / "site"
    )
    current = make_current_site(settings, store, checkout, sandbox)
    catalogue = Catalogue(
        store, current, state / "index.sqlite", folder="content", own=hosts(settings.site.me),
        seconds=300.0, indexing=300.0,  # machines may be busy
    )  # fmt: skip
    posts = PostReader(store, catalogue, settings, public_url=public_url)
    library = MediaLibrary(store, state / "media", settings, public_url=public_url)
    await library.start()
    queue, reservations = CommitQueue(store), Reservations(posts, store)
    committer = Committer(queue, catalogue, library, [catalogue.changed])
    async with GuardedFetch() as fetch:
        reply_contexts = ReplyContexts(catalogue, posts, reservations, committer, fetch)
        publisher = Publisher(
            posts,
            reservations,
            library,
            Tombstones(store, "content/mentions", enabled=send),
            committer,
            Followers(NoRebuild(), reply_contexts, wait_seconds=0),
            Once(store),
            now=lambda: WHEN,
        )
        try:
            moved = MovedByHand(store, posts, reservations, committer)
            yield Bench(clone, bare, store, current, catalogue, posts, publisher, library, moved)
        finally:
            await publisher.close()
            await reply_contexts.close()
            await committer.close()
            await queue.close()
            await catalogue.close()
            await current.close()
            store.close()
