"""Handlers of Pelican's signals (module functions, since Pelican holds them weakly)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pelican_indieauth import pages, templating
from pelican_indieauth.discovery import headers
from pelican_indieauth.discovery.endpoints import configured
from pelican_indieauth.entry import markup
from pelican_indieauth.lists import (
    feeds,
    gone,
    off_home,
    order,
    periods,
    redirects,
    translations,
    withheld,
)
from pelican_indieauth.lists.json_feed import JsonFeed
from pelican_indieauth.lists.redirects import Redirects
from pelican_indieauth.mentions import post_mentions
from pelican_indieauth.site import KEY, PluginSettings, site_of, warn_of_unknown

#: Not imported here: a site may do without Markdown.
_NUMBERING = "pelican_indieauth.numbering"


def initialized(pelican: Any) -> None:
    """Read the settings before anything is built, so that an invalid one ends the run here.

    All other handlers do nothing unless this one has stored the site.
    """
    settings = pelican.settings
    settings.pop(KEY, None)
    settings.pop(withheld.KEY, None)
    if not configured(settings):
        return
    site = settings[KEY] = site_of(settings)
    warn_of_unknown(settings)
    if any(link.rel == "micropub" for link in site.links):
        _number_lists(settings)


def _number_lists(settings: Any) -> None:
    """Have the lists in articles from apps begin with their number."""
    markdown = settings.get("MARKDOWN")
    if isinstance(markdown, dict):
        others = [each for each in markdown.get("extensions") or () if each != _NUMBERING]
        settings["MARKDOWN"] = {**markdown, "extensions": [*others, _NUMBERING]}


def get_generators(pelican: Any) -> tuple[type, ...] | None:
    """The plugin's own generators: redirects and tombstones, and the JSON Feed.

    Every build begins here, also with ``pelican -r``: the media folder may exist only now.
    """
    settings = pelican.settings
    site: PluginSettings | None = settings.get(KEY)
    if site is None:
        return None
    if site.media and (Path(settings["PATH"]) / site.media).is_dir():
        # Uploads are static files, never posts.
        for name in ("STATIC_PATHS", "ARTICLE_EXCLUDES", "PAGE_EXCLUDES"):
            others = [path for path in settings[name] if path != site.media]
            settings[name] = [*others, site.media]
    return Redirects, JsonFeed


def generator_init(generator: Any) -> None:
    """Prepare a generator's templates, and the order in which it reads files."""
    if KEY in generator.settings:
        site: PluginSettings = generator.settings[KEY]
        if site.mentions:
            post_mentions.keep_out(generator, site.mentions)
        order.sort_files(generator)
        templating.prepare(generator.env)


def article_generator_context(generator: Any, metadata: dict[str, Any]) -> None:
    """Called when a post has been read."""
    if KEY in generator.settings and withheld.is_early(metadata, generator.settings):
        # Pelican's status for a file to leave out.
        metadata["status"] = "skip"


def article_generator_pretaxonomy(generator: Any) -> None:
    """Called when all posts are read, before any list of them is made."""
    site: PluginSettings | None = generator.settings.get(KEY)
    if site is not None:
        found = generator.settings[withheld.KEY] = withheld.Withheld()
        lists = ("drafts", "drafts_translations")
        found.take_from(generator, lists, every=site.private_drafts)
        translations.drop_those_in_one_language(markup.articles_of(generator))


def page_generator_finalized(generator: Any) -> None:
    """The same for pages, which apps do not create."""
    site: PluginSettings | None = generator.settings.get(KEY)
    if site is not None and site.private_drafts:
        found = generator.settings.setdefault(withheld.KEY, withheld.Withheld())
        found.take_from(generator, ("draft_pages", "draft_translations"), every=True)


def all_generators_finalized(generators: Sequence[Any]) -> None:
    """Called when all posts and static files are known, before anything is written."""
    for generator in generators:
        # A generator of another plugin may be of any class.
        site: PluginSettings | None = getattr(generator, "settings", {}).get(KEY)
        articles = list(markup.articles_of(generator))
        if site is None or not hasattr(generator, "articles"):
            if site is not None and hasattr(generator, "hidden_pages"):
                markup.add_mentions([*generator.pages, *generator.hidden_pages], site, generator)
            continue
        context = generator.context
        private = [
            post
            for of, post in generator.settings.get(withheld.KEY, withheld.Withheld()).found
            if of is generator
        ]
        periods.join(generator)
        markup.add_entries([*articles, *private], site, context)
        context["home_mentions"] = markup.home_mentions(articles, site, context)
        if site.not_on_home:
            off_home.keep_off_home(generator, site.not_on_home)
        context[feeds.ARTICLES] = feeds.by_link(articles)
        context[redirects.MOVED] = redirects.moved(articles)
        context[redirects.WRITTEN] = set()


def content_written(path: str, context: Any) -> None:
    """Called when a page has been written."""
    if KEY in context and "output_file" in context:
        context.get(redirects.WRITTEN, set()).add(context["output_file"])
        pages.finish_file(path, context)


def feed_generated(context: Any, feed: Any) -> None:
    """Improve a feed's items before the feed is written."""
    site: PluginSettings | None = context.get(KEY)
    if site is None:
        return
    summary_only = bool(context.get("RSS_FEED_SUMMARY_ONLY"))
    feeds.amend(feed, context.get(feeds.ARTICLES, {}), summary_only=summary_only)
    if site.hub:
        feeds.add_hub(feed, site.hub)


def finalized(pelican: Any) -> None:
    """Called when everything is in the output folder, the site's static files included."""
    site: PluginSettings | None = pelican.settings.get(KEY)
    if site is not None:
        headers.write(
            Path(pelican.output_path),
            site.headers,
            site.links,
            gone.addresses(pelican.output_path, pelican.settings),
        )
        private: withheld.Withheld | None = pelican.settings.get(withheld.KEY)
        if private is not None and site.home == site.root:
            private.write_previews()
