"""Builds one site again and again in a process that caches what it can.

A build runs Pelican's own generators as ``pelican`` does. Pages are written into a folder of the
process's own, where they stay; each finished file is published from there by a rename. Pages that
people look at first are rendered first, and pages whose dependencies have not changed are not
rendered.
"""

from __future__ import annotations

import os
import threading
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from blinker import ANY
from msgspec import Struct, field
from pelican.contents import Content
from pelican.generators import Generator, PagesGenerator
from pelican.log import LimitFilter
from pelican.plugins import signals
from pelican.writers import Writer

from bridge.rebuild.local.output import Output
from bridge.rebuild.local.plain_pelican import Runs, leave_out
from bridge.rebuild.resident import UnsupportedSiteError
from bridge.rebuild.resident.bad_posts import LoggedErrors
from bridge.rebuild.resident.copying import StaticCopies
from bridge.rebuild.resident.loaded import LoadedSite, SitePaths
from bridge.rebuild.resident.messages import Build
from bridge.rebuild.resident.pelican import contents, generators, plugins
from bridge.rebuild.resident.pelican.generators import WarmArticles, WarmStatic
from bridge.rebuild.resident.pelican.kept_on_disk import KeptOnDisk
from bridge.rebuild.resident.pelican.late_plugins import LatePlugins
from bridge.rebuild.resident.pelican.links import Links
from bridge.rebuild.resident.pelican.lists import SiteLists
from bridge.rebuild.resident.pelican.planning import PlannedPage, planning, written_already
from bridge.rebuild.resident.pelican.reading import (
    CachedFileChanged,
    ContentCache,
    readers_with,
)
from bridge.rebuild.resident.pelican.state import SiteState, StateBeforePages, StateWhileReading
from bridge.rebuild.resident.reuse.inputs import BuildInputs, ValueNumbering
from bridge.rebuild.resident.reuse.pages import Pages
from bridge.rebuild.resident.reuse.staged_site import StagedSite
from bridge.rebuild.resident.reuse.templates import (
    forget_classes,
    known_to_pelican,
    not_folded,
    trace_functions,
    tracing_environment,
)
from bridge.rebuild.resident.reuse.trusted import Libraries, PelicanClasses
from bridge.rebuild.resident.waited_for import WaitedFor, first_pages, importance
from bridge.settings import prefix_of


class _OrderMatters(Exception):
    """A page can depend on those that were written before it, by what has this name."""


class Interrupted(Exception):
    """A newer version is waiting; everything published so far is valid."""


class _Build(Struct):
    """The objects of one build, and what it has done so far.

    ``before`` is the state of the site's own code before the first page, ``made`` counts pages.
    ``hidden`` are output files that several pages share; only one of those pages is rendered.
    ``first`` are the files of the posts for whose pages clients wait. ``localsiteurl_after`` maps
    a generator's id to what links are relative to once it has written its pages (RELATIVE_URLS).
    """

    running: list[Generator]
    context: dict[str, Any]
    lists: SiteLists
    inputs: BuildInputs
    writer: Writer
    before: StateBeforePages
    made: int = 0
    hidden: set[str] = field(default_factory=set)
    localsiteurl_after: dict[int, str] = field(default_factory=dict)
    first: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)


class WarmSite:
    """A site that stays in memory. Raises :class:`UnsupportedSiteError` for some sites.

    ``shown`` is called with output files as soon as they are in place, ``previewed`` with the
    previews of private drafts. ``newer`` says whether a newer version is waiting, for which a build
    is interrupted between two pages. ``logged`` collects errors.
    """

    def __init__(
        self,
        site_paths: SitePaths,
        output: Output,
        *,
        shown: Callable[[Iterable[str]], None],
        previewed: Callable[[Collection[str]], None],
        newer: Callable[[], bool],
        logged: LoggedErrors,
    ) -> None:
        self.site_paths = site_paths
        self._previewed, self._newer, self._logged = previewed, newer, logged
        self._staged = StagedSite(site_paths.staged, output)
        self._loaded = LoadedSite(site_paths)
        if not self._loaded.pelican.delete_outputdir:
            self._staged.loaded()
        self._site = self._loaded.pelican
        self._posts, self._left_out, self._unchecked = set[str](), set[str](), set[str]()
        self._memory = SiteState(self._site, site_paths.checkout)
        self._counting = plugins.Counting.detach()
        made = site_paths.staged.with_name(f"{site_paths.staged.name}-made")
        self._late = LatePlugins.detach(made)
        self._staged.unfinished = self._late.holds or bool(self._late.by_file)
        self._pictures = plugins.Pictures()
        self._read_through_caches()
        self._links = Links()
        self._numbering = ValueNumbering()
        self._pages = Pages(self._staged, shown, plugins.wants_each())
        self._copies = StaticCopies(self._staged, self._site.settings["THEME_STATIC_DIR"], shown)
        self._waited_for = WaitedFor(site_paths.checkout)
        self._runs = Runs()
        #: Of the last build.
        self._context: dict[str, Any] = {}
        signals.all_generators_finalized.connect(self._runs.note)
        libraries = Libraries()
        self._receivers, self._classes = plugins.Receivers(libraries), PelicanClasses(libraries)
        #: Posts that the last build read but made no page for.
        self.unlisted: list[str] = []
        #: No build has been completed yet.
        self._cold = True
        #: All pages are written in every build, in the order of a clean one.
        self._in_order = False
        #: The name of what pages change, where they are written in order.
        self.counts = ""

    def _read_through_caches(self) -> None:
        """Have Pelican's generators read posts and templates through the caches."""
        self.content_cache = ContentCache(
            whole=not plugins.sees_every_object(),
            logged=self._logged.__len__,
            state=StateWhileReading(self._site, self.site_paths.checkout),
        )
        self._disk = self._parsed_on_disk()
        readers = readers_with(self.content_cache, self._disk)
        generators.install(tracing_environment(self._loaded.also_read), readers)

    def _parsed_on_disk(self) -> KeptOnDisk | None:
        """What readers have made of posts, from an earlier process."""
        paths = self.site_paths
        if paths.cache is None:
            return None
        return KeptOnDisk(paths.cache, paths.checkout, paths.rest, self._site.settings)

    def build(self, order: Build) -> tuple[str, ...]:
        """Bring the output up to date; returns the files that differ from before.

        Raises :class:`~.reading.CachedFileChanged` where a file has changed that this process has
        cached for good, and :class:`Interrupted`.
        """
        self._loaded.check_unchanged()
        self._unchecked |= order.changed
        self._logged.at_start.check_plugins(lacks=order.lacks, unreadable=self._loaded.unreadable)
        # Reading a whole site takes a while: what changes during it is read as well.
        give_up = self._give_up if self._cold and not order.first else _go_on
        give_up()
        try:
            return self._bring_up_to_date(order, give_up)
        except _OrderMatters as by:
            self._in_order, self.counts = True, str(by)
            return self._bring_up_to_date(order, give_up)
        finally:
            self._release()

    def _bring_up_to_date(self, order: Build, give_up: Callable[[], None]) -> tuple[str, ...]:
        self._begin()
        build = self._read(give_up, frozenset(order.left_out))
        self._check_posts(build.context, order)
        self._staged.holds = self._late.holds
        if not (self._staged.holds or self._in_order):
            build.first = self._waited_for.posts(
                build.context, read=self.content_cache.fresh, posts=self._posts, unseen=order.first
            )
        self._copy_files(build, order.first)
        self._staged.holds = self._staged.unfinished
        pages = self._plan(build)
        self._write(pages, build)
        self._check_order(build)
        self._run_late(pages, build)
        self._late.finalize(self._site, self._staged)
        self._finish(pages, build)
        self.unlisted = self._runs.unlisted()
        return tuple(sorted(build.changed))

    def _begin(self) -> None:
        """Reset everything but the caches."""
        self._memory.forget()
        self._receivers.restore()
        self._classes.restore()
        self._pictures.unclaimed.clear()
        contents.forget()
        forget_classes()
        self.content_cache.begin()
        self._links.begin()
        self._pages.begin()
        self._staged.begin(kept=self._names(self._pages.derived()))
        self._release()
        # Pelican keeps these for the life of its process.
        LimitFilter._raised_messages.clear()
        LimitFilter._group_count.clear()

    def _release(self) -> None:
        """Forget what has the posts of the last build, or would have them until there is garbage to
        collect: they and the context refer to each other.
        """
        if threading.active_count() == 1:
            # A thread of a plugin's may go on with it after the build, as it does with Pelican.
            self._context.clear()
        self._runs.begin()
        Content.get_content.cache.clear()
        Content.get_summary.cache.clear()

    def _give_up(self) -> None:
        if self._newer():
            raise Interrupted

    def _read(self, give_up: Callable[[], None], left_out: Collection[str]) -> _Build:
        """Run the generators as far as Pelican's ``run`` does before it writes."""
        site = self._site
        context = self._context = site.settings.copy()
        context |= {
            "generated_content": {},
            "static_links": set(),
            "static_content": {},
            "localsiteurl": site.settings["SITEURL"],
        }
        running = self._generators(context)
        for generator in running if left_out else ():
            if isinstance(generator, Generator):
                leave_out(generator, left_out)
        for generator in running:
            _call(generator, "generate_context")
            # All files are read: from here on no single file is at fault.
            self.content_cache.reading = ""
            _call(generator, "check_disabled_readers")
            give_up()
        signals.all_generators_finalized.send(running)
        environments = [generator.env for generator in running if hasattr(generator, "env")]
        for generator in running:
            _call(generator, "refresh_metadata_intersite_links")
        self._build_subsites()
        for environment in environments:
            trace_functions(environment, _is_known)
        lists = SiteLists.of(context)
        # Names that are not in a template's context.
        globals_ = (environment.globals for environment in environments)
        names = ChainMap({"localsiteurl": site.settings["SITEURL"]}, context, *globals_)
        inputs = BuildInputs(self._numbering, names, lists.by_name, self._links.resolved)
        writer = Writer(site.output_path, settings=site.settings)
        before = self._memory.before_pages(context, environments)
        build = _Build(running, context, lists, inputs, writer, before)
        self._links.touch_in_order(context, lambda: _in_clean_order(build))
        return build

    def _generators(self, context: dict[str, Any]) -> list[Generator]:
        """The generators that Pelican would run, warm where they can be."""
        site = self._site
        return [
            kind(
                context=context,
                settings=site.settings,
                path=site.path,
                theme=site.theme,
                output_path=site.output_path,
            )
            for kind in generators.warm(site._get_generator_classes())
        ]

    def _build_subsites(self) -> None:
        """Let a plugin build the site in further languages, each as Pelican does it."""
        if not any(signals.get_writer.receivers_for(ANY)):
            return
        self._counting.connect()
        self._late.connect()
        try:
            signals.get_writer.send(self._site)
        finally:
            # Building a site registers plugins once more.
            self._counting.disconnect()
            self._late.disconnect()

    def _check_posts(self, context: Mapping[str, Any], order: Build) -> None:
        """Check that only posts have changed, and that some can be read at all."""
        # Includes the changes of builds that were interrupted before this check.
        changed, self._unchecked = self._unchecked, set()
        before, root = self._posts | self._left_out, f"{self.site_paths.checkout}/"
        self._posts = {path.removeprefix(root) for path in self.content_cache.posts()}
        own = tuple(f"{folder}/" for folder in self.site_paths.own)
        self._left_out = {prefix_of(self.site_paths.content) + path for path in order.left_out}
        for path in changed if before else ():
            known = path in before or path in self._posts or path in self._left_out
            if not known and not path.startswith(own):
                raise CachedFileChanged(f"{path} has changed, which is not a post")
        if order.excused is None:
            return
        self._logged.summary().check_some_are_read(self._posts, order.excused)
        if not any(context.get(name) for name in ("articles", "drafts", "hidden_articles")):
            content = self.site_paths.checkout / self.site_paths.content
            self._logged.at_start.check_not_emptied(content)

    def _copy_files(self, build: _Build, new: Collection[str]) -> None:
        """Copy pictures and the like first, so that no page is published before what it shows.

        A new post does not wait for the files of older posts, which the output has already, nor for
        the removal of the older site, whose room on the disk these files may need.
        """
        if self._cold and build.first:
            first = self._waited_for.files(new)
            build.changed.update(self._copies.copy(build.running, first=first))
            self._show_first(build)
            self._staged.remove_older()
            build.changed.update(self._copies.copy(build.running, check_newer=self._give_up))
        else:
            self._staged.remove_older()
            build.changed.update(self._copies.copy(build.running))
            self._show_first(build)

    def _show_first(self, build: _Build) -> None:
        """Render the pages that clients wait for, then the home page and the feeds."""
        if not build.first:
            return
        if previews := plugins.write_previews(self._site.settings, build.first):
            self._previewed(previews)
        home = first_pages(self._site.settings)

        def noted(page: PlannedPage, _: dict[str, Any]) -> None:
            if page.content is not None:
                wanted = page.source in build.first
            else:
                # A post may have the address of the home page.
                wanted = page.name in home and self._pages.is_as_before(page)
                wanted = wanted and not self._pages.is_up_to_date(page, build.inputs)
            if wanted and planner.pages[page.name] is page:
                self._staged.expect([page.name])
                self._make(page, build)

        with planning(build.writer, build.lists, noted, build.context) as planner:
            for generator in build.running:
                if isinstance(generator, WarmArticles):
                    generator.show_first(planner, build.first)
                elif type(generator) is PagesGenerator:
                    _call(generator, "generate_output", planner)

    def _plan(self, build: _Build) -> dict[str, PlannedPage]:
        """Every page of the site, by name."""

        def noted(page: PlannedPage, context: dict[str, Any]) -> None:
            self._give_up()
            if page.kind == "page":
                path = os.path.join(self._site.output_path, page.name)  # noqa: PTH118 - hot
                self._counting.tell(path, {**page.local, "output_file": page.name}, context)

        with planning(build.writer, build.lists, noted, build.context) as planner:
            for generator in build.running:
                if not (isinstance(generator, WarmStatic) or plugins.wants_all_pages(generator)):
                    _call(generator, "generate_output", planner)
                    build.localsiteurl_after[id(generator)] = planner.localsiteurl
            # A static file wins over a page of the same name.
            copied = self._copies.names
            build.hidden = planner.hidden | planner.pages.keys() & copied
            return {name: page for name, page in planner.pages.items() if name not in copied}

    def _write(self, pages: dict[str, PlannedPage], build: _Build) -> None:
        """Render every page that is not up to date, the most visited first."""
        self._staged.expect(pages)
        stale = [
            page
            for page in pages.values()
            if self._in_order or not self._pages.is_up_to_date(page, build.inputs)
        ]
        home = first_pages(self._site.settings)
        if not (self._late.holds or self._in_order):
            stale.sort(key=lambda page: (page.name not in home, *importance(page)))
        for page in stale:
            if self._newer():
                self._staged.settle()
                raise Interrupted
            self._make(page, build)

    def _make(self, page: PlannedPage, build: _Build) -> None:
        if self._pages.make(page, build.inputs):
            build.changed.add(page.name)
        build.made += 1
        if build.made & (build.made - 1) == 0:
            self._check_order(build)

    def _check_order(self, build: _Build) -> None:
        """Check that no page depends on others, except where they are written in order."""
        if (name := build.before.changed()) is None:
            return
        if not_folded:
            raise UnsupportedSiteError(
                f"the filter or test {min(not_folded)!r}, applied to a constant, may count pages",
                "Apply it to a value that differs between pages",
            )
        if build.hidden:
            raise UnsupportedSiteError(
                f"{name} counts pages, and {min(build.hidden)} is written twice",
                "Give every page, post and file a different URL",
            )
        if not self._in_order:
            raise _OrderMatters(name)

    def _run_late(self, pages: dict[str, PlannedPage], build: _Build) -> None:
        """Run the plugins that write files of their own, now that all pages exist."""
        if not (self._late.holds or any(map(self._late.is_late, build.running))):
            return
        self._staged.prune(self._known(pages, build))
        written_already(build.writer, pages.values())
        self._counting.connect()
        try:
            for generator in build.running:
                if (url := build.localsiteurl_after.get(id(generator))) is not None:
                    build.context["localsiteurl"] = url
                self._late.write(generator, build.writer)
        finally:
            self._counting.disconnect()

    def _known(self, pages: dict[str, PlannedPage], build: _Build) -> set[str]:
        """The output files that stay, whether this build has written them or not."""
        self._pages.keep_only(pages)
        pictures = self._names(self._pages.derived() | self._pictures.unclaimed)
        return {*pages, *self._copies.names, *self._copies.theme, *pictures}

    def _names(self, paths: Collection[str]) -> set[str]:
        """The names of output files."""
        return {os.path.relpath(path, self._site.output_path) for path in paths}

    def _finish(self, pages: dict[str, PlannedPage], build: _Build) -> None:
        """All pages are up to date: publish what plugins wrote, and remove stale files."""
        build.changed.update(self._staged.finish(self._known(pages, build)))
        self._staged.settle()
        self._cold = False
        self.content_cache.end()
        self._copies.end()
        if self._disk is not None:
            self._disk.end(set(self.content_cache.posts()))
        build.inputs.end()


def _call(generator: Generator, step: str, *arguments: Any) -> None:
    """Call a method that not every generator has."""
    if hasattr(generator, step):
        getattr(generator, step)(*arguments)


def _in_clean_order(build: _Build) -> Iterable[Content]:
    """Posts and pages in the order in which ``pelican`` first writes their texts."""
    found: list[Content] = []

    def noted(page: PlannedPage, _: dict[str, Any]) -> None:
        found.extend(page.texts(build.context))

    with planning(build.writer, build.lists, noted, build.context) as planner:
        for generator in build.running:
            if type(generator) in (WarmArticles, PagesGenerator):
                _call(generator, "generate_output", planner)
    return found


def _go_on() -> None:
    """Do not interrupt the build."""


def _is_known(function: Any) -> bool:
    return known_to_pelican(function) or plugins.is_known(function)
