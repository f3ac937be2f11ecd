"""Writes the file of a post, new or changed, and finds out from the site where it will be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from bridge.content.body import refuse_effects
from bridge.content.convert import new_file, published_at, refuse_nothing_to_see
from bridge.content.edit import edit
from bridge.content.file import Mf2Line, PelicanFile, refuse_other_formats
from bridge.content.rules import SiteView
from bridge.content.slugs import slug_wishes
from bridge.micropub.action import Create, Update
from bridge.micropub.answers import slug_of
from bridge.micropub.post import Post, Properties
from bridge.posts.addresses import canonical
from bridge.posts.reader import PostReader
from bridge.site.known import Settled, settle, without_guesses
from bridge.site.messages import IndexedPost, Locate

#: A slug until the site has said which ones it allows (``Locate.wishes``): ``Reservations`` puts
#: the chosen one into the file.
_PLACEHOLDER = "-"


@dataclass(frozen=True, slots=True)
class PostWriter:
    """Joins ``content/``, which writes files, and the site, which says what it makes of them."""

    posts: PostReader

    async def create(self, action: Create, when: datetime) -> Settled:
        """The file of a new post, and the addresses that it may get.

        ``when`` dates a post that has no date of its own. Raises
        :class:`~bridge.errors.InvalidRequest` for what the site cannot hold.
        """

        def write(site: SiteView) -> PelicanFile:
            rules = self.posts.rules(site)
            return new_file(
                action.post, commands=action.commands, when=when, rules=rules, slug=_PLACEHOLDER
            )

        site = self.posts.catalogue.site
        if not action.uploads:
            rules = self.posts.rules_without_asking
            await asyncio.to_thread(refuse_nothing_to_see, action.post, rules)
        published = published_at(action.post, when, ZoneInfo(site.facts.timezone))
        wishes = await asyncio.to_thread(slug_wishes, action.post, action.commands, published)
        settled = await settle(site, write, lambda text: Locate(text, wishes=wishes))
        refuse_effects(settled.answer.whole.effects)
        return settled

    async def edit(
        self, path: str, file: PelicanFile, old: Post, new: Post, action: Update, when: datetime
    ) -> Settled | None:
        """The file with the difference between two versions of its post, and its address.

        ``None`` if nothing changes. Raises as :meth:`create`.
        """
        await asyncio.to_thread(refuse_nothing_to_see, new, self.posts.rules_without_asking, old)
        refuse_other_formats(path)
        allowed = set[str]()

        def write(site: SiteView) -> PelicanFile:
            rules = self.posts.rules(site)
            edited = edit(file, old, new, commands=action.commands, when=when, rules=rules)
            if edited.body != file.body:
                # What the owner's own text has the site include is not the client's doing.
                allowed.update(site.render(file.body, file.syntax.suffix).effects)
            return edited

        site = self.posts.catalogue.site
        if await without_guesses(site, write) == file:
            return None
        settled = await settle(site, write, lambda text: Locate(text, path=path))
        if settled.file.body != file.body:
            refuse_effects(settled.answer.whole.effects - allowed)
        return settled

    async def restore(self, path: str, file: PelicanFile) -> Settled:
        """The file of a deleted post as it was, and its address."""
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


def with_alias(file: PelicanFile, save_as: str, entry: IndexedPost) -> PelicanFile:
    """The file of a post whose page is ``save_as`` now: an earlier page becomes an alias of it."""
    mf2 = Mf2Line.of(file)
    aliases = [each for each in (*mf2.aliases, entry.save_as) if each != save_as]
    if save_as == entry.save_as and tuple(aliases) == mf2.aliases:
        return file
    changed = mf2.with_changes(aliases=tuple(dict.fromkeys(aliases)))
    return file.with_header("Mf2", changed.text())


def without_told(update: Update, entry: IndexedPost, own: frozenset[str]) -> Update:
    """The update without the slug, channel and URL that ``q=source`` returned: a client that sends
    a whole post back does not want to change them. ``own`` are the site's host names.
    """
    told = {"slug": slug_of(entry.url), "channel": entry.channel}
    commands = {
        name: values for name, values in update.commands.items() if values != (told.get(name),)
    }

    def is_told(name: str, values: Sequence[object]) -> bool:
        urls = [canonical(value, own) for value in values if isinstance(value, str)]
        return name == "url" and urls == [canonical(entry.url, own)]

    def changed(given: Properties) -> Properties:
        return {name: values for name, values in given.items() if not is_told(name, values)}

    return replace(
        update, commands=commands, replace=changed(update.replace), add=changed(update.add)
    )
