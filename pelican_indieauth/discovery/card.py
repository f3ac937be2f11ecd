"""The owner's h-card on the home page, for themes without one."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape

from pelican_indieauth.entry.entry import Person

_BODY = re.compile(r"""<body(?=[\s>])(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""", re.IGNORECASE)


def with_card(page: str, owner: Person) -> str:
    """The page with the owner's h-card, invisible, at the start of its body.

    Its ``url`` and ``uid`` are the page's URL, which makes it the representative h-card.
    """
    body = _BODY.search(page)
    if body is None or _card(owner) in page:
        return page
    return page[: body.end()] + _card(owner) + page[body.end() :]


@lru_cache(maxsize=8)
def _card(owner: Person) -> str:
    values = [("p-name", owner.name), ("u-url u-uid", owner.url), ("u-photo", owner.photo)]
    data = "".join(
        f'<data class="{name}" value="{escape(value)}"></data>' for name, value in values if value
    )
    return f'<div class="h-card" hidden>{data}</div>'
