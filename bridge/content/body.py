"""The content of a post as the body of a Pelican file, and back.

A note's plain text is protected from Markdown (:mod:`bridge.content.text`). An article's
Markdown stays as it was sent, but for what Python-Markdown reads otherwise than CommonMark
(:mod:`bridge.content.commonmark`). HTML is sanitised and wrapped in one ``<div>``, which
Markdown leaves alone.

Markdown can hide scripts in many ways (raw HTML, ``javascript:`` links, attribute lists) and each
of the site's extensions adds some, so not the Markdown is judged but what the site's own Markdown
makes of it: if that could act, or reach for files (``{static}``), the body is the sanitised HTML
instead. What was sent stays in ``Mf2`` wherever the body does not give it back exactly.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from bridge.content import commonmark, html, text
from bridge.content.characters import printable
from bridge.content.commonmark import Changes
from bridge.content.file import Form, Mf2Line, PelicanFile
from bridge.content.rules import SiteRules
from bridge.errors import InvalidRequest
from bridge.micropub.post import Json

_OPEN, _CLOSE = "<div>", "</div>"
TAB = "\t"
_MOST_COMPARED = 200_000
_LAYOUT = re.compile(
    r"""[ ](?:(?:border|frame|rules|width|height|valign|align)="[\w.%]*"
    |style="(?:(?:width|height):[ ][\d.]+(?:%|[a-z]{2})?;?[ ]?)+")(?=[ />])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class PostBody:
    """A body, and how it encodes the content. ``text`` ends in a newline unless it is empty;
    ``changes`` are what Python-Markdown needs other than it was sent."""

    text: str
    form: Form
    changes: Changes = ()


@dataclass(frozen=True, slots=True)
class Allowlist:
    """What a body may contain although a client may not send it: the owner's file has it
    already.
    """

    links: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    effects: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str, suffix: str, rules: SiteRules) -> Allowlist:
        """What is in the body that a client is about to replace."""
        shown = rules.site.render(text, suffix)
        links = frozenset(rules.site.links.find(shown.html))
        return cls(links, _find_unsafe(shown.html, suffix), shown.effects)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard finds in what the site makes of a text: ``reaches`` are links to files of
    the site, ``acts`` elements that the sanitiser would take out."""

    html: str
    reaches: frozenset[str]
    acts: frozenset[str]


def judge(text: str, suffix: str, rules: SiteRules, allowlist: Allowlist) -> Verdict:
    """Check what the site renders from a client's text.

    Raises :class:`InvalidRequest` for a text that has the site include a file or an address, or
    pass raw HTML on: that is for the owner alone.
    """
    shown = rules.site.render(text, suffix)
    refuse_effects(shown.effects - allowlist.effects)
    reaches = frozenset(rules.site.links.find(shown.html)) - allowlist.links
    acts = _find_unsafe(shown.html, suffix) if rules.html == "sanitize" else frozenset()
    return Verdict(shown.html, reaches, acts - allowlist.tags)


def _find_unsafe(shown: str, suffix: str) -> frozenset[str]:
    """What the sanitiser would take out; not how docutils lays tables and pictures out."""
    return html.find_unsafe(_LAYOUT.sub("", shown) if suffix == "rst" else shown)


def refuse_effects(effects: frozenset[str]) -> None:
    """Raise :class:`InvalidRequest` if a client's text has any."""
    if effects:
        raise InvalidRequest(
            f"This text would have the site use {', '.join(sorted(effects))[:200]}: only the owner"
            " can write that, in the file itself."
        )


def encode(
    content: Json,
    *,
    markdown: bool,
    rules: SiteRules,
    allowlist: Allowlist | None = None,
    as_it_is: bool = False,
) -> PostBody:
    """The body for a content value. ``markdown``: whether plain text is Markdown (an article);
    ``as_it_is``: it is for the site's own Markdown, and not CommonMark.

    Raises :class:`InvalidRequest` for HTML that would grow without bounds, and for Markdown that
    would have the site include something.
    """
    if isinstance(content, dict):
        sent = content.get("html")
        if isinstance(sent, str):
            return PostBody(
                f"{_OPEN}{safe_html(sent, rules).replace(TAB, '&#9;')}{_CLOSE}\n", "html"
            )
        content = content.get("value")
    plain = printable(content) if isinstance(content, str) else ""
    if not plain:
        return PostBody("", "markdown" if markdown else "text")
    if markdown:
        return _markdown_body(plain, rules, allowlist or Allowlist(), as_it_is=as_it_is)
    return PostBody(rules.media.internalise_note(text.encode(plain)) + "\n", "text")


def decode(file: PelicanFile, form: Form | None, rules: SiteRules, changes: Changes = ()) -> Json:
    """The content value that a file's body stands for; ``None`` where it is empty.

    ``changes`` are those that this very body was written with.
    A body without ``form`` is hand-written: HTML in an HTML file, else the text as it is.
    """
    unix = _unix(file.body)
    if form == "html" or (form is None and file.syntax.name == "html"):
        inner = unix.strip()
        if inner.startswith(_OPEN) and inner.endswith(_CLOSE):
            inner = inner[len(_OPEN) : -len(_CLOSE)]
        return {"html": rules.media.externalise_text(inner.replace("&#9;", "\t"))}
    if form_of(file, form, rules) == "text":
        return text.decode(rules.media.externalise_note(unix.removesuffix("\n"))) or None
    plain = unix.strip("\n") if form is None else unix.removesuffix("\n")
    return rules.media.externalise_text(commonmark.restore(plain, changes)) or None


def is_adapted(file: PelicanFile, mf2: Mf2Line) -> bool:
    """Whether a body of Markdown is as :func:`encode` writes it: a hand has left it alone."""
    if mf2.form != "markdown":
        return False
    written = _unix(file.body).removesuffix("\n")
    changes = changes_of(file, mf2)
    return commonmark.adapt(commonmark.restore(written, changes)) == (written, changes)


def changes_of(file: PelicanFile, mf2: Mf2Line) -> Changes:
    """The changes that a body was written with, unless a hand has changed it since."""
    return mf2.changes if mf2.changes and mf2.digest == digest(file.body) else ()


def form_of(file: PelicanFile, form: Form | None, rules: SiteRules) -> Form | None:
    """The form that a body has by now: a note's text that a hand has given a list, a picture or
    any other structure is Markdown from then on."""
    if form != "text":
        return form
    encoded = rules.media.externalise_note(_unix(file.body).removesuffix("\n"))
    return "text" if text.is_encoded(encoded) else "markdown"


def with_unchanged_lines(written: str, file: PelicanFile, rules: SiteRules) -> str:
    """A note's new body with the lines of the old one where they say the same, however a hand or an
    earlier version has written them."""
    old = rules.media.externalise_note(_unix(file.body)).removesuffix("\n").split("\n")
    new = rules.media.externalise_note(written).removesuffix("\n").split("\n")
    said = [text.decode(line.removesuffix("  ")) for line in old]
    says = [text.decode(line.removesuffix("  ")) for line in new]
    kept = written.removesuffix("\n").split("\n")
    before = _unix(file.body).removesuffix("\n").split("\n")
    for start, there in _unchanged(said, says):
        end = "  " if kept[there].endswith("  ") else ""
        kept[there] = before[start].removesuffix("  ") + end
    return "\n".join(kept) + "\n"


def _unchanged(old: list[str], new: list[str]) -> Iterator[tuple[int, int]]:
    """The places in two texts of lines that are the same in both, in order."""
    shorter = min(len(old), len(new))
    start = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    most = shorter - start
    end = next((n for n in range(most) if old[-1 - n] != new[-1 - n]), most)
    yield from zip(range(start), range(start), strict=True)
    inner, further = old[start : len(old) - end], new[start : len(new) - end]
    counts = Counter(further)
    # What it costs to compare each line with every one that is like it: of a text of equal lines
    # all with all.
    if sum(counts[line] for line in inner) <= _MOST_COMPARED:
        matcher = SequenceMatcher(None, inner, further, autojunk=False)
        for place, there, length in matcher.get_matching_blocks():
            for step in range(length):
                yield start + place + step, start + there + step
    for n in range(end):
        yield len(old) - end + n, len(new) - end + n


def digest(body: str) -> str:
    """A name for a body, whatever its line ends: says whether a hand has changed it since."""
    unix = _unix(body).rstrip("\n")
    return hashlib.sha256(unix.encode(errors="surrogatepass")).hexdigest()[:16]


def _unix(body: str) -> str:
    return body.replace("\r\n", "\n").replace("\r", "\n")


def safe_html(sent: str, rules: SiteRules) -> str:
    """A client's HTML as it may stand in a file: sanitised, own media in Pelican's notation."""
    shown = printable(sent)
    if rules.html == "sanitize":
        shown = html.sanitise(shown)
    return rules.media.internalise_html(rules.site.links.neutralise(shown))


def _markdown_body(
    markdown: str, rules: SiteRules, allowlist: Allowlist, *, as_it_is: bool
) -> PostBody:
    adapt = _as_it_is if as_it_is else commonmark.adapt
    verdict = judge(adapt(markdown)[0], "md", rules, allowlist)
    if verdict.reaches or verdict.acts:
        # Python-Markdown turns tabs into spaces, also inside <pre>.
        shown = safe_html(verdict.html, rules).replace(TAB, "&#9;")
        return PostBody(f"{_OPEN}{shown}{_CLOSE}\n", "html")
    # The places of the changes are those in the file, where addresses are shorter.
    written, changes = adapt(rules.media.internalise_markdown(markdown))
    return PostBody(f"{written}\n", "markdown", changes)


def _as_it_is(markdown: str) -> tuple[str, Changes]:
    return markdown, ()
