"""The owner's decisions about mentions, each one commit, at once."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from bridge.errors import BridgeError, Conflict, InvalidRequest
from bridge.posts.addresses import hosts
from bridge.runtime.durable import write_durably
from bridge.store import StoreError
from bridge.webmention.files import MentionFiles, StoredMention
from bridge.webmention.incoming.importing import records_of
from bridge.webmention.incoming.inbox import Inbox, Record, id_of
from bridge.webmention.incoming.receiving import Receiver
from bridge.webmention.incoming.rules import SHARED, Rules
from bridge.webmention.mention import Mention

log = logging.getLogger(__name__)

#: What can be decided about one mention, by the word for it.
ACTIONS = ("approve", "trust", "refuse", "block-author", "block-host", "restore")
_POLL_SECONDS = 1.0
#: Mentions in one commit of an import.
_A_COMMIT = 100


@dataclass(frozen=True, slots=True)
class Item:
    """One mention as the owner sees it. ``id`` names it in forms and commands."""

    id: str
    state: str
    kind: str
    author: str
    author_url: str
    url: str
    host: str
    target: str
    name: str = ""
    text: str = ""
    received: float | str = 0.0
    face: str = ""
    warnings: tuple[str, ...] = field(default=())


class Moderation:
    """Lists mentions and carries out decisions.

    Orders of the command line come through files in ``folder``, so that one process alone, the one
    that serves, changes anything.
    """

    def __init__(self, receiver: Receiver, folder: Path) -> None:
        self._receiver = receiver
        self._orders = folder

    def pending(self) -> list[Item]:
        """What waits for the owner, the oldest first."""
        return [of_record(each) for each in self._receiver.inbox.in_state("pending")]

    def refused(self) -> list[Item]:
        """What was refused of late, the newest first."""
        return [of_record(each) for each in self._receiver.inbox.in_state("refused")][::-1]

    async def shown(self, *, limit: int, offset: int = 0) -> tuple[list[Item], int]:
        """Some of what is shown, the newest first, and how much there is in all."""
        return await asyncio.to_thread(shown_in, self._receiver.files, limit, offset)

    async def decide(self, action: str, ids: Sequence[str]) -> int:
        """Do one of :data:`ACTIONS` to these; how many it was about.

        Raises :class:`InvalidRequest` for an unknown action or id, :class:`Conflict` where the
        rules file cannot be read, and what a commit raises.
        """
        if action not in ACTIONS:
            raise InvalidRequest(f"{action!r} is none of {', '.join(ACTIONS)}.")
        await asyncio.to_thread(self._receiver.files.refresh)
        if self._receiver.files.rules.broken and action != "approve":
            raise Conflict(
                f"{self._receiver.files.folder}/rules.json cannot be used:"
                f" {self._receiver.files.rules.broken}. Fix it, commit, and try again."
            )
        waiting, kept = self._find(ids)
        match action:
            case "approve" | "trust":
                await self._approve(waiting, kept, trust=action == "trust")
            case "restore":
                await self._restore(waiting)
            case "refuse":
                await self._refuse(waiting, kept)
            case _:
                await self._block(waiting, kept, author=action == "block-author")
        return len(waiting) + len(kept)

    async def run(self) -> None:
        """Carry out the orders of the command line, until cancelled."""
        while True:
            for file in sorted(self._orders.glob("*.json")):
                await self._carry_out(file)
            await asyncio.sleep(_POLL_SECONDS)

    async def _carry_out(self, file: Path) -> None:
        try:
            order = json.loads(await asyncio.to_thread(file.read_bytes))
            answer = await self._obey(str(order["action"]), [str(each) for each in order["ids"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            answer = f"refused: The order cannot be read: {error}."
        except (BridgeError, StoreError) as error:
            answer = f"refused: {error}"
        done = file.with_suffix(".done")
        await asyncio.to_thread(write_durably, done, answer.encode())
        await asyncio.to_thread(file.unlink, missing_ok=True)

    async def _obey(self, action: str, ids: Sequence[str]) -> str:
        if action == "import":
            data = await asyncio.to_thread(Path(ids[0]).read_bytes)
            return await self.take_over(data)
        count = await self.decide(action, ids)
        return f"done: {count} mention{'' if count == 1 else 's'}"

    async def take_over(self, data: bytes) -> str:
        """Make files of what an export has; says how many. Raises :class:`InvalidRequest`, and what
        a commit raises."""
        records = await asyncio.to_thread(lambda: list(records_of(data)))
        known = [each for each in records if await self._receiver.is_about_us(each)]
        before = len(await asyncio.to_thread(self._all))
        for start in range(0, len(known), _A_COMMIT):
            await self._receiver.commits.add(known[start : start + _A_COMMIT])
        added = len(await asyncio.to_thread(self._all)) - before
        return (
            f"{added} new mention{'' if added == 1 else 's'}, {len(known) - added} known already,"
            f" {len(records) - len(known)} of pages that are not there"
        )

    def _all(self) -> list[StoredMention]:
        self._receiver.files.refresh()
        return self._receiver.files.all()

    def _find(self, ids: Iterable[str]) -> tuple[list[Record], list[StoredMention]]:
        waiting: list[Record] = []
        kept: list[StoredMention] = []
        for name in ids:
            record = self._receiver.inbox.get(name)
            files = self._receiver.files.by_digest(name)
            if record is not None:
                waiting.append(record)
            elif files:
                kept += files
            else:
                raise InvalidRequest(f"There is no mention {name[:40]!r} (any more).")
        return waiting, kept

    async def _approve(
        self, waiting: list[Record], kept: list[StoredMention], *, trust: bool
    ) -> None:
        trusted = list[str]()
        if trust:
            mentions = [(each.of_mention(), each.source) for each in waiting if each.mention]
            trusted = [_one(mention.author_url, source) for mention, source in mentions]
            trusted += [_one(each.author, each.source) for each in kept]

        def change(rules: Rules) -> Rules:
            for name in trusted:
                rules = rules.adding(trust=name)
            return rules

        await self._receiver.show([each for each in waiting if each.mention], change)

    async def _refuse(self, waiting: list[Record], kept: list[StoredMention]) -> None:
        digests = [each.digest for each in kept] + [each.digest for each in waiting if each.digest]

        def change(rules: Rules) -> Rules:
            return rules.adding(refused=digests)

        await self._receiver.commits.remove([each.path for each in kept], change)
        await self._receiver.refuse([*waiting, *map(self._record_of, kept)])

    def _record_of(self, kept: StoredMention) -> Record:
        """What is remembered of a mention that has a file."""
        known = self._receiver.inbox.get(id_of(kept.source, kept.target))
        now = time.time()
        record = known or Record(source=kept.source, target=kept.target, received=now, changed=now)
        record.digest = kept.digest
        return record

    async def _block(
        self, waiting: list[Record], kept: list[StoredMention], *, author: bool
    ) -> None:
        named = [
            (str(each.of_mention().entry["author"].get("url", "")), each.source)
            for each in waiting
            if each.mention
        ] + [(each.author, each.source) for each in kept]
        blocked = {_one(who, source) if author else _host(source) for who, source in named}

        def change(rules: Rules) -> Rules:
            for name in sorted(blocked):
                rules = rules.adding(block=name)
            return rules

        rules = change(self._receiver.files.rules)
        gone = [each for each in self._receiver.files.all() if _is_blocked(each, rules)]
        await self._receiver.commits.remove([each.path for each in gone], change)
        await self._receiver.refuse([*map(self._record_of, gone)])
        also = [
            each
            for each in self._receiver.inbox.in_state("pending")
            if each.mention and rules.blocks(each.of_mention(), each.source)
        ]
        await self._receiver.refuse(also)

    async def _restore(self, refused: list[Record]) -> None:
        digests = [each.digest for each in refused]

        def change(rules: Rules) -> Rules:
            return rules.without_refused(digests)

        await self._receiver.commits.remove([], change)
        for record in refused:
            await self._receiver.look_once_more(record)


def of_record(record: Record) -> Item:
    """A mention that has no file (yet)."""
    if record.mention is None:
        return Item(
            record.id, record.state, "", "", "", record.source, _host(record.source),
            record.target, text=record.why, received=record.received,
        )  # fmt: skip
    mention = record.of_mention()
    said = mention.entry
    warnings = []
    if mention.plain:
        warnings.append("The page says nothing about itself: it only links here.")
    elif not mention.vouched:
        warnings.append("The page is not on its author’s own site.")
    if mention.links > 1:
        warnings.append(f"It has {mention.links} links.")
    return Item(
        record.id,
        record.state,
        mention.kind,
        str(said["author"].get("name", "")),
        str(said["author"].get("url", "")),
        mention.url,
        _host(record.source),
        record.target,
        name=str(said.get("name", "")),
        text=str(said.get("content", {}).get("text", "")),
        received=record.received,
        warnings=tuple(warnings),
    )


def shown_in(files: MentionFiles, limit: int, offset: int = 0) -> tuple[list[Item], int]:
    """Some of the mentions that have files, the newest first, and how many there are. Blocks."""
    files.refresh()
    every = files.all()
    return [_of_file(files, each) for each in every[offset : offset + limit]], len(every)


def _of_file(files: MentionFiles, kept: StoredMention) -> Item:
    read = files.read(kept.path)
    said: dict[str, Any] = read[0] if read else {}
    author = said.get("author")
    card = author if isinstance(author, dict) else {}
    content = said.get("content")
    text = content.get("text", "") if isinstance(content, dict) else ""
    return Item(
        kept.digest,
        "shown",
        kept.kind,
        str(card.get("name", "")),
        kept.author,
        kept.url,
        _host(kept.source) or _host(kept.url),
        kept.target,
        name=str(said.get("name", "")),
        text=str(text),
        received=kept.received,
        face=kept.photo,
    )


def orders_folder(state: Path) -> Path:
    """Where the command line leaves its orders."""
    return state / "keep" / "mentions" / "orders"


def leave_order(folder: Path, action: str, ids: Sequence[str], seconds: float) -> str:
    """Have the bridge that serves carry out a decision (see :meth:`Moderation.run`).

    Returns what it says; ``"waiting"`` where none has within ``seconds``; what begins with
    ``"refused: "`` was not done.
    """
    file = folder / f"{time.time_ns()}-{uuid4().hex}.json"
    write_durably(file, json.dumps({"action": action, "ids": list(ids)}).encode())
    done, deadline = file.with_suffix(".done"), time.monotonic() + seconds
    while not done.exists():
        if time.monotonic() > deadline:
            return "waiting"
        time.sleep(0.05)
    answer = done.read_text("utf-8")
    done.unlink(missing_ok=True)
    return answer


def open_inbox(folder: Path) -> Inbox:
    """The records as they are on disk, to be read by another process than the one that serves."""
    inbox = Inbox(folder)
    inbox.load()
    return inbox


def _one(author: str, source: str) -> str:
    """Who is meant: an author by their address, else the site that they have for themselves.

    Raises :class:`InvalidRequest` where there is neither: the people of Bridgy are not one author.
    """
    host = _host(source)
    if not author and host in SHARED:
        raise InvalidRequest(
            f"Many people are at {host}, and this page does not say for certain which of them wrote"
            " it. Show it, or don’t, without a rule for its author."
        )
    return author or host


def _is_blocked(kept: StoredMention, rules: Rules) -> bool:
    entry = {"author": {"url": kept.author}}
    return rules.blocks(Mention(kept.kind, kept.url, entry), kept.source)


def _host(url: str) -> str:
    try:
        return next(iter(hosts(url)), "")
    except ValueError:
        return ""
