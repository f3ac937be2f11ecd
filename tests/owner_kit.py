"""The owner's clone, and the bridge's bare clone of the same repo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from git_kit import bring_objects, git, new_repo

from bridge.store import Version


class Owner:
    """The owner's clone, and the bridge's bare clone of the same repo."""

    def __init__(self, folder: Path, kind: str = "sha1") -> None:
        self.clone, self.bare = folder / "clone", folder / "bare.git"
        new_repo(self.clone, kind=kind)
        new_repo(self.bare, bare=True, kind=kind)
        self.objects = self.bare / "objects"

    def commit(self, change: Callable[[Path], object] = lambda _: None) -> Version:
        change(self.clone)
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "-q", "--allow-empty", "-m", "change")
        return self._bring((self.clone / ".git/refs/heads/main").read_text().strip())

    def push(self, version: str) -> Version:
        """Have this version on the bare clone's branch, as if by force."""
        return self._bring(git(self.clone, "rev-parse", version))

    def _bring(self, commit: str) -> Version:
        bring_objects(self.clone, self.bare)
        (self.bare / "refs/heads/main").write_text(f"{commit}\n")
        return Version(commit)

    def write(self, files: dict[str, str | None]) -> Version:
        def change(folder: Path) -> None:
            for name, text in files.items():
                path = folder / name
                if text is None:
                    path.unlink()
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

        return self.commit(change)

    def link(self, name: str, target: str) -> Version:
        return self.commit(lambda folder: (folder / name).symlink_to(target))

    def module(self, path: str, url: Path) -> Version:
        allowed = ("-c", "protocol.file.allow=always")
        return self.commit(
            lambda folder: git(folder, *allowed, "submodule", "add", "-q", str(url), path)
        )
