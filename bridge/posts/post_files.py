"""Reads and writes the files of posts: connects ``store/``, where they are, ``content/``, which
converts them, and the site, which computes their URLs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from bridge.content.body import form_of, refuse_effects
from bridge.content.convert import new_file, published_at, read, refuse_nothing_to_see
from bridge.content.edit import edit
from bridge.content.file import Mf2Line, PelicanFile, has_other_format, refuse_other_formats
from bridge.content.markup.links import MediaUrls
from bridge.content.rules import RAW_HTML, PathTemplate, SiteRules, SiteView
from bridge.content.titles_and_slugs import candidates, slug_sources
from bridge.errors import BridgeError, Conflict, InvalidRequest, SiteBroken, Unavailable
from bridge.micropub.action import Create, Update
from bridge.micropub.answers import slug_of
from bridge.micropub.post import Post, Properties
from bridge.posts.catalogue import Catalogue
from bridge.posts.index_tables import are_alike
from bridge.posts.urls import canonical
from bridge.settings import DEFAULT_CATEGORIES, Settings
from bridge.site.current import KnownSite, Settled, settle, without_guesses
from bridge.site.messages import IndexedPost, Locate, PostQuestions, Source
from bridge.store import BlobId, Change, ContentStore, LoggedCommit, Removal, Version

#: How many deleted posts are read at a time.
_AT_ONCE = 20
#: A slug until the site has returned those that it allows (``Locate.slug_from``): ``Reservations``
#: puts the chosen one into the file.
_PLACEHOLDER = "-"
#: A post of at most so many values with so many characters is written within two milliseconds, or
#: within nine if its text is made to take long.
_FEW, _SHORT = 10, 300
_media_urls = lru_cache(maxsize=4)(MediaUrls)  # it compiles nine regular expressions


class OpenPost(Struct, frozen=True):
    """A post's file as of one version: ``blob`` is its id, ``entry`` what the index has of it."""

    base: Version
    entry: IndexedPost
    file: PelicanFile
    blob: BlobId

    @property
    def mf2(self) -> Mf2Line:
        """The file's ``Mf2`` line."""
        return Mf2Line.of(self.file)


class PostReader:
    """Opens and reads posts by the rules of the site and of the bridge."""

    def __init__(
        self, store: ContentStore, catalogue: Catalogue, settings: Settings, *, public_url: str
    ) -> None:
        self._store = store
        self.catalogue = catalogue
        self._settings = settings
        self._public_url = public_url
        self._path = PathTemplate(settings.content.folder, settings.content.path)

    @property
    def media(self) -> MediaUrls:
        """The URLs of the site's uploads."""
        folder, siteurl = self._settings.media.folder, self.catalogue.site.facts.siteurl
        return _media_urls(folder, (f"{self._public_url}media/", f"{siteurl}/{folder}/"))

    def rules(self, site: SiteView) -> SiteRules:
        """The rules for reading and writing files, given the site's settings."""
        content = self._settings.content
        named = {kind: name for kind, name in content.categories.items() if name}
        return SiteRules(
            site=site,
            media=self.media,
            path=self._path,
            html=content.html,
            categories={**DEFAULT_CATEGORIES, **named},
        )

    def open(self, entry: IndexedPost) -> tuple[PelicanFile, BlobId]:
        """The file of an indexed post in the newest version, and its blob id.

        Raises :class:`InvalidRequest` if it is gone, :class:`Conflict` if it is not UTF-8.
        """
        head = self._store.head()
        blob = self._store.read(entry.path, head) if head else None
        if blob is None:
            raise InvalidRequest(f"The post at {entry.url} has just been deleted.")
        try:
            errors = "replace" if has_other_format(entry.path) else "strict"
            return PelicanFile.parse(blob.data.decode("utf-8", errors), entry.path), blob.id
        except UnicodeDecodeError as error:
            raise Conflict(f"{entry.path} is not in UTF-8: convert it, then try again.") from error

    async def slug(self, entry: IndexedPost) -> str:
        """The slug in a post's file; ``""`` where it leaves that to Pelican.

        Raises what :meth:`open` raises.
        """
        file, _ = await asyncio.to_thread(self.open, entry)
        return file.get("Slug") or ""

    async def open_newest(
        self, find: Callable[[], IndexedPost | None], *, patient: bool = False
    ) -> OpenPost | None:
        """The post that ``find`` finds in the newest version; ``None`` if it finds none.

        ``patient`` as in :meth:`~bridge.posts.catalogue.Catalogue.refresh`. Raises what that and
        :meth:`open` raise.
        """
        base = await self.catalogue.refresh(patient=patient)
        entry = find()
        if entry is None:
            return None
        file, blob = await asyncio.to_thread(self.open, entry)
        return OpenPost(base, entry, file, blob)

    def find_or_none(self, url: str) -> IndexedPost | None:
        """The post at a URL, if there is one."""
        return self.catalogue.index.find(url)

    def find(self, url: str) -> IndexedPost:
        """The post at a URL. Raises :meth:`no_post_at`."""
        entry = self.catalogue.index.find(url)
        if entry is None:
            raise self.no_post_at(url)
        return entry

    def no_post_at(self, url: str) -> BridgeError:
        """The error for a URL that no post has, or that one in a submodule may have."""
        siteurl = self.catalogue.site.facts.siteurl
        if siteurl and not canonical(url, self.catalogue.index.own).startswith("/"):
            return InvalidRequest(f"{url[:200]} is not a page of this site, {siteurl}.")
        if file := self.catalogue.separate.file_of(url):
            return InvalidRequest(
                f"The post at {url[:200]} is in a submodule ({file}), a separate repo, which the"
                " bridge does not change. Change it there."
            )
        if self.catalogue.separate.is_looking:
            return Unavailable(
                "The bridge is looking at the posts in submodules. Try again in a moment.",
                retry_after=5,
            )
        return InvalidRequest(f"There is no post at {url[:200]}.")

    def another_post_at(self, url: str) -> Conflict:
        """The error for a deleted post whose URL another one has by now."""
        other = self.find_or_none(url)
        by = f" ({other.path})" if other else ""
        return Conflict(
            f"Another post{by} lives at {url} by now: give it another slug first (mp-slug, or Slug"
            " in its file)."
        )

    async def find_deleted(self, url: str, base: Version) -> Change | IndexedPost:
        """The change that restores the post deleted at ``url``: the last version of its file in the
        history, at an unused path.

        If no post was deleted at that URL, or it was restored since, the post that is there or has
        moved from there; failing that, the change that restores a post which had moved from there
        before it was deleted. A renamed file does not count as deleted. Raises
        :class:`InvalidRequest` if there never was a post at ``url``, and :class:`Conflict` if
        another one has been there since.
        """
        index = self.catalogue.index
        wanted, there = canonical(url, index.own), index.find(url)
        is_taken = there is not None and canonical(there.url, index.own) == wanted
        moved: Change | None = None
        # The file of the post that is there, or has moved from there.
        later = await asyncio.to_thread(self._source, there.path, base) if there else None
        removed = index.removed(base)
        while some := await asyncio.to_thread(lambda: list(islice(removed, _AT_ONCE))):
            files = await asyncio.to_thread(self._sources, some)
            described = await self.catalogue.site.describe(files)
            for (_, gone), file, entry in zip(some, files, described, strict=True):
                if not (isinstance(entry, IndexedPost) and index.is_at(entry, url)):
                    continue
                change = Change(file.path, file.data, None, gone.executable, gone.link)
                if canonical(entry.url, index.own) == wanted:
                    if later is not None and await asyncio.to_thread(
                        self._is_renamed, gone, file, later
                    ):
                        continue
                    if there is not None and is_taken:
                        if await asyncio.to_thread(self._is_restored, gone, there.path, base):
                            return there
                        raise self.another_post_at(url)
                    return await self._beside_others(change, base)
                if moved is None:
                    moved, later = change, file if there is None else later
        if there is not None:
            return there
        if moved is not None:
            return await self._beside_others(moved, base)
        separate = self.catalogue.separate
        is_separate = separate.is_looking or separate.file_of(url)
        if is_separate or not canonical(url, index.own).startswith("/"):
            raise self.no_post_at(url)
        raise InvalidRequest(f"There is no post at {url[:200]}, and there never was one.")

    def _source(self, path: str, at: Version) -> Source | None:
        blob = self._store.read(path, at)
        return Source(path, blob.id, blob.data) if blob else None

    def _is_renamed(self, gone: Removal, file: Source, later: Source) -> bool:
        """Whether the commit that removed a file wrote the same post to where it was later."""
        if gone.path == later.path or not are_alike(later.data, file.data):
            return False
        # A merge commit removes the file, too: git then names the commit that it brought.
        removed, written = (
            next(iter(self._store.log(gone.version, path=path)), None)
            for path in (gone.path, later.path)
        )
        return removed is not None and written is not None and removed.version == written.version

    def _is_restored(self, gone: Removal, path: str, at: Version) -> bool:
        """Whether the file at ``path`` is the one that was removed, put back since."""
        first: LoggedCommit | None = None
        for commit in self._store.log(at, path=path):
            if commit.version == gone.version:
                break
            first = commit
        blob = self._store.read(path, first.version) if first else None
        return blob is not None and blob.id == gone.blob

    async def _beside_others(self, change: Change, base: Version) -> Change:
        """The same change with a free path, as close to its own as possible."""
        # Only an existing file may have a backslash in its name, so the restored one gets a hyphen.
        stem, _, suffix = change.path.replace("\\", "-").rpartition(".")
        for name in candidates(stem):
            path = f"{name}.{suffix}"
            if await asyncio.to_thread(self._store.read, path, base) is None:
                return replace(change, path=path)
        raise Conflict(f"{change.path} and all its numbered alternatives are already taken.")

    def _sources(self, removed: Sequence[tuple[str, Removal]]) -> list[Source]:
        blobs = self._store.blobs(each.blob for _, each in removed)
        return [
            Source(path, blob.id, blob.data) for (path, _), blob in zip(removed, blobs, strict=True)
        ]

    async def read(self, file: PelicanFile, entry: IndexedPost | None = None) -> Post:
        """Decode a file; ``entry`` adds what Pelican knows about the post beyond its front
        matter.
        """
        (post,) = await self._read([(file, entry)])
        return post

    def read_without_asking(self, file: PelicanFile) -> Post:
        """Decode a file without the site's process, for uses where names of categories and tags
        do not matter.
        """
        return read(file, self.rules_without_asking)

    @property
    def rules_without_asking(self) -> SiteRules:
        """The rules as far as they are known without the site's process."""
        return self.rules(KnownSite(self.catalogue.site.facts))

    async def posts(self, entries: Sequence[IndexedPost]) -> list[Post]:
        """Decode the files of some indexed posts."""
        return await self._read(await self._files(entries))

    async def titled(self, entries: Sequence[IndexedPost]) -> list[tuple[Post, str]]:
        """The same, each with the Title of its file where a post without a name has a text in
        Markdown, whose markup does not belong in a list; otherwise with ``""``.
        """
        files = await self._files(entries)
        rules = self.rules_without_asking

        def title(file: PelicanFile, post: Post) -> str:
            is_named = post.text("name") is not None
            if is_named or form_of(file, Mf2Line.of(file).form, rules) != "markdown":
                return ""
            return file.get("Title") or ""

        posts = await self._read(files)
        return [(post, title(file, post)) for (file, _), post in zip(files, posts, strict=True)]

    async def _files(self, entries: Sequence[IndexedPost]) -> list[tuple[PelicanFile, IndexedPost]]:
        blobs = await asyncio.to_thread(
            lambda: list(self._store.blobs(BlobId(entry.blob) for entry in entries))
        )
        return [
            (PelicanFile.parse(blob.data.decode("utf-8", errors="replace"), entry.path), entry)
            for entry, blob in zip(entries, blobs, strict=True)
        ]

    async def post(self, entry: IndexedPost) -> Post:
        """Decode the file of an indexed post.

        For a format that only the site's own reader knows, the content is the HTML that it
        produces.
        """
        file, _ = await asyncio.to_thread(self.open, entry)
        post = await self.read(file, entry)
        if not has_other_format(entry.path):
            return post
        text, suffix = file.text(), entry.path.rpartition(".")[2]
        # The rest of the post can be shown without it.
        with suppress(InvalidRequest, SiteBroken):
            answer = await self.catalogue.site.ask(PostQuestions(texts=((suffix, text),)))
            if answer.texts[0].html:
                return post.with_properties({"content": ({"html": answer.texts[0].html},)})
        return post

    async def _read(self, files: Sequence[tuple[PelicanFile, IndexedPost | None]]) -> list[Post]:
        def work(site: SiteView) -> list[Post]:
            rules = self.rules(site)
            return [read(file, rules, entry.found if entry else {}) for file, entry in files]

        posts = await without_guesses(self.catalogue.site, work)
        return [
            # Such a file contains no text, but perhaps JSON or a binary document.
            post.with_properties({"content": ()})
            if entry and has_other_format(entry.path)
            else post
            for post, (_, entry) in zip(posts, files, strict=True)
        ]


def _is_short(action: Create) -> bool:
    """Whether a post and its commands are a few words and nothing else."""
    given = (*action.post.properties.values(), *action.commands.values())
    values = [value for values in given for value in values]
    texts = [value for value in values if isinstance(value, str)]
    return len(texts) == len(values) <= _FEW and sum(map(len, texts)) <= _SHORT


class PostWriter(Struct, frozen=True):
    """Connects ``content/``, which writes files, and the site, which computes their URLs."""

    posts: PostReader

    async def create(self, action: Create, when: datetime) -> Settled:
        """The file of a new post, and the URLs that it may get.

        ``when`` dates a post that has no date of its own. Raises
        :class:`~bridge.errors.InvalidRequest` for what the site cannot represent.
        """

        site = self.posts.catalogue.site

        @cache
        def sources_of_slug() -> tuple[str, ...]:
            if not action.uploads:
                refuse_nothing_to_see(action.post, self.posts.rules_without_asking)
            published = published_at(action.post, when, ZoneInfo(site.facts.timezone))
            return slug_sources(action.post, action.commands, published)

        def write(known: KnownSite) -> PelicanFile:
            sources_of_slug()  # in the same thread, and it refuses an empty post
            rules = self.posts.rules(known)
            file = new_file(
                action.post, commands=action.commands, when=when, rules=rules, slug=_PLACEHOLDER
            )
            return file.in_yaml() if known.new_posts_in_yaml else file

        settled = await settle(
            site,
            write,
            lambda text: Locate(text, slug_from=sources_of_slug()),
            at_once=_is_short(action),
        )
        refuse_effects(settled.answer.whole.effects)
        return settled

    async def edit(
        self, path: str, file: PelicanFile, old: Post, new: Post, action: Update, when: datetime
    ) -> Settled | None:
        """The file with the difference between two versions of its post, and its URL.

        ``None`` if nothing changes. Raises as :meth:`create`.
        """
        await asyncio.to_thread(refuse_nothing_to_see, new, self.posts.rules_without_asking, old)
        refuse_other_formats(path)
        allowed = set[str]()

        def write(site: SiteView) -> PelicanFile:
            rules = self.posts.rules(site)
            edited = edit(file, old, new, commands=action.commands, when=when, rules=rules)
            if edited.body != file.body:
                # The client is not responsible for what the owner's own text includes, nor for how
                # the file passes on the client's HTML, which is sanitised.
                suffix, content = file.syntax.suffix, new.first("content")
                allowed.update(site.render(file.text_to_render, suffix).effects)
                if isinstance(content, dict) and "html" in content:
                    effects = site.render(edited.text_to_render, suffix).effects
                    allowed.update(each for each in effects if each.startswith(RAW_HTML))
            return edited

        site = self.posts.catalogue.site
        if await without_guesses(site, write) == file:
            return None
        settled = await settle(site, write, lambda text: Locate(text, path=path))
        if settled.file.body != file.body:
            refuse_effects(settled.answer.whole.effects - allowed)
        return settled

    async def restore(self, path: str, file: PelicanFile) -> Settled:
        """The file of a deleted post as it was, and its URL."""
        return await settle(
            self.posts.catalogue.site, lambda _: file, lambda text: Locate(text, path)
        )

    def with_media_as_in_files(self, update: Update) -> Update:
        """The update with URLs of uploads as the post's file has them."""
        media = self.posts.media

        def own(properties: Properties) -> Properties:
            return {
                name: tuple(media.externalise(media.internalise(value)) for value in values)
                for name, values in properties.items()
            }

        return replace(
            update,
            replace=own(update.replace),
            add=own(update.add),
            delete_values=own(update.delete_values),
        )


def with_alias(file: PelicanFile, save_as: str, before: str) -> PelicanFile:
    """The file of a post whose page is now at ``save_as``, with its earlier page as an alias."""
    mf2 = Mf2Line.of(file)
    aliases = [each for each in (*mf2.aliases, before) if each != save_as]
    if save_as == before and tuple(aliases) == mf2.aliases:
        return file
    changed = mf2.with_changes(aliases=tuple(dict.fromkeys(aliases)))
    return file.with_header("Mf2", changed.text())


def without_echoed(
    update: Update, entry: IndexedPost, file: PelicanFile, own: frozenset[str]
) -> Update:
    """The update without the slug, channel and URL that ``q=source`` returned: a client that sends
    a whole post back does not want to change them. ``own`` are the site's host names.
    """
    # A list of posts has no other slug than the URL's.
    source: dict[str, tuple[str | None, ...]] = {
        "slug": (file.get("Slug"), slug_of(entry.url)),
        "channel": (entry.channel,),
    }
    commands = {
        name: values
        for name, values in update.commands.items()
        if len(values) != 1 or values[0] not in source.get(name, ())
    }

    def is_echo(name: str, values: Sequence[object]) -> bool:
        urls = [canonical(value, own) for value in values if isinstance(value, str)]
        return name == "url" and urls == [canonical(entry.url, own)]

    def changed(given: Properties) -> Properties:
        return {name: values for name, values in given.items() if not is_echo(name, values)}

    return replace(
        update, commands=commands, replace=changed(update.replace), add=changed(update.add)
    )
