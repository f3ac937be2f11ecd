"""Where Pelican puts posts, pages and lists, by the site's settings: slugs, URLs, output files."""

from __future__ import annotations

import copy
import logging
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import MAXYEAR, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from pelican import contents
from pelican.contents import Content
from pelican.urlwrappers import Author, Category, Tag, URLWrapper
from pelican.utils import sanitised_join, slugify

from bridge.errors import InvalidRequest
from bridge.site.messages import Location, Sort
from bridge.site.pelican.addresses.listings import Listings
from bridge.site.pelican.addresses.subsites import Subsite

_NAME_BYTES = 150
_LONGEST_NAME = 255
_ODD_SLUG = re.compile(r"[\x00-\x1f\\]|(?:^|/)\.*(?:/|$)")
_KEPT_IN_URLS = "/%:@!$&'()*+,;=~-._"
#: Most URLs contain no such character.
_NEEDS_QUOTING = re.compile(rf"[^A-Za-z0-9{re.escape(_KEPT_IN_URLS)}]")
_SORTS: Mapping[Sort, type[URLWrapper]] = {"category": Category, "author": Author, "tag": Tag}
#: Pelican's stand-in for a file with the status "skip", which exists since 4.10.
_SKIPPED: tuple[type, ...] = tuple(filter(None, [getattr(contents, "SkipStub", None)]))


class Addresses:
    """The addresses of one site. ``siteurl`` is its address, without a slash at the end.

    ``subsites`` are the sites in further languages: a post in one of them has its page there.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        siteurl: str,
        listings: Listings,
        subsites: Mapping[str, Subsite] | None = None,
    ) -> None:
        self._settings = settings
        self._siteurl = siteurl
        self._listings = listings
        self._subsites = subsites or {}
        self.slug_of_list = lru_cache(4096)(self._slug_of_list)

    def slug(self, name: str, substitutions: str) -> str:
        """A slug by the setting ``substitutions``, or else by ``SLUG_REGEX_SUBSTITUTIONS``."""
        settings = self._settings
        slug: str = slugify(
            name,
            regex_subs=settings.get(substitutions, settings["SLUG_REGEX_SUBSTITUTIONS"]),
            preserve_case=settings["SLUGIFY_PRESERVE_CASE"],
            use_unicode=settings["SLUGIFY_USE_UNICODE"],
        )
        return slug

    def _slug_of_list(self, sort: Sort, name: str) -> str:
        """The slug of a list of this name, ``""`` where it can have no pages: one without a slug,
        or with a slug that leaves the output folder, is longer than a file name, or gives it a
        file of the whole site's (``feeds/all.atom.xml``), would break or litter the site."""
        slug = self.slug(name, f"{sort.upper()}_REGEX_SUBSTITUTIONS")
        if not slug or len(slug.encode()) > _NAME_BYTES or _ODD_SLUG.search(slug):
            return ""
        if self._listings.is_of_the_site(sort, slug):
            return ""
        try:
            save_as = _SORTS[sort](name, self._settings).save_as
            sanitised_join(str(self._settings["OUTPUT_PATH"]), str(save_as or "x"))
        except (RuntimeError, ValueError, KeyError, IndexError, AttributeError):
            return ""
        return slug

    def absolute(self, url: str, siteurl: str = "") -> str:
        """The URL of a page, from what Pelican calls its URL."""
        path = url.lstrip("/")
        if _NEEDS_QUOTING.search(path):
            path = quote(path, safe=_KEPT_IN_URLS)
        return f"{siteurl or self._siteurl}/{path}"

    def location(self, content: Content) -> Location:
        """Where a content object goes. Raises :class:`InvalidRequest` if it goes nowhere."""
        siteurl, folder = self._siteurl, ""
        if (subsite := self._subsites.get(str(getattr(content, "lang", "")))) is not None:
            content = subsite.native(content)
            siteurl, folder = subsite.siteurl, subsite.folder
        # Any other spelling of "skip" than this one even ends the whole build.
        if isinstance(content, _SKIPPED) or content.status == "skip":
            raise InvalidRequest("Pelican would skip this post: its status is 'skip'.")
        try:
            page = _with_page(content)
            sanitised_join(str(self._settings["OUTPUT_PATH"]), page.save_as)
            with _quiet():
                valid = content.is_valid()
            url = self.absolute(page.url, siteurl)
        except KeyError as error:
            raise InvalidRequest(
                f"The site's ARTICLE_URL or ARTICLE_SAVE_AS names {{{error.args[0]}}}, which this"
                " post does not have: set a default in DEFAULT_METADATA of Pelican's settings."
            ) from error
        except Exception as error:
            if missing := _what_is_empty(content):
                raise InvalidRequest(
                    f"The site's URL settings cannot hold this post: {error}. ARTICLE_SAVE_AS may"
                    f" name what this post does not have: {missing}."
                ) from error
            raise InvalidRequest(
                f"The site's URL settings cannot hold this post: {error}."
            ) from error
        if not valid:
            raise InvalidRequest(_why_skipped(content))
        category = str(getattr(content, "category", ""))
        save_as = f"{folder}{page.save_as}"
        if "/.." in save_as:
            save_as = posixpath.normpath(save_as)
        if has_long_name(save_as):
            raise InvalidRequest(
                f"A name in the path of this post's page is longer than {_LONGEST_NAME} bytes, the"
                " most that a file system takes: shorten its slug or category."
            )
        return Location(url, save_as, str(content.status), date_of(content), category)

    def urls_of_page(self, save_as: str) -> list[str]:
        """What an article's page may be called: many sites leave out what it ends with."""
        urls = [save_as.removesuffix("index.html")]
        stem, dot, suffix = save_as.rpartition(".")
        if dot and not str(self._settings["ARTICLE_URL"]).endswith((f".{suffix}", "/")):
            urls.append(stem)
        return urls


def has_long_name(path: str) -> bool:
    """Whether a name in a path is longer than file systems take."""
    # No character has more than four bytes.
    return 4 * len(path) > _LONGEST_NAME and any(
        len(name.encode("utf-8", "replace")) > _LONGEST_NAME for name in path.split("/")
    )


def _with_page(content: Content) -> Content:
    """The same content, or, where drafts have no pages (``DRAFT_SAVE_AS = ""``), as it will be once
    it is published: all drafts would have one address.
    """
    if content.save_as or content.status != "draft":
        return content
    published = copy.copy(content)
    published.status = "published"
    return published


def date_of(article: Content) -> datetime | None:
    """When a post is from; ``None`` for a draft without a date."""
    date = getattr(article, "date", None)
    # Pelican dates a draft without a date to the end of time.
    return date if isinstance(date, datetime) and date.year < MAXYEAR else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Pelican logs why it skips a post; here the answer says it."""
    logger = logging.getLogger("pelican.contents")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _what_is_empty(content: Content) -> str:
    """What makes an address begin with a slash, which would lead outside of the output."""
    empty = [name for name in ("author", "category") if not str(getattr(content, name, ""))]
    return ", ".join(f"{{{name}}}" for name in empty)


def _why_skipped(article: Content) -> str:
    for name in article.mandatory_properties:
        if hasattr(article, name):
            continue
        if name == "title":
            return "Pelican would skip this post: it has no title."
        if name == "date":
            return "Pelican would skip this post: it has no date."
        return f"Pelican would skip this post: it has no {name}."
    if article.status not in article.allowed_statuses:
        return f"Pelican would skip this post: its status is {article.status!r}."
    return f"Pelican would skip this post: its page would be {article.save_as!r}."
