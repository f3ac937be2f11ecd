"""Brings what was built to the folder that a program of the owner's deploys.

That program runs with the owner's permissions, in a folder of files that the site's code has made;
git, make, rsync, Python and the command lines of hosts take orders from files of certain names
there. So builds write to a folder of their own, and the bridge alone to the one that is deployed:
it takes regular files over, and none that would be an order.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from bridge.rebuild.local.files import Tree
from bridge.rebuild.local.output import Output
from bridge.runtime import beneath

#: Taken as an order at any depth.
_ANYWHERE = frozenset(
    {
        *(".git", "git~1", ".gitattributes", ".gitmodules", ".hg", ".hgsub", ".svn", ".bzr", ".jj"),
        *(".netlify", ".vercel", ".wrangler", ".firebase", "node_modules", ".rsync-filter"),
        *(".ssh", ".aws", ".venv", ".devcontainer", ".vscode", ".idea"),
    }
)
#: Taken as an order by programs that run in the folder itself.
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


def is_order(path: str) -> bool:
    """Whether programs could take a file of this name in a folder as an order."""
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
        """Whether files that were taken over are not there any more, or none were yet."""
        return self.output.missing()

    def every(self) -> set[str]:
        """The name of every file that is there or was built."""
        return self.output.remembered() | set(Tree(self._pages).walk())

    def bring(self, names: Iterable[str]) -> list[str]:
        """Take these files over, and remove those that are no longer built.

        Returns the names of those that may be handed on. Raises ``OSError``.
        """
        told = []
        gone = []
        for name in names:
            data = self._built(name)
            if is_order(name):
                # One of ours from before is removed; the owner's own stays.
                self._withheld.discard(name)
                self._withheld |= {name} if data is not None else set()
                gone += [name] if name in self.output.ours else []
                continue
            told.append(name)
            if data is None:
                gone.append(name)
                continue
            self.output.expect([name])
            self.output.put(name, data)
        self.output.remove(gone)
        self.output.settle()
        return sorted(told)

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
