"""How messages name the command, its settings file, an installation beside it, and the docs."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

_NAME = "micropub-bridge"
#: The settings file where none is named.
DEFAULT_FILE = Path("bridge.toml")


def command() -> str:
    """``micropub-bridge`` if the shell finds this installation's, else the path to it."""
    here = Path(sys.executable).with_name(_NAME)
    found = shutil.which(_NAME)
    if not here.is_file() or (found and Path(found).resolve() == here.resolve()):
        return _NAME
    # As it was typed, if possible: "bridge-env/bin/micropub-bridge" is easier to read.
    typed = Path(sys.argv[0])
    if typed.name == _NAME and typed.is_file() and typed.samefile(here):
        return str(typed)
    return str(here)


def with_config(line: str, config: Path) -> str:
    """A command, with the option that names the settings file if it is not the default one."""
    return line if config == DEFAULT_FILE else f"{line} -c {shlex.quote(str(config))}"


def install(packages: str) -> str:
    """The command that installs packages where the bridge is: uv and pipx can leave out pip."""
    if Path(sys.prefix, "pipx_metadata.json").is_file():
        return f"pipx inject {shlex.quote(Path(sys.prefix).name)} {packages}"
    python = shlex.quote(sys.executable)
    if find_spec("pip") is None:
        return f"uv pip install --python {python} {packages}"
    return f"{python} -m pip install {packages}"


#: The folder of the docs: beside the package in a clone, inside it in an installation.
_FOLDERS = (Path(__file__).parents[1] / "docs", Path(__file__).parents[2] / "docs")


def doc(name: str) -> str:
    """The path of a docs page."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), Path("docs"))
    return str(folder / name)
