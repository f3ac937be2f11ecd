"""How the owner calls this program, the file that it reads by itself, and where its docs are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_NAME = "micropub-bridge"
#: What is read where no other file is named.
DEFAULT_FILE = Path("bridge.toml")


def command() -> str:
    """``micropub-bridge`` where the shell finds this installation's, else the path to it."""
    here = Path(sys.executable).with_name(_NAME)
    found = shutil.which(_NAME)
    if not here.is_file() or (found and Path(found).resolve() == here.resolve()):
        return _NAME
    # As it was typed, if it was: "bridge-env/bin/micropub-bridge" is easier to read.
    typed = Path(sys.argv[0])
    if typed.name == _NAME and typed.is_file() and typed.samefile(here):
        return str(typed)
    return str(here)


#: Beside the package in a clone; inside of it where it was installed.
_FOLDERS = (Path(__file__).parents[1] / "docs", Path(__file__).parents[2] / "docs")


def doc(name: str) -> str:
    """The file of one page, to be opened as it stands."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), Path("docs"))
    return str(folder / name)
