"""What happens at each of Pelican's signals (held weakly: functions of a module)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pelican_indieauth import markup, templating
from pelican_indieauth.endpoints import configured
from pelican_indieauth.head import with_links
from pelican_indieauth.site import KEY, Site, media_folder, site_of

_PAGES = frozenset({".html", ".htm", ".xhtml", ""})


def initialized(pelican: Any) -> None:
    """Reads the settings once before anything is built, so that a wrong one ends the run here."""
    settings = pelican.settings
    if not configured(settings):
        return
    site_of(settings)
    folder = media_folder(settings)
    paths = settings.get("STATIC_PATHS", [])
    if folder and folder not in paths and (Path(settings["PATH"]) / folder).is_dir():
        settings["STATIC_PATHS"] = [*paths, folder]


def generator_init(generator: Any) -> None:
    """Prepares a generator's templates, and leaves the site in the context that all share."""
    if not configured(generator.settings):
        return
    templating.prepare(generator.env)
    if KEY not in generator.context:
        generator.context[KEY] = site_of(generator.settings)


def all_generators_finalized(generators: Sequence[Any]) -> None:
    """Every post and every static file is known now, and nothing is written yet."""
    for generator in generators:
        site: Site | None = generator.context.get(KEY)
        articles = list(markup.articles_of(generator))
        if site is None or not articles:
            continue
        markup.add_entries(articles, site, generator.context)
        if site.markup:
            markup.wrap(articles, generator.env)


def content_written(path: str, context: Any) -> None:
    """Puts the links into a page that has just been written."""
    site: Site | None = context.get(KEY)
    file = Path(path)
    if site is None or file.suffix.lower() not in _PAGES:
        return
    page = file.read_bytes()
    linked = with_links(page, site.links)
    if linked != page:
        file.write_bytes(linked)
