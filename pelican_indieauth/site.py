"""The plugin's settings, validated: one object for each build."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pelican_indieauth import theme
from pelican_indieauth.discovery import endpoints, headers
from pelican_indieauth.discovery.endpoints import Link
from pelican_indieauth.discovery.head import HeadLinks
from pelican_indieauth.entry.entry import Person
from pelican_indieauth.entry.words import words
from pelican_indieauth.errors import SettingError
from pelican_indieauth.lists import off_home
from pelican_indieauth.mentions import post_mentions

logger = logging.getLogger(__name__)

_SETTINGS = endpoints.SETTINGS | {
    *("INDIEAUTH_MARKUP", "INDIEAUTH_PHOTO", "INDIEAUTH_WORDS", "INDIEAUTH_HEADERS"),
    *("INDIEAUTH_MEDIA_FOLDER", "INDIEAUTH_JSON_FEED"),
    *("INDIEAUTH_PRIVATE_DRAFTS", "INDIEAUTH_BRIDGY_FED", off_home.SETTING),
    *(post_mentions.SETTING, post_mentions.FORM),
}
#: The key of a build's :class:`PluginSettings` in Pelican's settings and contexts.
KEY = "indieauth_site"


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """The validated settings.

    ``head`` inserts ``links`` into pages. ``home`` is the URL of the pages being built and ``root``
    that of the whole site, both without a slash at the end (they differ in a subsite for another
    language). ``wraps``: the plugin marks up posts itself; ``carded``: and the home page, whose
    output path is ``index``. ``media`` is the folder of uploads, inside the content folder.
    ``private_drafts``: drafts written by hand get no page. ``bridgy_fed``: posts link to Bridgy
    Fed. ``not_on_home``: post types that are left out of the home page and the main feeds.
    ``mentions`` is the mentions folder inside the content folder, ``""`` where they are not shown;
    ``mention_form`` the endpoint for the form below posts, or ``""``.
    """

    links: tuple[Link, ...]
    head: HeadLinks
    home: str
    root: str
    owner: Person | None
    wraps: bool
    carded: bool
    index: str
    hub: str | None
    headers: tuple[str, ...]
    words: Mapping[str, str]
    json_feed: str
    media: str
    private_drafts: bool
    bridgy_fed: bool
    not_on_home: frozenset[str]
    mentions: str
    mention_form: str


def site_of(settings: Mapping[str, Any]) -> PluginSettings:
    """The site for Pelican's settings. Raises :class:`SettingError`."""
    home = str(settings.get("SITEURL") or "").rstrip("/")
    root = home.removesuffix(f"/{_language(settings)}") if _language(settings) else home
    feed = _json_feed(settings)
    links = endpoints.links(settings)
    if feed:
        links = (*links, Link("alternate", f"{home}/{feed}", "application/feed+json"))
    owner = _owner(settings, root)
    markup = _flag(settings, "INDIEAUTH_MARKUP", default=True)
    own = theme.classes(_templates(settings)) if markup else frozenset()
    return PluginSettings(
        links=links,
        head=HeadLinks(links),
        home=home,
        root=root,
        owner=owner,
        # A theme with microformats of its own is not changed: a page must have one entry.
        wraps=markup and own.isdisjoint({"h-entry", "h-event", "h-review"}),
        carded=markup and owner is not None and "h-card" not in own,
        index=str(settings.get("INDEX_SAVE_AS") or "index.html"),
        hub=next((link.href for link in links if link.rel == "hub"), None),
        headers=() if _language(settings) else headers.chosen(settings),
        words=words(settings),
        json_feed=feed,
        media=_media_folder(settings),
        private_drafts=_flag(settings, "INDIEAUTH_PRIVATE_DRAFTS", default=False),
        bridgy_fed=_flag(settings, "INDIEAUTH_BRIDGY_FED", default=False),
        not_on_home=off_home.chosen(settings),
        mentions=post_mentions.folder_of(settings),
        mention_form=post_mentions.form_of(
            settings, next((link.href for link in links if link.rel == "webmention"), "")
        ),
    )


def warn_of_unknown(settings: Mapping[str, Any]) -> None:
    """Log a warning for each unknown ``INDIEAUTH_`` setting, which would have no effect."""
    for name in sorted(settings):
        if name.startswith(endpoints.PREFIX) and name not in _SETTINGS:
            import difflib  # noqa: PLC0415  (for mistakes alone)

            near = difflib.get_close_matches(name, _SETTINGS, n=1)
            hint = (
                f"Did you mean {near[0]}?" if near else "See docs/plugin.md for the existing ones"
            )
            logger.warning("%s is not a setting of the IndieAuth plugin. %s", name, hint)


def _media_folder(settings: Mapping[str, Any]) -> str:
    """The folder of uploads, inside the content folder; ``""`` where there is none."""
    name = "INDIEAUTH_MEDIA_FOLDER"
    value = settings.get(name, "media")
    if not isinstance(value, str) or value.startswith("/") or ".." in value.split("/"):
        remedy = 'Write the name of a folder in the content folder, such as "media"'
        raise SettingError(name, value, "is not a folder inside the content folder", remedy)
    # A subsite for another language uses the files of the main site.
    return "" if _language(settings) else value.strip("/")


def _json_feed(settings: Mapping[str, Any]) -> str:
    name = "INDIEAUTH_JSON_FEED"
    value = settings.get(name) or ""
    if not isinstance(value, str) or value.startswith("/") or ".." in value.split("/"):
        remedy = 'Write a path in the output folder, such as "feeds/all.json"'
        raise SettingError(name, value, "is not a path below the output folder", remedy)
    return value


def _language(settings: Mapping[str, Any]) -> str:
    """The language of the subsite that is being built (i18n_subsites); ``""`` for the main site."""
    language = settings.get("DEFAULT_LANG")
    return language if language and language in (settings.get("I18N_SUBSITES") or ()) else ""


def _templates(settings: Mapping[str, Any]) -> list[Path]:
    """The template folders of the theme and of its overrides."""
    theme_folder = settings.get("THEME")
    own = [Path(theme_folder).expanduser() / "templates"] if theme_folder else []
    return [*map(Path, settings.get("THEME_TEMPLATES_OVERRIDES", ())), *own]


def _owner(settings: Mapping[str, Any], root: str) -> Person | None:
    name = settings.get("AUTHOR") or settings.get("SITENAME")
    if not name:
        return None
    photo = settings.get("INDIEAUTH_PHOTO")
    if photo and not (isinstance(photo, str) and photo.startswith(("https://", "http://", "/"))):
        remedy = 'Write an absolute URL, or a path of the site such as "/media/me.jpg"'
        raise SettingError("INDIEAUTH_PHOTO", photo, "is not a URL", remedy)
    own = root + photo if photo and photo.startswith("/") else photo
    return Person(str(name), f"{root}/", own or None)


def _flag(settings: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = settings.get(name, default)
    if not isinstance(value, bool):
        raise SettingError(name, value, "is neither True nor False", "Write True or False")
    return value
