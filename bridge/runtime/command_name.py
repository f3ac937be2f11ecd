"""The name of the command as the owner types it, and its default settings file."""

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
