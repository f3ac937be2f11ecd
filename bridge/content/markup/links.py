"""Links in Pelican's notation for files of the site: ``{static}``, ``{attach}``, ``{filename}``.

Pelican replaces them by a copy of any file that the builder can read. So only links to the site's
own media folder, which are made here, may have this form. The same notation in what a client sends
is escaped; in properties the escaping is reversible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bridge.micropub.post import Json

#: A link to one of the site's own files, as it is written in a post's file.
_STATIC = re.compile(r"\{static\}/([^\s\"'()<>\\?#]+)")
_LINKING = re.compile(
    r"""(?:href|src|poster|data|cite|formaction|action|content)\s*=\s*(?P<quote>["'])"""
)
#: Longer than any notation that Pelican knows.
_LONGEST_NOTATION = 200
#: Pelican looks for the end of anything that begins with one of these, closed or not.
_BRACKETS = ("{", "|")


class IntrasiteLinks:
    """Finds in HTML what Pelican would replace (``Content._get_intrasite_link_regex``).

    Pelican's own expression can take hours for a few malicious kilobytes. This reads the text once,
    and also finds what Pelican would only reach after another replacement in the same tag.
    """

    def __init__(self, notation: str) -> None:
        """``notation`` is the site's INTRASITE_LINK_REGEX."""
        self._notation = re.compile(notation, re.VERBOSE)

    def find(self, html: str) -> Iterator[str]:
        """The values of attributes that Pelican would replace, like ``{static}/x``.

        Includes values that only begin like one (``{x``, see :data:`_BRACKETS`).
        """
        for quote, value in _values(html):
            link = self._begins(html, value)
            end = html.find(quote, link.end()) if link else -1
            if link and end >= 0 and "\n" not in html[link.end() : end]:
                yield html[value:end]
            elif html.startswith(_BRACKETS, value):
                yield html[value : value + _LONGEST_NOTATION].partition(quote)[0]

    def neutralise(self, html: str, allowed: frozenset[str] = frozenset()) -> str:
        """Escape the HTML so that Pelican finds no intrasite link in it but the allowed ones."""
        pieces, position = list[str](), 0
        for quote, value in _values(html):
            if allowed and html[value : html.find(quote, value)] in allowed:
                continue
            if html.startswith(_BRACKETS, value) or self._begins(html, value):
                # Replace the first character by a character reference.
                pieces += html[position:value], f"&#{ord(html[value])};"
                position = value + 1
        return "".join([*pieces, html[position:]])

    def _begins(self, html: str, position: int) -> re.Match[str] | None:
        return self._notation.match(html, position, position + _LONGEST_NOTATION)


def _values(html: str) -> Iterator[tuple[str, int]]:
    """Quote and start of each value that could be a link, in the order of the HTML."""
    read, tag = 0, -1
    for match in _LINKING.finditer(html):
        start, value = match.span()
        ended = html.rfind(">", read, start)
        if ended >= 0 or tag < 0:
            tag = html.find("<", max(ended, read), start)
        read = start
        # There must be something between the tag's bracket and the attribute.
        if 0 <= tag < start - 1:
            yield match["quote"], value


#: A file below the media folder, as ``bridge.media`` names them: no dot at the start of a segment.
_SAFE_PATH = r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*"
#: A query or fragment (``#t=10``), which stays on the link as it is.
_MORE = r"(?P<more>(?:[?#][\w~:/?#@!$&*+,;=%.-]*)?)"
_NOTATION = re.compile(r"(?P<open>[{|]|%(?:25)*7[BC])(?=[a-z]+[}|])")
_NEUTRALISED = re.compile(r"%(?P<more>(?:25)*)7(?P<which>[BC])(?=[a-z]+[}|])")
_ATTRIBUTE = r"""(?P<before>\b(?i:src|href|poster|data|cite)\s*=\s*["'])"""
_NOTATION_IN_HTML = re.compile(_ATTRIBUTE + _NOTATION.pattern)
_NEUTRALISED_IN_HTML = re.compile(_ATTRIBUTE + _NEUTRALISED.pattern)
_PICTURE = re.compile(r"\.(?:jpe?g|png|gif|webp|avif|svg)\Z", re.IGNORECASE)
_MARKDOWN_TARGET = r"(?P<before>\]\([ ]*<?|^[ ]{0,3}\[[^\]\n]+\]:[ ]*<?)"


@dataclass(frozen=True, slots=True)
class MediaUrls:
    """The URLs at which the media folder is visible.

    ``folder`` is inside the content folder (``media``); ``prefixes`` are absolute URLs that end in
    ``/``: first the bridge's, which clients are given, then the site's own.
    """

    folder: str
    prefixes: tuple[str, ...]
    _known: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _in_html: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _in_markdown: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _known_anywhere: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _own: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _own_anywhere: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _own_in_html: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _bare: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _bracketed: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _bare_line: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _in_words: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _written_bare: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        prefixes = "|".join(re.escape(prefix) for prefix in self.prefixes) or r"(?!)"
        known = rf"(?:{prefixes})(?P<path>{_SAFE_PATH})"
        own = rf"\{{static\}}/{re.escape(self.folder)}/(?P<path>{_SAFE_PATH})"
        with_more = f"{known}{_MORE}"
        own_with_more = f"{own}{_MORE}"
        linked = own_with_more.replace("<path>", "<linked>").replace("<more>", "<linked_more>")
        end = r"""(?=[\s"'()<>?#]|$)"""
        patterns = {
            "_known": rf"{known}(?P<more>(?:[?#]\S*)?)",
            "_in_html": rf"{_ATTRIBUTE}{known}{end}",
            "_in_markdown": rf"{_MARKDOWN_TARGET}{known}{end}",
            "_known_anywhere": rf"{known}(?![\w/-])",
            "_in_words": rf"{with_more}(?<![.?!,:;])(?![\w/-])",
            "_own": rf"{own}(?P<more>(?:[?#]\S*)?)",
            "_own_anywhere": own,
            "_own_in_html": rf"{_ATTRIBUTE}{own}{end}",
            "_bare": rf"(?<!\]\()<{with_more}>",
            "_bracketed": rf"\[https?:&\#47;[^\[\]\n]*\]\(<{with_more}>\)",
            "_bare_line": rf"^<{with_more}>(?=[ ]*$)",
            "_written_bare": rf"!\[\]\({own_with_more}\)|\[(?P<name>[\w\\.~-]+)\]\({linked}\)",
        }
        for name, pattern in patterns.items():
            object.__setattr__(self, name, re.compile(pattern, re.MULTILINE))

    def path_of(self, url: str) -> str | None:
        """The path of an upload below the media folder, by its URL; ``None`` for other URLs."""
        match = self._known.fullmatch(url)
        return match["path"] if match else None

    def internalise(self, value: Json) -> Json:
        """A value as it is written to a file: own media in Pelican's notation, the same notation
        elsewhere escaped.
        """
        if isinstance(value, str):
            if match := self._known.fullmatch(value):
                return self._static(match["path"]) + match["more"]
            return _NOTATION.sub(_neutralise, value, count=1) if _NOTATION.match(value) else value
        if isinstance(value, list):
            return [self.internalise(item) for item in value]
        if isinstance(value, dict):
            return {
                key: self._html_property(item)
                if key == "html" and isinstance(item, str)
                else self.internalise(item)
                for key, item in value.items()
            }
        return value

    def externalise(self, value: Json) -> Json:
        """The inverse of :meth:`internalise`; own media get the bridge's URL."""
        if isinstance(value, str):
            if self.prefixes and (match := self._own.fullmatch(value)):
                return self.prefixes[0] + match["path"] + match["more"]
            return (
                _NEUTRALISED.sub(_restore_notation, value, count=1)
                if _NEUTRALISED.match(value)
                else value
            )
        if isinstance(value, list):
            return [self.externalise(item) for item in value]
        if isinstance(value, dict):
            return {
                key: self._html_as_sent(item)
                if key == "html" and isinstance(item, str)
                else self.externalise(item)
                for key, item in value.items()
            }
        return value

    def _html_property(self, html: str) -> str:
        """:meth:`internalise` for the attributes of HTML."""
        return self.internalise_html(
            _NOTATION_IN_HTML.sub(lambda m: m["before"] + _neutralise(m), html)
        )

    def _html_as_sent(self, html: str) -> str:
        """The inverse of :meth:`_html_property`."""
        if self.prefixes:
            html = self._own_in_html.sub(lambda m: m["before"] + self.prefixes[0] + m["path"], html)
        return _NEUTRALISED_IN_HTML.sub(lambda m: m["before"] + _restore_notation(m), html)

    def internalise_html(self, html: str) -> str:
        """HTML with own media in Pelican's notation, in attributes."""
        return self._in_html.sub(lambda m: m["before"] + self._static(m["path"]), html)

    def internalise_markdown(self, text: str) -> str:
        """Markdown with own media in that notation, in links, images and HTML attributes."""
        linked = self._in_markdown.sub(lambda m: m["before"] + self._static(m["path"]), text)
        return self.internalise_html(linked)

    def internalise_note(self, encoded: str) -> str:
        """A note's text, encoded as Markdown, with own media in that notation, including bare
        URLs. A picture that is alone on its line is shown.
        """
        shown = self._bare_line.sub(self._picture, encoded)
        for pattern in (self._bracketed, self._bare):
            shown = pattern.sub(self._named, shown)
        return self.internalise_markdown(shown)

    def externalise_note(self, body: str) -> str:
        """The inverse of :meth:`internalise_note`; own media get the bridge's URL."""
        if not self.prefixes:
            return body
        return self.externalise_text(self._written_bare.sub(self._bare_again, body))

    def in_words(self, words: str, name: Callable[[str], str]) -> str:
        """A text in which the URL of each upload is replaced by what ``name`` returns for its
        path.
        """
        return self._in_words.sub(lambda m: name(m["path"]), words)

    def _picture(self, match: re.Match[str]) -> str:
        is_picture = _PICTURE.search(match["path"])
        shown = f"![]({self._static(match['path'])}{match['more']})"
        return shown if is_picture else match.group()

    def _named(self, match: re.Match[str]) -> str:
        return f"[{_label(match['path'])}]({self._static(match['path'])}{match['more']})"

    def _bare_again(self, match: re.Match[str]) -> str:
        path = match["path"] or match["linked"]
        more = match["more"] or match["linked_more"] or ""
        if match["name"] is not None and match["name"] != _label(path):
            return match.group()
        return f"<{self.prefixes[0]}{path}{more}>"

    def internalise_text(self, text: str) -> str:
        """A text in another format, with own media in that notation."""
        return self._known_anywhere.sub(lambda m: self._static(m["path"]), text)

    def externalise_text(self, text: str) -> str:
        """A body with the bridge's URLs for own media."""
        if not self.prefixes:
            return text
        return self._own_anywhere.sub(lambda m: self.prefixes[0] + m["path"], text)

    def _static(self, path: str) -> str:
        return f"{{static}}/{self.folder}/{path}"


def static_paths(text: str) -> list[str]:
    """The paths of the site's own files that the text of a post's file links to."""
    return _STATIC.findall(text)


def _label(path: str) -> str:
    """The label of a link to an upload that was sent as a bare URL."""
    return path.rpartition("/")[2].replace("_", "\\_")


def _neutralise(match: re.Match[str]) -> str:
    """``{`` as ``%7B``; an existing ``%7B`` as ``%257B``, so that this can be undone."""
    opening = match["open"]
    return {"{": "%7B", "|": "%7C"}.get(opening) or f"%25{opening[1:]}"


def _restore_notation(match: re.Match[str]) -> str:
    if match["more"]:
        return f"%{match['more'][2:]}7{match['which']}"
    return "{" if match["which"] == "B" else "|"
