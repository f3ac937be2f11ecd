"""Building elsewhere: a webhook notifies another service of new versions, or another program
watches the repo.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from bridge.rebuild import BuildStatus
from bridge.rebuild.build import BuildFailed, BuildOutcome, Shown, ignore
from bridge.rebuild.last_build import BuildLedger
from bridge.rebuild.worker import DEFAULT_TIMING, BuildTiming, Worker
from bridge.runtime.process import in_thread
from bridge.settings import Settings
from bridge.store import ContentStore, Version

_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Webhook(Struct, frozen=True):
    """A :class:`~bridge.rebuild.build.BuildJob`: posts the version to ``url``.

    Temporary failures are retried after each of ``pauses``. With a
    ``secret`` the body is signed as GitHub signs its own (``X-Hub-Signature-256``).
    """

    url: str
    ledger: BuildLedger
    secret: str = ""
    pauses: Sequence[float] = (1, 4, 15, 60)

    @property
    def next_due(self) -> datetime | None:
        """Scheduled posts are up to the program that builds."""
        return None

    async def do(self, version: Version, shown: Shown, previewed: Shown = ignore) -> BuildOutcome:
        """Call the webhook; raises :class:`BuildFailed` if it does not answer with 2xx."""
        del shown, previewed
        record = self.ledger.record
        if record.settled and record.version == version:
            return BuildOutcome()
        body = json.dumps({"version": version}).encode()
        for pause in self.pauses:
            try:
                await self._post(body)
            except BuildFailed as failure:
                if not failure.passing:
                    raise
                await asyncio.sleep(pause)
            else:
                break
        else:
            await self._post(body)
        await in_thread(self.ledger.settle, version, {})
        return BuildOutcome()

    def preempt(self) -> None:
        """There is nothing to cancel."""

    async def run_when_idle(self) -> str | None:
        """There is no maintenance: nothing is built here."""
        return None

    async def close(self) -> None:
        """Nothing stays open between two requests."""

    async def _post(self, body: bytes) -> None:
        # The URL of a build hook is a secret: only its host is ever logged.
        host = urlsplit(self.url).hostname
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(self.url, data=body, headers=self._headers(body)) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            kind = type(error).__name__
            raise BuildFailed(
                f"The webhook at {host} does not answer: {kind}", passing=True
            ) from None
        if not 200 <= status < 300:
            # Too many requests and server errors are temporary. A 404 is not.
            passing = status == 429 or status >= 500
            raise BuildFailed(f"The webhook at {host} answered {status}.", passing=passing)

    def _headers(self, body: bytes) -> Mapping[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "micropub-bridge"}
        if self.secret:
            digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature-256"] = f"sha256={digest}"
        return headers


class NoRebuild:
    """Ignores changes."""

    is_local = False
    output: Path | None = None
    previews: Path | None = None

    async def start(self) -> None:
        """Nothing to start."""

    def changed(self, version: Version) -> None:
        """Another program finds it in the repo."""

    async def live(self, version: Version, page: str, seconds: float) -> bool:
        """It is not known here when a page is live, so there is no use in waiting."""
        del version, page, seconds
        return False

    def status(self) -> BuildStatus:
        """Always idle."""
        return BuildStatus()

    async def close(self) -> None:
        """Nothing to close."""


def make_remote_rebuilder(
    settings: Settings, store: ContentStore, state: Path, timing: BuildTiming | None = None
) -> Worker | NoRebuild:
    """The rebuilder for ``[rebuild] mode = "webhook"`` or ``"none"``."""
    if settings.rebuild.mode == "none":
        return NoRebuild()
    ledger = BuildLedger(state / "rebuild" / "built.json")
    hook = Webhook(settings.rebuild.webhook, ledger, settings.rebuild.webhook_secret)
    return Worker(store, hook, ledger, timing=timing or DEFAULT_TIMING)
