"""Pending jobs and existing copies, stored durably in files."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec

from bridge.runtime import private
from bridge.runtime.private import sync, write_durably
from bridge.store import Version
from bridge.syndication.api import digest

log = logging.getLogger(__name__)

Action: TypeAlias = Literal["post", "edit", "delete"]
#: ``waiting`` jobs are retried automatically; ``failed`` and ``held`` ones wait for the owner.
State: TypeAlias = Literal["waiting", "failed", "held"]
#: Pauses before retries, in seconds; after the last one a job fails.
RETRIES = (20.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0)

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class Job(msgspec.Struct, omit_defaults=True):
    """One action at one target for the post in the file ``path``.

    ``text``, ``key``, ``created`` and ``media`` are the contents of the request, so that a retry
    sends the same. ``maybe``: an earlier attempt may have succeeded. ``copy`` is the copy's URL
    once it is known; ``old`` the copy to edit or delete, or one deleted before. ``looks`` counts
    the checks in which the page was not live.
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
        """The job's id: there is one for each post and target."""
        return digest(self.path, self.uid)[:32]


class Copy(msgspec.Struct, omit_defaults=True):
    """A copy that the bridge has made.

    ``paths`` are the files of its post: more than one where the owner has copied the file, none
    once they have removed the copy's URL from it. ``unseen``: the URL was not yet seen in a file.
    ``id`` is the network's id, ``text`` its text, ``alts`` the alt texts of its photos.
    ``deleted``: it was deleted.
    """

    url: str
    uid: str
    id: str = ""
    text: str = ""
    alts: tuple[str, ...] = ()
    made: float = 0.0
    edited: float = 0.0
    deleted: bool = False
    paths: tuple[str, ...] = ()
    unseen: bool = False


class Answers(msgspec.Struct, omit_defaults=True):
    """The imported responses to a copy.

    ``sources`` maps their URLs to hashes that change with their content; ``counts`` are those that
    are only counted. ``looked`` and ``full`` are the times of the last search and the last complete
    one; ``seen`` is a marker of what the network had at the last search. ``missing`` is the time
    since which the copy has not been there, ``post`` the URL of its post, ``uid`` its target.
    """

    url: str
    sources: dict[str, str] = {}
    counts: dict[str, int] = {}
    looked: float = 0.0
    full: float = 0.0
    seen: str = ""
    missing: float = 0.0
    post: str = ""
    uid: str = ""


class Trouble(msgspec.Struct):
    """Why and since when a target is paused. ``token`` is the hash of the refused token."""

    error: str
    since: float
    token: str = ""
    asked: float = 0.0


class Ledger:
    """The stored state: ``jobs/``, ``copies/``, ``answers/``, ``targets/``, and the last commit
    seen.

    Everything is on disk when a method returns. Raises ``OSError``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.RLock()
        for name in ("jobs", "copies", "answers", "targets"):
            private.make_folder(folder / name)
        self.jobs = {job.name: job for job in self._all("jobs", Job)}
        self.copies = {copy.url: copy for copy in self._all("copies", Copy)}
        self._paths_of = dict[str, tuple[str, ...]]()
        self._urls_at: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for copy in self.copies.values():
            self._index(copy)
        self.answers = {answers.url: answers for answers in self._all("answers", Answers)}
        self.troubles = dict[str, Trouble]()
        for name, trouble in self._named("targets", Trouble):
            self.troubles[name] = trouble

    def save(self, job: Job) -> None:
        """Store a job."""
        self.jobs[job.name] = job
        self._write(f"jobs/{job.name}.json", job)

    def drop(self, job: Job) -> None:
        """Delete a finished job."""
        self.jobs.pop(job.name, None)
        self._remove(f"jobs/{job.name}.json")

    def move(self, job: Job, path: str) -> None:
        """Change the path of a job, whose post's file was renamed."""
        former = job.name
        del self.jobs[former]
        job.path = path
        self.save(job)
        self._remove(f"jobs/{former}.json")

    def job(self, path: str, uid: str) -> Job | None:
        """The job of a post at a target, or ``None``."""
        return self.jobs.get(digest(path, uid)[:32])

    def save_copy(self, copy: Copy) -> None:
        """Store a copy."""
        self.put_copy(copy, copy.paths)
        self.store_copies([copy])

    def put_copy(self, copy: Copy, paths: tuple[str, ...]) -> None:
        """Take in a copy, or its new paths; it is not on disk before :meth:`store_copies`."""
        self._unindex(copy.url)
        copy.paths = paths
        self.copies[copy.url] = copy
        self._index(copy)

    def store_copies(self, copies: Iterable[Copy]) -> None:
        """Write copies to the disk, except those that have been forgotten since.

        May run in a thread.
        """
        for copy in copies:
            with self._writing:
                if self.copies.get(copy.url) is copy:
                    self._write(f"copies/{digest(copy.url)[:32]}.json", copy)

    def copies_at(self, path: str) -> list[Copy]:
        """The copies of the post in a file, deleted ones included."""
        return [self.copies[url] for url in self._urls_at.get(path, ())]

    def standing(self, path: str, uid: str) -> Copy | None:
        """A post's copy at a target, whatever its file says; ``None`` if there is none."""
        copies = self.copies_at(path)
        return next((each for each in copies if each.uid == uid and not each.deleted), None)

    def forget_copy(self, url: str) -> None:
        """Delete the record of a copy that was replaced."""
        self._unindex(url)
        self.copies.pop(url, None)
        with self._writing:
            self._remove(f"copies/{digest(url)[:32]}.json")

    def answers_to(self, url: str) -> Answers:
        """The imported responses to the copy at ``url``."""
        return self.answers.get(url) or Answers(url)

    def save_answers(self, answers: Answers) -> None:
        """Store the imported responses to a copy."""
        self.answers[answers.url] = answers
        self._write(f"answers/{digest(answers.url)[:32]}.json", answers)

    def set_trouble(self, uid: str, trouble: Trouble | None) -> None:
        """Pause a target for this reason; ``None`` resumes it."""
        name = digest(uid)[:32]
        if trouble is None:
            if self.troubles.pop(name, None) is not None:
                self._remove(f"targets/{name}.json")
            return
        self.troubles[name] = trouble
        self._write(f"targets/{name}.json", trouble)

    def trouble(self, uid: str) -> Trouble | None:
        """Why a target is paused; ``None`` if it is not."""
        return self.troubles.get(digest(uid)[:32])

    def cursor(self) -> Version | None:
        """The commit up to which jobs were planned."""
        with suppress(OSError, UnicodeDecodeError):
            return Version((self._folder / "version").read_text(encoding="ascii").strip()) or None
        return None

    def move_cursor(self, version: Version) -> None:
        """Record that jobs are planned up to this commit."""
        self._put("version", version.encode())

    def uids(self) -> set[str] | None:
        """The targets for which jobs are planned up to that commit; ``None`` where not known."""
        with suppress(OSError, msgspec.DecodeError):
            return set(
                msgspec.json.decode((self._folder / "uids.json").read_bytes(), type=list[str])
            )
        return None

    def save_uids(self, uids: Iterable[str]) -> None:
        """Store the uids of these targets."""
        if (wanted := {*uids}) != self.uids():
            self._put("uids.json", msgspec.json.encode(sorted(wanted)))

    def _all(self, folder: str, kind: type[_Kind]) -> Iterable[_Kind]:
        return [each for _, each in self._named(folder, kind)]

    def _named(self, folder: str, kind: type[_Kind]) -> Iterator[tuple[str, _Kind]]:
        for file in sorted((self._folder / folder).glob("*.json")):
            try:
                yield file.stem, msgspec.json.decode(file.read_bytes(), type=kind)
            except (OSError, msgspec.DecodeError) as error:
                log.warning("%s cannot be read and is ignored: %s", file, error)

    def _index(self, copy: Copy) -> None:
        self._paths_of[copy.url] = copy.paths
        for path in copy.paths:
            self._urls_at[path][copy.url] = None

    def _unindex(self, url: str) -> None:
        for path in self._paths_of.pop(url, ()):
            del self._urls_at[path][url]
            if not self._urls_at[path]:
                del self._urls_at[path]

    def _write(self, name: str, value: msgspec.Struct) -> None:
        # Of two threads, the later one writes the newer state.
        with self._writing:
            self._put(name, msgspec.json.format(msgspec.json.encode(value), indent=1))

    def _put(self, name: str, data: bytes) -> None:
        write_durably(self._folder / name, data)

    def _remove(self, name: str) -> None:
        place = self._folder / name
        place.unlink(missing_ok=True)
        sync(place.parent)
