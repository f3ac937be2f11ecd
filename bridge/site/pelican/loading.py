"""Loads a site's Pelican settings and plugins as ``pelican`` does."""

from __future__ import annotations

import locale
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pelican import Pelican
from pelican import settings as pelican_settings

from bridge.settings import SettingsError
from bridge.site.pelican.audit import recorded_lookups

_NOT_INSTALLED = (
    "Install what they name into the bridge's environment, too; a module of your own has to be in"
    " the repo."
)
#: A module is there, and lacks a name that another version has.
_OTHER_VERSION = (
    "Its installed version is not one that they work with: install the one that you have where the"
    " site can be built (pip freeze lists it there) into the bridge's environment, too."
)
#: What is called is there, and is called as another version would be.
_OTHER_VERSIONS = (
    "If an extension or plugin that they name needs another version of Markdown or Pelican: install"
    " the versions that you have where the site can be built (pip freeze lists them there) into the"
    " bridge's environment, too. Otherwise correct the settings."
)


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """A site's settings, with its plugins registered.

    ``named`` is the content folder that the owner's file names. ``problems`` are the errors that
    Pelican logged, ``missing_locales`` named by the settings and not on this machine, ``plugins``
    is PLUGINS as the owner's file has it (loading puts names in its place). ``looks_at_posts``:
    settings or plugins have looked into the content folder. ``drafts_until_due``: Pelican makes
    drafts of posts with a date in the future.
    """

    settings: dict[str, Any]
    named: Path | None
    problems: tuple[str, ...]
    missing_locales: tuple[str, ...]
    plugins: object
    looks_at_posts: bool
    drafts_until_due: bool
    #: Signals hold their receivers weakly, and only this holds the plugins' modules.
    pelican: Pelican | None


def load(settings_file: Path, *, content: Path | None = None) -> LoadedSettings:
    """Load settings and plugins, with ``content`` as the content folder (by default the settings').

    Raises :class:`SettingsError` if the settings cannot be read.
    """
    problems: list[str] = []
    with logged_errors(problems.append), recorded_lookups() as lookups:
        settings, named = load_settings(settings_file, content=content)
        # A scheduled post has the address that it will have when it is due; until then the build
        # withholds it.
        drafts_until_due = not settings["WITH_FUTURE_DATES"]
        settings["WITH_FUTURE_DATES"] = True
        lacking = missing_locales(settings)
        plugins = settings.get("PLUGINS")
        pelican = load_plugins(settings, problems.append)
        looks_at_posts = lookups.into(Path(str(settings["PATH"])))
    return LoadedSettings(
        settings,
        named,
        tuple(problems),
        lacking,
        plugins,
        looks_at_posts,
        drafts_until_due,
        pelican,
    )


def load_settings(
    settings_file: Path, *, content: Path | None = None
) -> tuple[dict[str, Any], Path | None]:
    """The settings as ``pelican CONTENT -s FILE`` has them, and the folder that PATH names in them.

    Runs the owner's file, as every Pelican run does, and sets the process' locale to the site's
    (month names in URLs depend on it). A missing theme does not matter here, since no URL depends
    on it. Raises :class:`SettingsError`.
    """
    try:
        # Pelican's own function would run the file a second time to apply overrides.
        own: dict[str, Any] = dict(pelican_settings.get_settings_from_file(str(settings_file)))
        # Older forms of settings, as one path in place of a list, before paths are looked at.
        own = dict(pelican_settings.handle_deprecated_settings(own))
        _make_absolute(own, settings_file.parent.resolve())
        own |= {
            "CACHE_CONTENT": False,
            "LOAD_CONTENT_CACHE": False,
        }
        if not _has_theme(own):
            own["THEME"] = pelican_settings.DEFAULT_THEME
        named = Path(own["PATH"]) if own.get("PATH") else None
        if content is not None:
            content.mkdir(parents=True, exist_ok=True)
            # As the owner spells it: from a link to it, ``..`` leads to another place.
            is_same = named is not None and os.path.realpath(named) == os.path.realpath(content)
            own["PATH"] = str(named if is_same else content)
        found: dict[str, Any] = pelican_settings.read_settings(override=own)
    except (Exception, SystemExit) as error:
        raise _unreadable(settings_file, error) from error
    return found, named


def _unreadable(settings_file: Path, error: BaseException) -> SettingsError:
    if not settings_file.is_file():
        remedy = "Write its path in the repo into [site] settings of bridge.toml, or commit it."
        return SettingsError(str(settings_file), "", "the repo has no such file", remedy)
    reason = f"{type(error).__name__}: {error}"
    remedy = _remedy(error, "Correct it until `pelican -s` accepts it.")
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    raised_by = trace.tb_frame.f_globals if trace else {}
    if isinstance(error, KeyError) and raised_by is vars(os):
        name = error.args[0]
        reason = f"they ask for the environment variable {name}, which is not set"
        remedy = f'Set it for init, or in bridge.toml: [site] environment = {{ {name} = "..." }}.'
    return SettingsError(
        str(settings_file), "", f"Pelican's settings cannot be read ({reason})", remedy
    )


def _remedy(error: BaseException, otherwise: str) -> str:
    """What helps against an error in the settings."""
    if isinstance(error, ModuleNotFoundError):
        return _NOT_INSTALLED
    if isinstance(error, (TypeError, AttributeError)):
        return _OTHER_VERSIONS
    return _OTHER_VERSION if isinstance(error, ImportError) else otherwise


def missing_locales(settings: dict[str, Any]) -> tuple[str, ...]:
    """The locales that the settings name and this machine lacks.

    Pelican takes the first of ``LOCALE`` that there is, and the one that a date format names.
    """
    wanted = [str(name) for name in settings["LOCALE"]]
    # An empty name is the locale of the environment.
    usual = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_TIME", "LANG"))), "")
    missing: list[str] = []
    if wanted and not any(map(has_locale, wanted)):
        missing += [next((name for name in wanted if "_" in name), wanted[0]) or usual]
    formats = (settings["DEFAULT_DATE_FORMAT"], *settings["DATE_FORMATS"].values())
    named = [str(each[0]) for each in formats if isinstance(each, tuple) and each]
    missing += [name for name in named if not has_locale(name)]
    return tuple(dict.fromkeys(filter(None, missing)))


def has_locale(name: str) -> bool:
    """Whether this machine has a locale."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_ALL, before)
    return True


def run_as_pelican(folder: Path, content: Path, settings: Path) -> None:
    """Make this process look like ``pelican`` in this folder to settings and plugins."""
    os.chdir(folder)
    # As a shell would set it.
    os.environ["PWD"] = str(folder)
    sys.argv = ["pelican", os.path.relpath(content), "-s", os.path.relpath(settings)]


def load_plugins(settings: dict[str, Any], tell: Callable[[str], None]) -> Pelican | None:
    """The site, with its plugins registered. Pelican logs plugins that cannot be loaded.

    ``None`` if a plugin fails in a way at which Pelican would stop; ``tell`` gets the reason. A
    build fails then, but posts can still be accepted.
    """
    try:
        return Pelican(settings)
    except SystemExit as end:
        tell(f"a plugin ends Pelican while it is loaded: sys.exit({end.code!r})")
        return None
    except Exception as error:  # noqa: BLE001 - plugins raise what they like
        tell(f"a plugin fails: {' '.join(str(error).split())}")
        return None


@contextmanager
def unusable_settings(settings_file: Path) -> Iterator[None]:
    """Raise :class:`SettingsError` for whatever is raised in the block, which uses the settings."""
    try:
        yield
    except SettingsError:
        raise
    except (Exception, SystemExit) as error:
        raise SettingsError(
            str(settings_file),
            "",
            f"these settings cannot be used here ({type(error).__name__}: {error})",
            _remedy(error, _NOT_INSTALLED),
        ) from error


@contextmanager
def logged_errors(tell: Callable[[str], None]) -> Iterator[None]:
    """Call ``tell`` with what Pelican and plugins log at ERROR within the block."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(" ".join(record.getMessage().split()))

    handler = Handler(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


@contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let ``from pelicanconf import *`` find this folder's file; unload it afterwards.

    For a process that reads several sites, one after the other.
    """
    usual = {"pelicanconf", "publishconf"}
    before = set(sys.modules)
    stale = {name: sys.modules.pop(name) for name in usual & before}
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


def _make_absolute(settings: dict[str, Any], folder: Path) -> None:
    """Paths are relative to the settings' file (``pelican.settings.read_settings``)."""

    def absolute(path: object) -> str:
        # Links are not resolved, and ".." is, as in Pelican.
        return os.path.abspath(folder / str(path))  # noqa: PTH100 - links stay links

    for name in ("PATH", "OUTPUT_PATH", "CACHE_PATH", "THEME"):
        # An empty one is the folder of the settings. A theme may be a name instead.
        value = settings.get(name)
        if value is not None and (name != "THEME" or Path(absolute(value)).exists()):
            settings[name] = absolute(value)
    settings.setdefault("OUTPUT_PATH", absolute("output"))
    if settings.get("PLUGIN_PATHS") is not None:
        settings["PLUGIN_PATHS"] = [absolute(path) for path in settings["PLUGIN_PATHS"]]


def _has_theme(settings: dict[str, Any]) -> bool:
    """Whether Pelican would find the theme: a folder, or one of its own by name."""
    theme = str(settings.get("THEME") or pelican_settings.DEFAULT_THEME)
    return Path(theme).is_dir() or (Path(pelican_settings.DEFAULT_THEME).parent / theme).is_dir()
