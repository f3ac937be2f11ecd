"""The site's lists (articles, categories, tags and so on), which record who reads them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from pelican.contents import Content
from pelican.urlwrappers import URLWrapper

from bridge.rebuild.resident.reuse.trace import SiteList


class Findable(list[Any]):
    """A list of posts with quick membership tests. It must not change while it is used."""

    def __init__(self, posts: list[Any]) -> None:
        super().__init__(posts)
        self.of = posts
        self._members = {id(post) for post in posts}

    def __contains__(self, post: object) -> bool:
        return id(post) in self._members or super().__contains__(post)


@dataclass(frozen=True, slots=True)
class SiteLists:
    """Traced copies of Pelican's lists. A list with two names there has one here."""

    by_name: dict[Hashable, SiteList] = field(default_factory=dict)
    _ours: dict[int, SiteList] = field(default_factory=dict)
    _theirs: list[list[Any]] = field(default_factory=list)

    @classmethod
    def of(cls, context: dict[str, Any]) -> SiteLists:
        """Replace the lists of posts in Pelican's context by traced ones."""
        lists = cls()
        for name, value in context.items():
            if type(value) is list and value and _is_of_the_site(value[0]):
                context[name] = lists._named(value, name)
        return lists

    def watched(self, value: Any, name: str) -> Any:
        """A variable of one page; a list is traced, under its own name or else as the page's."""
        if isinstance(value, Findable):
            value = value.of
        if type(value) is not list:
            return value
        ours = self._ours.get(id(value))
        return ours if ours is not None else self._keep(value, SiteList(value, ("local", name)))

    def _named(self, items: list[Any], name: Hashable) -> SiteList:
        if id(items) in self._ours:
            return self._ours[id(items)]
        inner = [self._with_list(item, name) for item in items]
        self.by_name[name] = SiteList(inner, name)
        return self._keep(items, self.by_name[name])

    def _with_list(self, item: Any, name: Hashable) -> Any:
        """An item of ``categories`` and the like: the category, and the list of its articles."""
        if isinstance(item, Content):
            return item
        wrapper, articles = item
        return wrapper, self._named(articles, (name, wrapper.slug))

    def _keep(self, theirs: list[Any], ours: SiteList) -> SiteList:
        # While it is referenced here, no other list can get its id.
        self._theirs.append(theirs)
        self._ours[id(theirs)] = ours
        return ours


def _is_of_the_site(item: Any) -> bool:
    if type(item) is tuple and len(item) == 2:
        return isinstance(item[0], URLWrapper) and type(item[1]) is list
    return isinstance(item, Content)
