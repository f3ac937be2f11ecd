"""Writes a post to a Pelican file: a new one, or changes to an existing one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from bridge.content import body, dates, html, keys, slugs
from bridge.content.body import Allowlist, Verdict
from bridge.content.characters import is_seen, one_line, printable
from bridge.content.file import Mf2Line, PelicanFile
from bridge.content.rules import SiteRules
from bridge.content.titles import earlier_title, plain_content, synthetic_title
from bridge.errors import Conflict, InvalidRequest
from bridge.micropub.post import Json, Post, Properties

#: What says when, how and by whom something is published, and nothing that would be published.
_UNSEEN = frozenset(
    {"published", "updated", "post-status", "visibility", "post-type", "author", "lang", "uid"}
)
_ORDER = (
    *("Title", "Date", "Modified", "Slug", "Category"),
    *("Tags", "Status", "Summary", "Author", "Lang"),
)
#: The elements around the body of an HTML file.
_FRAME = re.compile(r"</?(?:html|head|body)\b", re.IGNORECASE)
_LINES = "\r\n"
_LANGUAGE = re.compile(r"[a-z0-9][a-z0-9+#.-]{0,29}")
_NO_COMMANDS: Properties = MappingProxyType({})


def compose(
    post: Post,
    *,
    commands: Properties = _NO_COMMANDS,
    when: datetime,
    rules: SiteRules,
    slug: str | None = None,
) -> PelicanFile:
    """The file of a new post. ``when`` dates a post that has no date of its own.

    Without ``slug``, one is made of the post's own words. Raises :class:`InvalidRequest` for what
    the site cannot hold, saying what to change.
    """
    refuse_private(post)
    written = body.encode(_content(post), markdown=is_markdown(post), rules=rules)
    file = PelicanFile()
    values = {field.key: field.encode(post.properties, file, rules) for field in keys.FIELDS}
    mf2 = Mf2Line(
        type=post.type,
        form=written.form,
        changes=written.changes,
        digest=body.digest(written.text) if written.changes else None,
        draft=values["Status"] == "draft",
        syndicate_to=_texts(commands.get("syndicate-to", ())),
    )
    published = published_at(post, when, rules.site.zone)
    if values["Title"] is None:
        values["Title"] = synthetic_title(post, published, file, rules, mf2)
        mf2 = mf2.made_up(values["Title"])
    values["Date"] = dates.form(published)
    wishes = slugs.slug_wishes(post, commands, published)
    values["Slug"] = slug or slugs.first_slug(wishes, rules.site)
    values["Category"] = slugs.category_for(post, commands, rules.categories, rules.site)
    for key in _ORDER:
        file = file.with_header(key, values[key])
    file = file.with_body(written.text)
    return _with_mf2(file, _with_originals(mf2, file, post, post.properties, rules))


def edit(
    file: PelicanFile,
    old: Post,
    new: Post,
    *,
    commands: Properties = _NO_COMMANDS,
    when: datetime,
    rules: SiteRules,
) -> PelicanFile:
    """Apply the difference between ``old`` (as read from the file) and ``new``, and nothing else.

    Sets ``Modified`` to ``when`` unless the change itself sets it. An unchanged post gives an
    unchanged file. Raises :class:`InvalidRequest` as :func:`compose`, and :class:`Conflict` if the
    ``Mf2`` line is damaged, because it would be lost.
    """
    refuse_private(new)
    if Mf2Line.is_broken(file):
        raise Conflict(
            "The post's Mf2 line is not valid JSON. Correct it in the file, then try again."
        )
    change = _Change(old, new, commands, when, rules)
    mf2 = before = Mf2Line.of(file)
    edited, mf2 = change.body(file, mf2)
    edited = change.keys(edited)
    mf2 = change.draft(edited, mf2)
    edited, mf2 = change.title(edited, mf2)
    edited, mf2 = change.commands_beside(edited, mf2)
    mf2 = _with_originals(mf2, edited, new, change.names, rules)
    if mf2 != before:
        edited = _with_mf2(edited, mf2)
    if edited != file and "updated" not in change.names:
        edited = edited.with_header("Modified", dates.form(_in_zone(when, rules)))
    return edited


def refuse_private(post: Post) -> None:
    """Raise for ``visibility: private``: a static site cannot restrict who sees a page."""
    if str(post.first("visibility") or "").strip().lower() == "private":
        raise InvalidRequest(
            "visibility “private” is not supported: every page of this site is public. "
            "Use “unlisted”, or post-status “draft”."
        )


def refuse_nothing_to_see(post: Post, rules: SiteRules, before: Post | None = None) -> None:
    """Raise :class:`InvalidRequest` for a post whose page would be empty.

    ``before`` is what an update has found: a page may have been as empty before, and a draft may
    become so, which has no page.
    """
    if _shows_something(post, rules):
        return
    if before and (_is_draft(post) or not (_is_draft(before) or _shows_something(before, rules))):
        return
    if before is None:
        raise InvalidRequest(
            "There is nothing to see in this post: its texts are empty, or of characters that show"
            " nothing. Send 'content' with words or a picture, or another property."
        )
    raise InvalidRequest(
        "This would leave nothing to see of the post. Delete the whole post ('action' is 'delete'),"
        " or say what it is to show instead."
    )


def _is_draft(post: Post) -> bool:
    return post.first("post-status") == "draft"


def _shows_something(post: Post, rules: SiteRules) -> bool:
    return any(
        _is_shown(value, rules)
        for name, values in post.properties.items()
        if name not in _UNSEEN and not name.startswith(("mp-", "p3k-"))
        for value in values
    )


def _is_shown(value: Json, rules: SiteRules) -> bool:
    """Whether a value can be seen: words, numbers and nested objects; HTML with words, or with an
    element that shows something by itself."""
    if isinstance(value, str):
        return is_seen(value)
    sent = value.get("html") if isinstance(value, dict) else None
    if not isinstance(sent, str) or (rules.html != "sanitize" and "<" in sent):
        return True
    return is_seen(html.plain(sent)) or bool(html.in_place_of_words(sent)[0])


def published_at(post: Post, when: datetime, zone: ZoneInfo) -> datetime:
    """The date that the client gives, else ``when`` in the site's zone."""
    given = post.first("published")
    return when.astimezone(zone) if given is None else dates.on_the_clock(given, zone)


def with_references(
    file: PelicanFile, post: Post, references: Mapping[str, Json], rules: SiteRules
) -> PelicanFile:
    """The file with what is now known about the pages that its post links to.

    A made-up Title is made again with that; one that the owner has written stays.
    """
    line, date = Mf2Line.of(file), keys.date_of(file, "Date", rules)
    changed = line.with_changes(references={**line.references, **references})
    found = _with_mf2(file, changed)
    # Only a post without words of its own is called after other pages.
    if not (line.synthetic_title and date) or plain_content(post):
        return found
    if file.get("Title") != synthetic_title(post, date, file, rules, line):
        return found
    made = synthetic_title(post, date, file, rules, changed)
    if made == file.get("Title"):
        return found
    return _with_mf2(file.with_header("Title", made), changed.made_up(made))


def is_markdown(post: Post) -> bool:
    """Whether plain content is Markdown: it is in a post with a name, but not in a note.

    A name that only repeats the beginning of the content is not a name (post type discovery). Quill
    says it explicitly, in ``p3k-content-type``.
    """
    kind = _content_type(post)
    if kind in {"text/markdown", "text/plain"}:
        return kind == "text/markdown"
    if _language(post) is not None:
        return True
    name = one_line(post.text("name") or "")
    return is_seen(name) and not one_line(post.text("content") or "").startswith(name)


class _Change:
    """Carries out an edit, one part of the file at a time."""

    def __init__(
        self, old: Post, new: Post, commands: Properties, when: datetime, rules: SiteRules
    ) -> None:
        everything = {*old.properties, *new.properties}
        names = {name for name in everything if old.all(name) != new.all(name)}
        # Properties that share a key change together: what the key no longer holds must be kept.
        for field in keys.FIELDS:
            if names.intersection(field.properties):
                names.update(field.properties)
        self.names = frozenset(names)
        self._old, self._new = old, new
        self._commands, self._when, self._rules = commands, when, rules

    def body(self, file: PelicanFile, mf2: Mf2Line) -> tuple[PelicanFile, Mf2Line]:
        """Change the text. It stays in its format, and what the owner wrote may stay in it."""
        if "content" not in self.names:
            return file, mf2
        if file.syntax.name != "markdown":
            return self._other_body(file), mf2.with_changes(form=None, changes=())
        form = body.form_of(file, mf2.form, self._rules)
        was_markdown = form in {None, "markdown"} and bool(file.body.strip())
        # A name that a hand has given a note does not make Markdown of what it says.
        stays_text = form == "text" and is_markdown(self._old) and "name" not in self.names
        written = body.encode(
            _content(self._new),
            markdown=was_markdown or (is_markdown(self._new) and not stays_text),
            rules=self._rules,
            allowlist=self._allowlist(file) if was_markdown else None,
            as_it_is=was_markdown and not body.is_adapted(file, mf2),
        )
        if was_markdown and mf2.form is None and written.form == "markdown":
            # Markdown written by hand needs no mark, and keeps the owner's blank lines around it.
            return file.with_body(_framed_like(file.body, written.text)), mf2
        text = written.text
        if form == written.form == "text":
            text = body.with_unchanged_lines(text, file, self._rules)
        digest = body.digest(text) if written.changes else None
        changed = mf2.with_changes(form=written.form, changes=written.changes, digest=digest)
        return file.with_body(text), changed

    def _other_body(self, file: PelicanFile) -> PelicanFile:
        """Change the body of a post in reStructuredText or HTML, which clients get unchanged.

        Raises :class:`InvalidRequest` for what is not allowed in it.
        """
        content, suffix = self._new.first("content"), file.syntax.suffix
        sent = content.get("html") if isinstance(content, dict) else None
        if isinstance(sent, str):
            return self._html_body(file, sent)
        plain = printable(content) if isinstance(content, str) else ""
        if suffix == "html":
            shown = body.encode(plain, markdown=is_markdown(self._new), rules=self._rules)
            return self._html_body(file, self._rules.site.render(shown.text).html)
        stored = _framed_like(file.body, self._rules.media.internalise_text(plain))
        verdict = body.judge(stored, suffix, self._rules, self._allowlist(file))
        self._refuse_harm(verdict)
        return file.with_body(stored)

    def _html_body(self, file: PelicanFile, sent: str) -> PelicanFile:
        """HTML in an HTML file stays as it is if everything new in it is harmless; otherwise all
        that the sanitiser does not know is removed.
        """
        rules, allowlist, suffix = self._rules, self._allowlist(file), file.syntax.suffix
        if suffix == "html" and not _FRAME.search(sent):
            written = _framed_like(file.body, rules.media.internalise_html(printable(sent)))
            verdict = body.judge(written, suffix, rules, allowlist)
            if not verdict.acts and not self._foreign(verdict):
                return file.with_body(written)
        clean = body.safe_html(sent, rules)
        stored = file.syntax.html_body(clean if suffix == "html" else f"<div>{clean}</div>")
        shown = rules.site.render(stored, suffix)
        # What the bridge writes here passes on raw HTML, and has no other effects.
        links = frozenset(rules.site.links.find(shown.html)) - allowlist.links
        acts = html.find_unsafe(shown.html) if rules.html == "sanitize" else frozenset[str]()
        self._refuse_harm(Verdict(shown.html, links, acts))
        return file.with_body(stored)

    def _allowlist(self, file: PelicanFile) -> Allowlist:
        return Allowlist.of(file.body, file.syntax.suffix, self._rules)

    def _foreign(self, verdict: Verdict) -> bool:
        """Whether there are links to files of the site other than its own media."""
        media = self._rules.media
        return any(media.externalise(link) == link for link in verdict.reaches)

    def _refuse_harm(self, verdict: Verdict) -> None:
        """Raise for content that acts, or links to files of the site, after Pelican's reader of
        its format has read it: that reader writes attributes again, without their character
        references.
        """
        if verdict.acts or self._foreign(verdict):
            raise InvalidRequest(
                "This content cannot be held by a file in the post's own format: leave out "
                "scripts, event handlers, and links to the site's own files."
            )

    def keys(self, file: PelicanFile) -> PelicanFile:
        """Change the keys of the changed properties, except the Title."""
        for field in keys.FIELDS:
            if field is keys.TITLE or not self.names.intersection(field.properties):
                continue
            value = field.encode(self._new.properties, file, self._rules)
            # A site cannot show a post without a date: deleting it leaves the Date as it is.
            if field is keys.DATE and value is None:
                continue
            if field is keys.AUTHOR:
                file = file.with_header("Authors", None)
            file = file.with_header(field.key, value)
        return file

    def draft(self, file: PelicanFile, mf2: Mf2Line) -> Mf2Line:
        """A draft that this change creates is an app's; one that was written by hand stays so."""
        is_draft = (file.get("Status") or "").strip().lower() == "draft"
        by_this = "post-status" in self.names
        return mf2.with_changes(draft=is_draft and (by_this or mf2.draft))

    def title(self, file: PelicanFile, mf2: Mf2Line) -> tuple[PelicanFile, Mf2Line]:
        """Change the Title if the name changes, and a made-up Title if what it was made from
        changes.
        """
        date = keys.date_of(file, "Date", self._rules) or _in_zone(self._when, self._rules)
        # A Title that was written by hand in place of a made-up one stays.
        if not ("name" in self.names or self._is_made_up(file, mf2, date)):
            return file, mf2
        value = keys.TITLE.encode(self._new.properties, file, self._rules)
        if value is not None:
            return file.with_header("Title", value), mf2.made_up(None)
        made = synthetic_title(self._new, date, file, self._rules, mf2)
        return file.with_header("Title", made), mf2.made_up(made)

    def _is_made_up(self, file: PelicanFile, mf2: Mf2Line, date: datetime) -> bool:
        if not mf2.synthetic_title or mf2.title_digest is not None:
            return mf2.synthetic_title
        return file.get("Title") in {
            synthetic_title(self._old, date, file, self._rules, mf2.with_changes(form=None)),
            earlier_title(self._old, date, file, self._rules),
        }

    def commands_beside(self, file: PelicanFile, mf2: Mf2Line) -> tuple[PelicanFile, Mf2Line]:
        """Carry out ``mp-slug``, ``mp-channel`` and ``mp-syndicate-to`` of an update."""
        if slug := slugs.wished_slug(self._commands, self._rules.site):
            file = file.with_header("Slug", slug)
        if self._commands.get("channel"):
            category = slugs.category_for(
                self._new, self._commands, self._rules.categories, self._rules.site
            )
            file = file.with_header("Category", category)
        if self._commands.get("syndicate-to"):
            mf2 = mf2.with_changes(syndicate_to=_texts(self._commands["syndicate-to"]))
        return file, mf2


def _framed_like(old: str, new: str) -> str:
    """A text with the same blank lines before and after it as another one."""
    start = old[: len(old) - len(old.lstrip("\r\n"))] if old.strip() else ""
    end = old[len(old.rstrip("\r\n")) :] if old.strip() else "\n"
    if not new.strip():
        return ""
    framed = start + new.strip("\n") + end
    return framed.replace("\r\n", "\n").replace("\r", "\n")


def _in_zone(when: datetime, rules: SiteRules) -> datetime:
    return when.astimezone(rules.site.zone)


def _texts(values: Iterable[Json]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str) and value)


def _content_type(post: Post) -> str:
    return (post.text("p3k-content-type") or "").partition(";")[0].strip().lower()


def _language(post: Post) -> str | None:
    """The programming language of a post that is a piece of code, ``""`` if it is unknown."""
    kind, _, language = _content_type(post).partition("/")
    return (language if _LANGUAGE.fullmatch(language) else "") if kind == "code" else None


def _content(post: Post) -> Json:
    """The content as it will be written: code as a fenced block, HTML as HTML."""
    content, language = post.first("content"), _language(post)
    if not isinstance(content, str) or not content.strip():
        return content
    if language is not None:
        longest = max(map(len, re.findall(r"`+", content)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}{language}\n{content.strip(_LINES)}\n{fence}"
    return {"html": content} if _content_type(post) == "text/html" else content


def _with_originals(
    mf2: Mf2Line, file: PelicanFile, post: Post, names: Iterable[str], rules: SiteRules
) -> Mf2Line:
    """The line with those of these properties that the file's keys and body do not give back."""
    wanted = set(names)
    kept: dict[str, tuple[Json, ...]] = dict(mf2.properties)
    given_back = _given_back(file, mf2, rules)
    for name in [*filter(wanted.__contains__, post.properties), *(wanted - set(post.properties))]:
        if not post.all(name) or post.all(name) == given_back.get(name):
            kept.pop(name, None)
        elif name == "content":
            kept[name] = post.all(name)
        else:
            kept[name] = tuple(rules.media.internalise(value) for value in post.all(name))
    digest = mf2.digest
    if "content" in wanted:
        digest = body.digest(file.body) if "content" in kept or mf2.changes else None
    return mf2.with_changes(properties=MappingProxyType(kept), digest=digest)


def _given_back(
    file: PelicanFile, mf2: Mf2Line, rules: SiteRules
) -> Mapping[str, tuple[Json, ...]]:
    found: dict[str, tuple[Json, ...]] = {}
    for field in keys.FIELDS:
        if not (field is keys.TITLE and mf2.synthetic_title):
            found.update(field.decode(file, rules))
    content = body.decode(file, mf2.form, rules, body.changes_of(file, mf2))
    return found if content is None else {**found, "content": (content,)}


def _with_mf2(file: PelicanFile, mf2: Mf2Line) -> PelicanFile:
    return file.with_header("Mf2", mf2.text())
