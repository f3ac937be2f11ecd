"""Runs the owner's deploy command after a build."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec

from bridge.rebuild.build import BuildFailed, BuildJob, BuildOutcome, Shown, Superseded, ignore
from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.published import PublishedOutput
from bridge.runtime import process
from bridge.store import Version

_SHOWN = 2_000


class _Undeployed(msgspec.Struct, frozen=True):
    """What is not deployed yet: some files, or all."""

    files: frozenset[str] = frozenset()
    everything: bool = False

    def and_also(self, files: Iterable[str]) -> _Undeployed:
        return _Undeployed(self.files.union(files), self.everything)


class Deployed:
    """A :class:`~bridge.rebuild.build.BuildJob` that runs ``argv`` after another job.

    The program runs in the folder of pages; it reads the names of the files that were written or
    removed, one a line. Names that it did not process are kept in ``note``, also across restarts,
    and passed to it again; if they are not known, it gets the names of all files (``ours``).
    Nothing counts as live before it has succeeded. With ``published`` files are brought to the
    folder of pages before.
    """

    def __init__(
        self,
        job: BuildJob,
        argv: Sequence[str],
        *,
        output: Path,
        ours: Callable[[], set[str]],
        note: Path,
        environment: Mapping[str, str],
        seconds: float = 900.0,
        published: PublishedOutput | None = None,
    ) -> None:
        self._job = job
        self._published = published
        self._argv = argv
        self._output = output
        self._ours = ours
        self._note = note
        self._environment = environment
        self._seconds = seconds
        self._waiting = self._load()

    @property
    def next_due(self) -> datetime | None:
        """When the other job has something to do."""
        return self._job.next_due

    async def do(self, version: Version, shown: Shown, previewed: Shown = ignore) -> BuildOutcome:
        """Do the job, then deploy; raises what the job raises, and :class:`BuildFailed`."""
        del shown
        outcome = await self._build(version, previewed)
        published = self._published
        if published is not None and await process.in_thread(published.is_missing):
            await process.in_thread(self._keep, _Undeployed(self._waiting.files, everything=True))
        if self._waiting != _Undeployed():
            await self._deploy(version)
            await process.in_thread(self._keep, _Undeployed())
        if published is None:
            return outcome
        return replace(outcome, warnings=(*outcome.warnings, *published.warnings))

    async def _build(self, version: Version, previewed: Shown) -> BuildOutcome:
        """Do the job, and note what it has written, even if it is interrupted."""
        before, written = self._waiting, set[str]()
        await process.in_thread(self._keep, _Undeployed(before.files, everything=True))
        try:
            outcome = await self._job.do(version, written.update, previewed)
        except Superseded:
            await process.in_thread(self._keep, before.and_also(written))
            raise
        await process.in_thread(self._keep, before.and_also({*written, *outcome.files}))
        return outcome

    def preempt(self) -> None:
        """Preempt the other job; a deployment is not interrupted."""
        self._job.preempt()

    async def run_when_idle(self) -> str | None:
        """Let the other job use the time. If it corrected files, the next run gets all names."""
        told = await self._job.run_when_idle()
        if told is not None:
            waiting = _Undeployed(self._waiting.files, everything=True)
            await process.in_thread(self._keep, waiting)
        return told

    async def close(self) -> None:
        """End the other job; a running deployment ended with the task that waited for it."""
        await self._job.close()

    async def _deploy(self, version: Version) -> None:
        files = await process.in_thread(self._names)
        names = "".join(f"{name}\n" for name in files)
        facts = {"SITE_OUTPUT": str(self._output), "SITE_VERSION": version}
        try:
            ended = await process.run(
                self._argv,
                folder=self._output,
                env={**self._environment, **facts},
                seconds=self._seconds,
                text=names.encode("utf-8", "surrogateescape"),
            )
        except process.TookTooLong as error:
            raise BuildFailed(f"deploying: {error}", passing=True) from error
        except OSError as error:
            raise BuildFailed(f"{self._argv[0]} cannot be run: {error.strerror}") from error
        if ended.code != 0:
            tail = ended.text.strip()[-_SHOWN:] or "it printed nothing"
            reason = f"deploying: {self._argv[0]} ended with {ended.code}: {tail}"
            raise BuildFailed(reason, passing=True)

    def _names(self) -> list[str]:
        everything, files = self._waiting.everything, self._waiting.files
        if self._published is not None:
            every = self._published.every() if everything else set[str]()
            return self._published.bring(every | files)
        return sorted((self._ours() if everything else set[str]()) | files)

    def _load(self) -> _Undeployed:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_Undeployed)
        except FileNotFoundError:
            return _Undeployed()
        except (OSError, msgspec.DecodeError):
            return _Undeployed(everything=True)

    def _keep(self, waiting: _Undeployed) -> None:
        if waiting != self._waiting:
            self._waiting = waiting
            Tree(self._note.parent).write(self._note.name, msgspec.json.encode(waiting))
