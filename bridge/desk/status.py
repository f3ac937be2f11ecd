"""``/status`` for the owner: the state of build and remote."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from aiohttp import hdrs, web

from bridge import __version__
from bridge.desk.owner import Owner
from bridge.errors import NotFound
from bridge.http.form import Form
from bridge.indieauth.login.browser_session import browser_session
from bridge.micropub.post import Json
from bridge.pages.language import counted
from bridge.pages.navigation import Notice
from bridge.pages.render import page, page_endpoint, redirect
from bridge.posts.catalogue import Catalogue
from bridge.rebuild import BuildStatus, Rebuilder
from bridge.site.messages import IndexedPost, SiteReport
from bridge.store import StoreError
from bridge.store.sync.remote import Remote, RemoteStatus
from bridge.syndication.report import facts_of, report_of
from bridge.syndication.syndicator import Syndicator
from bridge.web.request import Gate
from bridge.webmention.incoming.moderation.rules import FILE as RULES
from bridge.webmention.incoming.receiver import Receiver
from bridge.webmention.outgoing.outbox import OutboxReport
from bridge.webmention.outgoing.sender import Sender

#: How many entries of each list are shown, the newest first.
_SHOWN = 100
_SCHEDULED = 100
#: How long the page waits for the files of mentions to be read.
_REFRESH_SECONDS = 1.0
_PUBLIC = ("published", "hidden")
_BUILD_WORDS = {
    "idle": "up to date",
    "building": "being built",
    "failed": "the last one that could be built",
}


class StatusHandlers:
    """The state of the bridge, as a page and as JSON."""

    def __init__(
        self,
        gate: Gate,
        rebuilder: Rebuilder,
        remote: Remote,
        catalogue: Catalogue,
        sender: Sender | None,
        receiver: Receiver | None,
        syndicator: Syndicator | None,
        *,
        is_beside_secrets: Callable[[str], bool],
        with_pages: bool,
    ) -> None:
        """``sender`` and ``receiver`` (webmentions) and ``syndicator`` (copies) are ``None`` if
        they are off. ``is_beside_secrets``: whether the folder of a file must not be allowed to the
        site. ``with_pages``: the built-in server is on, so that the owner can sign in."""
        self._gate = gate
        self._rebuilder = rebuilder
        self._remote = remote
        self._catalogue = catalogue
        self._sender = sender
        self._receiver = receiver
        self._refreshing: asyncio.Task[None] | None = None
        self._syndicator = syndicator
        self._is_beside_secrets = is_beside_secrets
        self.with_pages = with_pages

    async def status(self, request: web.Request) -> web.StreamResponse:
        """JSON with a token, a page for the signed-in owner."""
        wants_page = "text/html" in request.headers.get(hdrs.ACCEPT, "")
        if hdrs.AUTHORIZATION in request.headers or not (wants_page and self.with_pages):
            await self._gate.admit(request, None)
            facts = self._facts(await self._received()) | {
                "scheduled": [
                    {"url": each.url, "file": each.path, "time": _time(each.published)}
                    for each in await self._scheduled()
                ]
            }
            return web.json_response(facts, headers={hdrs.CACHE_CONTROL: "no-store"})
        return await page_endpoint(self._page)(request)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        browser = browser_session(request)
        if browser.session is None:
            return redirect("/auth/sign-in?then=/status")
        build, remote = self._rebuilder.status(), self._remote.status()
        site = self._site(build)
        return page(
            request,
            browser,
            "status.html",
            build=build,
            remote=remote,
            site=site,
            is_beside_secrets=self._is_beside_secrets,
            headline=_headline(build, remote, site),
            building=_building(build),
            pushing=_pushing(remote),
            outbox=self._sender.report() if self._sender else None,
            copies=report_of(self._syndicator) if self._syndicator else None,
            received=await self._received(),
            scheduled=await self._scheduled(),
            version=__version__,
        )

    async def _scheduled(self) -> list[IndexedPost]:
        """Scheduled posts, the next one first, as far as the index knows."""
        index = self._catalogue.index
        if index.version is None:
            return []
        later = await asyncio.to_thread(
            index.newest, limit=_SCHEDULED, later_than=time.time(), statuses=_PUBLIC
        )
        return later[::-1]

    async def begin(self, request: web.Request) -> web.Response:
        """GET ``/``: redirect to the status page."""
        del request
        return redirect("/status")

    async def decide_webmentions(self, owner: Owner, form: Form) -> web.StreamResponse:
        """POST /status/webmentions: send what was held (``do=send``), drop it (``discard``), or
        retry what failed (``again``)."""
        if self._sender is None:
            raise NotFound("No webmentions are sent.")
        match form.get("do"):
            case "send":
                notice = counted(
                    "The webmentions of {count} post are sent.",
                    "The webmentions of {count} posts are sent.",
                    await self._sender.release(),
                )
            case "again":
                notice = counted(
                    "The webmentions of {count} post are tried again.",
                    "The webmentions of {count} posts are tried again.",
                    await self._sender.try_again(),
                )
            case _:
                notice = counted(
                    "The webmentions of {count} post are not sent.",
                    "The webmentions of {count} posts are not sent.",
                    await self._sender.discard(),
                )
        return owner.back("/status", Notice(notice))

    def _site(self, build: BuildStatus) -> SiteReport:
        """Whether the site can be read and built."""
        site = self._catalogue.report()
        denied = dict.fromkeys((*site.denied, *build.denied))
        return msgspec.structs.replace(site, denied=tuple(denied))

    async def _received(self) -> dict[str, Json]:
        """The inbox, and the files as the branch has them now or a moment ago; empty if receiving
        is off."""
        if self._receiver is None:
            return {}
        # One thread, however often the page is requested: the first read of a large site takes
        # seconds.
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(_refresh(self._receiver))
        await asyncio.wait({self._refreshing}, timeout=_REFRESH_SECONDS)
        return inbox_facts(self._receiver)

    def _facts(self, received: dict[str, Json]) -> dict[str, Json]:
        build = self._rebuilder.status()
        return {
            "version": __version__,
            "site": site_facts(self._site(build), self._is_beside_secrets),
            "rebuild": build_facts(build),
            "remote": remote_facts(self._remote.status()),
            "syndication": facts_of(self._syndicator),
            "webmention": {
                "send": self._sender is not None,
                **(outbox_facts(self._sender.report()) if self._sender else {}),
                "receive": self._receiver is not None,
                **received,
            },
        }


def site_facts(site: SiteReport, is_beside_secrets: Callable[[str], bool]) -> dict[str, Json]:
    """How the site is read, and what of it cannot be."""
    return {
        "state": "failed" if site.problem else "reading" if site.reading else "ok",
        "reason": site.problem or None,
        "confined": site.confined,
        "indexing": site.indexing,
        "in_submodules": site.in_submodules,
        "warnings": list(site.warnings),
        "denied": [
            {"path": path, "setting": None if is_beside_secrets(path) else "[site] folders"}
            for path in site.denied
        ],
        "unread": [{"file": each.path, "reason": each.reason} for each in site.unread],
    }


def build_facts(build: BuildStatus) -> dict[str, Json]:
    """The last build, and the one that is running."""
    return {
        "state": build.state,
        "commit": build.version,
        "reason": build.reason,
        "file": build.file,
        "time": _time(build.finished),
        "left_out": [{"file": file, "reason": why} for file, why in build.left_out],
        "warnings": list(build.warnings),
        "slow": _slow(build),
    }


def remote_facts(remote: RemoteStatus) -> dict[str, Json]:
    """How far the remote is from the branch, and why."""
    return {
        "state": remote.state,
        "behind": remote.behind,
        "ahead": remote.ahead,
        "error": remote.error,
        "remedy": remote.remedy or None,
        "retry": _time(remote.retry),
        "conflicts": [{"path": each.path, "kept": each.kept} for each in remote.conflicts],
    }


def _slow(build: BuildStatus) -> Json:
    """Why each change needs a full run of Pelican, or all pages to be rendered; else ``None``."""
    if build.slow is None:
        return None
    slow = build.slow
    return {"reason": slow.reason, "remedy": slow.remedy, "by_command": slow.by_command}


async def _refresh(receiver: Receiver) -> None:
    # A repo that cannot be read stops every build and push, which report it.
    with contextlib.suppress(StoreError):
        await asyncio.to_thread(receiver.files.refresh)


def inbox_facts(receiver: Receiver) -> dict[str, Json]:
    """Received webmentions: those to be verified, and those to be approved; files that are ignored,
    and errors in the owner's rules."""
    broken = receiver.files.rules.broken
    return {
        "to_verify": len(receiver.inbox.in_state("waiting")),
        "pending": len(receiver.inbox.in_state("pending")),
        "unread": [
            {"file": path, "reason": why} for path, why in [*receiver.files.unread.items()][:_SHOWN]
        ],
        "rules": broken or None,
        "rules_file": f"{receiver.files.folder}/{RULES}",
    }


def outbox_facts(report: OutboxReport) -> dict[str, Json]:
    """The outbox: what was sent, waits, or failed and why; and posts that have sent none yet."""
    lists = {"sent": report.sent, "waiting": report.waiting, "failed": report.failed}
    posts = {"held": report.held, "not_live": report.unseen, "coming": report.coming}
    return {
        **{
            name: [
                {
                    "source": out.source,
                    "target": each.target,
                    "status": each.status or None,
                    "reason": each.reason or None,
                    "tries": each.tries,
                    "time": _time(each.at or None),
                    "next": _time(each.next or None) if each.state == "waiting" else None,
                }
                for out, each in found[:_SHOWN]
            ]
            for name, found in lists.items()
        },
        **{
            name: [
                {"source": out.source, "reason": out.reason or None, "gone": out.gone}
                for out in found[:_SHOWN]
            ]
            for name, found in posts.items()
        },
    }


def _headline(build: BuildStatus, remote: RemoteStatus, site: SiteReport) -> str:
    """The most important state, as one sentence."""
    if site.problem:
        return "The site’s settings cannot be used"
    if build.state == "failed":
        return "The last build failed"
    if build.state == "building":
        return "The site is being built"
    if site.reading:
        return "The site’s settings are being read"
    if remote.state == "waiting":
        return "Live, but your clone is not up to date"
    if remote.error:
        return "Live, but the remote is not up to date"
    if remote.conflicts:
        return "Live, but a file has two versions"
    if build.left_out:
        return "Live, except for posts that Pelican refused"
    return "Live, with warnings" if build.warnings else "Everything is live"


def _building(build: BuildStatus) -> str:
    if build.state == "idle" and build.version is None:
        return "not built by the bridge"
    return _BUILD_WORDS[build.state]


def _pushing(remote: RemoteStatus) -> str:
    if remote.state == "none":
        return "none: commits stay in the bridge’s repo"
    waiting = []
    if remote.behind:
        waiting.append(counted("{count} commit to push", "{count} commits to push", remote.behind))
    if remote.ahead:
        waiting.append(counted("{count} commit to fetch", "{count} commits to fetch", remote.ahead))
    return ", ".join(waiting) or ("not asked yet" if remote.state != "ok" else "has every commit")


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
