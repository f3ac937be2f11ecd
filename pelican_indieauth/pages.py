"""Adds the plugin's links and markup to finished pages."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from jinja2 import Template

from pelican_indieauth.discovery.card import with_card
from pelican_indieauth.mentions.conversation import put_into
from pelican_indieauth.mentions.post_mentions import PostMentions
from pelican_indieauth.site import KEY, PluginSettings

#: The key in a page's context that marks it as finished while rendering.
_FINISHED = "indieauth_finished"
_ENDINGS = (".html", ".htm", ".xhtml")
#: What has no elements of the page (JSON in a script would be invalid with another quote in it); a
#: title with a word that is wider than a phone in large type; another link with a wide word.
_WIDE = re.compile(
    r"<(?:(?P<other>(?P<raw>script|style|textarea)\b(?s:.*?)(?:</(?P=raw)|\Z)|!--(?s:.*?)(?:-->|\Z))"
    r"|(?:h[1-6](?=(?:\s[^<>]*)?>\s*+(?:<a\b[^<>]*>)?[^<]*[^<>\s]{20})"
    r"|a(?=\s[^<>]*>[^<]*[^<>\s]{30}))(?![^<>]*\s(?i:style)=))"
)
#: Without quotes, since the title may be in an attribute; so not in XML. Reflex
#: keeps a tag on one line.
_BREAKING = " style=overflow-wrap:anywhere;white-space:normal"


class PageTemplate(Template):
    """A template that adds the plugin's markup to whole pages while rendering.

    So no page is written without its links, and none is read and written twice, which would be most
    of the plugin's cost (``benchmarks/plugin.py``).
    """

    def render(self, *args: Any, **kwargs: Any) -> str:
        """Render the template; a page of the site gets its links."""
        context = args[0] if args else kwargs
        if not (isinstance(context, dict) and KEY in context and "output_file" in context):
            return super().render(*args, **kwargs)
        context[_FINISHED] = True
        try:
            chunks = [*self.root_render_func(self.new_context(context))]
        except Exception:  # noqa: BLE001  (Jinja's own way: it raises again, and names the line)
            self.environment.handle_exception()
        # Only the head is searched and copied; the rest of the page may be long.
        home = context["output_file"] == context[KEY].index
        mentions = _mentions_of(context, self.environment.getattr)
        heads = (at for at, chunk in enumerate(chunks, 1) if "<body" in chunk)
        end = len(chunks) if home or mentions else next(heads, len(chunks))
        chunks[:end] = [finished("".join(chunks[:end]), context, mentions)]
        return with_breakable_titles("".join(chunks), context)


def finish_file(path: str, context: MutableMapping[str, Any]) -> None:
    """Add the same to a page that was not rendered with Jinja."""
    if _FINISHED in context:
        return
    file = Path(path)
    # Undecodable bytes are written back unchanged.
    page = file.read_bytes().decode("utf-8", "surrogateescape")
    amended = finished(page, context, _mentions_of(context, getattr))
    amended = with_breakable_titles(amended, context)
    if amended != page:
        file.write_bytes(amended.encode("utf-8", "surrogateescape"))


def _mentions_of(context: MutableMapping[str, Any], look: Callable[[Any, str], Any]) -> str:
    """The mentions of the page's post as HTML, where the theme does not show them.

    ``look`` gets an attribute as a template does, so that a build records what the page depends on.
    """
    site: PluginSettings = context[KEY]
    article = context.get("article")
    if not site.wraps or article is None or context["output_file"] != article.save_as:
        return ""
    mentions = look(article, "mentions")
    # An article made by another plugin has no mentions of this plugin's.
    return str(look(mentions, "html")()) if isinstance(mentions, PostMentions) else ""


def finished(page: str, context: MutableMapping[str, Any], mentions: str = "") -> str:
    """A page, or its start, with the links added; the home page with the owner's h-card, a
    post's page with its mentions ``mentions``.
    """
    site: PluginSettings = context[KEY]
    name: str = context["output_file"]
    if _is_page(name):
        page = site.head.put_into(page)
        if site.carded and site.owner and name == site.index:
            page = with_card(page, site.owner)
        if mentions:
            page = put_into(page, context["article"].entry_frame.opening, mentions)
    return page


def with_breakable_titles(page: str, context: MutableMapping[str, Any]) -> str:
    """A page whose titles and links break their long words, which would be wider than a phone:
    stock themes have no style for that."""
    name: str = context["output_file"]
    if not (context[KEY].wraps and _is_page(name)) or name.lower().endswith(".xhtml"):
        return page
    return _WIDE.sub(lambda tag: tag[0] if tag["other"] else tag[0] + _BREAKING, page)


def _is_page(name: str) -> bool:
    return name.lower().endswith(_ENDINGS) or "." not in name.rpartition("/")[2]
