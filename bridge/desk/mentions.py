"""``/desk/mentions``: received mentions, and the owner's decisions about them."""

from __future__ import annotations

import logging

from aiohttp import web

from bridge.desk.compose.fields import RSVPS
from bridge.desk.owner import Owner, owner_form, owner_page
from bridge.http.form import Form
from bridge.pages.navigation import Notice, Section, add_section
from bridge.store import StoreError
from bridge.webmention.incoming.moderation.decisions import FORGET, Moderation

log = logging.getLogger(__name__)

_PATH = "/desk/mentions"
_A_PAGE = 30
#: The rest appears as these are decided: a flood must not make the page unusable.
_WAITING = 100
_DONE = {
    "approve": "It is shown now.",
    "trust": "It is shown, and so will be what comes from there.",
    "refuse": "It is not shown, and will not be when it is sent again.",
    "block-author": "Nothing of this author is shown any more.",
    "block-host": "Nothing from this site is shown any more.",
    "restore": "It is looked at again.",
    FORGET: "The rule is removed.",
}
_KINDS = {
    "in-reply-to": "replies to",
    "like-of": "likes",
    "repost-of": "reposts",
    "bookmark-of": "bookmarks",
    "rsvp": "answers",
    "mention-of": "mentions",
}


class MentionPages:
    """The owner's page of mentions."""

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation

    def add_to(self, app: web.Application) -> None:
        """Add the page and its entry in the navigation. Call it before the application starts."""
        add_section(app, Section("mentions", _PATH, "Mentions", 40))
        app.router.add_get(_PATH, owner_page(self.show))
        app.router.add_post(_PATH, owner_form(self.decide))

    async def show(self, owner: Owner) -> web.StreamResponse:
        """What waits, what is shown, what was refused."""
        page = owner.number("page", 1)
        shown, total = await self._moderation.shown(limit=_A_PAGE, offset=(page - 1) * _A_PAGE)
        pending = self._moderation.pending()
        return owner.page(
            "mentions.html",
            pending=pending[:_WAITING],
            waiting=len(pending),
            shown=shown,
            total=total,
            page_number=page,
            pages=max(1, -(-total // _A_PAGE)),
            refused=self._moderation.refused()[:_A_PAGE],
            rules=self._moderation.rules(),
            kinds=_KINDS,
            rsvps=dict(RSVPS),
        )

    async def decide(self, owner: Owner, form: Form) -> web.StreamResponse:
        """One decision: one commit."""
        action, ids = form.need("action"), form.every("id")
        try:
            await self._moderation.decide(action, ids)
        except StoreError as error:
            log.warning("a decision about mentions could not be committed: %s", error)
            return owner.back(_PATH, Notice(f"Nothing was changed: {error}. Try again."))
        return owner.back(_PATH, Notice(_DONE[action]))
