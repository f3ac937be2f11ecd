"""Pending jobs and existing copies, in files that survive a crash."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec

from bridge.runtime import private
from bridge.runtime.durable import sync_folder, write_durably
from bridge.store import Version
from bridge.syndication.api import digest

log = logging.getLogger(__name__)

Action: TypeAlias = Literal["post", "edit", "delete"]
#: ``waiting``: it is tried again by itself. ``failed`` and ``held``: the owner has to say.
State: TypeAlias = Literal["waiting", "failed", "held"]
#: Seconds before a try that follows a failure; after the last it is the owner's turn.
RETRIES = (20.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0)

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class Job(msgspec.Struct, omit_defaults=True):
    """One thing to do at one target for the post in one file.

    ``text``, ``key``, ``created`` and ``media`` are what a try sends, so that the next sends the
    same. ``maybe``: an earlier try may have arrived. ``copy`` is where the copy is, once that is
    known; ``old`` the copy that is edited or deleted, or that was deleted before. ``looks`` counts
    how often the page was not live.
    """

    path: str
    uid: str
    action: Action
    url: str
    since: float
    next: float = 0.0
    state: State = "waiting"
    error: str = ""
    tries: int = 0
    looks: int = 0
    maybe: bool = False
    started: float = 0.0
    text: str = ""
    key: str = ""
    created: str = ""
    media: dict[str, str] = {}
    copy: str = ""
    copy_id: str = ""
    old: str = ""
    old_id: str = ""
    raw: bool = False
    title: str = ""

    @property
    def name(self) -> str:
        """Names the job: there is one for each post and target."""
        return digest(self.path, self.uid)[:32]


class Copy(msgspec.Struct, omit_defaults=True):
    """A copy that the bridge has made: ``id`` is the network's own, ``text`` what it says.

    ``alts`` are the alt texts of its photos. ``deleted``: it is gone again.
    """

    url: str
    uid: str
    id: str = ""
    text: str = ""
    alts: tuple[str, ...] = ()
    made: float = 0.0
    edited: float = 0.0
    deleted: bool = False


class Answers(msgspec.Struct, omit_defaults=True):
    """What has been answered to a copy: ``sources`` are the responses that were taken home, with
    what tells whether they have changed; ``counts`` those that are only counted. ``looked`` is when
    they were asked for last, ``full`` when all of them; ``seen`` tells whether there is more."""

    url: str
    sources: dict[str, str] = {}
    counts: dict[str, int] = {}
    looked: float = 0.0
    full: float = 0.0
    seen: str = ""


class Trouble(msgspec.Struct):
    """Why a target is off, and since when. ``token`` tells whether it has another one by now."""

    error: str
    since: float
    token: str = ""
    asked: float = 0.0


class Ledger:
    """The files: ``jobs/``, ``copies/``, ``answers/``, ``targets/``, and the version seen last.

    Everything is on the disk when a method returns. Raises ``OSError``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("jobs", "copies", "answers", "targets"):
            private.make_folder(folder / name)
        self.jobs = {job.name: job for job in self._all("jobs", Job)}
        self.copies = {copy.url: copy for copy in self._all("copies", Copy)}
        self.answers = {answers.url: answers for answers in self._all("answers", Answers)}
        self.troubles = dict[str, Trouble]()
        for name, trouble in self._named("targets", Trouble):
            self.troubles[name] = trouble

    def save(self, job: Job) -> None:
        """Remember a job as it is now."""
        self.jobs[job.name] = job
        self._write(f"jobs/{job.name}.json", job)

    def drop(self, job: Job) -> None:
        """It is done."""
        self.jobs.pop(job.name, None)
        self._remove(f"jobs/{job.name}.json")

    def job(self, path: str, uid: str) -> Job | None:
        """What is to be done for a post at a target."""
        return self.jobs.get(digest(path, uid)[:32])

    def keep(self, copy: Copy) -> None:
        """Remember a copy as it is now."""
        self.copies[copy.url] = copy
        self._write(f"copies/{digest(copy.url)[:32]}.json", copy)

    def forget(self, url: str) -> None:
        """There is no such copy any more, nor will there be one again."""
        self.copies.pop(url, None)
        self._remove(f"copies/{digest(url)[:32]}.json")

    def answers_to(self, url: str) -> Answers:
        """What has been answered to a copy, as far as that is known."""
        return self.answers.get(url) or Answers(url)

    def keep_answers(self, answers: Answers) -> None:
        """Remember that."""
        self.answers[answers.url] = answers
        self._write(f"answers/{digest(answers.url)[:32]}.json", answers)

    def off(self, uid: str, trouble: Trouble | None) -> None:
        """Remember why a target is off; ``None``: it is not."""
        name = digest(uid)[:32]
        if trouble is None:
            if self.troubles.pop(name, None) is not None:
                self._remove(f"targets/{name}.json")
            return
        self.troubles[name] = trouble
        self._write(f"targets/{name}.json", trouble)

    def trouble(self, uid: str) -> Trouble | None:
        """Why a target is off; ``None`` where it is not."""
        return self.troubles.get(digest(uid)[:32])

    def cursor(self) -> Version | None:
        """The version whose posts have been looked at."""
        with suppress(OSError, UnicodeDecodeError):
            return Version((self._folder / "version").read_text(encoding="ascii").strip()) or None
        return None

    def move_cursor(self, version: Version) -> None:
        """What was to be done up to this version is written down."""
        self._put("version", version.encode())

    def uids(self) -> set[str] | None:
        """The targets whose wishes up to that version are written down; ``None``: not known."""
        with suppress(OSError, msgspec.DecodeError):
            return set(
                msgspec.json.decode((self._folder / "uids.json").read_bytes(), type=list[str])
            )
        return None

    def keep_uids(self, uids: Iterable[str]) -> None:
        """Remember them."""
        if (wanted := {*uids}) != self.uids():
            self._put("uids.json", msgspec.json.encode(sorted(wanted)))

    def _all(self, folder: str, kind: type[_Kind]) -> Iterable[_Kind]:
        return [each for _, each in self._named(folder, kind)]

    def _named(self, folder: str, kind: type[_Kind]) -> Iterator[tuple[str, _Kind]]:
        for file in sorted((self._folder / folder).glob("*.json")):
            try:
                yield file.stem, msgspec.json.decode(file.read_bytes(), type=kind)
            except (OSError, msgspec.DecodeError) as error:
                log.warning("%s cannot be read, and is passed over: %s", file, error)

    def _write(self, name: str, value: msgspec.Struct) -> None:
        self._put(name, msgspec.json.format(msgspec.json.encode(value), indent=1))

    def _put(self, name: str, data: bytes) -> None:
        write_durably(self._folder / name, data)

    def _remove(self, name: str) -> None:
        place = self._folder / name
        place.unlink(missing_ok=True)
        sync_folder(place.parent)
