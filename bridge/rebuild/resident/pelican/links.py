"""Links in posts to other posts and files (``{filename}``, ``{static}``, ``{attach}``)."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import unquote

from pelican.contents import Content

from bridge.rebuild.resident.pelican.plugins import is_known


@dataclass(frozen=True, slots=True)
class _Text:
    """The links of a text: whether there are any, the files that it attaches, and all others."""

    links: bool
    attached: frozenset[str]
    others: frozenset[str]


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

    def touch_in_order(
        self, context: Mapping[str, Any], written: Callable[[], Iterable[Content]]
    ) -> None:
        """Resolve links in the order of a clean build, where that order decides.

        The first post that links a file by ``{attach}`` has it moved beside itself, unless another
        has linked it before. ``written`` returns the posts in the order in which their texts are
        first written. It is called where posts share a file.
        """
        posts = [item for item in context["generated_content"].values() if item is not None]
        if any(self._in(post).attached for post in posts):
            first = written() if self._share_files(posts) else ()
            # as Pelican's own classes do with one another
            for post in dict.fromkeys((*first, *posts)):
                self.resolved(post)

    def _share_files(self, posts: Iterable[Content]) -> bool:
        """Whether a file that a post attaches has a link in another one."""
        targets = [
            (_targets(post, text.attached), _targets(post, text.others))
            for post in posts
            for text in [self._in(post)]
        ]
        attached = {target for each, _ in targets for target in each}
        linked = Counter(target for each, others in targets for target in each | others)
        return any(linked[target] > 1 for target in attached)

    def _in(self, content: Content) -> _Text:
        text = content._content or ""
        found = self._asked.get(text) or self._found.get(text)
        if found is None:
            links = [*content._get_intrasite_link_regex().finditer(text)]
            attached = frozenset(each["value"] for each in links if each["what"] == "attach")
            others = frozenset(each["value"] for each in links) - attached
            found = _Text(bool(links), attached, others)
        self._asked[text] = found
        return found


def _targets(content: Content, values: Iterable[str]) -> set[str]:
    """The files that a post's links lead to, in one spelling."""
    return {
        posixpath.normpath(posixpath.join("/", content.relative_dir, unquote(unescape(value))))
        for value in values
    }
