"""``/desk/syndication``: connected accounts, failed copies, and looking for answers now."""

from __future__ import annotations

from aiohttp import web

from bridge.desk.owner import Owner, owner_form, owner_page
from bridge.errors import InvalidRequest
from bridge.http.form import Form
from bridge.pages.language import counted
from bridge.pages.navigation import Notice, Section, add_section
from bridge.pages.render import redirect
from bridge.settings import Target
from bridge.syndication.backfeed.search import Backfeed
from bridge.syndication.connector import AccountConnector, NotConnected
from bridge.syndication.report import report_of
from bridge.syndication.syndicator import Syndicator

PATH = "/desk/syndication"


def add_page_without_targets(app: web.Application) -> None:
    """Add the page for a bridge that copies to no target itself, which explains the settings."""

    async def show(owner: Owner) -> web.StreamResponse:
        nothing = {"targets": (), "failed": (), "waiting": (), "missing": ()}
        return owner.page("syndication.html", report=nothing)

    app.router.add_get(PATH, owner_page(show))


class SyndicationPages:
    """The owner's page of copies. ``backfeed`` is ``None`` if responses are not imported."""

    def __init__(
        self, syndicator: Syndicator, connecting: AccountConnector, backfeed: Backfeed | None
    ) -> None:
        self._syndicator = syndicator
        self._connecting = connecting
        self._backfeed = backfeed

    def add_to(self, app: web.Application) -> None:
        """Add the page and its entry in the navigation. Call it before the application starts."""
        add_section(app, Section("syndication", PATH, "Copies", 50))
        app.router.add_get(PATH, owner_page(self.show))
        app.router.add_post(PATH, owner_form(self.decide))
        app.router.add_get(f"{PATH}/callback", owner_page(self.come_back))

    async def show(self, owner: Owner) -> web.StreamResponse:
        """Every target, what waits, what failed."""
        targets = [account.target for account in self._syndicator.accounts.values()]
        return owner.page(
            "syndication.html",
            report=report_of(self._syndicator),
            targets={each.uid: each for each in targets},
            connected={each.uid: self._connecting.is_connected(each) for each in targets},
            can_look=self._backfeed is not None,
        )

    async def decide(self, owner: Owner, form: Form) -> web.StreamResponse:
        """Carry out the action of a button."""
        action = form.need("action")
        if action in {"retry", "skip"}:
            return owner.back(PATH, Notice(await self._job(action, form.need("id"))))
        if action == "unlink":
            done = await self._syndicator.unlink(form.need("id"))
            notice = "The post does not link to it any more." if done else "It is done already."
            return owner.back(PATH, Notice(notice))
        target = self._target(form.need("uid"))
        try:
            match action:
                case "connect" if target.type == "mastodon":
                    return redirect(await self._connecting.begin(target))
                case "connect":
                    await self._connecting.by_password(target, form.need("password"))
                    notice = f"{target.name} is connected now."
                case "disconnect":
                    await self._connecting.disconnect(target)
                    notice = f"{target.name} is not connected any more."
                case "look":
                    notice = await self._look(target)
                case _:
                    raise InvalidRequest(f"{action!r} is nothing that this page does.")
        except NotConnected as error:
            return owner.back(PATH, Notice(str(error)))
        self._syndicator.connected(target.uid)
        return owner.back(PATH, Notice(notice))

    async def come_back(self, owner: Owner) -> web.StreamResponse:
        """The OAuth callback: the owner has agreed or not."""
        query = owner.request.query
        state, code = query.get("state", ""), query.get("code", "")
        accounts = self._syndicator.accounts.values()
        targets = [each.target for each in accounts if each.target.type == "mastodon"]
        target = next((each for each in targets if self._connecting.pending(each, state)), None)
        if target is None or not state:
            notice = "This was begun too long ago, or in another browser: connect again."
            return owner.back(PATH, Notice(notice))
        if not code:
            return owner.back(PATH, Notice(f"{target.name} is not connected: you did not agree."))
        try:
            account = await self._connecting.end(target, code)
        except NotConnected as error:
            return owner.back(PATH, Notice(str(error)))
        self._syndicator.connected(target.uid)
        return owner.back(PATH, Notice(f"{target.name} is connected as {account}."))

    def _target(self, uid: str) -> Target:
        account = self._syndicator.accounts.get(uid)
        if account is None:
            raise InvalidRequest("There is no such target in the settings.")
        return account.target

    async def _job(self, action: str, name: str) -> str:
        if action == "retry":
            done = self._syndicator.retry(name)
            return "It is tried again now." if done else "It is done already."
        done = await self._syndicator.skip(name)
        return "It is left out." if done else "It is done already."

    async def _look(self, target: Target) -> str:
        if self._backfeed is None or target.backfeed == "none":
            return f"Answers at {target.name} are not imported: see backfeed in the settings."
        new = await self._backfeed.search(target.uid, now=True)
        if not new:
            return f"There are no new answers at {target.name}."
        found = counted("{count} new answer", "{count} new answers", new)
        return f"{found} from {target.name}: look at Mentions."
