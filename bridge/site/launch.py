"""Starts programs that run the site's code, which confine themselves before they import any of it.

Used for all of them: the process that answers questions, the resident build, and commands.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bridge.runtime.confinement import Grants, confine, refuse_system_calls

#: The folder from which this package is imported.
PROJECT = Path(__file__).parents[2]
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
#: Holds the PYTHONPATH for after the process is confined.
SEARCHED_LATER = "SITE_PYTHONPATH"
_HERE = Path()
#: Nothing is imported from the current folder, nor from the HOME that the site's code writes to.
_ISOLATED = ("-s", "-P")


def unconfined(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which one of our programs starts, before it confines itself.

    Until then Python imports ``sitecustomize``, this module and what it needs. None of these may
    come from a folder that the site's code, or anyone who may commit, can write to.
    :func:`confine_by` adds such folders afterwards.
    """
    ours = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    trusted = [*(str(Path(entry).absolute()) for entry in ours), str(PROJECT)]
    later = environment.get("PYTHONPATH", "")
    # Our own modules are compiled once: in a clone each start would take twice as long.
    kept = {name: value for name, value in environment.items() if name != NO_BYTECODE}
    return {
        **kept,
        **{name: os.environ[name] for name in (NO_BYTECODE,) if name in os.environ},
        "PYTHONPATH": os.pathsep.join(trusted),
        SEARCHED_LATER: later,
    }


def program_argv(module: str, grants: Grants | None, *arguments: str) -> tuple[str, ...]:
    """The command for one of our programs, which confines itself as its first argument says."""
    return (sys.executable, *_ISOLATED, "-m", module, encoded(grants), *arguments)


def encoded(grants: Grants | None) -> str:
    """The argument of a program that :func:`confine_by` understands."""
    return msgspec.json.encode(grants).decode()


class ForkOrder(msgspec.Struct, frozen=True):
    """What a process that has imported Pelican needs to know for a fork that runs ``module``."""

    module: str
    arguments: tuple[str, ...]
    folder: bytes
    environment: dict[bytes, bytes]


def confined_argv(
    argv: Sequence[str], grants: Grants | None, note: Path | None = None
) -> tuple[str, ...]:
    """The command that runs another one confined. Its environment is :func:`unconfined`."""
    if note is not None:
        note.write_bytes(msgspec.json.encode(grants))
        return (sys.executable, *_ISOLATED, "-m", __name__, f"@{note}", *argv)
    return program_argv(__name__, grants, *argv)


def confine_by(argument: str, run_in: Path = _HERE) -> Grants | None:
    """Confine this process according to its first argument; only then can it import the site's own
    modules. ``run_in`` is the folder that ``pelican`` is run in: a PYTHONPATH may name others from
    there.

    Returns what it is confined to; ``None`` where nothing is enforced.
    """
    text = Path(argument[1:]).read_text("utf-8") if argument.startswith("@") else argument
    grants: Grants | None = msgspec.json.decode(text, type=Grants | None)
    confined = grants if grants is not None and confine(grants) else None
    if confined is not None:
        refuse_system_calls()
    os.environ[NO_BYTECODE], sys.dont_write_bytecode = "1", True
    _search_for_modules(run_in)
    return confined


def _search_for_modules(run_in: Path) -> None:
    """Add the folders of the site's PYTHONPATH to ``sys.path``, as Python would have done."""
    later = os.environ.pop(SEARCHED_LATER, None)
    if later is None:
        return
    before = set(_folders(os.environ.get("PYTHONPATH", ""), _HERE))
    os.environ["PYTHONPATH"] = later
    wanted = dict.fromkeys(_folders(later, run_in))
    sys.path[:] = [*wanted, *(path for path in sys.path if path not in before | wanted.keys())]
    if (pelican := sys.modules.get("pelican")) is not None:
        # Pelican looks for its plugins' namespace in these folders, once.
        pelican.__path__ = pkgutil.extend_path(list(pelican.__path__), "pelican")


def _folders(search: str, run_in: Path) -> list[str]:
    """The folders that a PYTHONPATH names, as Python writes them."""
    named = (run_in / entry for entry in search.split(os.pathsep) if entry)
    return [os.path.abspath(folder) for folder in named]  # noqa: PTH100 - links stay


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
