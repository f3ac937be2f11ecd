"""What the plugin knows of the site that is being built: one value for one build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pelican_indieauth import endpoints
from pelican_indieauth.endpoints import Link, SettingError
from pelican_indieauth.entries import Person

#: Where a build's :class:`Site` is in Pelican's context.
KEY = "indieauth_site"


@dataclass(frozen=True, slots=True)
class Site:
    """``home`` is the site's address without a slash at its end; ``markup`` whether the plugin
    wraps posts itself; ``owner`` whose site it is; ``index`` the home page's output path."""

    links: tuple[Link, ...]
    home: str
    owner: Person | None
    markup: bool
    index: str


def site_of(settings: Mapping[str, Any]) -> Site:
    """The site that settings describe. Raises :class:`SettingError`."""
    home = str(settings.get("SITEURL") or "").rstrip("/")
    return Site(
        links=endpoints.links(settings),
        home=home,
        owner=_owner(settings, home),
        markup=_flag(settings, "INDIEAUTH_MARKUP", default=True),
        index=str(settings.get("INDEX_SAVE_AS") or "index.html"),
    )


def media_folder(settings: Mapping[str, Any]) -> str:
    """The folder of uploads, inside the content folder; empty where there is none."""
    name = "INDIEAUTH_MEDIA_FOLDER"
    value = settings.get(name, "media")
    if not isinstance(value, str) or value.startswith("/") or ".." in value.split("/"):
        remedy = 'Write the name of a folder in the content folder, such as "media"'
        raise SettingError(name, value, "is not a folder inside the content folder", remedy)
    return value.strip("/")


def _owner(settings: Mapping[str, Any], home: str) -> Person | None:
    name = settings.get("AUTHOR") or settings.get("SITENAME")
    if not name:
        return None
    photo = settings.get("INDIEAUTH_PHOTO")
    if photo and not (isinstance(photo, str) and photo.startswith(("https://", "http://", "/"))):
        remedy = 'Write an absolute URL, or a path of the site such as "/media/me.jpg"'
        raise SettingError("INDIEAUTH_PHOTO", photo, "is not an address", remedy)
    own = home + photo if photo and photo.startswith("/") else photo
    return Person(str(name), f"{home}/", own or None)


def _flag(settings: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = settings.get(name, default)
    if not isinstance(value, bool):
        raise SettingError(name, value, "is neither True nor False", "Write True or False")
    return value
