"""Renders the mentions of a post, for the macro and for themes without it.

All values are escaped with :func:`markupsafe.escape`; no HTML of others is included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from markupsafe import escape as e
from pelican.utils import strftime

from pelican_indieauth.mentions.mention import Mentions, ShownMention

#: The site does not endorse links set by others.
_REL = 'rel="nofollow ugc"'
#: The microformats2 classes of each list, and whether it is shown as author pictures.
_CLASSES = {
    "replies": ("u-comment", False),
    "rsvps": ("u-comment", False),
    "mentions": ("u-mention", False),
    "likes": ("u-like", True),
    "reposts": ("u-repost", True),
    "bookmarks": ("u-bookmark", True),
}
_FACE = 'style="border-radius: 50%; vertical-align: middle"'
_ROW = 'style="list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .4em .9em"'
_DIV = re.compile(r"<(?P<end>/?)div(?=[\s>])", re.IGNORECASE)


def conversation(
    mentions: Mentions, words: Mapping[str, str], date_format: str, *, level: int = 2
) -> str:
    """All of it, in a section of its own; nothing where there is nothing.

    ``level`` is that of its headings.
    """
    if not mentions.count:
        return ""
    parts = "".join(
        _group(name, getattr(mentions, name), words, date_format, level)
        for name in _CLASSES
        if getattr(mentions, name)
    )
    if mentions.more:
        word = e(words["mentions-more"].replace("{count}", f"{mentions.more:,}"))
        parts += f'<p class="indieauth-more">{word}</p>\n'
    return f'<section class="indieauth-mentions" id="mentions">\n{parts}</section>\n'


def form(endpoint: str, target: str, words: Mapping[str, str]) -> str:
    """A form for submitting a reply on another site to the webmention endpoint."""
    label = e(words["mention-form"])
    return (
        f'<form class="indieauth-mention-form" method="post" action="{e(endpoint)}">'
        f'<input type="hidden" name="target" value="{e(target)}">'
        f'<label>{label} <input type="url" name="source" placeholder="https://" required></label> '
        f"<button>{e(words['mention-send'])}</button></form>\n"
    )


def put_into(page: str, opening: str, html: str) -> str:
    """The page with ``html`` inserted at the end of the entry that starts with ``opening``."""
    start = page.find(opening) if html else -1
    if start < 0:
        return page
    depth = 0
    for tag in _DIV.finditer(page, start):
        depth += -1 if tag["end"] else 1
        if depth == 0:
            return f"{page[: tag.start()]}{html}{page[tag.start() :]}"
    return page


def _group(
    name: str,
    mentions: Iterable[ShownMention],
    words: Mapping[str, str],
    date_format: str,
    level: int,
) -> str:
    root, faces = _CLASSES[name]
    heading = f"<h{level}>{e(words[name])}</h{level}>\n"
    if faces:
        shown = "".join(f'<li class="{root} h-cite">{_person(each)}</li>\n' for each in mentions)
        return f'{heading}<ul class="indieauth-{name}" {_ROW}>\n{shown}</ul>\n'
    shown = "".join(_response(each, root, words, date_format) for each in mentions)
    return f'{heading}<ol class="indieauth-{name}">\n{shown}</ol>\n'


def _person(mention: ShownMention) -> str:
    """A like or the like: the author's picture or name, linked to the like."""
    url = ""
    if mention.author_url:
        url = f'<data class="u-url" value="{e(mention.author_url)}"></data>'
    name = f'<span class="p-name">{e(mention.author)}</span>'
    card = f'<span class="p-author h-card">{_face(mention, 32)}{name}{url}</span>'
    return f'<a class="u-url" href="{e(mention.url)}" {_REL}>{card}</a>'


def _response(mention: ShownMention, root: str, words: Mapping[str, str], date_format: str) -> str:
    """A reply or the like with its text, and below it the responses to it."""
    name = e(mention.author)
    author = f'<span class="p-name">{name}</span>'
    if mention.author_url:
        author = f'<a class="p-name u-url" href="{e(mention.author_url)}" {_REL}>{name}</a>'
    card = f'<span class="p-author h-card">{_face(mention, 48)}{author}</span>'
    answer = ""
    if mention.rsvp:
        word = words.get(f"answer-{mention.rsvp}", mention.rsvp)
        answer = f' <data class="p-rsvp" value="{e(mention.rsvp)}">{e(word)}</data>'
    text = "".join(f"<p>{e(paragraph)}</p>" for paragraph in mention.paragraphs)
    content = f'<div class="p-content">{text}</div>' if text else ""
    if mention.name:
        content = f'<p class="p-name"><b>{e(mention.name)}</b></p>{content}'
    children = "".join(
        _response(each, "u-comment", words, date_format) for each in mention.children
    )
    under = f"<ol>\n{children}</ol>\n" if children else ""
    return (
        f'<li class="{root} h-cite"><p>{card}{answer} {_link(mention, date_format)}</p>\n'
        f"{content}{under}</li>\n"
    )


def _link(mention: ShownMention, date_format: str) -> str:
    """A link to the mention: its date, else its host."""
    if mention.published is None:
        host = mention.url.partition("://")[2].partition("/")[0]
        return f'<a class="u-url" href="{e(mention.url)}" {_REL}>{e(host)}</a>'
    readable = e(str(strftime(mention.published, date_format)))
    moment = e(mention.published.isoformat())
    time = f'<time class="dt-published" datetime="{moment}">{readable}</time>'
    return f'<a class="u-url" href="{e(mention.url)}" {_REL}>{time}</a>'


def _face(mention: ShownMention, side: int) -> str:
    if mention.face is None:
        return ""
    size = f'width="{side}" height="{side}"'
    return f'<img class="u-photo" src="{e(mention.face)}" alt="" loading="lazy" {size} {_FACE}> '
