"""The owner's decisions about mentions. Each is committed at once."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct, field
from msgspec.structs import asdict

from bridge.errors import BridgeError, Conflict, InvalidRequest
from bridge.runtime.private import write_durably
from bridge.store import StoreError
from bridge.webmention.files import MentionFiles, StoredMention
from bridge.webmention.incoming.inbox import Inbox, Record, id_of
from bridge.webmention.incoming.moderation.exports import records_of
from bridge.webmention.incoming.moderation.rules import SHARED, Rules
from bridge.webmention.incoming.receiver import NOT_SHOWN, Receiver
from bridge.webmention.mention import Mention, bare_host

log = logging.getLogger(__name__)

#: The decisions, by the names that forms and commands use.
ACTIONS = ("approve", "trust", "refuse", "block-author", "block-host", "restore")
#: Removes a rule: takes authors' URLs and host names, as ``rules.json`` has them.
FORGET = "forget"
_POLL_SECONDS = 1.0
#: Mentions per commit during an import.
_PER_COMMIT = 100


class ModeratedMention(Struct, frozen=True):
    """One mention as shown to the owner; ``id`` identifies it in forms and commands. ``why`` says
    why it is not shown, if the owner did not decide that.
    """

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
    rsvp: str = ""
    why: str = ""
    received: float | str = 0.0
    face: str = ""
    warnings: tuple[str, ...] = field(default=())


class Moderation:
    """Lists mentions and applies the owner's decisions.

    The command line writes its commands to files in ``folder``, so that only the serving process
    changes anything.
    """

    def __init__(self, receiver: Receiver, folder: Path) -> None:
        self._receiver = receiver
        self._commands = folder

    def pending(self) -> list[ModeratedMention]:
        """The mentions that wait for the owner's decision, oldest first."""
        return [of_record(each) for each in self._receiver.inbox.in_state("pending")]

    def refused(self) -> list[ModeratedMention]:
        """The mentions refused lately, newest first."""
        rules = self.rules()
        return [of_record(each, rules) for each in self._receiver.inbox.in_state("refused")][::-1]

    def rules(self) -> Rules:
        """Whom the owner trusts and has blocked, as of the last look at the repo."""
        return self._receiver.files.rules

    async def shown(self, *, limit: int, offset: int = 0) -> tuple[list[ModeratedMention], int]:
        """One page of the shown mentions, newest first, and their total number."""
        return await asyncio.to_thread(shown_in, self._receiver.files, limit, offset)

    async def decide(self, action: str, ids: Sequence[str]) -> int:
        """Apply one of :data:`ACTIONS` to the mentions with these ids, or :data:`FORGET` to rules;
        returns their number.

        Raises :class:`InvalidRequest` for an unknown action or id, :class:`Conflict` where the
        rules file is invalid, and what a commit raises.
        """
        every = (*ACTIONS, FORGET)
        if action not in every:
            raise InvalidRequest(f"{action!r} is not an action. Use one of {', '.join(every)}.")
        await asyncio.to_thread(self._receiver.files.refresh)
        if self._receiver.files.rules.broken and action != "approve":
            raise Conflict(
                f"{self._receiver.files.folder}/rules.json cannot be used:"
                f" {self._receiver.files.rules.broken}. Fix it, commit, and try again."
            )
        if action == FORGET:
            return await self._forget(ids)
        waiting, stored = self._find(ids)
        match action:
            case "approve" | "trust":
                await self._approve(waiting, stored, trust=action == "trust")
            case "restore":
                await self._restore(waiting)
            case "refuse":
                await self._refuse(waiting, stored)
            case _:
                await self._block(waiting, stored, author=action == "block-author")
        return len(waiting) + len(stored)

    async def run(self) -> None:
        """Carry out the commands left by the command line, until cancelled."""
        while True:
            for file in sorted(self._commands.glob("*.json")):
                await self._carry_out(file)
            await asyncio.sleep(_POLL_SECONDS)

    async def _carry_out(self, file: Path) -> None:
        try:
            order = json.loads(await asyncio.to_thread(file.read_bytes))
            answer = await self._execute(str(order["action"]), [str(each) for each in order["ids"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            answer = f"refused: The command file cannot be read: {error}."
        except (BridgeError, StoreError) as error:
            answer = f"refused: {error}"
        done = file.with_suffix(".done")
        await asyncio.to_thread(write_durably, done, answer.encode())
        await asyncio.to_thread(file.unlink, missing_ok=True)

    async def _execute(self, action: str, ids: Sequence[str]) -> str:
        if action == "import":
            data = await asyncio.to_thread(Path(ids[0]).read_bytes)
            return await self.import_file(data)
        count = await self.decide(action, ids)
        return f"done: {count} mention{'' if count == 1 else 's'}"

    async def import_file(self, data: bytes) -> str:
        """Import the mentions of an export; returns a summary for the owner.

        Raises :class:`InvalidRequest` and what a commit raises.
        """
        records = await asyncio.to_thread(lambda: list(records_of(data)))
        known = [each for each in records if await self._receiver.has_target(each)]
        before = len(await asyncio.to_thread(self._all))
        for start in range(0, len(known), _PER_COMMIT):
            await self._receiver.commits.add(known[start : start + _PER_COMMIT])
        added = len(await asyncio.to_thread(self._all)) - before
        return (
            f"{added} new mention{'' if added == 1 else 's'}, {len(known) - added} already stored,"
            f" {len(records) - len(known)} of pages that this site does not have"
        )

    def _all(self) -> list[StoredMention]:
        self._receiver.files.refresh()
        return self._receiver.files.all()

    def _find(self, ids: Iterable[str]) -> tuple[list[Record], list[StoredMention]]:
        waiting: list[Record] = []
        stored: list[StoredMention] = []
        for name in ids:
            record = self._receiver.inbox.get(name)
            files = self._receiver.files.by_digest(name)
            if record is not None:
                waiting.append(record)
            elif files:
                stored += files
            else:
                raise InvalidRequest(
                    f"There is no mention {name[:40]!r}. It may have been removed."
                )
        return waiting, stored

    async def _approve(
        self, waiting: list[Record], stored: list[StoredMention], *, trust: bool
    ) -> None:
        trusted = list[str]()
        if trust:
            mentions = [(each.of_mention(), each.source) for each in waiting if each.mention]
            trusted = [_rule_subject(mention.author_url, source) for mention, source in mentions]
            trusted += [_rule_subject(each.author, each.source) for each in stored]

        def change(rules: Rules) -> Rules:
            for name in trusted:
                rules = rules.with_added(trust=name)
            return rules

        shown = [each for each in waiting if each.mention and each.state != "refused"]
        await self._receiver.show(shown, change)

    async def _refuse(self, waiting: list[Record], stored: list[StoredMention]) -> None:
        digests = [each.digest for each in stored] + [
            each.digest for each in waiting if each.digest
        ]

        def change(rules: Rules) -> Rules:
            return rules.with_added(refused=digests)

        records = await asyncio.to_thread(lambda: [*map(self._record_of, stored)])
        await self._receiver.commits.remove([each.path for each in stored], change)
        await self._receiver.refuse([*waiting, *records])

    def _record_of(self, stored: StoredMention) -> Record:
        """The record of a stored mention; a new one where the inbox has none. Blocks."""
        known = self._receiver.inbox.get(id_of(stored.source, stored.target))
        now = time.time()
        record = known or Record(
            source=stored.source, target=stored.target, received=now, changed=now
        )
        record.digest = stored.digest
        if (read := self._receiver.files.read(stored.path)) is not None:
            author = read[0].get("author")
            entry = read[0] | {"author": author if isinstance(author, dict) else {}}
            record.mention = asdict(Mention(stored.kind, stored.url, entry, vouched=True))
        return record

    async def _block(
        self, waiting: list[Record], stored: list[StoredMention], *, author: bool
    ) -> None:
        named = [
            (str(each.of_mention().entry["author"].get("url", "")), each.source)
            for each in waiting
            if each.mention
        ] + [(each.author, each.source) for each in stored]
        blocked = {
            _rule_subject(who, source) if author else bare_host(source) for who, source in named
        }

        def change(rules: Rules) -> Rules:
            for name in sorted(blocked):
                rules = rules.with_added(block=name)
            return rules

        rules = change(self._receiver.files.rules)
        gone = [each for each in self._receiver.files.all() if _is_blocked(each, rules)]
        records = await asyncio.to_thread(lambda: [*map(self._record_of, gone)])
        await self._receiver.commits.remove([each.path for each in gone], change)
        await self._receiver.refuse(records)
        also = [
            each
            for each in self._receiver.inbox.in_state("pending")
            if each.mention and rules.blocks(each.of_mention(), each.source)
        ]
        await self._receiver.refuse(also)

    async def _forget(self, names: Sequence[str]) -> int:
        """Remove rules, and verify again what those alone have kept away."""
        before = self._receiver.files.rules
        missing = [each for each in names if each not in (*before.trust, *before.block)]
        if missing:
            raise InvalidRequest(f"There is no rule for {missing[0][:200]!r}.")

        def change(rules: Rules) -> Rules:
            return rules.without(names)

        await self._receiver.commits.remove([], change)
        rules = change(before)
        for record in self._receiver.inbox.in_state("refused"):
            if record.digest in rules.refused or not _is_kept_away(record, before):
                continue
            if not _is_kept_away(record, rules):
                await self._receiver.verify_again(record)
        return len(names)

    async def _restore(self, refused: list[Record]) -> None:
        digests = [each.digest for each in refused]

        def change(rules: Rules) -> Rules:
            return rules.without_refused(digests)

        await self._receiver.commits.remove([], change)
        for record in refused:
            await self._receiver.verify_again(record)


def of_record(record: Record, rules: Rules | None = None) -> ModeratedMention:
    """A mention that has no file, as the owner sees it."""
    why = "" if record.why == NOT_SHOWN else record.why
    mention = _mention_of(record)
    entry = mention.entry
    warnings = [
        "Its author or site is blocked." if rules and _is_kept_away(record, rules) else "",
        "The page has no h-entry: it only links here." if mention.plain else "",
        "" if mention.plain or mention.vouched else "The page is not on its author’s own site.",
        f"The page has {mention.links} links." if mention.links > 1 else "",
    ]
    return ModeratedMention(
        record.id,
        record.state,
        mention.kind,
        str(entry["author"].get("name", "")),
        str(entry["author"].get("url", "")),
        mention.url,
        bare_host(record.source),
        record.target,
        name=str(entry.get("name", "")),
        text=_text_of(entry),
        rsvp=str(entry.get("rsvp", "")),
        why=why,
        received=record.received,
        warnings=tuple(filter(None, warnings)),
    )


def shown_in(
    files: MentionFiles, limit: int, offset: int = 0
) -> tuple[list[ModeratedMention], int]:
    """One page of the stored mentions, newest first, and their total number. Blocks."""
    files.refresh()
    every = files.all()
    return [_of_file(files, each) for each in every[offset : offset + limit]], len(every)


def _of_file(files: MentionFiles, stored: StoredMention) -> ModeratedMention:
    read = files.read(stored.path)
    entry: dict[str, Any] = read[0] if read else {}
    author = entry.get("author")
    card = author if isinstance(author, dict) else {}
    return ModeratedMention(
        stored.digest,
        "shown",
        stored.kind,
        str(card.get("name", "")),
        stored.author,
        stored.url,
        bare_host(stored.source) or bare_host(stored.url),
        stored.target,
        name=str(entry.get("name", "")),
        text=_text_of(entry),
        rsvp=str(entry.get("rsvp", "")),
        received=stored.received,
        face=stored.photo,
    )


def _text_of(entry: Mapping[str, Any]) -> str:
    """The text of a mention, whose file may have been edited by hand."""
    content = entry.get("content")
    return str(content.get("text", "")) if isinstance(content, dict) else ""


def commands_folder(state: Path) -> Path:
    """The folder in which the command line leaves its commands."""
    return state / "keep" / "mentions" / "orders"


def send_command(folder: Path, action: str, ids: Sequence[str], seconds: float) -> str:
    """Leave a command for the serving bridge (see :meth:`Moderation.run`) and wait for its answer.

    Returns the answer, which begins with ``"refused: "`` if the command failed, or ``"waiting"`` if
    there is none within ``seconds``.
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
    """The inbox as it is on disk, for a process other than the serving one to read."""
    inbox = Inbox(folder)
    inbox.load()
    return inbox


def _rule_subject(author: str, source: str) -> str:
    """What a rule for this mention should name: the author's URL, else the source's host if it
    belongs to one site.

    Raises :class:`InvalidRequest` where there is neither: a rule for a shared host would hit all of
    its users.
    """
    host = bare_host(source)
    if not author and host in SHARED:
        raise InvalidRequest(
            f"{host} is shared by many people, and this page does not prove which of them wrote"
            " it. Approve or refuse this mention alone."
        )
    return author or host


def _is_blocked(stored: StoredMention, rules: Rules) -> bool:
    entry = {"author": {"url": stored.author}}
    return rules.blocks(Mention(stored.kind, stored.url, entry), stored.source)


def _is_kept_away(record: Record, rules: Rules) -> bool:
    """Whether a rule blocks a refused mention, as far as is known of it."""
    return record.state == "refused" and rules.blocks(_mention_of(record), record.source)


def _mention_of(record: Record) -> Mention:
    """The mention of a record; one without author or words where no more is known than its URL."""
    unknown = Mention("", record.source, {"author": {}}, vouched=True)
    return record.of_mention() if record.mention else unknown
