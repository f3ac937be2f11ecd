"""Changes the Pelican file of an existing post, and no more of it than has changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from bridge.content import body, keys
from bridge.content.body import Allowlist, Verdict
from bridge.content.convert import (
    NO_COMMANDS,
    content_to_write,
    is_markdown,
    refuse_private,
    texts_of,
    with_originals,
)
from bridge.content.file import Mf2Line, PelicanFile, printable
from bridge.content.markup import html
from bridge.content.markup.changes import ChangedText, TextChanges
from bridge.content.rules import SiteRules
from bridge.content.titles_and_slugs import (
    earlier_title,
    plain_content,
    requested_slug,
    synthetic_title,
)
from bridge.errors import Conflict, InvalidRequest
from bridge.micropub.post import Json, Post, Properties

#: The elements around the body of an HTML file.
_FRAME = re.compile(r"</?(?:html|head|body)\b", re.IGNORECASE)


def edit(
    file: PelicanFile,
    old: Post,
    new: Post,
    *,
    commands: Properties = NO_COMMANDS,
    when: datetime,
    rules: SiteRules,
) -> PelicanFile:
    """Apply the difference between ``old`` (as read from the file) and ``new``, and nothing else.

    Sets ``Modified`` to ``when`` unless the change itself sets it. An unchanged post gives an
    unchanged file. Raises :class:`InvalidRequest` as :func:`new_file`, and :class:`Conflict` if the
    ``Mf2`` line is damaged, because it would be lost.
    """
    refuse_private(new)
    if Mf2Line.is_broken(file):
        raise Conflict(
            "The post's Mf2 line is not valid JSON. Correct it in the file, then try again."
        )
    mf2 = before = Mf2Line.of(file)
    if mf2.form is None:
        new = _outer_lines_kept(old, new)
    change = _Change(old, new, commands, when, rules)
    edited, mf2 = change.body(file, mf2)
    edited = change.keys(edited)
    mf2 = change.draft(edited, mf2)
    edited, mf2 = change.title(edited, mf2)
    edited, mf2 = change.commands_beside(edited, mf2)
    mf2 = with_originals(mf2, edited, new, change.names, rules)
    if mf2 != before:
        # A line that has become empty was only about an earlier form of the text.
        edited = edited.with_header("Mf2", None if mf2 == Mf2Line() else mf2.text())
    if edited != file and "updated" not in change.names:
        edited = edited.with_header("Modified", keys.date_form(_in_zone(when, rules)))
    return edited


def _outer_lines_kept(old: Post, new: Post) -> Post:
    """The new post, with its old content if the contents differ only in line ends or surrounding
    blank lines: many editors end a text with a newline."""
    content = old.all("content")
    same = _without_outer_lines(new.all("content")) == _without_outer_lines(content)
    return new.with_properties({"content": content}) if same else new


def _without_outer_lines(content: tuple[Json, ...]) -> Json:
    match content:
        case (str(text),):
            return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
        case ({"html": str(sent), **rest},) if not rest:
            return {"html": sent.strip()}
    return list(content)


def with_references(
    file: PelicanFile, post: Post, references: Mapping[str, Json], rules: SiteRules
) -> PelicanFile:
    """The file with what is now known about the pages that its post links to.

    A made-up Title is made again with that; one that the owner has written stays.
    """
    line, date = Mf2Line.of(file), keys.date_of(file, "Date", rules)
    changed = line.with_changes(references={**line.references, **references})
    found = file.with_header("Mf2", changed.text())
    # Only the title of a post without text mentions other pages.
    if not (line.synthetic_title and date) or plain_content(post):
        return found
    if file.get("Title") != synthetic_title(post, date, file, rules, line):
        return found
    made = synthetic_title(post, date, file, rules, changed)
    if made == file.get("Title"):
        return found
    titled = file.with_header("Title", made)
    return titled.with_header("Mf2", changed.made_up(made).text())


class _Change:
    """Carries out an edit, one part of the file at a time."""

    def __init__(
        self, old: Post, new: Post, commands: Properties, when: datetime, rules: SiteRules
    ) -> None:
        everything = {*old.properties, *new.properties}
        names = {name for name in everything if old.all(name) != new.all(name)}
        # Properties that share a key change together: what the key no longer holds must not be
        # lost.
        for field in keys.FIELDS:
            if names.intersection(field.properties):
                names.update(field.properties)
        self.names = frozenset(names)
        self._old, self._new = old, new
        self._commands, self._when, self._rules = commands, when, rules

    def body(self, file: PelicanFile, mf2: Mf2Line) -> tuple[PelicanFile, Mf2Line]:
        """Change the text. It keeps its format, and may keep what the owner wrote."""
        if "content" not in self.names:
            return file, mf2
        if file.syntax.name != "markdown":
            edited, changes = self._other_body(file)
            digest = body.digest(edited.body) if changes else None
            return edited, mf2.with_changes(form=None, changes=changes, digest=digest)
        form = body.form_of(file, mf2.form, self._rules)
        was_markdown = form in {None, "markdown"} and bool(file.body.strip())
        # A title added to a note by hand does not make its text Markdown.
        stays_text = form == "text" and is_markdown(self._old) and "name" not in self.names
        written = body.encode(
            content_to_write(self._new),
            markdown=was_markdown or (is_markdown(self._new) and not stays_text),
            rules=self._rules,
            allowlist=self._allowlist(file) if was_markdown or form == "html" else None,
            as_it_is=was_markdown and not body.is_adapted(file, mf2),
        )
        if was_markdown and mf2.form is None and written.form == "markdown":
            # Markdown written by hand needs no mark, and keeps the owner's blank lines around it.
            text, changes = _with_blank_lines_of(file.body, written.text.removesuffix("\n"))
            digest = body.digest(text) if changes else None
            return file.with_body(text), mf2.with_changes(changes=changes, digest=digest)
        text = written.text
        if form == written.form == "text":
            text = body.with_unchanged_lines(text, file, self._rules)
        digest = body.digest(text) if written.changes else None
        changed = mf2.with_changes(form=written.form, changes=written.changes, digest=digest)
        return file.with_body(text), changed

    def _other_body(self, file: PelicanFile) -> tuple[PelicanFile, TextChanges]:
        """Change the body of a post in reStructuredText or HTML, which clients get unchanged, and
        return how its text then differs from what was sent.

        Raises :class:`InvalidRequest` for what is not allowed in it.
        """
        content, suffix = self._new.first("content"), file.syntax.suffix
        sent = content.get("html") if isinstance(content, dict) else None
        if isinstance(sent, str):
            return self._html_body(file, sent), ()
        plain = printable(content) if isinstance(content, str) else ""
        if suffix == "html":
            shown = body.encode(plain, markdown=is_markdown(self._new), rules=self._rules)
            return self._html_body(file, self._rules.site.render(shown.text).html), ()
        stored, changes = _with_blank_lines_of(file.body, self._rules.media.internalise_text(plain))
        changed = file.with_body(stored)
        verdict = body.judge(changed.text_to_render, suffix, self._rules, self._allowlist(file))
        self._refuse_harm(verdict)
        return changed, changes

    def _html_body(self, file: PelicanFile, sent: str) -> PelicanFile:
        """HTML in an HTML file is unchanged if everything new in it is harmless; otherwise
        everything that the sanitiser does not allow is removed.
        """
        rules, allowlist, suffix = self._rules, self._allowlist(file), file.syntax.suffix
        if suffix == "html" and not _FRAME.search(sent):
            written = _indented_like(file.body, rules.media.internalise_html(printable(sent)))
            verdict = body.judge(written, suffix, rules, allowlist)
            if not verdict.acts and not self._foreign(verdict):
                return file.with_body(written)
        clean = body.safe_html(sent, rules, allowlist.links)
        stored = file.syntax.html_body(clean if suffix == "html" else f"<div>{clean}</div>")
        changed = file.with_body(stored)
        shown = rules.site.render(changed.text_to_render, suffix)
        # What the bridge writes here passes on raw HTML, and has no other effects.
        links = frozenset(rules.site.links.find(shown.html)) - allowlist.links
        acts = html.find_unsafe(shown.html) if rules.html == "sanitize" else frozenset[str]()
        self._refuse_harm(Verdict(shown.html, links, acts))
        return changed

    def _allowlist(self, file: PelicanFile) -> Allowlist:
        return Allowlist.of(file.text_to_render, file.syntax.suffix, self._rules)

    def _foreign(self, verdict: Verdict) -> bool:
        """Whether there are links to files of the site other than its own media."""
        media = self._rules.media
        return any(media.externalise(link) == link for link in verdict.reaches)

    def _refuse_harm(self, verdict: Verdict) -> None:
        """Raise for content that is active, or links to files of the site, once Pelican's reader
        for its format has processed it: that reader rewrites attributes without their character
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
        """A draft that this change creates is marked as an app's; one that was written by hand is
        not."""
        is_draft = (file.get("Status") or "").strip().lower() == "draft"
        by_this = "post-status" in self.names
        return mf2.with_changes(draft=is_draft and (by_this or mf2.draft))

    def title(self, file: PelicanFile, mf2: Mf2Line) -> tuple[PelicanFile, Mf2Line]:
        """Change the Title if the name changes, and a synthetic Title if what it is derived from
        changes.
        """
        date = keys.date_of(file, "Date", self._rules) or _in_zone(self._when, self._rules)
        # A Title that was written by hand in place of a synthetic one stays.
        if not ("name" in self.names or self._is_made_up(file, mf2, date)):
            return file, mf2
        value = keys.TITLE.encode(self._new.properties, file, self._rules)
        if value is not None:
            return file.with_header("Title", value), mf2.made_up(None)
        # A note's text may have become Markdown by hand.
        form = body.form_of(file, mf2.form, self._rules)
        of_the_text = mf2.with_changes(form=form)
        made = synthetic_title(self._new, date, file, self._rules, of_the_text)
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
        if slug := requested_slug(self._commands, self._rules.site):
            file = file.with_header("Slug", slug)
        if self._commands.get("channel"):
            category = keys.category_for(
                self._new, self._commands, self._rules.categories, self._rules.site
            )
            file = file.with_header("Category", category)
        if self._commands.get("syndicate-to"):
            mf2 = mf2.with_changes(syndicate_to=texts_of(self._commands["syndicate-to"]))
        return file, mf2


def _indented_like(old: str, new: str) -> str:
    """HTML with the same white space before and after it as other HTML."""
    if not (old.strip() and new.strip()):
        return _with_blank_lines_of(old, new)[0]
    start, end = old[: len(old) - len(old.lstrip())], old[len(old.rstrip()) :]
    return (start + new.strip() + end).replace("\r\n", "\n").replace("\r", "\n")


def _with_blank_lines_of(old: str, new: str) -> tuple[str, TextChanges]:
    """A text with the same blank lines before and after it as another one, and the changes that
    this needed.
    """
    start = old[: len(old) - len(old.lstrip("\r\n"))] if old.strip() else ""
    end = old[len(old.rstrip("\r\n")) :] if old.strip() else "\n"
    if not new.strip():
        return "", ()
    inner = new.strip("\n")
    before, _, after = new.partition(inner)
    left_out = ChangedText()
    left_out.replace(before, "")
    left_out.keep(inner)
    left_out.replace(after, "")
    framed = start + inner + end
    return framed.replace("\r\n", "\n").replace("\r", "\n"), tuple(left_out.changes)


def _in_zone(when: datetime, rules: SiteRules) -> datetime:
    return when.astimezone(rules.site.zone)
