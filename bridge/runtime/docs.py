"""Where the documentation is that messages refer to."""

from __future__ import annotations

from pathlib import Path

#: Beside the package in a clone; inside of it where it was installed.
_FOLDERS = (Path(__file__).parents[1] / "docs", Path(__file__).parents[2] / "docs")


def doc(name: str) -> str:
    """The file of one page, to be opened as it stands."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), Path("docs"))
    return str(folder / name)
