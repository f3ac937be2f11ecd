"""Links in posts to other posts and files (``{filename}``, ``{static}``, ``{attach}``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pelican.contents import Content

from bridge.rebuild.resident.pelican.plugins import is_known

_ATTACH = ("{attach}", "|attach|")


@dataclass(frozen=True, slots=True)
class _Text:
    """Which kinds of links a text has."""

    links: bool
    attaches: bool


class Links:
    """Knows which posts have such links: they change with the address of what they link to."""

    def __init__(self) -> None:
        self._found: dict[str, _Text] = {}
        self._asked: dict[str, _Text] = {}

    def begin(self) -> None:
        """A build begins: forget what the last one did not ask for."""
        self._found, self._asked = self._asked, {}

    def resolved(self, content: Content) -> str | None:
        """A post's text with its links resolved, ``None`` where it has none."""
        another = getattr(content, "_get_content", None)
        if self._in(content).links or not (another is None or is_known(type(another))):
            context = content._context
            before = context.get("localsiteurl")
            # With RELATIVE_URLS it is that of the page that was written last.
            context["localsiteurl"] = content.settings["SITEURL"]
            try:
                text: str = content.content
            finally:
                context["localsiteurl"] = before
            return text
        return None

    def touch_in_order(self, context: Mapping[str, Any]) -> None:
        """Resolve links in the order of a clean build, where that order decides.

        The first post that links a file by ``{attach}`` has it moved beside itself.
        """
        posts = list(_in_order(context))
        if any(self._in(post).attaches for post in posts):
            # as Pelican's own classes do with one another
            for post in posts:
                self.resolved(post)

    def _in(self, content: Content) -> _Text:
        text = content._content or ""
        found = self._asked.get(text) or self._found.get(text)
        if found is None:
            links = content._get_intrasite_link_regex().search(text) is not None
            found = _Text(links, any(mark in text for mark in _ATTACH))
        self._asked[text] = found
        return found


def _in_order(context: Mapping[str, Any]) -> Iterator[Content]:
    """Feeds come first, then translations, then the rest; pages after articles."""
    articles = context["articles"]
    everything = [item for item in context["generated_content"].values() if item is not None]
    listed = [*articles[: context.get("FEED_MAX_ITEMS")]]
    translations = [other for article in articles for other in article.translations]
    seen: set[int] = set()
    for content in (*listed, *translations, *articles, *everything):
        if id(content) not in seen:
            seen.add(id(content))
            yield content
