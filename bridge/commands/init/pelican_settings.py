"""Pelican's settings of an existing site, for ``init``: finds their files, evaluates them in the
owner's clone, and reads its build recipes.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bridge.errors import Refused, SiteBroken
from bridge.settings_file import LOOPBACK, is_url
from bridge.site.messages import SiteFacts, Start
from bridge.site.process import SiteProcess
from bridge.site.sandbox import Sandbox
from bridge.store.setup import copy_clone, files_named

#: How settings read an environment variable.
_VARIABLE = re.compile(rb"(?:environ|environ\.get|getenv)\s*[\[(]\s*[\"']([A-Za-z_]\w*)[\"']")
#: Pelican reads these paths from the settings' folder, wherever it is run.
_RELATIVE_TO_SETTINGS = frozenset(
    {"PATH", "OUTPUT_PATH", "CACHE_PATH", "THEME", "PLUGIN_PATHS", "STATIC_PATHS"}
)
_IMPORTED = re.compile(rb"^from\s+(?:[\w.]*\.)?(\w+)\s+import\s+\*", re.MULTILINE)


def read_settings(root: Path, file: Path) -> SiteFacts:
    """Pelican's settings as ``pelican`` reads them in the owner's clone, read in a confined
    process.

    Raises :class:`SiteBroken`.
    """
    return read_anywhere(root, file, asked_for([file]))[1]


def asked_for(files: Iterable[Path]) -> dict[str, str]:
    """The environment variables that settings files name, if they are set here."""
    texts = {file: file.read_bytes() for file in files}
    for file, text in list(texts.items()):
        for name in _IMPORTED.findall(text):
            imported = file.with_name(f"{name.decode()}.py")
            if imported.is_file():
                texts[imported] = imported.read_bytes()
    names = {name.decode() for text in texts.values() for name in _VARIABLE.findall(text)}
    with tempfile.TemporaryDirectory(prefix="bridge-init-") as folder:
        given = Sandbox(Path(folder)).environment()
    # The programs that run the site's code set PWD themselves.
    needed = sorted(names - {*given, "PWD"})
    return {name: os.environ[name] for name in needed if name in os.environ}


def read_anywhere(root: Path, file: Path, environment: Mapping[str, str]) -> tuple[str, SiteFacts]:
    """Settings, and the folder of the repo that they can be evaluated in: they may open files by
    relative paths.

    Raises :class:`SiteBroken`.
    """
    beside = "" if file.parent == root else file.parent.relative_to(root).as_posix()
    try:
        facts = _read(root, file, beside, environment)
    except SiteBroken:
        if not beside:
            raise
        return "", _read(root, file, "", environment)
    # A link in the settings' folder is in that folder.
    content = Path(os.path.abspath(file.parent / str(facts.values["PATH"])))  # noqa: PTH100
    if beside and not (content.is_relative_to(file.parent) or _is_run_beside(file)):
        # Both give the same settings, unless a path is relative.
        with suppress(SiteBroken):
            return "", _read(root, file, "", environment)
    if beside and not Path(str(facts.values["THEME"])).is_relative_to(root):
        # Pelican's own, unless that of the site is relative to the folder that `pelican` is run in.
        with suppress(SiteBroken):
            from_root = _read(root, file, "", environment)
            theme = root / str(from_root.values["THEME"])
            if theme.is_relative_to(root) and theme.is_dir():
                return "", from_root
    return beside, facts


def _is_run_beside(file: Path) -> bool:
    """Whether settings of a plugin name files outside of the settings' folder from there."""
    with suppress(SyntaxError, ValueError):
        files = [each for each in (file, base_of(file)) if each is not None]
        for line in (line for each in files for line in ast.parse(each.read_bytes()).body):
            named = {node.id for node in ast.walk(line) if isinstance(node, ast.Name)}
            values = (node.value for node in ast.walk(line) if isinstance(node, ast.Constant))
            texts = (value for value in values if isinstance(value, str))
            if not named & _RELATIVE_TO_SETTINGS and any(
                text.startswith("../") and (file.parent / text).exists() for text in texts
            ):
                return True
    return False


def _read(root: Path, file: Path, run_in: str, environment: Mapping[str, str]) -> SiteFacts:
    """Settings, read in the owner's clone by a process that cannot change it; in a copy, if they
    create files."""
    settings = file.relative_to(root).as_posix()
    try:
        return _load(Start(str(root), settings, run_in=run_in, is_owners=True), environment)
    except SiteBroken as error:
        if "Permission denied" not in error.description:
            raise
    with tempfile.TemporaryDirectory(prefix="bridge-init-") as folder:
        copy = Path(folder, "site").resolve()
        copy_clone(root, copy)
        facts = _load(Start(str(copy), settings, run_in=run_in), environment)

    def in_clone(value: Any) -> Any:
        if isinstance(value, list):
            return [in_clone(each) for each in value]
        return value.replace(str(copy), str(root)) if isinstance(value, str) else value

    values = {name: in_clone(value) for name, value in facts.values.items()}
    return msgspec.structs.replace(facts, values=values)


def _load(start: Start, environment: Mapping[str, str]) -> SiteFacts:
    async def load(state: Path) -> SiteFacts:
        site = SiteProcess(start, Sandbox(state, extra=environment))
        try:
            return await site.load()
        except SiteBroken as error:
            if not site.denied:
                raise
            raise SiteBroken(
                f"{error.description} The site's own code may read the repo, but not"
                f" {', '.join(site.denied)}: have what it needs in the repo."
            ) from error
        finally:
            await site.close()

    with tempfile.TemporaryDirectory(prefix="bridge-init-") as folder:
        return asyncio.run(load(Path(folder)))


_CONF = "pelicanconf.py"
#: Build recipes of hosts that build the site themselves.
RECIPES = (
    ".github/workflows/*.y*ml",
    ".gitlab-ci.yml",
    ".forgejo/workflows/*.y*ml",
    ".gitea/workflows/*.y*ml",
    ".woodpecker.y*ml",
    ".travis.yml",
    ".circleci/config.yml",
    "bitbucket-pipelines.yml",
    "netlify.toml",
    "vercel.json",
    "render.yaml",
    "wrangler.toml",
)
#: The programs that are used to run Pelican.
_PROGRAMS = (
    *("Makefile", "makefile", "GNUmakefile", "justfile", "tasks.py", "fabfile.py", "noxfile.py"),
    *("tox.ini", "pyproject.toml", "package.json", "Dockerfile", "*.sh"),
)
#: ``pelican -s FILE``, ``PUBLISHCONF=$(BASEDIR)/FILE``, ``"settings_publish": "FILE"``.
_NAMED = re.compile(
    r"""(?:(?<!\S)-s|--settings|\bsettings\w*["']?[ \t]*[:=]|\b\w*CONF\w*[ \t]*[:?]?=)"""
    r"""[= \t"',]*(?:\$[({]?\w+[)}]?/)?([\w./-]+\.py)\b""",
    re.IGNORECASE,
)
_SETTING = re.compile(
    r"^(SITENAME|SITEURL|AUTHOR|TIMEZONE|DEFAULT_LANG|THEME|PATH|OUTPUT_PATH|DEFAULT_PAGINATION"
    r"|PLUGINS|PLUGIN_PATHS|FEED_ALL_ATOM|FEED_DOMAIN|RELATIVE_URLS|STATIC_PATHS|ARTICLE_URL"
    r"|ARTICLE_PATHS|PAGE_URL|MARKDOWN|DELETE_OUTPUT_DIRECTORY)[ \t]*(?::[^=\n]+)?=",
    re.MULTILINE,
)
#: No other Python file has this many of these.
_ENOUGH = 3
_TAKES_OVER = re.compile(r"^from\s+(?:[\w.]*\.)?(\w+)\s+import\s+\*", re.MULTILINE)
#: ``INPUTDIR=$(BASEDIR)/FOLDER``, ``pelican FOLDER -o …``, also as words of a list.
_CONTENT = re.compile(
    r"""(?:\bINPUTDIR[ \t]*[:?]?=[ \t]*|\bpelican[\"',]*[ \t]+[\"']?)"""
    r"""(?:\$[({]?\w+[)}]?/)?(\w[\w./-]*)"""
)


def find_conf(root: Path, start: Path) -> Path | None:
    """``pelicanconf.py`` in this folder or above it, else the only one in the repo.

    ``None`` if the settings file has another name. Raises :class:`Refused`.
    """
    for folder in _upwards(root, start):
        if (folder / _CONF).is_file():
            return folder / _CONF
        if any(_is_settings(file) for file in folder.glob("*.py")):
            return None
    anywhere = files_named(root, _CONF)
    if len(anywhere) > 1:
        found = ", ".join(str(path.parent) for path in anywhere)
        raise Refused(f"{root} has more than one {_CONF}: name one of {found}.")
    return anywhere[0] if anywhere else None


def find_others(root: Path, start: Path, choose: Callable[[list[str]], str]) -> Path:
    """The settings file, under another name, that the site is published with. Raises
    :class:`Refused`.
    """
    anywhere = [file for file in files_named(root, "*.py") if _is_settings(file)]
    here = next(
        filter(None, ([f for f in anywhere if f.parent == up] for up in _upwards(root, start))),
        anywhere,
    )
    if not here:
        raise Refused(
            f"{root} has no {_CONF}, and no other file that looks like Pelican's settings. Is this"
            " the folder of a Pelican site? Then name its settings with --settings FILE."
        )
    candidates = [file for file in likely_settings(root, here[0].parent) if file in here] or here
    if len(candidates) > 1:
        live = [file for file in candidates if is_live(read_settings(root, file))]
        candidates = live or candidates
    if len(candidates) == 1:
        return candidates[0]
    names = [file.relative_to(root).as_posix() for file in candidates]
    chosen = choose(names)
    if chosen not in names:
        raise Refused(
            f"{root} has several settings files of Pelican ({', '.join(names)}). Name the one"
            " that your site is published with: --settings FILE."
        )
    return root / chosen


def likely_settings(root: Path, folder: Path) -> list[Path]:
    """The files in a folder that are probably the settings for publishing, the likeliest
    first: those that a build recipe names for ``pelican -s``, and those that import another
    file's settings.
    """
    found: dict[Path, None] = {}
    for text in _recipes(root, folder):
        for match in _NAMED.finditer(text):
            found[folder.joinpath(match[1]).parent.resolve() / Path(match[1]).name] = None
    for file in sorted(folder.glob("*.py")):
        if base_of(file) is not None:
            found[file] = None
    inside = [file for file in found if file.is_relative_to(root)]
    likely = [file for file in inside if file.is_file() and _is_settings(file)]
    # A file that imports another's settings has what differs on the published site.
    return sorted(likely, key=lambda file: base_of(file) is None)


def content_in_recipes(root: Path, folder: Path) -> str:
    """The folder of posts that a recipe names, relative to the settings; ``""`` if none does.

    For settings without it: ``content``, if it exists, else the folder passed to Pelican.
    """
    if (folder / "content").is_dir():
        return "content"
    for text in _recipes(root, folder):
        for match in _CONTENT.finditer(text):
            name = match[1].strip("/.")
            if name and ".." not in name.split("/") and (folder / name).is_dir():
                return name
    return ""


def _recipes(root: Path, folder: Path) -> list[str]:
    """The texts of the files with which people and hosts run Pelican."""
    files = [file for name in _PROGRAMS for file in sorted(folder.glob(name))]
    files += [file for name in RECIPES for file in sorted(root.glob(name))]
    return [_text(file) for file in files]


def _upwards(root: Path, start: Path) -> list[Path]:
    return [each for each in (start, *start.parents) if each.is_relative_to(root)] or [root]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def _is_settings(file: Path) -> bool:
    """Whether a file looks like Pelican's settings: it sets some of them, or imports another
    file's.
    """
    names = set(_SETTING.findall(_text(file)))
    return len(names) >= _ENOUGH or bool(names and base_of(file))


def base_of(file: Path) -> Path | None:
    """The settings file beside ``file`` that it imports."""
    for match in _TAKES_OVER.finditer(_text(file)):
        base = file.with_name(f"{match[1]}.py")
        if base.is_file() and base != file and _SETTING.search(_text(base)):
            return base
    return None


def sets_plugins(file: Path) -> bool:
    """Whether these settings have a list of plugins."""
    return "PLUGINS" in _SETTING.findall(_text(file))


def is_live(facts: SiteFacts) -> bool:
    """Whether the SITEURL of these settings is a public URL."""
    address = str(facts.values.get("SITEURL") or "")
    return is_url(address) and not is_loopback(address)


def is_loopback(address: str) -> bool:
    """Whether a URL only reaches this machine."""
    return urlsplit(address).hostname in LOOPBACK
