"""Pelican's generators, without their steps that are quadratic in the number of posts."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from pelican import generators, utils
from pelican.contents import Content
from pelican.generators import ArticlesGenerator, StaticGenerator
from pelican.writers import Writer

from bridge.rebuild.resident.pelican import contents
from bridge.rebuild.resident.pelican.lists import Findable

_CHUNK = 100


def process_translations(
    content_list: list[Content], translation_id: str | Collection[str] | None = None
) -> tuple[list[Content], list[Content]]:
    """Pelican's function of this name, applied to some groups of translations at a time.

    It searches a list for every post, but groups are independent of each other.
    """
    if not translation_id:
        return content_list, []
    ids = {translation_id} if isinstance(translation_id, str) else translation_id
    same = attrgetter(*ids)
    try:
        content_list.sort(key=same)
    except (AttributeError, TypeError):
        # Pelican's own function raises the better error.
        return _of_all(content_list, translation_id)
    originals: list[Content] = []
    translations: list[Content] = []
    for chunk in _chunks(content_list, same):
        some, others = _of_all(chunk, translation_id)
        originals += some
        translations += others
    return originals, translations


def _of_all(
    contents: list[Content], translation_id: str | Collection[str] | None
) -> tuple[list[Content], list[Content]]:
    found: tuple[list[Content], list[Content]]
    found = utils.process_translations(contents, translation_id)
    return found


def _chunks(contents: list[Content], same: Callable[[Content], Any]) -> Iterator[list[Content]]:
    chunk: list[Content] = []
    for _, group in itertools.groupby(contents, same):
        chunk += group
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class WarmArticles(ArticlesGenerator):  # type: ignore[misc] # Pelican's classes are not typed
    """Pelican's articles. Each listing is made as always, with no more articles than it lists."""

    dates: Any

    def _get_file_stamp(self, filename: str) -> str:
        """Not needed without Pelican's own cache."""
        del filename
        return ""

    def check_disabled_readers(self) -> None:
        """Do nothing: its warnings about files without a reader are for a terminal."""

    def _build_period_archives(
        self, sorted_articles: Sequence[Any], articles: Sequence[Any], settings: dict[str, Any]
    ) -> dict[str, list[Any]]:
        """One year after the other, since no period crosses years."""
        by_year: dict[int, list[Any]] = defaultdict(list)
        for article in articles:
            by_year[article.date.year].append(article)
        archives: dict[str, list[Any]] = defaultdict(list)
        build = super()._build_period_archives
        for year, group in itertools.groupby(sorted_articles, attrgetter("date.year")):
            for granularity, periods in build(list(group), by_year[year], settings).items():
                archives[granularity] += periods
        return archives

    def generate_tags(self, write: Callable[..., None]) -> None:
        """One tag after the other."""
        self._each("tags", super().generate_tags, write)

    def generate_categories(self, write: Callable[..., None]) -> None:
        """One category after the other."""
        self._each("categories", super().generate_categories, write)

    def generate_authors(self, write: Callable[..., None]) -> None:
        """One author after the other."""
        self._each("authors", super().generate_authors, write)

    def _each(self, name: str, generate: Callable[..., None], write: Callable[..., None]) -> None:
        """Let a listing look for its articles among its articles, in the order of all dates."""
        groups, dates = getattr(self, name), self.dates
        rank = {id(article): place for place, article in enumerate(dates)}
        try:
            for item, listed in groups.items() if isinstance(groups, dict) else groups:
                here = [article for article in listed if id(article) in rank]
                self.dates = sorted(here, key=lambda article: rank[id(article)])
                found = Findable(listed)
                setattr(self, name, {item: found} if isinstance(groups, dict) else [(item, found)])
                generate(write)
        finally:
            self.dates = dates
            setattr(self, name, groups)

    def show_first(self, writer: Writer, fresh: Collection[str]) -> None:
        """What people look at first: the posts that have just changed, the lists, the feeds."""
        write = partial(writer.write_file, relative_urls=self.settings["RELATIVE_URLS"])
        names = ("translations", "articles", "hidden_translations", "hidden_articles")
        kept = {name: getattr(self, name) for name in (*names, "drafts", "drafts_translations")}
        for name, posts in kept.items():
            setattr(self, name, [post for post in posts if post.source_path in fresh])
        try:
            self.generate_articles(write)
            self.generate_drafts(write)
        finally:
            for name, posts in kept.items():
                setattr(self, name, posts)
        self.generate_direct_templates(write)
        self.generate_feeds(writer)


class WarmStatic(StaticGenerator):  # type: ignore[misc] # Pelican's classes are not typed
    """Pelican's static files, copied where they have changed."""

    #: Told where a file comes from and goes to, says whether to copy it.
    wanted: Callable[[str, str], bool]
    with_theme = True

    def _copy_paths(self, *args: Any, **options: Any) -> None:
        if self.with_theme:
            super()._copy_paths(*args, **options)

    def _file_update_required(self, staticfile: Any) -> bool:
        return self.wanted(staticfile.source_path, staticfile.save_as)

    def _link_or_copy_staticfile(self, sc: Any) -> None:
        # A link would let a plugin that changes its output change the source.
        self._copy_staticfile(sc)


def install(environment: type, readers: type) -> None:
    """Have Pelican's generators use ours. For a process that does nothing else."""
    generators.process_translations = process_translations
    generators.Article = contents.Article
    generators.Page = contents.Page
    generators.Environment = environment
    generators.Readers = readers


def warm(classes: Sequence[type]) -> list[type]:
    """The generators of a site, those of Pelican's own replaced by ours."""
    ours = {ArticlesGenerator: WarmArticles, StaticGenerator: WarmStatic}
    return [ours.get(kind, kind) for kind in classes]
