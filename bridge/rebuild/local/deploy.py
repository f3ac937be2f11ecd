"""Runs the owner's deploy command after a build, in a folder that it can trust.

That program runs with the owner's permissions, in a folder of files that the site's code has made;
git, make, rsync, Python and the command lines of hosts read their configuration from files of
certain names there. So builds write to a folder of their own, and only the bridge to the one that
is deployed: it copies regular files, and none that a program would read as its configuration.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bridge.rebuild.build import BuildFailed, BuildJob, BuildOutcome, Shown, Superseded, ignore
from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.output import Output
from bridge.runtime import beneath, process
from bridge.store import Version

#: Configuration files of programs, at any depth.
_ANYWHERE = frozenset(
    {
        *(".git", "git~1", ".gitattributes", ".gitmodules", ".hg", ".hgsub", ".svn", ".bzr", ".jj"),
        *(".netlify", ".vercel", ".wrangler", ".firebase", "node_modules", ".rsync-filter"),
        *(".ssh", ".aws", ".venv", ".devcontainer", ".vscode", ".idea"),
    }
)
#: Configuration files of programs that run in the folder itself.
_AT_THE_TOP = frozenset(
    {
        *("makefile", "gnumakefile", "bsdmakefile", "justfile", ".justfile", "rakefile"),
        *("taskfile.yml", "taskfile.yaml", "gulpfile.js", "gruntfile.js", "procfile", "dockerfile"),
        *("netlify.toml", "wrangler.toml", "wrangler.json", "wrangler.jsonc", "vercel.json"),
        *("now.json", "firebase.json", ".firebaserc", "package.json", ".npmrc", ".yarnrc"),
        *(".yarnrc.yml", ".pnp.cjs", ".pnpmfile.cjs", ".env", ".envrc", ".tool-versions"),
        *("mise.toml", ".mise.toml", "pyproject.toml", "setup.cfg", "tox.ini", ".pypirc", ".netrc"),
        *(".s3cfg", ".boto", "lftp.conf", ".lftprc", ".hgrc", ".gitconfig", ".curlrc", ".wgetrc"),
    }
)
#: What Python imports in the folder in which it is started, and what Node.js reads as settings.
_MODULES = (".py", ".pyc", ".so", ".pth", ".config.js", ".config.mjs", ".config.cjs", ".config.ts")

#: How ``open`` says that there is nothing, a link, a file for a folder, or a socket.
_NO_FILE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO})


def is_configuration(path: str) -> bool:
    """Whether a program could read a file of this name as its configuration."""
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in path):
        # Names come one a line.
        return True
    # As Windows and macOS read them, too (git fsck).
    names = [name.lower().rstrip(". ") for name in path.split("/")]
    if not all(names) or not _ANYWHERE.isdisjoint(names) or names[0].startswith("-"):
        # What begins with a hyphen is an option where a shell writes the names.
        return True
    top = names[0] if len(names) == 1 else ""
    if top in _AT_THE_TOP or top.startswith(".env.") or top.endswith(_MODULES):
        return True
    return len(names) == 2 and names[1].partition(".")[0] in {"__init__", "__main__"}


class PublishedOutput:
    """``output`` is the folder that is deployed; ``pages`` the one that builds write to."""

    def __init__(self, pages: Path, output: Output) -> None:
        self.output = output
        self._pages = pages
        self._withheld: set[str] = set()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which files are not deployed."""
        return tuple(
            f"{name!r} is not deployed: a program that deploys could take a file of this name as an"
            " order. If you trust it, put it into the output folder yourself"
            for name in sorted(self._withheld)
        )

    def is_missing(self) -> bool:
        """Whether copied files are missing, or none has been copied yet."""
        return self.output.missing()

    def every(self) -> set[str]:
        """The name of every file that exists there or was built."""
        return self.output.remembered() | set(Tree(self._pages).walk())

    def bring(self, names: Iterable[str]) -> list[str]:
        """Copy these files, and remove those that are no longer built.

        Returns the names to pass to the deploy command. Raises ``OSError``.
        """
        published = []
        gone = []
        for name in names:
            data = self._built(name)
            if is_configuration(name):
                # Our own file from an earlier build is removed; the owner's stays.
                self._withheld.discard(name)
                self._withheld |= {name} if data is not None else set()
                gone += [name] if name in self.output.ours else []
                continue
            published.append(name)
            if data is None:
                gone.append(name)
                continue
            self.output.expect([name])
            self.output.put(name, data)
        self.output.remove(gone)
        self.output.settle()
        return sorted(published)

    def _built(self, name: str) -> bytes | None:
        """A page's bytes; ``None`` where there is no regular file. Any other trouble with the disk
        is raised: it must not take a page off the site.
        """
        try:
            return beneath.read(self._pages, name)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise


#: How much is shown of what the program printed last: a longer reason is not translated.
_SHOWN = 1_500


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
        notice = await self._job.run_when_idle()
        if notice is not None:
            waiting = _Undeployed(self._waiting.files, everything=True)
            await process.in_thread(self._keep, waiting)
        return notice

    async def close(self) -> None:
        """End the other job; a running deployment ended with the task that waited for it."""
        await self._job.close()

    async def _deploy(self, version: Version) -> None:
        files, program = await process.in_thread(self._names), self._argv[0]
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
            raise BuildFailed(
                f"The site could not be deployed: {program} was still running after"
                f" {self._seconds:.0f} seconds.",
                passing=True,
            ) from error
        except OSError as error:
            raise BuildFailed(
                f"The site could not be deployed: {program} cannot be started: {error.strerror}"
            ) from error
        if ended.code != 0 and (said := ended.text.strip()[-_SHOWN:]):
            raise BuildFailed(
                f"The site could not be deployed: {program} ended with status {ended.code}: {said}",
                passing=True,
            )
        if ended.code != 0:
            raise BuildFailed(
                f"The site could not be deployed: {program} ended with status {ended.code} and"
                " printed nothing.",
                passing=True,
            )

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
