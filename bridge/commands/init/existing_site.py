"""An existing Pelican site in its owner's clone, as ``init`` analyses it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field

from bridge.commands.init.pelican_settings import (
    RECIPES,
    asked_for,
    base_of,
    content_in_recipes,
    find_conf,
    find_others,
    is_live,
    is_loopback,
    likely_settings,
    read_anywhere,
    read_settings,
    sets_plugins,
)
from bridge.errors import Refused
from bridge.runtime.command_name import doc
from bridge.settings import Content, prefix_of, usual_folder
from bridge.settings_file import LOOPBACK, is_url
from bridge.site.missing_locales import how_to_install, locales_warning
from bridge.store.setup import files_named, has_files_below, submodule_of

#: Matches Pelican, an action of that name, or its Makefile.
_BUILDS = re.compile(r"pelican|\bmake (?:publish|github)\b", re.IGNORECASE)
_PLUGIN_NAMES = {"pelican_indieauth", "indieauth", "pelican.plugins.indieauth"}
_PLUGIN_PACKAGE = re.compile(r"\bpelican[-_.]indieauth\b", re.IGNORECASE)
#: Where a site lists the packages that its host installs.
_PACKAGES = ("requirements.txt", "pyproject.toml", "Pipfile", "environment.yml")
_YEAR = re.compile(r"(?:.*/)?(?:19|20)\d\d")
#: The usual rule for the paths of new posts.
_RULE = Content().path


def _none_of(found: list[str]) -> str:
    del found
    return ""


_SITEURL = re.compile(r"^\s*SITEURL\s*=", re.MULTILINE)


class ExistingSite(Struct, frozen=True):
    """A site's settings.

    ``conf`` is the file that the owner edits, ``settings`` the one that the published site is built
    with: Pelican's quickstart has ``publishconf.py``, which imports ``pelicanconf.py`` and has the
    site's URL. ``values`` are the evaluated ``settings``; ``missing_locales`` those that they name
    and this machine lacks. ``run_in`` is the folder of the repo that they can be evaluated in,
    ``None`` for the usual one; ``environment`` are the environment variables that they ask for and
    that are set here. ``folder`` is where Pelican looks for posts.
    """

    root: Path
    conf: Path
    settings: Path
    values: dict[str, Any]
    folder: Path
    missing_locales: tuple[str, ...] = ()
    run_in: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The site's URL, ``""`` where the settings have none."""
        address = str(self.values.get("SITEURL") or "")
        return address.rstrip("/") + "/" if is_url(address) else ""

    @property
    def content(self) -> str:
        """The folder of posts in the repo, ``""`` for the root of it. Raises :class:`Refused`."""
        content = (self._usual or self.folder).resolve()
        if not content.is_relative_to(self.root):
            raise Refused(
                f"Pelican's PATH is {content}. It must be a folder inside of {self.root}: the"
                " bridge writes posts only there."
            )
        if submodule := submodule_of(self.root, content):
            raise Refused(
                f"{submodule} is a submodule, a separate repo, and contains your posts. The bridge"
                f" commits to the site's repo: move the files of that folder into {self.root}."
            )
        return "" if content == self.root else content.relative_to(self.root).as_posix()

    @property
    def _usual(self) -> Path | None:
        """The folder that the Makefile names instead of the settings, as that of quickstarts
        before 3.4 does.
        """
        if self.values["PATH"] != os.curdir:
            return None
        for folder in (self.conf.parent, self.folder, self.root):
            if name := content_in_recipes(self.root, folder):
                return folder / name
        return None

    @property
    def new_posts(self) -> str:
        """The rule for the paths of new posts; ``""`` for the usual one."""
        if not (places := self._places):
            return ""
        if not (years := self._years):
            return f"{places[0]}/{_RULE}"
        above, _, newest = max(years).rpartition("/")
        if int(newest) >= date.today().year:  # noqa: DTZ011 - as a person's calendar
            return f"{prefix_of(above)}{{published:%Y}}/{{published:%m}}/{{slug}}.md"
        return f"{max(years)}/{_RULE}"

    @property
    def _places(self) -> list[str]:
        """The folders in :attr:`content` that Pelican searches for posts; none where it searches
        all.
        """
        places = [str(place).strip("/.") for place in self.values["ARTICLE_PATHS"]]
        return [] if "" in places else places

    @property
    def _years(self) -> list[str]:
        """The same where each is for the posts of a year."""
        places = self._places
        above = {place.rpartition("/")[0] for place in places}
        has_years = len(above) == 1 and all(_YEAR.fullmatch(place) for place in places)
        return places if has_years and len(places) > 1 else []

    @property
    def notes(self) -> list[str]:
        """Advice for the owner on what the bridge cannot decide."""
        found = self._on_folders()
        if missing := self.missing_locales:
            problem = locales_warning(missing)
            found.append(f"{problem[:1].upper()}{problem[1:]}. {how_to_install(missing)}")
        host = urlsplit(self.address).hostname or ""
        if host in LOOPBACK:
            found.append(
                f"SITEURL is {self.address}, which only this machine can reach. If your site is"
                " elsewhere, set SITEURL to its URL, delete bridge.toml, and run init again"
                " with --me."
            )
        if self.values.get("DISPLAY_CATEGORIES_ON_MENU", True):
            found.append(
                "Each type of post (likes, photos and so on) gets a category of its own, which"
                " most themes list in their menu, and is shown on the home page. To change"
                " that:"
                "\n\n    DISPLAY_CATEGORIES_ON_MENU = False"
                '\n    INDIEAUTH_NOT_ON_HOME = ["like", "repost", "rsvp"]'
                f"\n\nin the same file. {doc('plugin.md')} says more."
            )
        return found

    def _on_folders(self) -> list[str]:
        """Advice about where posts, themes, plugins and built pages are."""
        found = []
        if usual := self._usual:
            named = os.path.relpath(usual, self.conf.parent)
            found.append(
                f"Your settings do not name the content folder: the bridge uses {self.content}/, as"
                f" the Makefile does. To make `pelican` use it, too, add to {self.conf.name}:"
                f'\n\n    PATH = "{named}"'
            )
        rule, places = self.new_posts, self._places
        if "{published:%Y}" in rule.removesuffix(_RULE):
            found.append(
                f"New posts go to the folder of their year, as in {prefix_of(self.content)}{rule}."
                " Pelican only looks in the years that ARTICLE_PATHS lists, and an app that dates a"
                " post in another one is told so. Change [content] path in bridge.toml if they"
                " belong elsewhere."
            )
        elif len(places) > 1:
            folder = rule.removesuffix(f"/{_RULE}")
            which = "newest" if self._years else "first"
            others = ", ".join(place for place in places if place != folder)
            found.append(
                f"New posts go to {prefix_of(self.content)}{folder}/, the {which} folder of"
                f" ARTICLE_PATHS; Pelican also looks in {others}. Change [content] path in"
                " bridge.toml if they belong elsewhere."
            )
        found += self._outside()
        if not self.content and not places:
            found.append(
                "Your posts are at the root of the repo, where Pelican takes every text for a post,"
                " README.md too. To name folders instead, as in"
                f'\n\n    ARTICLE_PATHS = ["posts"]\n\nadd that to {self.conf.name}, and'
                ' path = "posts/{category}/{slug}.md" to bridge.toml, below [content].'
            )
        if (built := self.committed_pages()) is not None:
            found.append(
                f"Your repo has the built pages, too (in {built}/). The bridge commits posts,"
                " but no pages: if your site is served from the repo, let its host build it instead"
                f" ({doc('deploy.md')}), or a post has no page until you build and commit."
            )
        return found

    def committed_pages(self) -> str | None:
        """The folder of built pages in the repo, if it has them: that of the settings, or another,
        as where a Makefile builds into the root of the repo.
        """
        if has_files_below(self.root, self.output):
            return self.output.relative_to(self.root).as_posix()
        theme = os.path.normpath(str(self.values.get("THEME_STATIC_DIR") or "theme").strip("/"))
        if theme == ".":
            return None
        for index in files_named(self.root, "index.html"):
            if (index.parent / theme).is_dir():
                return index.parent.relative_to(self.root).as_posix()
        return None

    def _outside(self) -> list[str]:
        """Advice about folders that the settings name and that a checkout lacks: outside of the
        repo, or in the owner's clone by their absolute path."""
        settings = {
            "THEME": [Path(str(self.values.get("THEME")))],
            "PLUGIN_PATHS": [Path(str(each)) for each in self.values.get("PLUGIN_PATHS") or []],
        }
        places = (str(self.root), sys.prefix, sys.base_prefix, "/usr")
        sources = "".join(
            file.read_text(encoding="utf-8", errors="replace")
            for file in {self.conf, self.settings}
        )
        found, folders = [], []
        for setting, named in settings.items():
            inside = [each for each in named if each.is_relative_to(self.root)]
            outside = [
                each
                for each in named
                if each.is_absolute() and each.is_dir()
                if not any(each.is_relative_to(place) for place in places)
            ]
            spelt = [
                os.path.relpath(each, self.conf.parent) if each in inside else str(each)
                for each in named
            ]
            line = f"    {setting} = {json.dumps(spelt[0] if setting == 'THEME' else spelt)}"
            if outside:
                what = f"{setting} names {', '.join(map(str, outside))}"
                found.append(
                    f"{what}, which is not in the repo. The bridge builds the site in a checkout"
                    " elsewhere. Add it to the repo (git submodule add, or a copy), or write its"
                    f" absolute path in {self.conf.name}:\n\n{line}"
                )
                folders += [str(each) for each in outside]
            elif whole := [str(each) for each in inside if str(each) in sources]:
                found.append(
                    f"{setting} names {', '.join(whole)}, in your clone, by its absolute path, and"
                    " the bridge builds the site in a checkout elsewhere. Write in"
                    f" {self.conf.name}:\n\n{line}"
                )
        if folders:
            found.append(
                "With absolute paths, the site's code is allowed to read what is there by a line in"
                f" bridge.toml, below [site]:\n\n    folders = {json.dumps(folders)}"
            )
        return found

    @property
    def bridge(self) -> str:
        """The bridge that the settings name already; ``""`` for none."""
        return str(self.values.get("INDIEAUTH_BRIDGE") or "")

    def additions(self, bridge: str, me: str) -> list[str]:
        """The lines to add at the end of :attr:`conf`."""
        lines = []
        plugins = self.values.get("PLUGINS")
        # Without PLUGINS Pelican loads every installed plugin, and so this one.
        if isinstance(plugins, Sequence) and not _PLUGIN_NAMES & {str(each) for each in plugins}:
            lines.append('PLUGINS = [*PLUGINS, "pelican_indieauth"]')
        if self.bridge.rstrip("/") != bridge.rstrip("/"):
            lines.append(f'INDIEAUTH_BRIDGE = "{bridge}"')
        if self.values.get("INDIEAUTH_WEBMENTION") != f"{bridge}webmention":
            lines.append(f'INDIEAUTH_WEBMENTION = "{bridge}webmention"')
        if not (self.address or self.has_own_siteurl):
            lines.append(self.siteurl_line(me))
        return lines

    @property
    def has_own_siteurl(self) -> bool:
        """Whether :attr:`settings` sets SITEURL after :attr:`conf` has done so."""
        text = self.settings.read_text(encoding="utf-8", errors="replace")
        return self.settings != self.conf and bool(_SITEURL.search(text))

    @staticmethod
    def siteurl_line(me: str) -> str:
        """The line that sets SITEURL."""
        return f'SITEURL = "{me.rstrip("/")}"'

    @property
    def output(self) -> Path:
        """The output folder of the owner's own builds."""
        return (self.conf.parent / str(self.values["OUTPUT_PATH"])).resolve()

    def built_elsewhere(self) -> str:
        """The file with which a host builds this site from its repo; ``""`` where there is none."""
        for pattern in RECIPES:
            for file in sorted(self.root.glob(pattern)):
                text = file.read_text(encoding="utf-8", errors="replace")
                if _BUILDS.search(f"{file.name}\n{text}"):
                    return file.relative_to(self.root).as_posix()
        return ""

    def lists_plugin(self, recipe: str) -> bool:
        """Whether this build recipe, or a list of packages beside it, names the plugin."""
        texts = (
            file.read_text(encoding="utf-8", errors="replace")
            for file in map(self.root.joinpath, (recipe, *_PACKAGES))
            if file.is_file()
        )
        return any(_PLUGIN_PACKAGE.search(text) for text in texts)


def find_site(
    root: Path, start: Path, *, named: str = "", choose: Callable[[list[str]], str] = _none_of
) -> ExistingSite:
    """Find the site in the repo at ``root``, starting from ``start``, a folder in it.

    ``named`` is the settings file, relative to ``start``. Without it, and if several files could be
    the settings, ``choose`` gets their names and returns one (``""``: none of them).

    Raises :class:`Refused`, and :class:`~bridge.errors.SiteBroken` if Pelican cannot read its
    settings.
    """
    if named:
        # Paths in the settings are relative to a link to them, not to where it leads.
        settings = (start / named).parent.resolve() / Path(named).name
        if not (settings.is_file() and settings.resolve().is_relative_to(root)):
            raise Refused(f"{settings} is not a file in {root}: give Pelican's settings file.")
        return _with_settings(root, settings)
    conf = find_conf(root, start)
    if conf is None:
        return _with_settings(root, find_others(root, start, choose))
    settings, facts = conf, read_settings(root, conf)
    publish = conf.with_name("publishconf.py")
    others = [] if is_live(facts) else likely_settings(root, conf.parent)
    for file in [publish] if publish.is_file() else others:
        published = facts if file == conf else read_settings(root, file)
        address = str(published.values.get("SITEURL") or "")
        if is_url(address) and (file == publish or not is_loopback(address)):
            settings = file
            break
    return _site(root, conf, settings)


def _with_settings(root: Path, settings: Path) -> ExistingSite:
    # What it imports has the settings that it changes, unless it has the list of plugins itself.
    return _site(
        root, settings if sets_plugins(settings) else base_of(settings) or settings, settings
    )


def _site(root: Path, conf: Path, settings: Path) -> ExistingSite:
    environment = asked_for([settings])
    run_in, facts = read_anywhere(root, settings, environment)
    path = str(facts.values["PATH"])
    # Where the settings name no folder it is the current one.
    folder = (root / run_in if path == os.curdir else conf.parent) / path
    content = os.path.relpath(folder.resolve(), root)
    is_usual = run_in == usual_folder(settings.relative_to(root).as_posix(), content)
    return ExistingSite(
        root,
        conf,
        settings,
        facts.values,
        folder,
        facts.missing_locales,
        None if is_usual else run_in or ".",
        environment,
    )
