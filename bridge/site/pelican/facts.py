"""What the bridge has to know about a site's settings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any
from urllib.parse import urljoin

from bridge.settings import SettingsError

#: The packages whose code determines what the index stores of a file.
_DECIDING = ("content", "micropub", "site")
#: The memory address in an object's repr, which is not part of the settings.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def whole_siteurl(siteurl: str, me: str) -> str:
    """The site's address with its scheme and host: SITEURL may be ``//example.com`` or ``/blog``.

    ``me`` has what it lacks, and stands in for one that is empty.
    """
    if "://" in siteurl or not me:
        return siteurl or me
    return urljoin(me, siteurl) if siteurl.startswith("/") else me


def folder_inside(root: Path, folder: Path) -> str:
    """The content folder relative to the repo's root, ``""`` if they are the same.

    Raises :class:`SettingsError` if it is outside of the repo.
    """
    try:
        relative = folder.resolve().relative_to(root).as_posix()
    except ValueError as error:
        raise SettingsError(
            "Pelican's settings",
            "PATH",
            f"the content folder {folder} is outside the repo {root}",
            "Posts can only be committed inside the repo.",
        ) from error
    return "" if relative == "." else relative


def fingerprint(root: Path, *known: object) -> str:
    """A hash of everything that determines how posts are read; independent of ``root``."""
    text = settings_text(known).replace(str(root), "")
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def settings_text(value: object, above: tuple[int, ...] = ()) -> str:
    """A text for settings of any type, the same for equal ones in each process. ``above`` are the
    ids of the containers that ``value`` is in.
    """
    if id(value) in above:
        return "..."
    inside = (*above, id(value))
    if isinstance(value, Mapping):
        return settings_text(sorted(settings_text(pair, inside) for pair in value.items()))
    if isinstance(value, set | frozenset):
        return settings_text(sorted(settings_text(each, inside) for each in value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(settings_text(each, inside) for each in value)}]"
    return _ADDRESS.sub("", repr(value))


@cache
def code_version() -> str:
    """A name for the bridge's own code that reads posts: another one may find other addresses in
    the same files, even where the version of the package is the same.
    """
    bridge = Path(__file__).parents[2]
    files = (file for name in _DECIDING for file in sorted((bridge / name).rglob("*.py")))
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def plain_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are texts, numbers, or lists of such; paths and modules are their names.

    PLUGINS is always there where it is set, whatever a plugin is.
    """
    plain: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, str | int | float | bool):
            plain[name] = value
        elif isinstance(value, list | tuple | set | frozenset):
            names = [each for each in map(_name_of, value) if each is not None]
            if len(names) == len(value) or name == "PLUGINS":
                plain[name] = names if isinstance(value, list | tuple) else sorted(names)
    return plain


def _name_of(value: object) -> str | None:
    if isinstance(value, str | PurePath):
        return str(value)
    return value.__name__ if isinstance(value, ModuleType) else None
