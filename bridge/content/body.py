"""The content of a post as the body of a Pelican file, and back.

A note's plain text is protected from Markdown (:mod:`bridge.content.text`). An article's Markdown
stays as it was sent. HTML is sanitised and wrapped in one ``<div>``, which Markdown leaves alone.

Markdown can hide scripts in many ways (raw HTML, ``javascript:`` links, attribute lists) and each
of the site's extensions adds some, so not the Markdown is judged but what the site's own Markdown
makes of it: if that could act, or reach for files (``{static}``), the body is the sanitised HTML
instead. What was sent stays in ``Mf2`` wherever the body does not give it back exactly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.content import html, text
from bridge.content.characters import printable
from bridge.content.headers import PelicanFile
from bridge.content.mf2 import Form
from bridge.micropub.post import Json

if TYPE_CHECKING:
    from bridge.content.rules import SiteRules

_OPEN, _CLOSE = "<div>", "</div>"


@dataclass(frozen=True, slots=True)
class Body:
    """A body, and how it encodes the content. ``text`` ends in a newline unless it is empty."""

    text: str
    form: Form


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a body may hold although a client sends it: the owner has written it before."""

    links: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()

    @classmethod
    def of(cls, markdown: str, rules: SiteRules) -> Tolerance:
        """What is in the body that a client is about to replace."""
        rendered = rules.site.render(markdown)
        return cls(frozenset(rules.site.links.find(rendered)), html.offences(rendered))


def encode(
    content: Json, *, markdown: bool, rules: SiteRules, tolerance: Tolerance | None = None
) -> Body:
    """The body for a content value. ``markdown``: whether plain text is Markdown (an article).

    Raises :class:`InvalidRequest` if the site's own Markdown cannot read it (in time), and for
    HTML that would grow without bounds.
    """
    if isinstance(content, dict):
        sent = content.get("html")
        if isinstance(sent, str):
            return _readable(_html_body(sent, rules), rules)
        content = content.get("value")
    plain = printable(content) if isinstance(content, str) else ""
    if not plain:
        return Body("", "markdown" if markdown else "text")
    if markdown:
        return _markdown_body(plain, rules, tolerance or Tolerance())
    return _readable(Body(text.encode(plain) + "\n", "text"), rules)


def decode(file: PelicanFile, form: Form | None, rules: SiteRules) -> Json:
    """The content value that a file's body stands for; ``None`` where it is empty.

    A body without ``form`` is hand-written: HTML in an HTML file, else the text as it is.
    """
    unix = file.body.replace("\r\n", "\n").replace("\r", "\n")
    if form == "html" or (form is None and file.syntax.name == "html"):
        inner = unix.strip()
        if inner.startswith(_OPEN) and inner.endswith(_CLOSE):
            inner = inner[len(_OPEN) : -len(_CLOSE)]
        return {"html": rules.media.externalise_text(inner.replace("&#9;", "\t"))}
    if form == "text":
        return text.decode(unix.removesuffix("\n")) or None
    plain = unix.strip("\n") if form is None else unix.removesuffix("\n")
    return rules.media.externalise_text(plain) or None


def digest(body: str) -> str:
    """A name for a body, whatever its line ends: says whether a hand has changed it since."""
    unix = body.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    return hashlib.sha256(unix.encode(errors="surrogatepass")).hexdigest()[:16]


def _readable(body: Body, rules: SiteRules) -> Body:
    """The body, which the site's Markdown reads. Raises :class:`InvalidRequest` if it cannot."""
    rules.site.render(body.text)
    return body


def _markdown_body(markdown: str, rules: SiteRules, tolerance: Tolerance) -> Body:
    rendered = rules.site.render(markdown)
    reaches = set(rules.site.links.find(rendered)) - tolerance.links
    acts = rules.html == "sanitize" and html.offences(rendered) - tolerance.tags
    if reaches or acts:
        return _readable(_html_body(rendered, rules), rules)
    return Body(rules.media.internalise_markdown(markdown) + "\n", "markdown")


def _html_body(sent: str, rules: SiteRules) -> Body:
    shown = printable(sent)
    if rules.html == "sanitize":
        shown = html.sanitise(shown)
    shown = rules.site.links.disarm(shown)
    # Python-Markdown turns tabs into spaces, also inside <pre>.
    shown = rules.media.internalise_html(shown).replace("\t", "&#9;")
    return Body(f"{_OPEN}{shown}{_CLOSE}\n", "html")
