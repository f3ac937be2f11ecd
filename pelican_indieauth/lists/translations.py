"""Posts with equal slugs, such as "Weeknotes" of each month, are no translations of each other.

Pelican takes all posts with one slug (``ARTICLE_TRANSLATION_ID``) for translations, also where they
are in one language, and themes link them as such.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def drop_those_in_one_language(articles: Iterable[Any]) -> None:
    """Leave only the translations of each article that are in another language than it is."""
    for article in articles:
        if article.translations:
            others = [each for each in article.translations if each.lang != article.lang]
            article.translations = others
