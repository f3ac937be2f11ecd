"""Pictures within a text, as ``data:`` URLs (RFC 2397): apps send pasted ones so. They are uploads
like any other.
"""

from __future__ import annotations

import binascii
import re
import secrets
from base64 import b64decode
from bisect import bisect
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from bridge.errors import InvalidRequest
from bridge.micropub.action import Upload
from bridge.micropub.body import File, Slot
from bridge.micropub.post import Json
from bridge.micropub.values import MOST_OF_A_TEXT, MOST_VALUES, refuse_many_files

_TYPE = r"data:(?:image|video|audio)/[\w.+-]{1,60}(?:;[\w.=+-]{1,60}){0,9}"
#: Only a quoted one may have line breaks.
_DATA = re.compile(
    rf"""(?<=["']){_TYPE};base64,(?P<quoted>[\w+/=%\s-]*)(?=["'])
    |{_TYPE};base64,(?P<bare>[\w+/=%-]*)
    |{_TYPE},[^\s"'<>()]*""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
#: What is before the URL of a file that a page shows: a tag, an attribute in it, or Markdown.
_TAG = re.compile(
    r"""<(?:img|video|audio|source)(?=[\s/])(?:[^<>"']++|"[^"]*+"|'[^']*+')*+["']?\Z""",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"""[\s/"'](?:src|poster)\s{0,9}=\s{0,9}["']?\Z""", re.IGNORECASE)
_MARKDOWN = re.compile(r"\]\([ ]{0,9}<?\Z|^ {0,3}\[[^\]\n]+\]:[ ]{0,9}<?\Z", re.MULTILINE)
_BEFORE = 2_000
#: The beginning or the end of code in Markdown; and the end of a paragraph, so of code in it.
_CODE_MARK = re.compile(r"(?P<fence>^ {0,3}(?:`{3,}|~{3,}))|`+|\n[ \t\r]*\n", re.MULTILINE)
#: What is in place of the rest, in a text about such URLs.
_EXAMPLE = ("...", "…")
#: HTML and plain text of one post may come as two values.
_MOST_CONTENTS = 2


def take_out(values: Mapping[str, list[Slot]]) -> tuple[dict[str, list[Slot]], list[Upload]]:
    """The values with a placeholder for each such picture of the content and of the HTML of other
    properties, and the pictures. Those in code stay.

    Raises :class:`InvalidRequest` for too many.
    """
    taken, uploads = dict(values), list[Upload]()
    host = f"https://{secrets.token_hex(8)}.invalid"

    def without(value: Json, is_content: bool, key: str = "") -> Json:
        if isinstance(value, str) and (key == "html" or is_content):
            return _without(value, host, uploads, is_html=key == "html")
        if isinstance(value, list):
            return [without(item, is_content, key) for item in value]
        if isinstance(value, dict):
            return {name: without(item, is_content, name) for name, item in value.items()}
        return value

    for name, slots in values.items():
        is_content = name == "content"
        # More are refused by all that follows.
        if 0 < len(slots) <= (_MOST_CONTENTS if is_content else MOST_VALUES):
            taken[name] = [
                slot if isinstance(slot, File) else without(slot, is_content) for slot in slots
            ]
    return taken, uploads


def put_back(value: Json, urls: Mapping[str, str]) -> Json:
    """A value with the URL of each picture in place of its placeholder."""
    if isinstance(value, str):
        for placeholder, url in urls.items():
            value = value.replace(placeholder, url)
        return value
    if isinstance(value, list):
        return [put_back(item, urls) for item in value]
    if isinstance(value, dict):
        return {key: put_back(item, urls) for key, item in value.items()}
    return value


def refuse_unreadable(uploads: Iterable[Upload]) -> None:
    """Raise :class:`InvalidRequest` if a picture within a text could not be read."""
    if any(upload.placeholder and not upload.data for upload in uploads):
        raise InvalidRequest(
            "A picture in the text is a 'data:' address that cannot be read as base64. Upload the"
            " file to the media endpoint, and send the URL that it answers with."
        )


def _without(text: str, host: str, uploads: list[Upload], *, is_html: bool) -> str:
    found = list(_DATA.finditer(text))
    if not found:
        return text
    refuse_many_files({"file": len(uploads) + len(found)})
    if len(text) - sum(len(match[0]) for match in found) > MOST_OF_A_TEXT:
        # It will be refused, and reading it would take long.
        return text
    code = [] if is_html else _code(text)
    parts, end = list[str](), 0
    for match in found:
        start = match.start()
        before = bisect(code, (start, len(text))) - 1
        if not _is_shown(text, start) or (before >= 0 and start < code[before][1]):
            continue
        if not is_html and text.startswith(_EXAMPLE, match.end()):
            continue
        # The slash ends the number: no placeholder is the beginning of another.
        placeholder = f"{host}/{len(uploads)}/"
        data = _decoded(match["quoted"] or match["bare"])
        taken = Upload("content", len(uploads), "", data, placeholder=placeholder, source=match[0])
        uploads.append(taken)
        parts += text[end:start], placeholder
        end = match.end()
    return "".join((*parts, text[end:]))


def _is_shown(text: str, start: int) -> bool:
    """Whether a URL is that of a file which is part of the text."""
    before = text[max(start - _BEFORE, 0) : start]
    if _MARKDOWN.search(before):
        return True
    return bool(_ATTRIBUTE.search(before) and _TAG.search(before))


def _code(text: str) -> list[tuple[int, int]]:
    """Where code is in Markdown: from a mark to the next equal one, which is in the same paragraph
    unless they are fences."""
    marks = list(_CODE_MARK.finditer(text))
    following, seen = dict[int, int](), dict[str, int]()
    paragraph = len(marks)
    for number in reversed(range(len(marks))):
        mark = marks[number].group().strip()
        if not mark:
            paragraph = number
            continue
        if mark in seen and (marks[number]["fence"] or seen[mark] < paragraph):
            following[number] = seen[mark]
        seen[mark] = number
    ranges, number = list[tuple[int, int]](), 0
    while number < len(marks):
        closing = following.get(number, number)
        if closing > number:
            ranges.append((marks[number].start(), marks[closing].end()))
        number = closing + 1
    return ranges


def _decoded(base64: str | None) -> bytes:
    data = b"".join(unquote_to_bytes(base64 or "").split()).rstrip(b"=")
    try:
        return b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error:
        return b""
