"""The site at the newest version whose settings can be loaded, with its checkout, and what is known
of it while a post is written.

Writing a post needs to know what the site makes of its texts and names. It is written with guesses
first (a name can have pages, a text is harmless); then everything that was guessed is asked at
once, together with the place of the file that came of it. Only where a guess was wrong the post is
written again, and asked about again: nearly every post takes one question.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from bridge.content.file import PelicanFile
from bridge.content.markup.links import IntrasiteLinks
from bridge.content.rules import Rendered
from bridge.errors import Conflict, SiteBroken
from bridge.runtime.process import in_thread
from bridge.settings import prefix_of
from bridge.site.messages import Answer, Locate, PostQuestions, SiteFacts, SiteReport, Sort
from bridge.site.missing_locales import how_to_install, locales_warning
from bridge.site.site_reader import SiteReader
from bridge.store import (
    ContentStore,
    StoreBroken,
    Version,
    has_files,
    translated,
    why_misplaced,
)

log = logging.getLogger(__name__)
_translated = partial(
    translated, "there is no room for the site's files", "the site's files cannot be checked out"
)

#: Seconds after which settings that could not be loaded are tried again, where there are no others.
_AGAIN = 10.0
_T = TypeVar("_T")
#: Each round learns something; a post has a body, and another if the first is not harmless.
_ROUNDS = 6
_HARMLESS = Rendered("")


class VersionFiles(Protocol):
    """The files of one version on disk, which a
    :class:`~bridge.store.checkout.checkout.Checkout` provides."""

    @property
    def folder(self) -> Path:
        """Where they are."""
        ...

    @property
    def modules(self) -> Mapping[str, str]:
        """The folders of submodules, each with its commit."""
        ...

    def bring_to(self, version: Version) -> object:
        """Check out a version. Blocks."""
        ...


class LoadableSite(SiteReader, Protocol):
    """A reader whose site is loaded by :meth:`load`, which :meth:`start` may prepare.

    ``confined``: whether the kernel keeps its code from other files; ``denied`` are those that it
    has tried to read.
    """

    confined: bool
    denied: list[str]

    async def start(self) -> None:
        """Do what loading a site needs before its files are there."""
        ...

    async def load(self) -> SiteFacts:
        """Load the site. Raises :class:`SiteBroken`."""
        ...

    async def all_answered(self) -> None:
        """Wait until every question is answered."""
        ...

    def held(self) -> AbstractAsyncContextManager[None]:
        """Hold back questions within the block, which begins once none is being answered."""
        ...


class CurrentSite:
    """Reloads the site when a file has changed that its settings or plugins may depend on.

    These are not posts and uploads: questions carry the bytes of posts. A version whose settings
    cannot be loaded is not used: the last good one stays in use, with the checkout at its version,
    and :attr:`problem` says why.
    """

    def __init__(
        self,
        store: ContentStore,
        checkout: VersionFiles,
        new_reader: Callable[[], LoadableSite],
        *,
        content: str,
        uploads: str,
        mentions: str = "mentions",
    ) -> None:
        """``content`` and ``uploads`` are folders in the repo, ``mentions`` one in ``content``."""
        self._store = store
        self._folder = content
        self._checkout = checkout
        self._new_reader = new_reader
        self._content = prefix_of(content)
        self._uploads = f"{uploads}/"
        self._mentions = f"{mentions}/"
        self._note = checkout.folder.with_name("good-version")
        self._tmp = checkout.folder.with_name("tmp")
        self._reader: LoadableSite | None = None
        #: Which folders the loaded site has on disk.
        self._on_disk: Sequence[tuple[int, int] | None] = ()
        self._seen: Version | None = None
        self._good: Version | None = None
        self._failed_at = 0.0
        self._loading = asyncio.Lock()
        self._retiring: dict[asyncio.Task[None], LoadableSite] = {}
        self.problem = ""

    @property
    def checkout(self) -> VersionFiles:
        """The files of the site as it is loaded."""
        return self._checkout

    @property
    def reader(self) -> SiteReader:
        """The site, once :meth:`bring_to` has loaded it. Raises :class:`SiteBroken`."""
        if self._reader is None:
            raise SiteBroken(self.problem or "The site's settings have not been read yet.")
        return self._reader

    @property
    def is_lost(self) -> bool:
        """Whether another program has removed the loaded site's folders: the process that reads it
        may only use these, and :meth:`bring_to` starts another one.
        """
        return self._reader is not None and self._folders() != self._on_disk

    async def bring_to(self, head: Version) -> None:
        """Load the site as of ``head``, if it may have changed.

        Raises :class:`SiteBroken` where neither it nor an earlier version can be loaded,
        :class:`StoreFull` where there is no room for its files, :class:`StoreBroken` where they
        cannot be written.
        """
        if head == self._seen and self._reader is not None and not self.is_lost:
            return
        async with self._loading:
            if (
                self._reader is not None
                and not self.is_lost
                and not await asyncio.to_thread(self._differs, head)
            ):
                self._seen = head
                return
            failed = self._reader is None and self.problem and head == self._seen
            if failed and time.monotonic() - self._failed_at < _AGAIN:
                raise SiteBroken(self.problem)
            with _translated():
                await self._load(head)

    def condition(self) -> SiteReport:
        """Whether the site can be read, for the status page."""
        reader = self._reader
        if reader is None:
            return SiteReport(self.problem, reading=not self.problem)
        facts = reader.facts
        other = folders_warning(facts)
        missing = facts.missing_locales
        locales = f"{locales_warning(missing)}. {how_to_install(missing)}" if missing else ""
        warnings = (*facts.problems, *filter(None, [other, locales]))
        return SiteReport(self.problem, reader.confined, warnings, tuple(reader.denied))

    async def close(self) -> None:
        """End the processes that read the site."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
        retiring = dict(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        for before in retiring.values():
            await before.close()

    async def _load(self, head: Version) -> None:
        before = self._good or await asyncio.to_thread(self._remembered)
        if misplaced := await asyncio.to_thread(self._why_misplaced, before, head):
            # A new post would be where neither Pelican nor the owner looks for it.
            self._seen, self.problem = None, misplaced
            raise SiteBroken(f"No post can be read or written: {misplaced}.")
        self._seen = head
        try:
            await self._use(head)
        except _WrongFolder as error:
            self.problem, self._failed_at = error.description, time.monotonic()
            unused, self._reader = self._reader, None
            self._retire_later(unused)
            raise
        except SiteBroken as error:
            self.problem, self._failed_at = error.description, time.monotonic()
        except BaseException:
            # The repo is not there, and its folders may be recreated: a process that is confined to
            # the old ones would be refused the new ones.
            self._seen = None
            raise
        else:
            self.problem = ""
            return
        good = self._good or await asyncio.to_thread(self._remembered)
        if self._reader is not None and good is not None:
            # The loaded site stays in use; its files must be there if its process is restarted.
            await self._move(good)
        elif good is not None and good != head:
            try:
                await self._use(good)
            except (SiteBroken, StoreBroken) as error:
                raise SiteBroken(self.problem) from error
        else:
            raise SiteBroken(self.problem)
        log.error("the previous settings of the site stay in use: %s", self.problem)

    async def _use(self, version: Version) -> None:
        reader = self._new_reader()
        starting = asyncio.create_task(reader.start())
        starting.add_done_callback(retrieved)
        try:
            try:
                await self._move(version)
            finally:
                await asyncio.wait([starting])
            starting.result()
            facts = await reader.load()
            if wrong := await asyncio.to_thread(self._why_empty, facts, version):
                raise _WrongFolder(wrong)
        except BaseException:
            await reader.close()
            raise
        before, self._reader = self._reader, reader
        self._on_disk = self._folders()
        self._good = version
        await asyncio.to_thread(self._note.write_text, version)
        self._retire_later(before)

    async def _move(self, version: Version) -> None:
        """Bring the checkout to a version.

        No question is answered during the move: the process writes the texts of questions into the
        checkout, and restores what was there before.
        """
        async with AsyncExitStack() as stack:
            for reader in filter(None, (self._reader, *self._retiring.values())):
                await stack.enter_async_context(reader.held())
            await in_thread(self._checkout.bring_to, version)

    def _retire_later(self, reader: LoadableSite | None) -> None:
        if reader is not None:
            task = asyncio.create_task(self._retire(reader))
            self._retiring[task] = reader
            task.add_done_callback(self._retiring.pop)

    async def _retire(self, reader: LoadableSite) -> None:
        """End a reader once it has answered its questions; new ones go to its successor."""
        await reader.all_answered()
        await reader.close()

    def _why_misplaced(self, before: Version | None, head: Version) -> str:
        try:
            return why_misplaced(self._store, self._folder, before, head)
        except StoreBroken:
            return ""  # the repo was recreated, and does not know what was before

    def _why_empty(self, facts: SiteFacts, version: Version) -> str:
        """Why a new post would be where neither Pelican nor the owner looks for it."""
        named = facts.named_content
        is_empty = not has_files(self._store, self._folder, version)
        if is_empty and named and has_files(self._store, named, version):
            return folders_warning(facts)
        return ""

    def _differs(self, head: Version) -> bool:
        """Whether something changed that the site may depend on."""
        if self._seen is None:
            return True
        try:
            changes = self._store.diff(self._seen, head)
        except StoreBroken:
            return True
        return any(self._matters(change.path, new=change.old is None) for change in changes)

    def _matters(self, path: str, *, new: bool) -> bool:
        if path.startswith(self._uploads):
            return False
        if not path.startswith(self._content):
            return True
        inside = path.removeprefix(self._content)
        facts = self.reader.facts
        if path.rpartition(".")[2] not in facts.suffixes:
            return not inside.startswith(self._mentions)
        if not facts.looks_at_posts:
            return False
        # Settings may list the folders of posts.
        top, slash, _ = inside.partition("/")
        return bool(slash) and new and not (self._checkout.folder / self._content / top).is_dir()

    def _folders(self) -> Sequence[tuple[int, int] | None]:
        """Which folders have the names of the checkout and of the site's temporary folder."""
        return [_identity(self._checkout.folder), _identity(self._tmp)]

    def _remembered(self) -> Version | None:
        try:
            return Version(self._note.read_text().strip())
        except OSError:
            return None


class _WrongFolder(SiteBroken):
    """The content folder is empty, and the settings name another one."""


def folders_warning(facts: SiteFacts) -> str:
    """That the settings name another content folder than the one in use; ``""`` if they do not."""
    here, there = facts.content or ".", facts.named_content
    if there in ("", facts.content):
        return ""
    return (
        f"[content] folder in bridge.toml is {here}, and PATH in Pelican's settings is {there}: if"
        f' your posts are in {there}, write folder = "{there}" into [content], and restart the'
        " bridge; otherwise correct PATH"
    )


def retrieved(task: asyncio.Task[Any]) -> None:
    """Mark the error of a task as retrieved: all its callers may have been cancelled."""
    if not task.cancelled():
        task.exception()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - each request asks several times
    except OSError:
        return None
    return found.st_dev, found.st_ino


class KnownSite:
    """A :class:`~bridge.content.rules.SiteView` that records what it had to guess."""

    def __init__(self, facts: SiteFacts) -> None:
        self.zone = ZoneInfo(facts.timezone)
        self.author = facts.author
        self.default_status = facts.default_status
        self.formatted_fields: Set[str] = frozenset(facts.formatted_fields)
        self.links = IntrasiteLinks(facts.intrasite)
        self.new_posts_in_yaml = False
        self._slugs: dict[str, str] = {}
        self._names: dict[tuple[Sort, str], str] = {}
        self._texts: dict[tuple[str, str], Rendered] = {}
        self._guessed_slugs: dict[str, None] = {}
        self._guessed_names: dict[tuple[Sort, str], None] = {}
        self._guessed_texts: dict[tuple[str, str], None] = {}

    def slugify(self, text: str) -> str:
        """What Pelican makes of a title; guessed, the title."""
        if text not in self._slugs:
            self._guessed_slugs[text] = None
        return self._slugs.get(text, text)

    def can_be_category(self, name: str) -> bool:
        """Whether a category of this name can have pages; guessed, it can."""
        return bool(self._slug_of("category", name))

    def tag_slug(self, name: str) -> str:
        """The slug of a tag, ``""`` where it can have no pages; guessed, one of its own."""
        return self._slug_of("tag", name)

    def can_be_author(self, name: str) -> bool:
        """Whether an author of this name can have pages; guessed, they can."""
        return bool(self._slug_of("author", name))

    def render(self, text: str, suffix: str = "md") -> Rendered:
        """What the site makes of a body; guessed, nothing that could do harm."""
        if not text.strip():
            return _HARMLESS
        if (suffix, text) not in self._texts:
            self._guessed_texts[suffix, text] = None
        return self._texts.get((suffix, text), _HARMLESS)

    def questions(self) -> PostQuestions:
        """What was guessed since the last :meth:`learn`."""
        return PostQuestions(
            tuple(self._guessed_slugs), tuple(self._guessed_names), tuple(self._guessed_texts)
        )

    def learn(self, asked: PostQuestions, answer: Answer) -> bool:
        """Use the answer to :meth:`questions` from now on. Returns whether a guess was wrong."""
        in_yaml = any(each.in_yaml for each in answer.places)
        wrong = (
            in_yaml > self.new_posts_in_yaml
            or answer.slugs != asked.slugs
            or answer.names != tuple(name for _, name in asked.names)
            or any(each != _HARMLESS for each in answer.texts)
        )
        self._slugs.update(zip(asked.slugs, answer.slugs, strict=True))
        self._names.update(zip(asked.names, answer.names, strict=True))
        self._texts.update(zip(asked.texts, answer.texts, strict=True))
        self.new_posts_in_yaml |= in_yaml
        for guessed in (self._guessed_slugs, self._guessed_names, self._guessed_texts):
            guessed.clear()
        return wrong

    def _slug_of(self, sort: Sort, name: str) -> str:
        if (sort, name) not in self._names:
            self._guessed_names[sort, name] = None
        return self._names.get((sort, name), name)


class Settled(Struct, frozen=True):
    """A post's file, written without any guess, and the site's answer about it."""

    file: PelicanFile
    question: Locate
    answer: Answer


async def without_guesses(reader: SiteReader, work: Callable[[KnownSite], _T]) -> _T:
    """The result of ``work``, repeated until it needs no guess.

    Raises what ``work`` and the site do.
    """
    known = KnownSite(reader.facts)
    for _ in range(_ROUNDS):
        result = await asyncio.to_thread(work, known)
        asked = known.questions()
        if asked == PostQuestions():
            return result
        known.learn(asked, await reader.ask(asked))
    raise _endless()


async def settle(
    reader: SiteReader,
    write: Callable[[KnownSite], PelicanFile],
    place: Callable[[str], Locate],
    *,
    at_once: bool = False,
) -> Settled:
    """Write a post's file, and find out where it will be. ``place`` asks about a file's text.
    ``at_once``: ``write`` takes less time than handing it to a thread.

    Raises what ``write`` and the site do.
    """
    known = KnownSite(reader.facts)
    question, answer = None, Answer()
    for _ in range(_ROUNDS):
        try:
            # A text of a megabyte takes a second, in which other requests are answered.
            file = write(known) if at_once else await asyncio.to_thread(write, known)
        except Exception:
            # A guess may be the cause.
            if (asked := known.questions()) == PostQuestions():
                raise
            known.learn(asked, await reader.ask(asked))
            continue
        wanted, asked = place(file.text()), known.questions()
        if asked == PostQuestions() and wanted == question and question is not None:
            return Settled(file, question, answer)
        question = wanted
        whole = _with_question(asked, question)
        answer = await reader.ask(whole)
        if not known.learn(asked, answer):
            # Written again, the file would be the same.
            return Settled(file, question, answer)
    raise _endless()


def _with_question(asked: PostQuestions, place: Locate) -> PostQuestions:
    """The same questions, and one about a place."""
    return PostQuestions(asked.slugs, asked.names, asked.texts, place)


def _endless() -> Conflict:
    return Conflict(
        "The site's settings give a different answer each time: does a plugin use random values?"
    )


async def more_places(reader: SiteReader, settled: Settled) -> Settled:
    """The same with the next candidates; without any if there are no more."""
    question = settled.question
    further = msgspec.structs.replace(question, first=question.first + len(settled.answer.places))
    if not settled.answer.places or not settled.answer.places[0].slug:
        return Settled(settled.file, further, Answer())
    return Settled(settled.file, further, await reader.ask(PostQuestions(place=further)))
