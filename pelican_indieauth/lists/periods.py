"""Archives by year, month and day of posts from several time zones.

Pelican sorts posts by time, and starts a new archive where the year, month or day changes. A post
from New Zealand is of the next year already while later ones from Paris are of this one, which then
has two archives at one address: Pelican ends without a site.
"""

from __future__ import annotations

from typing import Any


def join(generator: Any) -> None:
    """Give each period of an articles generator one archive."""
    # A generator of another plugin may have articles, and no archives.
    archives: dict[str, list[dict[str, Any]]] = getattr(generator, "period_archives", {})
    for granularity, periods in archives.items():
        joined: dict[tuple[int, ...], dict[str, Any]] = {}
        for each in periods:
            period = each["period_num"]
            found = joined.get(period)
            joined[period] = each if found is None else _together(found, each, generator)
        if len(joined) < len(periods):
            archives[granularity] = list(joined.values())


def _together(first: dict[str, Any], second: dict[str, Any], generator: Any) -> dict[str, Any]:
    """One archive of two, its articles in the order of the site's."""
    dates = [*first["dates"], *second["dates"]]
    inside = {id(article) for article in dates}
    articles = [article for article in generator.articles if id(article) in inside]
    return {**first, "dates": dates, "articles": articles}
