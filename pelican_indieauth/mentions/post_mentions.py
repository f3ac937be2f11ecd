"""``article.mentions``: the received mentions of posts and pages, and the settings for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

from pelican_indieauth.entry.urls import Urls
from pelican_indieauth.errors import SettingError
from pelican_indieauth.mentions.conversation import conversation, form
from pelican_indieauth.mentions.files import read, stamp_of, targets
from pelican_indieauth.mentions.mention import NONE, Mentions, ShownMention, mentions_of

SETTING = "INDIEAUTH_MENTIONS"
FORM = "INDIEAUTH_MENTIONS_FORM"
_FOLDER = "mentions"


@dataclass(frozen=True, slots=True)
class PostMentions:
    """``article.mentions``: read when a template accesses it.

    So a page that only lists the post does not depend on its mentions, and a new mention rebuilds
    only the post's own page (``bridge.rebuild.resident`` knows this class by its name).
    """

    path: str
    url: str
    date_format: str
    index: MentionIndex

    def __bool__(self) -> bool:
        """Whether the post has mentions."""
        return self.count > 0

    def html(self, level: int = 2) -> str:
        """The HTML of all mentions, with headings of this level, and of the form if it is on."""
        site = self.index
        shown = conversation(self.now(), site.words, self.date_format, level=level)
        return shown + (form(site.form, self.url, site.words) if site.form else "")

    @property
    def replies(self) -> tuple[ShownMention, ...]:
        """The replies."""
        return self.now().replies

    @property
    def likes(self) -> tuple[ShownMention, ...]:
        """The likes."""
        return self.now().likes

    @property
    def reposts(self) -> tuple[ShownMention, ...]:
        """The reposts."""
        return self.now().reposts

    @property
    def bookmarks(self) -> tuple[ShownMention, ...]:
        """The bookmarks."""
        return self.now().bookmarks

    @property
    def rsvps(self) -> tuple[ShownMention, ...]:
        """The RSVPs."""
        return self.now().rsvps

    @property
    def mentions(self) -> tuple[ShownMention, ...]:
        """Links from other pages, without a more specific relation."""
        return self.now().mentions

    @property
    def more(self) -> int:
        """The number of mentions without files."""
        return self.now().more

    @property
    def count(self) -> int:
        """The total number."""
        return self.now().count

    def now(self) -> Mentions:
        """All mentions, as of this build."""
        return self.index(self.path)

    def version(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The files and their stamps: equal in two builds only if the mentions are the same."""
        return self.index.version(self.path)


class MentionIndex:
    """The mention files of each post in one build, by the path of the post's file.

    Files are read when a page accesses their mentions. ``form`` is the endpoint that a form below
    posts sends to, ``""`` for no form.
    """

    def __init__(
        self,
        by_post: Mapping[str, Sequence[str]],
        urls: Urls,
        words: Mapping[str, str],
        form: str = "",
    ) -> None:
        self._by_post = by_post
        self._urls = urls
        self.words = words
        self.form = form

    def __call__(self, path: str) -> Mentions:
        """The mentions of the post in the file ``path``."""
        return _mentions_in(self._by_post.get(path, ()), self._urls)

    def version(self, path: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The files of these mentions, with their stamps."""
        return tuple([(file, stamp_of(file)) for file in self._by_post.get(path, ())])


def folder_of(settings: Mapping[str, Any]) -> str:
    """The mentions folder, inside the content folder; ``""`` where mentions are off.

    Raises :class:`SettingError`.
    """
    value = settings.get(SETTING, True)
    if value is True or value is False:
        return _FOLDER if value else ""
    if not isinstance(value, str) or value.startswith("/") or ".." in value.split("/"):
        remedy = 'Write True, False, or the name of a folder in the content folder ("mentions")'
        raise SettingError(SETTING, value, "is not a folder inside the content folder", remedy)
    return value.strip("/")


def keep_out(generator: Any, folder: str) -> None:
    """Hide the files in the mentions folder from a generator."""
    found = generator.get_files
    inside = f"{normpath(folder)}/"

    @wraps(found)
    def get_files(*args: Any, **options: Any) -> Any:
        files = found(*args, **options)
        return type(files)(path for path in files if not normpath(path).startswith(inside))

    generator.get_files = get_files


def form_of(settings: Mapping[str, Any], endpoint: str) -> str:
    """The endpoint for the form below each post; ``""`` where the form is off.

    Raises :class:`SettingError`.
    """
    value = settings.get(FORM, False)
    if not isinstance(value, bool):
        raise SettingError(FORM, value, "is neither True nor False", "Write True or False")
    if value and not endpoint:
        remedy = "Set INDIEAUTH_WEBMENTION to your webmention endpoint"
        raise SettingError(FORM, value, "needs a webmention endpoint", remedy)
    return endpoint if value else ""


def attach(
    articles: Iterable[Any],
    content: Path,
    folder: str,
    urls: Urls,
    words: Mapping[str, str],
    form: str = "",
) -> None:
    """Set ``mentions`` of each article or page."""
    articles = list(articles)
    by_post: defaultdict[str, list[str]] = defaultdict(list)
    files = targets(content / folder) if folder else {}
    if files:
        paths = _by_url(articles, urls)
        queried = _with_queries(paths)
        for file, target in files.items():
            path = paths.get(_place_of(target, urls, queried))
            if path is not None:
                by_post[path].append(file)
    index = MentionIndex(by_post, urls, words, form)
    for article in articles:
        path, url = article.get_relative_source_path(), _url_of(article, urls)
        article.mentions = PostMentions(path, url, article.date_format, index)


def of_home(articles: Iterable[Any], content: Path, folder: str, urls: Urls) -> Mentions:
    """The mentions of the site's home page, for templates that show them."""
    files = targets(content / folder) if folder else {}
    if not files:
        return NONE
    queried = _with_queries(_by_url(articles, urls))
    home = [file for file, target in files.items() if _place_of(target, urls, queried) == "/"]
    return _mentions_in(home, urls)


def _mentions_in(files: Sequence[str], urls: Urls) -> Mentions:
    if not files:
        return NONE
    return mentions_of([entry for file in files if (entry := read(file)) is not None], urls)


def _url_of(content: Any, urls: Urls) -> str:
    """The URL of a post or a page; only posts have an entry."""
    return str(content.entry.url) if hasattr(content, "entry") else urls.site(content.url)


def _by_url(articles: Iterable[Any], urls: Urls) -> dict[str, str]:
    """The file of each post, by the path of its present URL and of its former ones."""
    found: dict[str, str] = {}
    former: dict[str, str] = {}
    for article in articles:
        path = article.get_relative_source_path()
        found.setdefault(_path_of(_url_of(article, urls), urls), path)
        for alias in article.entry.aliases if hasattr(article, "entry") else ():
            former.setdefault(_path_of(urls.site(alias), urls), path)
    return {**former, **found}


def _with_queries(paths: Iterable[str]) -> frozenset[str]:
    """The paths at which there are posts whose URLs have a query."""
    return frozenset(path.partition("?")[0] for path in paths if "?" in path)


def _place_of(target: str, urls: Urls, queried: frozenset[str]) -> str:
    """The path of the post or page that a mention is about: a query, such as those that count
    visitors, makes no difference where no post's URL has one.
    """
    path = _path_of(target, urls)
    plain = path.partition("?")[0]
    return path if plain in queried else plain


def _path_of(url: str, urls: Urls) -> str:
    """A URL's path below the site's root, in canonical form.

    The host is ignored, so that a site that moves keeps its mentions.
    """
    try:
        parts, root = urlsplit(url), urlsplit(urls.root)
    except ValueError:
        return ""
    path = unquote(parts.path).removeprefix(unquote(root.path.rstrip("/")))
    for index in ("index.html", "index.htm"):
        if path.lower().endswith(f"/{index}"):
            path = path[: -len(index)]
    query = f"?{parts.query}" if parts.query else ""
    return f"{path.rstrip('/') or '/'}{query}"
