"""The content of a post as the body of a Pelican file, and back.

A note's plain text is escaped so that Markdown shows it as it is
(:mod:`bridge.content.markup.note`). An article's Markdown stays as it was sent, except for what
Python-Markdown reads differently from CommonMark (:mod:`bridge.content.markup.commonmark`). HTML is
sanitised and wrapped in one ``<div>``, which Markdown leaves alone.

Markdown can hide scripts in many ways (raw HTML, ``javascript:`` links, attribute lists), and each
of the site's extensions adds some. So the check is not of the Markdown, but of the HTML that the
site makes of it: if that HTML is active, or links to files of the site (``{static}``), the body is
the sanitised HTML instead. The original stays in ``Mf2`` if the body does not give it back exactly.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher

from msgspec import Struct

from bridge.content.file import Form, Mf2Line, PelicanFile, printable
from bridge.content.markup import commonmark, html, note
from bridge.content.markup.changes import TextChanges, restore
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


class PostBody(Struct, frozen=True):
    """A body and how it encodes the content. ``text`` ends in a newline unless it is empty;
    ``changes`` are what was changed for Python-Markdown.
    """

    text: str
    form: Form
    changes: TextChanges = ()


class Allowlist(Struct, frozen=True):
    """What a body may contain although a client may not send it, since the owner's file already
    contains it.
    """

    links: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    effects: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str, suffix: str, rules: SiteRules) -> Allowlist:
        """What the body contains that a client is about to replace."""
        shown = rules.site.render(text, suffix)
        links = frozenset(rules.site.links.find(shown.html))
        return cls(links, _find_unsafe(shown.html, suffix), shown.effects)


class Verdict(Struct, frozen=True):
    """What is unsafe in the HTML that the site makes of a text: ``reaches`` are links to files
    of the site, ``acts`` elements that the sanitiser would remove.
    """

    html: str
    reaches: frozenset[str]
    acts: frozenset[str]


def judge(text: str, suffix: str, rules: SiteRules, allowlist: Allowlist) -> Verdict:
    """Check what the site renders from a client's text.

    Raises :class:`InvalidRequest` for a text that makes the site include a file or an address, or
    pass on raw HTML: only the owner may do that.
    """
    shown = rules.site.render(text, suffix)
    refuse_effects(shown.effects - allowlist.effects)
    reaches = frozenset(rules.site.links.find(shown.html)) - allowlist.links
    acts = _find_unsafe(shown.html, suffix) if rules.html == "sanitize" else frozenset()
    return Verdict(shown.html, reaches, acts - allowlist.tags)


def _find_unsafe(shown: str, suffix: str) -> frozenset[str]:
    """What the sanitiser would remove, except docutils' own layout of tables and pictures."""
    return html.find_unsafe(_LAYOUT.sub("", shown) if suffix == "rst" else shown)


def refuse_effects(effects: frozenset[str]) -> None:
    """Raise :class:`InvalidRequest` if a client's text has such effects."""
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
    """The body for a content value.

    ``markdown``: plain text is Markdown (an article). ``as_it_is``: it is written for the site's
    own Markdown, not CommonMark. Raises :class:`InvalidRequest` for HTML that would grow without
    bounds, and for Markdown that would make the site include something.
    """
    if isinstance(content, dict):
        sent = content.get("html")
        if isinstance(sent, str):
            shown = safe_html(sent, rules, allowlist.links if allowlist else frozenset())
            return PostBody(f"{_OPEN}{shown.replace(TAB, '&#9;')}{_CLOSE}\n", "html")
        content = content.get("value")
    plain = printable(content) if isinstance(content, str) else ""
    if not plain:
        return PostBody("", "markdown" if markdown else "text")
    if markdown:
        return _markdown_body(plain, rules, allowlist or Allowlist(), as_it_is=as_it_is)
    return PostBody(rules.media.internalise_note(note.encode(plain)) + "\n", "text")


def decode(
    file: PelicanFile, form: Form | None, rules: SiteRules, changes: TextChanges = ()
) -> Json:
    """The content value that a file's body stands for; ``None`` if it is empty.

    ``changes`` are those with which this very body was written. A body without ``form`` was written
    by hand: HTML in an HTML file, otherwise text that is returned as it is.
    """
    unix = _unix(file.body)
    if form == "html" or (form is None and file.syntax.name == "html"):
        inner = unix.strip()
        if inner.startswith(_OPEN) and inner.endswith(_CLOSE):
            inner = inner[len(_OPEN) : -len(_CLOSE)]
        return {"html": rules.media.externalise_text(inner.replace("&#9;", "\t"))}
    if form_of(file, form, rules) == "text":
        return note.decode(rules.media.externalise_note(unix.removesuffix("\n"))) or None
    plain = unix.strip("\n") if form is None else unix.removesuffix("\n")
    return rules.media.externalise_text(restore(plain, changes)) or None


def is_adapted(file: PelicanFile, mf2: Mf2Line) -> bool:
    """Whether a Markdown body is as :func:`encode` wrote it, not edited by hand."""
    if mf2.form != "markdown":
        return False
    written = _unix(file.body).removesuffix("\n")
    changes = changes_of(file, mf2)
    return commonmark.adapt(restore(written, changes)) == (written, changes)


def changes_of(file: PelicanFile, mf2: Mf2Line) -> TextChanges:
    """The changes that were made when a body was written; none if it has been edited by hand
    since."""
    return mf2.changes if mf2.changes and mf2.digest == digest(file.body) else ()


def form_of(file: PelicanFile, form: Form | None, rules: SiteRules) -> Form | None:
    """The present form of a body: a note's text becomes Markdown when a list, a picture or any
    other structure is added by hand.
    """
    if form != "text":
        return form
    encoded = rules.media.externalise_note(_unix(file.body).removesuffix("\n"))
    return "text" if note.is_encoded(encoded) else "markdown"


def with_unchanged_lines(written: str, file: PelicanFile, rules: SiteRules) -> str:
    """A note's new body. Lines whose text has not changed stay as they were written, whether by
    hand or by an earlier version.
    """
    old = rules.media.externalise_note(_unix(file.body)).removesuffix("\n").split("\n")
    new = rules.media.externalise_note(written).removesuffix("\n").split("\n")
    old_text = [note.decode(line.removesuffix("  ")) for line in old]
    new_text = [note.decode(line.removesuffix("  ")) for line in new]
    kept = written.removesuffix("\n").split("\n")
    before = _unix(file.body).removesuffix("\n").split("\n")
    for start, there in _unchanged(old_text, new_text):
        if before[start].removesuffix("  ") == kept[there].removesuffix("  "):
            continue
        # Not where emphasis or a link continues on another line.
        if not note.is_encoded(old[start].removesuffix("  ")):
            continue
        if note.encode(new_text[there]) != new[there].removesuffix("  "):
            continue
        end = "  " if kept[there].endswith("  ") else ""
        kept[there] = before[start].removesuffix("  ") + end
    return "\n".join(kept) + "\n"


def _unchanged(old: list[str], new: list[str]) -> Iterator[tuple[int, int]]:
    """Pairs of indices of the lines that two texts have in common, in order."""
    shorter = min(len(old), len(new))
    start = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    most = shorter - start
    end = next((n for n in range(most) if old[-1 - n] != new[-1 - n]), most)
    yield from zip(range(start), range(start), strict=True)
    inner, further = old[start : len(old) - end], new[start : len(new) - end]
    counts = Counter(further)
    # The cost of comparing each line with every equal one, which is quadratic for a text of equal
    # lines.
    if sum(counts[line] for line in inner) <= _MOST_COMPARED:
        matcher = SequenceMatcher(None, inner, further, autojunk=False)
        for place, there, length in matcher.get_matching_blocks():
            for step in range(length):
                yield start + place + step, start + there + step
    for n in range(end):
        yield len(old) - end + n, len(new) - end + n


def digest(body: str) -> str:
    """A hash of a body, ignoring line ends. It shows whether the body has been edited by hand."""
    unix = _unix(body).rstrip("\n")
    return hashlib.sha256(unix.encode(errors="surrogatepass")).hexdigest()[:16]


def _unix(body: str) -> str:
    return body.replace("\r\n", "\n").replace("\r", "\n")


def safe_html(sent: str, rules: SiteRules, allowed: frozenset[str] = frozenset()) -> str:
    """A client's HTML as it may be written to a file: sanitised, own media in Pelican's
    notation. ``allowed`` are links to files of the site that the owner's text already has.
    """
    shown = printable(sent)
    if rules.html == "sanitize":
        shown = html.sanitise(shown)
    return rules.media.internalise_html(rules.site.links.neutralise(shown, allowed))


def _markdown_body(
    markdown: str, rules: SiteRules, allowlist: Allowlist, *, as_it_is: bool
) -> PostBody:
    adapt = _as_it_is if as_it_is else commonmark.adapt
    verdict = judge(adapt(markdown)[0], "md", rules, allowlist)
    if verdict.reaches or verdict.acts:
        # Python-Markdown turns tabs into spaces, even inside <pre>.
        shown = safe_html(verdict.html, rules, allowlist.links).replace(TAB, "&#9;")
        return PostBody(f"{_OPEN}{shown}{_CLOSE}\n", "html")
    # Changes are recorded by their places in the file, where addresses are shorter.
    written, changes = adapt(rules.media.internalise_markdown(markdown))
    return PostBody(f"{written}\n", "markdown", changes)


def _as_it_is(markdown: str) -> tuple[str, TextChanges]:
    return markdown, ()
