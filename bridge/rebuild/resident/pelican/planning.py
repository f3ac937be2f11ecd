"""Plans which files a build will write, before any is written.

Pelican's generators run as always, but with a writer that only records. The pages can then be
rendered in another order, or not at all where nothing that they depend on has changed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pelican.contents import Content
from pelican.paginator import Paginator
from pelican.utils import get_relative_path, path_to_url, sanitised_join
from pelican.writers import FileOverwriteFailedError, Writer

from bridge.rebuild.resident.pelican.lists import SiteLists
from bridge.rebuild.resident.pelican.reading import stamp

Local: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class PlannedPage:
    """One file that a generator would write.

    ``local`` are the variables that only this file has; ``made_by`` distinguishes it from a page
    with equal variables (its template, the file of its post). ``write`` writes it.
    """

    name: str
    kind: Literal["page", "feed"]
    local: Local
    made_by: tuple[str, ...]
    override: bool
    write: Callable[[], None]

    @property
    def content(self) -> Content | None:
        """The post or page that this is the page of."""
        found = self.local.get("article") or self.local.get("page")
        return found if isinstance(found, Content) else None

    @property
    def source(self) -> str | None:
        """The file of that post."""
        return self.content.source_path if self.content is not None else None

    def texts(self, settings: Mapping[str, Any]) -> list[Content]:
        """The posts whose whole text this file shows, or makes a summary of."""
        if self.content is not None:
            return [self.content]
        summaries = self.made_by == ("rss",) and settings["RSS_FEED_SUMMARY_ONLY"]
        posts = self.local["elements"] if self.kind == "feed" else ()
        return [post for post in posts if not (summaries and "summary" in post.metadata)]


class Collision(FileOverwriteFailedError):  # type: ignore[misc] # not typed
    """Two pages have the same output file. A subclass of the error that Pelican raises."""

    def __init__(self, first: PlannedPage, second: PlannedPage) -> None:
        name, one, other = second.name, first.source, second.source
        problem = f"two pages are to be written to {name}"
        if one and other and one != other:
            problem = f"{one} and {other} are both to be written to {name}: change the slug of one"
        super().__init__(problem)
        self.first = first
        self.second = second


class PlanningWriter(Writer):  # type: ignore[misc] # Pelican's classes are not typed
    """A writer that writes nothing.

    ``noted`` is called with each page. ``pages`` are the pages so far, by name, after Pelican's own
    rules about overwriting, ``hidden`` the names of which one hides another. ``context`` is the one
    that posts have: with RELATIVE_URLS, links in posts are relative to the page that was written
    last with that context. Where that is not the page itself, it is the one that a clean build has
    written last.
    """

    def __init__(
        self,
        real: Writer,
        lists: SiteLists,
        noted: Callable[[PlannedPage, dict[str, Any]], None],
        context: dict[str, Any],
    ) -> None:
        super().__init__(real.output_path, real.settings)
        self.context = context
        self.localsiteurl: str = real.settings["SITEURL"]
        self.pages: dict[str, PlannedPage] = {}
        self.hidden: set[str] = set()
        self._real = real
        self._lists = lists
        self._noted = noted

    def forget(self) -> None:
        """Forget the pages, and the callback for them."""
        self.pages = {}
        self._noted = _ignore

    def write_feed(
        self,
        elements: Sequence[Any],
        context: dict[str, Any],
        path: str | None = None,
        url: str | None = None,
        feed_type: str = "atom",
        override_output: bool = False,
        feed_title: str | None = None,
    ) -> Any:
        """Note a feed."""
        if not path:
            return self._real.write_feed(elements, context, path, url, feed_type)
        shown = list(elements[: self.settings["FEED_MAX_ITEMS"]])

        def write() -> None:
            # Pelican writes all feeds before all pages.
            self._begin(self.settings["SITEURL"])
            self._real.write_feed(shown, context, path, url, feed_type, override_output, feed_title)

        local = {"elements": shown, "title": feed_title, "url": url}
        name = _relative(self.output_path, path)
        self._note(PlannedPage(name, "feed", local, (feed_type,), override_output, write), context)
        return None

    def write_file(
        self,
        name: Any,
        template: Any,
        context: dict[str, Any],
        relative_urls: bool = False,
        paginated: Mapping[str, Any] | None = None,
        template_name: str | None = None,
        override_output: bool = False,
        url: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Note a page, or every page of a listing."""
        if not name:
            return
        if paginated is None:
            paginated = {key: kwargs[key] for key in ("articles", "dates") if key in kwargs}
        if not (paginated and template_name in self.settings["PAGINATED_TEMPLATES"]):
            self._file(str(name), template, context, relative_urls, override_output, kwargs)
            return
        per_page = (
            self.settings["PAGINATED_TEMPLATES"][template_name]
            or self.settings["DEFAULT_PAGINATION"]
        )
        paginators = {
            key: Paginator(name, url, items, self.settings, per_page)
            for key, items in paginated.items()
        }
        for number in range(1, next(iter(paginators.values())).num_pages + 1):
            place, variables = _pages(paginators, number)
            local = {**kwargs, **variables}
            self._file(place, template, context, relative_urls, override_output, local)

    def _file(
        self,
        name: str,
        template: Any,
        context: dict[str, Any],
        relative: bool,
        override: bool,
        kwargs: Local,
    ) -> None:
        variables = {key: self._lists.watched(value, key) for key, value in kwargs.items()}
        before = self.localsiteurl
        if relative and context is self.context:
            before = self.localsiteurl = path_to_url(get_relative_path(name))

        def write() -> None:
            self._begin(before)
            self._real.write_file(
                name, template, context, relative, override_output=override, **variables
            )

        place = _relative(self.output_path, name)
        # Archives of a period come with a context of their own.
        own: dict[str, Any] = {
            key: context[key] for key in ("period", "period_num") if key in context
        }
        content = kwargs.get("article") or kwargs.get("page")
        made_by = (str(template.name), name, before, str(content or ""), *_version(template))
        self._note(
            PlannedPage(place, "page", {**own, **variables}, made_by, override, write), context
        )

    def _note(self, page: PlannedPage, context: dict[str, Any]) -> None:
        """Pelican's rules: no file twice, unless one of the two overrides the other."""
        before = self.pages.get(page.name)
        if before is not None and before.override == page.override:
            raise Collision(before, page)
        if before is not None:
            self.hidden.add(page.name)
        if before is None or page.override:
            self.pages[page.name] = page
        self._noted(page, context)

    def _begin(self, localsiteurl: str) -> None:
        """A file is about to be written."""
        self.context["localsiteurl"] = localsiteurl
        # The planner has applied Pelican's rules about overwriting already.
        self._real._written_files.clear()
        self._real._overridden_files.clear()


@contextmanager
def planning(
    real: Writer,
    lists: SiteLists,
    noted: Callable[[PlannedPage, dict[str, Any]], None],
    context: dict[str, Any],
) -> Iterator[PlanningWriter]:
    """A planner for the block, which then forgets its pages: these refer to it, and have all posts
    of the build.
    """
    planner = PlanningWriter(real, lists, noted, context)
    try:
        yield planner
    finally:
        planner.forget()


def written_already(writer: Writer, pages: Iterable[PlannedPage]) -> None:
    """Have a writer apply Pelican's rules about overwriting to pages that are written."""
    for page in pages:
        path = sanitised_join(writer.output_path, page.name)
        writer._written_files.add(path)
        if page.override:
            writer._overridden_files.add(path)


def _ignore(page: PlannedPage, context: dict[str, Any]) -> None:
    """Do nothing with a page."""


def _pages(paginators: Mapping[str, Paginator], number: int) -> tuple[str, dict[str, Any]]:
    """Where page ``number`` of a listing goes, and its variables, as Pelican's writer has them."""
    variables: dict[str, Any] = {}
    place = ""
    for key, paginator in paginators.items():
        page = paginator.page(number)
        variables |= {
            f"{key}_paginator": paginator,
            f"{key}_page": page,
            f"{key}_previous_page": paginator.page(number - 1) if number > 1 else None,
            f"{key}_next_page": (
                paginator.page(number + 1) if number < paginator.num_pages else None
            ),
        }
        place = page.save_as
    return place, variables


def _version(template: Any) -> tuple[str, ...]:
    """A template among the posts (``TEMPLATE_PAGES``) may be another in every build."""
    try:
        return tuple(map(str, stamp(template.filename)))
    except (OSError, TypeError):
        return ()


@functools.lru_cache(maxsize=200_000)
def _relative(output: str, name: str) -> str:
    """A file's path in the output folder; raises ``RuntimeError`` where it would be outside."""
    return os.path.relpath(sanitised_join(output, name), output).replace(os.sep, "/")
