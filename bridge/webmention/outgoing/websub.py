"""Notifies a WebSub hub of changed feeds (WebSub 7) once they are live.

The hub is ``INDIEAUTH_HUB`` in the site's settings; the plugin names it in the feeds and on the
home page. The hashes of the feeds as of the last ping are derived data: if they are lost, the next
change is announced.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from bridge.micropub.post import unescape
from bridge.net.fetch import FetchError, GuardedFetch
from bridge.net.web_url import BadURL, parse
from bridge.posts.catalogue import Catalogue
from bridge.rebuild import Rebuilder
from bridge.runtime import beneath
from bridge.runtime.backoff import jittered
from bridge.runtime.private import write_durably
from bridge.store import Version

log = logging.getLogger(__name__)

_FEEDS = (".xml", ".json", ".rss", ".atom")
_HOME = "index.html"
#: A feed names its hub and its own URL before its items.
_BEGINNING = 16 * 1024
_MOST = 500
_MOST_BYTES = 20 * 1024 * 1024
_BUILD_SECONDS = 120.0
_SELF = re.compile(r"<(?:atom:)?link\b[^>]*\brel=[\"']self[\"'][^>]*>")
_HREF = re.compile(r"\bhref=[\"']([^\"']+)")
_LOOKS = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, *(60.0,) * 30)
_TRIES = (0.0, 60.0, 600.0)


class Feed(Struct, frozen=True):
    """An output file that names the hub: its topic URL and a hash of its bytes."""

    topic: str
    digest: str


class HubPing:
    """Pings the hub.

    ``rebuilder`` builds on this machine; ``note`` is the file with the hashes as of the last ping.
    ``site`` fetches the site's pages, ``fetch`` the hub. ``looks`` and ``tries`` are pauses in
    seconds.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        rebuilder: Rebuilder,
        note: Path,
        *,
        site: GuardedFetch,
        fetch: GuardedFetch,
        looks: tuple[float, ...] = _LOOKS,
        tries: tuple[float, ...] = _TRIES,
    ) -> None:
        self._catalogue = catalogue
        self._rebuilder = rebuilder
        self._note = note
        self._site = site
        self._fetch = fetch
        self._looks = looks
        self._tries = tries
        self._moved = asyncio.Event()
        self._version: Version | None = None

    def changed(self, version: Version) -> None:
        """Called after every new commit. Returns at once."""
        self._version = version
        self._moved.set()

    async def run(self) -> None:
        """Ping after each build, until cancelled."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            try:
                await self._after(self._version)
            except Exception:
                # The next change is announced; a hub that missed one polls the feed anyway.
                log.exception("the WebSub hub was not notified")

    async def _after(self, version: Version | None) -> None:
        if version is None or not await self._rebuilder.live(version, _HOME, _BUILD_SECONDS):
            return
        if (output := self._rebuilder.output) is None:
            return
        # After a start the site may be built sooner than its settings are known here.
        await self._catalogue.refresh(patient=True)
        facts = self._catalogue.site.facts
        hub = facts.values.get("INDIEAUTH_HUB")
        if not isinstance(hub, str) or not hub:
            return
        feeds = await asyncio.to_thread(lambda: list(feeds_of(output, hub, facts.siteurl)))
        known = await asyncio.to_thread(self._load)
        found = {feed.topic: feed.digest for feed in feeds}
        await asyncio.to_thread(self._save, found)
        if known is None:
            return  # at the first start nothing is new
        for feed in feeds:
            if known.get(feed.topic) != feed.digest and await self._is_live(feed):
                await self._ping(hub, feed.topic)

    async def _is_live(self, feed: Feed) -> bool:
        for pause in map(jittered, self._looks):
            await asyncio.sleep(pause)
            if self._moved.is_set():
                return False  # a newer version is announced instead
            with suppress(FetchError):
                page = await self._site.fetch(
                    feed.topic,
                    max_bytes=_MOST_BYTES,
                    timeout=20.0,
                    accept="*/*",
                    headers={"Cache-Control": "no-cache"},
                )
                if page.status == 200 and _digest(page.body) == feed.digest:
                    return True
        log.warning("%s is not live as it was built: the hub is not notified", feed.topic)
        return False

    async def _ping(self, hub: str, topic: str) -> None:
        form = {"hub.mode": "publish", "hub.url": topic, "hub.topic": topic}
        for pause in map(jittered, self._tries):
            await asyncio.sleep(pause)
            try:
                answer = await self._fetch.post(hub, form, timeout=20.0, accept="*/*")
            except FetchError as error:
                log.warning("the WebSub hub was not notified of %s: %s", topic, error)
                continue
            if 200 <= answer.status < 300:
                log.info("the WebSub hub was notified of %s", topic)
                return
            log.warning("the WebSub hub answered %d for %s", answer.status, topic)

    def _load(self) -> Mapping[str, str] | None:
        try:
            found = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _save(self, found: Mapping[str, str]) -> None:
        write_durably(self._note, json.dumps(found).encode())


def feeds_of(output: Path, hub: str, siteurl: str) -> Iterator[Feed]:
    """The feeds in the output folder that name the hub, and the home page if it does."""
    count = 0
    for folder, _, names in os.walk(output):
        for name in sorted(names):
            path = Path(folder, name)
            is_home = name == _HOME and Path(folder) == output
            if not (is_home or name.endswith(_FEEDS)) or path.is_symlink():
                continue
            with suppress(OSError):
                data = beneath.read(output, path.relative_to(output).as_posix(), _MOST_BYTES + 1)
                head = unescape(data[:_BEGINNING].decode("utf-8", "replace"))
                if hub not in head or len(data) > _MOST_BYTES:
                    continue
                own = f"{siteurl}/{'' if is_home else path.relative_to(output).as_posix()}"
                topic = own if is_home else _said_of_itself(data, head) or own
                with suppress(BadURL):
                    parse(topic)
                    yield Feed(topic, _digest(data))
                    count += 1
            if count >= _MOST:
                return


def _said_of_itself(data: bytes, head: str) -> str:
    """The URL that a feed names as its own; ``""`` if it names none."""
    if data.lstrip()[:1] == b"{":
        with suppress(ValueError, AttributeError, RecursionError):
            return str(json.loads(data).get("feed_url") or "")
        return ""
    link = _SELF.search(head)
    href = _HREF.search(link[0]) if link else None
    return href[1] if href else ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
