"""Pelican sites in folders, read in a separate process or in that of the tests."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bridge.errors import SiteBroken
from bridge.posts.catalogue import Catalogue
from bridge.posts.post_files import PostReader
from bridge.posts.urls import hosts
from bridge.settings import Settings, SettingsError
from bridge.site.current import CurrentSite
from bridge.site.messages import (
    Answer,
    ConflictingLists,
    Describe,
    Described,
    IndexedPost,
    LaterPages,
    PostQuestions,
    Refusal,
    Reply,
    ReservedPage,
    SiteFacts,
    Source,
    Start,
    Unread,
    refused,
)
from bridge.site.pelican.loading import importing_from
from bridge.site.pelican.pelican_site import PelicanSite
from bridge.site.pelican.serve import answer
from bridge.site.process import SiteProcess
from bridge.site.sandbox import Sandbox
from bridge.site.site_reader import AnswerLimits
from bridge.site.site_reader import start_of as start_with
from bridge.store import ContentStore, Version

_Reply = TypeVar("_Reply")

CONF = """
PATH = "content"
SITENAME = "A site"
SITEURL = "https://example.com"
TIMEZONE = "Europe/Paris"
PLUGINS = []
ARTICLE_URL = "{date:%Y}/{slug}/"
ARTICLE_SAVE_AS = "{date:%Y}/{slug}/index.html"
"""


def lay_out(folder: Path, files: Mapping[str, str | bytes], conf: str = CONF) -> Path:
    """Write a site's files; the folder is its checkout."""
    for name, text in {"pelicanconf.py": conf, **files}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    (folder / "content").mkdir(exist_ok=True)
    return folder


def start_of(checkout: Path, **more: float | str) -> Start:
    """The start message for the process of such a site."""
    values = {
        "content": "content",
        "uploads": "content/media",
        "template": "{category}/{published:%Y}/{slug}.md",
        **more,
    }
    return Start(str(checkout), "pelicanconf.py", **values)  # type: ignore[arg-type]


def process(
    checkout: Path, *, limits: AnswerLimits | None = None, **more: float | str
) -> SiteProcess:
    """A site in a separate process, not loaded yet."""
    state = checkout.with_name("state")
    sandbox = Sandbox(state, protected=(checkout.with_name("bridge.toml"),))
    return SiteProcess(
        start_of(checkout, **more), sandbox, limits=limits or AnswerLimits(loading=600)
    )


class InProcessSite:
    """A :class:`~bridge.site.site_reader.SiteReader` in the tests' own process."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self.confined = False
        self.denied: list[str] = []
        self._site: PelicanSite | None = None

    async def start(self) -> None:
        """It is in this process."""

    async def load(self) -> SiteFacts:
        checkout, start = Path(self._start.checkout), self._start
        try:
            with importing_from(checkout):
                self._site = PelicanSite.load(
                    checkout / start.settings,
                    root=checkout,
                    content=start.content,
                    siteurl=start.siteurl,
                    uploads=start.uploads,
                    template=start.template,
                )
        except SettingsError as error:
            raise SiteBroken(str(error)) from error
        return self.facts

    @property
    def facts(self) -> SiteFacts:
        assert self._site is not None
        return self._site.facts()

    def expect(self) -> None:
        """It is in this process."""

    async def ask(self, question: PostQuestions) -> Answer:
        return self._answered(answer(self._loaded, question), Answer)

    async def conflicting_lists(self, question: LaterPages) -> ConflictingLists:
        return self._answered(answer(self._loaded, question), ConflictingLists)

    async def describe(
        self, files: Sequence[Source]
    ) -> list[IndexedPost | ReservedPage | Unread | None]:
        return list(self._answered(answer(self._loaded, Describe(tuple(files))), Described).files)

    async def all_answered(self) -> None:
        """Each request is answered before the next."""

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        yield

    async def close(self) -> None:
        self._site = None

    @property
    def _loaded(self) -> PelicanSite:
        assert self._site is not None
        return self._site

    def _answered(self, reply: Reply, expected: type[_Reply]) -> _Reply:
        if isinstance(reply, Refusal):
            raise refused(reply)
        assert isinstance(reply, expected)
        return reply


@dataclass
class PlainCheckout:
    """A store's files in a folder, for tests without git."""

    store: ContentStore
    folder: Path
    modules: Mapping[str, str] = field(default_factory=dict)

    def bring_to(self, version: Version) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        files = dict(self.store.files("", version))
        for path, blob in zip(files, self.store.blobs(files.values()), strict=True):
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(blob.data)


@dataclass
class Posts:
    """Describes the posts of a store."""

    current: CurrentSite
    catalogue: Catalogue
    reader: PostReader

    async def close(self) -> None:
        await self.catalogue.close()
        await self.current.close()


def posts_of(
    store: ContentStore, state: Path, settings: Settings, public_url: str = "https://b.example/"
) -> Posts:
    """The posts of a site in a store, read in the tests' own process."""
    checkout = PlainCheckout(store, state / "checkout")
    start = start_with(settings, checkout.folder)
    current = CurrentSite(
        store,
        checkout,
        lambda: InProcessSite(start),
        content=start.content,
        uploads=start.uploads,
    )
    catalogue = Catalogue(
        store,
        current,
        state / "index.sqlite",
        folder=settings.content.folder,
        own=hosts(settings.site.me, *settings.site.aliases),
    )
    return Posts(current, catalogue, PostReader(store, catalogue, settings, public_url=public_url))
