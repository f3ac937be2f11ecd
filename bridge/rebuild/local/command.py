"""Builds with a command: Pelican's own, or the owner's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bridge.rebuild.build import BuildFailed, BuildOutcome, BuildTookTooLong, Task
from bridge.rebuild.local import plain_pelican
from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.output import Output, TooMuchOutput
from bridge.rebuild.local.pelican_log import LoggedError, LogSummary, SourcePaths, errors
from bridge.runtime import process
from bridge.settings import prefix_of
from bridge.site.launch import confined_argv, unconfined
from bridge.site.sandbox import Sandbox

_log = logging.getLogger(__name__)

#: In the owner's argv, stands for the folder that pages are to be written to.
OUTPUT = "{output}"
PELICAN = "pelican"
_SHOWN = 1_500
#: How Pelican reports two pages with one output file: by a path in the staging folder.
_TAKEN = re.compile(r'Failed to overwrite "(.+)" as Pelican has already written to it')
#: How Python and other programs report a file that they are not allowed to open.
_DENIED = re.compile(r"Permission denied: '(/[^'\n]+)'|(/[^\s:'\"]+): Permission denied")
_LOOK_EVERY = 1.0
_NO_PLUGINS = re.compile(
    rf"^{plain_pelican.NO_PLUGINS} Permission denied: '(/[^'\n]+)'", re.MULTILINE
)
_UNLISTED = re.compile(rf"^{plain_pelican.UNLISTED} (\[.*\])$", re.MULTILINE)
#: Pelican's last line where it has read no article.
_NO_ARTICLE = re.compile(r"Processed 0 articles, 0 drafts, 0 hidden articles,")
#: Suffixes of posts; one of HTML is not among them, since such a file may be anything.
_TEXTS = (".md", ".markdown", ".mkd", ".mdown", ".rst")


def pelican_argv(content: str, settings: str, run_in: str = "") -> tuple[str, ...]:
    """The command that builds a site as ``pelican`` does, run in this folder of the checkout."""
    program = Path(plain_pelican.__file__).read_text("utf-8")
    content, settings = (
        os.path.relpath(path or ".", run_in or ".") for path in (content, settings)
    )
    return (sys.executable, "-c", program, content, "-s", settings, "-o", OUTPUT)


class CommandBuilder(Struct, frozen=True):
    """Runs ``argv`` in the checkout, or in its folder ``run_in``; its pages go to ``staging``, and
    from there to ``output``.

    A failed run changes nothing that visitors see. An ``argv`` without ``{output}`` writes its
    pages where it likes. ``content`` is the folder of posts in the checkout. The program may read
    what ``sandbox`` grants, and write to the checkout, to ``staging`` and to the folder of the
    output's note; only the bridge writes to the output itself. ``program`` is what messages call
    it, if that is not its first word.
    """

    argv: Sequence[str]
    output: Output
    staging: Path
    content: str
    environment: Mapping[str, str]
    seconds: float = 900.0
    sandbox: Sandbox | None = None
    run_in: str = ""
    program: str = ""

    async def build(self, task: Task) -> BuildOutcome:
        """Build the whole site."""
        summary = await self.make(task, self.staging)
        if not self._stages:
            return BuildOutcome((), summary.left_out, summary.warnings)
        changed = await process.in_thread(self.output.take_over, self.staging)
        await process.in_thread(_clear, self.staging)
        return BuildOutcome(changed, summary.left_out, summary.warnings)

    async def make(self, task: Task, folder: Path) -> LogSummary:
        """Build the whole site into a separate folder; return the errors that were logged.

        The build has succeeded if the program exits with status 0, whatever it logs. Raises
        :class:`BuildFailed`.
        """
        await process.in_thread(_clear, folder)
        await process.in_thread(_with_folder, task.checkout / self.content)
        ended = await self._run(task, folder)
        if self.sandbox is not None:
            denied = (each for found in _DENIED.findall(ended.text) for each in found if each)
            self.sandbox.note_denied(denied)
        paths = SourcePaths(task.checkout, self.content)
        logged = list(errors(ended.text, paths))
        if ended.code != 0:
            raise self._failure(ended, logged, folder)
        summary = LogSummary.of(logged)
        summary.check_plugins(lacks=task.lacks, unreadable=_NO_PLUGINS.findall(ended.text))
        if task.excused is not None:
            await process.in_thread(self._check_posts, task, summary, ended.text)
        if self._stages and await process.in_thread(_is_empty, folder):
            if self.program == PELICAN:
                raise BuildFailed(f"{self._program} ended well, but wrote no page.")
            raise BuildFailed(f"{self._program} ended well, but wrote no page to {OUTPUT}.")
        return summary.with_unlisted(map(paths.in_repo, _unlisted(ended.text, task.checkout)))

    def stays_warm(self, changed: Collection[str]) -> bool:
        """``False``: each run starts from a clean checkout."""
        del changed
        return False

    def needs_warm_up(self) -> bool:
        """``False``: every run takes the same time."""
        return False

    def preempt(self) -> None:
        """Nothing: a command cannot be interrupted; the newer version is built after it."""

    async def run_when_idle(self, task: Task) -> str | None:
        """Nothing: every build is a clean one."""
        del task
        return None

    async def abandon(self) -> None:
        """A failed run has changed nothing, unless its pages could not all be copied."""
        await process.in_thread(self.output.restore)

    async def close(self) -> None:
        """Nothing: the command ended with the task that waited for it."""

    @property
    def _program(self) -> str:
        return self.program or self.argv[0]

    @property
    def _stages(self) -> bool:
        """Whether the pages are written to a folder of ours."""
        return any(OUTPUT in word for word in self.argv)

    async def _run(self, task: Task, folder: Path) -> process.Ended:
        argv = [word.replace(OUTPUT, str(folder)) for word in self.argv]
        if self.sandbox is not None:
            places = [task.checkout, folder, self.output.note.parent]
            await process.in_thread(_with_folder, self.output.note.parent)
            argv = [*confined_argv(argv, self.sandbox.grants(write=places))]
        environment = self._variables(task, folder)
        if self.sandbox is not None:
            environment = unconfined(environment)
        running = asyncio.create_task(
            process.run(
                argv,
                folder=task.checkout / self.run_in,
                env=environment,
                seconds=self.seconds,
            )
        )
        try:
            await self._watch(running, folder)
            return await running
        except process.TookTooLong as error:
            raise BuildTookTooLong(
                f"{self._program} was still running after {self.seconds:.0f} seconds."
            ) from error
        except OSError as error:
            raise BuildFailed(f"{self._program} cannot be started: {error.strerror}") from error
        finally:
            running.cancel()
            await asyncio.wait([running])

    def _variables(self, task: Task, folder: Path) -> dict[str, str]:
        """The environment of a build whose output is ``folder``."""
        return {
            **self._environment(),
            # As a shell sets it.
            "PWD": str(task.checkout / self.run_in),
            "SITE_CHECKOUT": str(task.checkout),
            "SITE_VERSION": task.version,
            "SITE_OUTPUT": str(folder),
            plain_pelican.LEFT_OUT: json.dumps(task.left_out_below(self.content)),
            # Pelican wraps its log at the width of the terminal, even within file names.
            "COLUMNS": "1000",
            "NO_COLOR": "1",
            # Pelican collects files in a set, whose order would differ from run to run.
            "PYTHONHASHSEED": "0",
            # Python recognises compiled settings by time and size; two commits can share both.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    async def _watch(self, running: asyncio.Task[process.Ended], folder: Path) -> None:
        """Wait for the program's end; raises :class:`TooMuchOutput` where it writes too much."""
        before = await process.in_thread(self.output.size)
        most = self.output.most
        pause = _LOOK_EVERY
        has_ended = False
        while not has_ended:
            await asyncio.wait([running], timeout=pause)
            # Measured once more at its end, so that a quick program is measured at all.
            has_ended = running.done()
            begun = time.monotonic()
            size = await process.in_thread(_size, folder)
            if before is not None and most is not None and size > before + most:
                raise TooMuchOutput(most)
            # Measuring a large site takes time as well.
            pause = max(_LOOK_EVERY, 20 * (time.monotonic() - begun))

    def _check_posts(self, task: Task, summary: LogSummary, log: str) -> None:
        """Raise :class:`BuildFailed` if posts that could be read before no longer can."""
        if summary.left_out:
            texts = _texts(task.checkout, self.content) - task.left_out
            if not self.content and _NO_ARTICLE.search(log):
                # At the repo's root there are also texts that are not posts.
                texts &= {path for path, _ in summary.left_out}
            summary.check_some_are_read(texts, task.excused or ())
        if _NO_ARTICLE.search(log):
            summary.check_not_emptied(task.checkout / self.content)

    def _environment(self) -> Mapping[str, str]:
        """With a sandbox its own environment, else the bridge's with what was given."""
        return self.environment if self.sandbox else process.environment(self.environment)

    def _failure(
        self, ended: process.Ended, logged: list[LoggedError], folder: Path
    ) -> BuildFailed:
        """The reason of a failure: the last logged error, else the end of the output."""
        if logged:
            last = logged[-1]
            if taken := _TAKEN.search(last.reason):
                name = taken[1].removeprefix(f"{folder}/")
                return BuildFailed(f"two pages are to be written to {name}", file=last.file)
            return BuildFailed(last.reason, file=last.file)
        if said := ended.text.strip()[-_SHOWN:]:
            return BuildFailed(f"{self._program} ended with status {ended.code}: {said}")
        return BuildFailed(f"{self._program} ended with status {ended.code} and printed nothing.")


def _unlisted(log: str, checkout: Path) -> list[str]:
    """The posts that have no page, as paths in the checkout. The site's code may print anything."""
    found: list[str] = []
    for line in _UNLISTED.findall(log):
        with contextlib.suppress(msgspec.DecodeError):
            found += msgspec.json.decode(line, type=list[str])
    return [path.removeprefix(f"{checkout}/") for path in found]


def _texts(checkout: Path, content: str) -> set[str]:
    """The files in the content folder whose names are those of posts."""
    names = Tree(checkout / content).walk()
    return {prefix_of(content) + name for name in names if name.endswith(_TEXTS)}


def _with_folder(content: Path) -> None:
    """Create the content folder if it is missing: git keeps no empty ones, and Pelican needs it."""
    content.mkdir(parents=True, exist_ok=True)


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            # It may be gone again.
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - hot
    return total


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())
