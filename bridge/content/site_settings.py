"""A site's Pelican settings, read as ``pelican -s`` reads them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pelican import settings as pelican_settings

from bridge.settings import SettingsError

_LOADING = threading.Lock()
_USUAL_NAMES = {"pelicanconf", "publishconf"}


def read_settings(settings_file: Path) -> dict[str, Any]:
    """The settings of a folder that may lack its content, theme and plugins.

    Runs the owner's file, as every Pelican run does, and sets the process' locale to the site's
    (month names in URLs depend on it). Raises :class:`SettingsError`.
    """
    with _LOADING, _importing_from(settings_file.parent):
        try:
            found = pelican_settings.get_settings_from_file(str(settings_file))
            folder = Path(str(found.get("PATH") or "."))
            override = {
                "PATH": str(settings_file.parent),
                "THEME": pelican_settings.DEFAULT_THEME,
                "CACHE_CONTENT": False,
                "LOAD_CONTENT_CACHE": False,
                # A scheduled post is told the address that it will have when it is due; until
                # then the builder keeps it back.
                "WITH_FUTURE_DATES": True,
                "TYPOGRIFY": False,
            }
            settings: dict[str, Any] = pelican_settings.read_settings(
                override={**found, **override}
            )
        except (Exception, SystemExit) as error:
            raise SettingsError(
                str(settings_file),
                "the file",
                f"Pelican's settings cannot be read ({type(error).__name__}: {error})",
                "See that `pelican -s` accepts it.",
            ) from error
    settings["PATH"] = str((settings_file.parent / folder).resolve())
    return settings


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let ``from pelicanconf import *`` find this folder's file, and forget it afterwards.

    Without the second half the next version of the settings would be mixed with this one.
    """
    before = set(sys.modules)
    stale = {name: sys.modules.pop(name) for name in _USUAL_NAMES & before}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before | set(stale):
            origin = getattr(sys.modules.get(name), "__file__", None)
            if origin and Path(origin).is_relative_to(folder):
                del sys.modules[name]
        for name, module in stale.items():
            sys.modules[name] = module
