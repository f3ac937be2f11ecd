"""One build after the other of one site, in a process that keeps what it can.

A build runs Pelican's own generators as ``pelican`` does. Pages are written into a folder of the
process's own, where they stay; each finished file goes from there to the output by rename. What
people look at first is written first; a page that is made from the same as before is not.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pelican import Pelican
from pelican.contents import Content
from pelican.generators import Generator
from pelican.log import LimitFilter
from pelican.plugins import signals
from pelican.settings import read_settings
from pelican.writers import Writer

from bridge.rebuild.output import Output
from bridge.rebuild.resident import contents, generators, plugins
from bridge.rebuild.resident.facts import Facts, Ingredients, Numbers, Opaque
from bridge.rebuild.resident.generators import WarmArticles, WarmStatic
from bridge.rebuild.resident.links import Links
from bridge.rebuild.resident.lists import SiteLists
from bridge.rebuild.resident.planning import Page, Planner
from bridge.rebuild.resident.reading import Shelf, Stamp, readers_with, stamp
from bridge.rebuild.resident.shadow import Shadow
from bridge.rebuild.resident.tracing import (
    CompiledTemplates,
    Trace,
    TracingEnvironment,
    known_to_pelican,
    trace_functions,
    tracing,
)

_log = logging.getLogger(__name__)


class Interrupted(Exception):
    """Something newer is to be built; what was written so far is good."""


class PageFailed(Exception):
    """A page could not be made. ``contents``: posts that may be at fault, likeliest first."""

    def __init__(self, reason: str, contents: list[Content]) -> None:
        super().__init__(reason)
        self.contents = contents


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are: the checkout, what in it are settings and content, and our own folder."""

    checkout: Path
    settings: str
    content: str
    shadow: Path


@dataclass(frozen=True, slots=True)
class _Made:
    """How a page was made last time."""

    made_by: tuple[str, ...]
    ingredients: Ingredients


@dataclass(slots=True)
class _Build:
    """What one build has to do with, and what it has done so far."""

    running: list[Generator]
    context: dict[str, Any]
    lists: SiteLists
    writer: Writer
    changed: set[str] = field(default_factory=set)
    traces: dict[str, tuple[Page, Trace]] = field(default_factory=dict)
    statics: dict[str, tuple[str, Stamp]] = field(default_factory=dict)


class WarmSite:
    """The site, warm. Raises :class:`~.plugins.Unfit` where that is not possible.

    ``shown`` is told of output files as soon as they are in place; ``newer`` says whether
    something newer is waiting, in which case a build is given up between two pages.
    """

    def __init__(
        self,
        place: Place,
        output: Output,
        *,
        shown: Callable[[Iterable[str]], None],
        newer: Callable[[], bool],
    ) -> None:
        self._shown = shown
        self._newer = newer
        self._shadow = Shadow(place.shadow, output)
        self._site = _pelican(place)
        plugins.check(self._site)
        self._memory = plugins.Memory(self._site)
        self._counting = plugins.Counting.take_off()
        self._pictures = plugins.Pictures()
        self.shelf = Shelf(whole=not plugins.sees_every_object())
        environment = type("Environment", (TracingEnvironment,), {"compiled": CompiledTemplates()})
        generators.install(environment, readers_with(self.shelf))
        self._links = Links()
        self._numbers = Numbers()
        self._made: dict[str, _Made] = {}
        self._statics: dict[str, tuple[str, Stamp]] = {}
        self._theme: set[str] = set()
        self._derived: dict[str, set[str]] = {}

    def build(self) -> tuple[str, ...]:
        """Bring the output up to date; the files that are other than before."""
        self._begin()
        build = self._read()
        self._copy_files(build)
        self._show_first(build)
        pages = self._plan(build)
        facts = Facts(self._numbers, build.context, build.lists.by_name, self._links.resolved)
        try:
            self._write(pages, facts, build)
        finally:
            # What was made before something newer came need not be made again.
            self._remember(facts, build)
        signals.finalized.send(self._site)
        self._finish(pages, facts, build)
        return tuple(sorted(build.changed))

    def _begin(self) -> None:
        """Nothing is left of the build before but what is kept on purpose."""
        self._memory.forget()
        self._pictures.unclaimed.clear()
        contents.forget()
        self.shelf.begin()
        self._links.begin()
        self._shadow.begin()
        # Pelican keeps these for the life of the process, since its process ends.
        LimitFilter._raised_messages.clear()
        LimitFilter._group_count.clear()
        Content.get_content.cache.clear()
        Content.get_summary.cache.clear()

    def _read(self) -> _Build:
        """Run the generators as far as Pelican's ``run`` does before it writes."""
        site = self._site
        context = site.settings.copy()
        context["generated_content"] = {}
        context["static_links"] = set()
        context["static_content"] = {}
        context["localsiteurl"] = site.settings["SITEURL"]
        classes = generators.warm(site._get_generator_classes())
        running = [
            kind(
                context=context,
                settings=site.settings,
                path=site.path,
                theme=site.theme,
                output_path=site.output_path,
            )
            for kind in classes
        ]
        for generator in running:
            _call(generator, "generate_context")
            # Past reading: from here on no single file is what fails.
            self.shelf.reading = ""
            _call(generator, "check_disabled_readers")
        signals.all_generators_finalized.send(running)
        for generator in running:
            _call(generator, "refresh_metadata_intersite_links")
            trace_functions(generator.env, _is_known)
        lists = SiteLists.of(context)
        return _Build(running, context, lists, Writer(site.output_path, settings=site.settings))

    def _copy_files(self, build: _Build) -> None:
        """Pictures and the like come first, so that no page is there before what it shows."""
        self._links.touch_in_order(build.context)

        def wanted(source: str, name: str) -> bool:
            build.statics[name] = source, stamp(source)
            return self._statics.get(name) != build.statics[name]

        first = not self._made
        for generator in build.running:
            if isinstance(generator, WarmStatic):
                generator.wanted, generator.with_theme = wanted, first
                generator.generate_output(build.writer)
        if first:
            self._theme = self._shadow.below(self._site.settings["THEME_STATIC_DIR"])
        new = [name for name, source in build.statics.items() if self._statics.get(name) != source]
        self._shadow.expect(new)
        copied = [name for name in new if self._shadow.publish(name)]
        build.changed.update(copied)
        self._shown(copied)
        self._statics = build.statics

    def _show_first(self, build: _Build) -> None:
        """Write at once what the changed posts are on, as far as people look there first."""
        fresh = set(self.shelf.fresh)
        if not self._made or not fresh:
            return

        def noted(page: Page, _: dict[str, Any]) -> None:
            if planner.pages[page.name] is page and (
                self._is_as_before(page) if page.content is None else page.source in fresh
            ):
                self._shadow.expect([page.name])
                self._make(page, build)

        planner = Planner(build.writer, build.lists, noted)
        for generator in build.running:
            if isinstance(generator, WarmArticles):
                generator.show_first(planner, fresh)

    def _is_as_before(self, page: Page) -> bool:
        """Whether this is the home page or a feed, and not in place of a post that is that."""
        made = self._made.get(page.name)
        first = page.name in _first_pages(self._site.settings)
        return first and made is not None and made.made_by == page.made_by

    def _plan(self, build: _Build) -> dict[str, Page]:
        """Every page of the site, by name."""

        def noted(page: Page, context: dict[str, Any]) -> None:
            if page.kind == "page":
                path = os.path.join(self._site.output_path, page.name)  # noqa: PTH118 - hot
                self._counting.tell(path, {**page.local, "output_file": page.name}, context)

        planner = Planner(build.writer, build.lists, noted)
        for generator in build.running:
            if not isinstance(generator, WarmStatic):
                _call(generator, "generate_output", planner)
        # A file of the owner's goes over a page of the same name.
        return {name: page for name, page in planner.pages.items() if name not in build.statics}

    def _write(self, pages: dict[str, Page], facts: Facts, build: _Build) -> None:
        """Write every page that is not up to date, what people look at first before the rest."""
        self._shadow.expect(pages)
        stale = [page for page in pages.values() if not self._up_to_date(page, facts, build)]
        for page in sorted(stale, key=_importance):
            if self._newer():
                raise Interrupted
            self._make(page, build)

    def _up_to_date(self, page: Page, facts: Facts, build: _Build) -> bool:
        if page.name in build.traces:
            return build.traces[page.name][0].made_by == page.made_by
        made = self._made.get(page.name)
        return (
            made is not None
            and made.made_by == page.made_by
            and facts.still(made.ingredients, page.local)
        )

    def _make(self, page: Page, build: _Build) -> None:
        """Write a page and put it where the world sees it."""
        trace = Trace()
        self._made.pop(page.name, None)
        try:
            with tracing(trace):
                page.write()
        except Exception as error:
            suspects = [page.content, trace.last]
            raise PageFailed(
                f"{page.name} cannot be made: {type(error).__name__}: {error}",
                [content for content in suspects if content is not None],
            ) from error
        build.traces[page.name] = page, trace
        if self._shadow.publish(page.name):
            build.changed.add(page.name)
        self._shown([page.name])

    def _remember(self, facts: Facts, build: _Build) -> None:
        """Note what pages were made from."""
        for name, (page, trace) in build.traces.items():
            self._derived[name] = trace.derived
            try:
                ingredients = _ingredients(page, trace, facts)
            except Opaque as reason:
                _log.debug("%s is made anew in every build: %s", name, reason)
            else:
                self._made[name] = _Made(page.made_by, ingredients)

    def _finish(self, pages: dict[str, Page], facts: Facts, build: _Build) -> None:
        """All pages are there: publish what plugins wrote, remove what no longer belongs."""
        for gone in self._made.keys() - pages.keys():
            del self._made[gone]
        for gone in self._derived.keys() - pages.keys():
            del self._derived[gone]
        pictures = self._pictures.unclaimed.union(*self._derived.values())
        names = (os.path.relpath(path, self._site.output_path) for path in pictures)
        build.changed.update(self._shadow.finish({*pages, *build.statics, *self._theme, *names}))
        self.shelf.end()
        facts.end()


def _call(generator: Generator, step: str, *arguments: Any) -> None:
    """A step that not every generator has."""
    if hasattr(generator, step):
        getattr(generator, step)(*arguments)


def _is_known(function: Any) -> bool:
    return known_to_pelican(function) or plugins.is_known(function)


def _ingredients(page: Page, trace: Trace, facts: Facts) -> Ingredients:
    if page.content is not None:
        # Plugins that amend a page look at its post too.
        trace.saw(page.content)
    if page.kind == "feed":
        trace.names.update(page.local)
        for element in page.local["elements"]:
            trace.saw(element)
    return facts.ingredients(trace, page.local)


def _pelican(place: Place) -> Pelican:
    """Pelican with the site's settings and plugins, as its command line makes it."""
    os.chdir(place.checkout)
    sys.argv = ["pelican"]
    override = {
        "PATH": str(place.checkout / place.content),
        "OUTPUT_PATH": str(place.shadow),
        "DEBUG": False,
    }
    return Pelican(read_settings(str(place.checkout / place.settings), override=override))


def _first_pages(settings: dict[str, Any]) -> set[str]:
    """The home page and the feeds of the whole site."""
    names = ("INDEX_SAVE_AS", "FEED_ALL_ATOM", "FEED_ALL_RSS", "FEED_ATOM", "FEED_RSS")
    return {str(settings[name]) for name in names if settings.get(name)}


def _importance(page: Page) -> tuple[int, float]:
    """The home page and feeds, new posts, old posts, then what is further back in the lists."""
    if page.content is not None:
        when = getattr(page.content, "date", None)
        return 1, -when.timestamp() if when is not None else 0
    listed = page.local.get("articles_page")
    return (0, 0) if listed is None or listed.number == 1 else (2, listed.number)
