"""Renders pages, and records what each depends on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from pelican.contents import Content

from bridge.rebuild.local.pelican_log import NOT_MADE
from bridge.rebuild.resident import UnsupportedSiteError
from bridge.rebuild.resident.pelican.planning import PlannedPage
from bridge.rebuild.resident.reuse.inputs import BuildInputs, Dependencies, Opaque
from bridge.rebuild.resident.reuse.opened import noting
from bridge.rebuild.resident.reuse.staged_site import StagedSite
from bridge.rebuild.resident.reuse.trace import Trace, tracing

#: What Pelican looks up in the context for each feed, besides the feed's posts.
_OF_FEEDS = ("SITENAME", "SITESUBTITLE", "SITEURL", "localsiteurl", "RSS_FEED_SUMMARY_ONLY")
_log = logging.getLogger(__name__)


class PageFailed(Exception):
    """A page could not be made. ``contents``: posts that may be at fault, likeliest first."""

    def __init__(self, reason: str, contents: list[Content]) -> None:
        super().__init__(reason)
        self.contents = contents


@dataclass(frozen=True, slots=True)
class _Made:
    """How a page was rendered last time. Without ``dependencies`` it is rendered in every build.

    ``derived`` are files that a plugin wrote for it.
    """

    made_by: tuple[str, ...]
    dependencies: Dependencies | None
    derived: frozenset[str]


class Pages:
    """All pages of the site as they were last rendered.

    ``shown`` is called with output files as soon as they are in place. Files of the kinds ``anew``
    are rendered in every build.
    """

    def __init__(
        self,
        staged: StagedSite,
        shown: Callable[[Iterable[str]], None],
        anew: Collection[str] = (),
    ) -> None:
        self._staged = staged
        self._shown = shown
        self._anew = anew
        self._made: dict[str, _Made] = {}
        self._now: set[str] = set()

    def begin(self) -> None:
        """A build begins."""
        self._now.clear()

    def __bool__(self) -> bool:
        """Whether any page was rendered."""
        return bool(self._made)

    def is_as_before(self, page: PlannedPage) -> bool:
        """Whether this place had the same page before, whatever its content."""
        made = self._made.get(page.name)
        return made is not None and made.made_by == page.made_by

    def is_up_to_date(self, page: PlannedPage, inputs: BuildInputs) -> bool:
        """Whether the page in this place is this one, and none of its dependencies has changed."""
        made = self._made.get(page.name)
        if made is None or made.made_by != page.made_by:
            return False
        if page.name in self._now:
            return True
        return made.dependencies is not None and inputs.still(made.dependencies, page.local)

    def make(self, page: PlannedPage, inputs: BuildInputs) -> bool:
        """Render and publish a page; returns whether it differs from before.

        Raises :class:`PageFailed`, with the posts that may be the cause.
        """
        trace = Trace()
        self._made.pop(page.name, None)
        try:
            with tracing(trace), noting() as opened:
                page.write()
            trace.files |= opened
        except UnsupportedSiteError:
            raise
        except Exception as error:
            suspects = [page.content, trace.last]
            raise PageFailed(
                f"{page.name}{NOT_MADE}: {type(error).__name__}: {error}",
                [content for content in suspects if content is not None],
            ) from error
        finally:
            trace.release()
        changed = self._staged.publish(page.name)
        if not self._staged.holds:
            self._shown([page.name])
        self._now.add(page.name)
        anew = page.kind in self._anew
        dependencies = None if anew else _dependencies(page, trace, inputs)
        self._made[page.name] = _Made(page.made_by, dependencies, frozenset(trace.derived))
        return changed

    def keep_only(self, names: Collection[str]) -> None:
        """Forget all other pages."""
        for gone in self._made.keys() - set(names):
            del self._made[gone]

    def derived(self) -> set[str]:
        """The files that plugins wrote for these pages."""
        return set[str]().union(*(made.derived for made in self._made.values()))


def _dependencies(page: PlannedPage, trace: Trace, inputs: BuildInputs) -> Dependencies | None:
    if page.content is not None:
        # Plugins that amend a page look at its post too.
        trace.saw(page.content)
    if page.kind == "feed":
        trace.names.update(page.local)
        trace.names.update(_OF_FEEDS)
        for element in page.local["elements"]:
            trace.saw(element)
    if any(all(listing is not its for its in page.local.values()) for listing in trace.listings):
        trace.opaque = "it looks at another page of the list that it is a page of"
    try:
        return inputs.dependencies(trace, page.local)
    except Opaque as reason:
        _log.debug("%s is made anew in every build: %s", page.name, reason)
        return None
