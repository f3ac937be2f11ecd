"""Writes a JSON Feed (version 1.1) of the newest posts; notes need no title in it."""

from __future__ import annotations

import mimetypes
from typing import Any

from pelican.generators import Generator

from pelican_indieauth.entry.entry import Entry, Person
from pelican_indieauth.lists import off_home
from pelican_indieauth.site import KEY, PluginSettings

_VERSION = "https://jsonfeed.org/version/1.1"


class JsonFeed(Generator):  # type: ignore[misc]  # Pelican's classes are not typed
    """Writes the feed, if the settings name one."""

    def generate_output(self, writer: Any) -> None:
        """Write the file with Pelican's writer."""
        site: PluginSettings = self.settings[KEY]
        if site.json_feed:
            listed = off_home.on_home(self.context["articles"], site.not_on_home)
            newest = listed[: self.settings["FEED_MAX_ITEMS"]]
            feed = self._feed(site) | {"items": [self._item(article) for article in newest]}
            template = self.get_template("indieauth/feed")
            writer.write_file(site.json_feed, template, self.context, feed=feed)

    def _feed(self, site: PluginSettings) -> dict[str, Any]:
        about: dict[str, Any] = {
            "version": _VERSION,
            "title": self.settings["SITENAME"],
            "home_page_url": f"{site.home}/",
            "feed_url": f"{site.home}/{site.json_feed}",
            "description": self.settings.get("SITESUBTITLE"),
            "language": self.settings["DEFAULT_LANG"],
            "authors": _authors(site.owner),
            "hubs": [{"type": "WebSub", "url": site.hub}] if site.hub else None,
        }
        return _known(about)

    def _item(self, article: Any) -> dict[str, Any]:
        entry: Entry = article.entry
        content = article.get_content(self.settings["SITEURL"])
        item: dict[str, Any] = {
            "id": entry.url,
            "url": entry.url,
            "external_url": entry.bookmark_of[0].url if entry.bookmark_of else None,
            "title": entry.name,
            "content_html": article.entry_frame.in_feed(content),
            "summary": entry.summary,
            "image": next((each.url for each in (*entry.featured, *entry.photos)), None),
            "date_published": entry.published.isoformat() if entry.published else None,
            "date_modified": entry.updated.isoformat() if entry.updated else None,
            "authors": _authors(entry.author),
            "tags": list(entry.categories),
            "language": article.lang,
            "attachments": _attachments(entry),
        }
        return _known(item) | {"content_html": item["content_html"]}


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _authors(person: Person | None) -> list[dict[str, Any]]:
    if person is None:
        return []
    return [_known({"name": person.name, "url": person.url, "avatar": person.photo})]


def _attachments(entry: Entry) -> list[dict[str, str]]:
    """Videos and sounds whose media type follows from their names."""
    found = []
    for media in (*entry.videos, *entry.audios):
        kind, _ = mimetypes.guess_type(media.url.partition("?")[0])
        if kind:
            found.append({"url": media.url, "mime_type": kind})
    return found
