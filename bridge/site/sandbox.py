"""What the site's code may see of this machine: its environment, files and folders."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from bridge.runtime.confinement import Grants, landlock_version, system_grants
from bridge.runtime.process import program_path
from bridge.settings import Settings
from bridge.site.launch import NO_BYTECODE, PROJECT

log = logging.getLogger(__name__)

#: Number of refused files that are reported.
MOST_DENIED = 50
#: Folders in which libraries look for settings on any machine; they work without.
SYSTEM_FOLDERS = ("/proc/", "/sys/", "/etc/", "/run/")
#: The folder of the state folder that has the objects of submodules.
SUBMODULES = "submodules"
#: Variables of the bridge's environment that a site gets. None of them can be a secret.
_KEPT = ("LANG", "LANGUAGE", "TZ", "PYTHONPATH", "SOURCE_DATE_EPOCH", "TERM", "SHELL")


class Sandbox(Struct, frozen=True):
    """What the site's code may see of this machine.

    ``state`` is the bridge's state folder, in which the site gets its own home and temporary
    folder. ``folders`` are further ones that it may read (``[site] folders``), ``objects`` the
    repo's history, ``submodules`` that of its submodules, if it is not below ``state``.
    ``protected`` are files and folders with secrets; ``confined`` is ``False``
    where the owner has disabled confinement. ``denied`` collects the files that builds were not
    allowed to read.
    """

    state: Path
    folders: tuple[Path, ...] = ()
    objects: Path | None = None
    submodules: Path | None = None
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

    def is_beside_secrets(self, path: str) -> bool:
        """Whether nobody should allow a file: its folder, in ``folders``, would have the site's
        code read the bridge's own files, or the user's home.
        """
        place = Path(path).resolve()
        folder = place if place.is_dir() else place.parent
        secrets = (*self.protected, self.state, Path.home())
        return folder.is_relative_to(self.state.resolve()) or any(
            each.resolve().is_relative_to(folder) for each in secrets
        )

    def tell_denied(self, who: str, path: str) -> None:
        """Log that ``who`` was not allowed to read a file."""
        if self.is_beside_secrets(path):
            log.warning("%s may not read %s, and nothing should allow it", who, path)
        else:
            log.warning("%s may not read %s; [site] folders is where to allow it", who, path)

    def note_denied(self, paths: Iterable[str]) -> None:
        """Record files that could not be opened, if they exist and a setting could allow them."""
        if not self.confined:
            return
        for path in paths:
            known = path in self.denied or len(self.denied) >= MOST_DENIED
            if known or path.startswith(SYSTEM_FOLDERS) or not os.path.lexists(path):
                continue
            self.denied.append(path)
            self.tell_denied("Builds", path)

    def environment(self, **more: str) -> dict[str, str]:
        """A stripped environment. This project's plugin can be imported, installed or not."""
        ours = {name: os.environ[name] for name in _KEPT if name in os.environ}
        ours |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
        path = [*filter(None, [ours.get("PYTHONPATH")]), str(PROJECT)]
        home, temporary = self._folder("home"), self._folder("tmp")
        return {
            **ours,
            **_user(),
            **({} if landlock_version() else _without_file_insertion(home)),
            "PATH": program_path(),
            "PYTHONPATH": os.pathsep.join(path),
            "HOME": str(home),
            "TMPDIR": str(temporary),
            # Compiled settings are recognised by second and size; two commits can share both.
            NO_BYTECODE: "1",
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
        # Others are in the checkout.
        searched = filter(os.path.isabs, self.extra.get("PYTHONPATH", "").split(os.pathsep))
        folders = [
            *self.folders,
            *map(Path, searched),
            *([self.objects] if self.objects else []),
            self.submodules or self.state / SUBMODULES,
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
    """The user's name for ``getpass`` and programs, which may not read the system's user list."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return {}  # a container's user may have no name
    return {"USER": name, "LOGNAME": name}


def _without_file_insertion(home: Path) -> dict[str, str]:
    """Disable file inclusion in reStructuredText where there is no confinement: anyone who may
    commit a post could have any file that the bridge can read published.
    """
    settings = home / "docutils.conf"
    settings.write_text("[parsers]\nfile_insertion_enabled: no\n", "ascii")
    # The site's own settings first; of two the later one counts.
    return {"DOCUTILSCONFIG": os.pathsep.join(["./docutils.conf", str(settings)])}


def make_sandbox(settings: Settings, state: Path, *, objects: Path | None = None) -> Sandbox:
    """What the site's code may see. ``objects`` are those of the repo, for ``git log``."""
    return Sandbox(
        state=state,
        folders=settings.site.folders,
        objects=objects,
        extra=settings.site.environment,
        protected=(settings.site.repo, settings.indieauth.database, state, Path.cwd()),
    )
