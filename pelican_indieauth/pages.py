"""Finishes a page on its way to the output folder."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from jinja2 import Template

from pelican_indieauth.conversation import put_into
from pelican_indieauth.discovery.card import with_card
from pelican_indieauth.mentions import OfPost
from pelican_indieauth.site import KEY, Site

#: Where a page's context says that its text has been finished before it was written.
_FINISHED = "indieauth_finished"
_ENDINGS = (".html", ".htm", ".xhtml")


class PageTemplate(Template):
    """A template that finishes whole pages as it renders them.

    So no page is ever on disk without its links, and none is read and written twice, which would
    be most of what the plugin costs (``benchmarks/plugin.py``).
    """

    def render(self, *args: Any, **kwargs: Any) -> str:
        """The text; with the links, where it is that of a page of the site."""
        context = args[0] if args else kwargs
        if not (isinstance(context, dict) and KEY in context and "output_file" in context):
            return super().render(*args, **kwargs)
        context[_FINISHED] = True
        try:
            chunks = [*self.root_render_func(self.new_context(context))]
        except Exception:  # noqa: BLE001  (Jinja's own way: it raises again, and names the line)
            self.environment.handle_exception()
        # Only the head is looked at and copied; the rest of the page is as long as it likes.
        home = context["output_file"] == context[KEY].index
        said = _said(context, self.environment.getattr)
        heads = (at for at, chunk in enumerate(chunks, 1) if "<body" in chunk)
        end = len(chunks) if home or said else next(heads, len(chunks))
        chunks[:end] = [finished("".join(chunks[:end]), context, said)]
        return "".join(chunks)


def finish_file(path: str, context: MutableMapping[str, Any]) -> None:
    """The same for a page that something else than Jinja has rendered."""
    if _FINISHED in context:
        return
    file = Path(path)
    # Undecodable bytes come back as they were: only what is added is ours.
    page = file.read_bytes().decode("utf-8", "surrogateescape")
    amended = finished(page, context, _said(context, getattr))
    if amended != page:
        file.write_bytes(amended.encode("utf-8", "surrogateescape"))


def _said(context: MutableMapping[str, Any], look: Callable[[Any, str], Any]) -> str:
    """What others say of the post that a page is of, where the theme has no place for it.

    ``look`` gets an attribute as a template does, so that a build knows what the page depends on.
    """
    site: Site = context[KEY]
    article = context.get("article")
    if not site.wraps or article is None or context["output_file"] != article.save_as:
        return ""
    mentions = look(article, "mentions")
    # A post that another plugin has made up is none of ours.
    return str(look(mentions, "html")()) if isinstance(mentions, OfPost) else ""


def finished(page: str, context: MutableMapping[str, Any], said: str = "") -> str:
    """A page, or its beginning, with the links, the home page with the owner's h-card, and a
    post's with what is ``said`` of it."""
    site: Site = context[KEY]
    name: str = context["output_file"]
    if name.lower().endswith(_ENDINGS) or "." not in name.rpartition("/")[2]:
        page = site.head.put_into(page)
        if site.carded and site.owner and name == site.index:
            page = with_card(page, site.owner)
        if said:
            page = put_into(page, context["article"].entry_frame.opening, said)
    return page
