"""Starts processes that run the site's code: confined, with an environment of their own.

Used for all of them: the process that answers questions, the resident build, and commands.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import pkgutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bridge.runtime.confinement import (
    Grants,
    confine,
    landlock_version,
    refuse_system_calls,
    system_grants,
)

log = logging.getLogger(__name__)

#: How many files that the site was refused are named.
MOST_DENIED = 50
#: Where libraries look on any machine; they work without.
_USUAL = ("/proc/", "/sys/", "/etc/", "/run/")
_PROJECT = Path(__file__).parents[2]
#: What a site may see of the bridge's environment. None of it can be a secret.
_KEPT = ("PATH", "LANG", "LANGUAGE", "TZ", "PYTHONPATH", "SOURCE_DATE_EPOCH", "TERM", "SHELL")
#: Holds the PYTHONPATH for after the process is confined.
_SEARCHED_LATER = "SITE_PYTHONPATH"
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
#: Nothing is imported from the current folder, nor from the HOME that the site's code writes to.
_ISOLATED = ("-s", "-P")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What the site's code may see of this machine.

    ``state`` is the bridge's state folder, in which the site gets its own home and temporary
    folder. ``folders`` are further ones that it may read (``[site] folders``), ``objects`` the
    repo's history. ``protected`` are files and folders with secrets; ``confined`` is ``False``
    where the owner wants no confinement. ``denied`` collects the files that builds were not allowed
    to read.
    """

    state: Path
    folders: tuple[Path, ...] = ()
    objects: Path | None = None
    protected: tuple[Path, ...] = ()
    confined: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)
    denied: list[str] = field(default_factory=list)

    @property
    def git_dirs(self) -> Path:
        """The git folders of checkouts, which the site's code may read but not write."""
        return self.state / "git"

    def may_read(self, path: Path) -> bool:
        """Whether a file is in one of ``folders``."""
        return any(path.is_relative_to(folder.resolve()) for folder in self.folders)

    def note_denied(self, paths: Iterable[str]) -> None:
        """Record files that could not be opened, if they exist and a setting could allow them."""
        if not self.confined:
            return
        for path in paths:
            known = path in self.denied or len(self.denied) >= MOST_DENIED
            if known or path.startswith(_USUAL) or not os.path.lexists(path):
                continue
            self.denied.append(path)
            log.warning("Builds may not read %s; [site] folders is where to allow it", path)

    def environment(self, **more: str) -> dict[str, str]:
        """A stripped environment. This project's plugin can be imported, installed or not."""
        ours = {name: os.environ[name] for name in _KEPT if name in os.environ}
        ours |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
        path = [*filter(None, [ours.get("PYTHONPATH")]), str(_PROJECT)]
        home, temporary = self._folder("home"), self._folder("tmp")
        return {
            **ours,
            **_user(),
            **({} if landlock_version() else _without_file_insertion(home)),
            "PYTHONPATH": os.pathsep.join(path),
            "HOME": str(home),
            "TMPDIR": str(temporary),
            # Compiled settings are recognised by second and size; two commits can share both.
            _NO_BYTECODE: "1",
            # git would look for settings that it may not read.
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "COLUMNS": "1000",
            "NO_COLOR": "1",
            **self.extra,
            **more,
        }

    def grants(self, *, read: Sequence[Path] = (), write: Sequence[Path] = ()) -> Grants | None:
        """What a process may use: the system's folders, Python's, and these; ``None`` for all."""
        if not self.confined:
            return None
        system = system_grants(protected=self.protected)
        searched = filter(None, self.extra.get("PYTHONPATH", "").split(os.pathsep))
        folders = [
            *self.folders,
            *map(Path, searched),
            *([self.objects] if self.objects else []),
            self.state / "submodules",
            self.git_dirs,
            *read,
        ]
        own = [self._folder(name) for name in ("home", "tmp", "cache")]
        return Grants(
            (*system.read, *(str(path.resolve()) for path in folders)),
            (*system.write, *(str(path.resolve()) for path in (*own, *write))),
            system.list,
        )

    def _folder(self, name: str) -> Path:
        folder = self.state / "site" / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder.resolve()


def _user() -> dict[str, str]:
    """What ``getpass`` and programs look up, who may not read the system's list of users."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return {}  # a container's user may have no name
    return {"USER": name, "LOGNAME": name}


def _without_file_insertion(home: Path) -> dict[str, str]:
    """Where nothing confines them, posts in reStructuredText include no files: anyone who may
    commit a post could have any file that the bridge can read published.
    """
    settings = home / "docutils.conf"
    settings.write_text("[parsers]\nfile_insertion_enabled: no\n", "ascii")
    # The site's own settings first; of two the later one counts.
    return {"DOCUTILSCONFIG": os.pathsep.join(["./docutils.conf", str(settings)])}


def unconfined(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which one of our programs starts, before it confines itself.

    Until then Python imports ``sitecustomize``, this module and what it needs. None of these may
    come from a folder that the site's code, or anyone who may commit, can write to.
    :func:`confine_by` adds such folders afterwards.
    """
    ours = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    trusted = [*(str(Path(entry).absolute()) for entry in ours), str(_PROJECT)]
    later = environment.get("PYTHONPATH", "")
    # Our own modules are compiled once: in a clone each start would take twice as long.
    kept = {name: value for name, value in environment.items() if name != _NO_BYTECODE}
    return {
        **kept,
        **{name: os.environ[name] for name in (_NO_BYTECODE,) if name in os.environ},
        "PYTHONPATH": os.pathsep.join(trusted),
        _SEARCHED_LATER: later,
    }


def program_argv(module: str, grants: Grants | None, *arguments: str) -> tuple[str, ...]:
    """The command for one of our programs, which confines itself as its first argument says."""
    given = msgspec.json.encode(grants).decode()
    return (sys.executable, *_ISOLATED, "-m", module, given, *arguments)


async def start(
    module: str,
    grants: Grants | None,
    *,
    folder: Path,
    environment: Mapping[str, str],
    limit: int = 1 << 16,
) -> asyncio.subprocess.Process:
    """Start one of our programs in a folder. A line that it writes may have ``limit`` bytes."""
    return await asyncio.create_subprocess_exec(
        *program_argv(module, grants),
        cwd=folder,
        env=unconfined(environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=limit,
    )


def confined_argv(
    argv: Sequence[str], grants: Grants | None, note: Path | None = None
) -> tuple[str, ...]:
    """The command that runs another one confined. Its environment is :func:`unconfined`."""
    if note is not None:
        note.write_bytes(msgspec.json.encode(grants))
        return (sys.executable, *_ISOLATED, "-m", __name__, f"@{note}", *argv)
    return program_argv(__name__, grants, *argv)


def confine_by(argument: str) -> Grants | None:
    """Confine this process as the argument that it was started with says; only then can it import
    the site's own modules.

    Returns what it is confined to; ``None`` where nothing is enforced.
    """
    text = Path(argument[1:]).read_text("utf-8") if argument.startswith("@") else argument
    grants: Grants | None = msgspec.json.decode(text, type=Grants | None)
    confined = grants if grants is not None and confine(grants) else None
    if confined is not None:
        refuse_system_calls()
    os.environ[_NO_BYTECODE], sys.dont_write_bytecode = "1", True
    _search_for_modules()
    return confined


def _search_for_modules() -> None:
    """Put the folders of the site's PYTHONPATH where Python would have put them."""
    later = os.environ.pop(_SEARCHED_LATER, None)
    if later is None:
        return
    before = set(_folders(os.environ.get("PYTHONPATH", "")))
    os.environ["PYTHONPATH"] = later
    wanted = dict.fromkeys(_folders(later))
    sys.path[:] = [*wanted, *(path for path in sys.path if path not in before | wanted.keys())]
    if (pelican := sys.modules.get("pelican")) is not None:
        # Pelican looks for its plugins' namespace in these folders, once.
        pelican.__path__ = pkgutil.extend_path(list(pelican.__path__), "pelican")


def _folders(search: str) -> list[str]:
    """The folders that a PYTHONPATH names, as Python writes them."""
    return [os.path.abspath(entry) for entry in search.split(os.pathsep) if entry]  # noqa: PTH100 - links stay


def main(arguments: Sequence[str]) -> None:
    """Confine this process, then replace it by the program that the arguments name."""
    confine_by(arguments[0])
    program = arguments[1]
    try:
        os.execvp(program, list(arguments[1:]))  # noqa: S606 - no shell is the point
    except OSError as error:
        raise SystemExit(f"{program} cannot be run: {error.strerror}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
