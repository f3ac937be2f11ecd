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

from pelican_indieauth.conversation import conversation, form
from pelican_indieauth.entry.mention import NONE, Mention, Mentions, mentions_of
from pelican_indieauth.entry.urls import Urls
from pelican_indieauth.errors import SettingError
from pelican_indieauth.mention_files import read, stamp_of, targets

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
    def replies(self) -> tuple[Mention, ...]:
        """The replies."""
        return self.now().replies

    @property
    def likes(self) -> tuple[Mention, ...]:
        """The likes."""
        return self.now().likes

    @property
    def reposts(self) -> tuple[Mention, ...]:
        """The reposts."""
        return self.now().reposts

    @property
    def bookmarks(self) -> tuple[Mention, ...]:
        """The bookmarks."""
        return self.now().bookmarks

    @property
    def rsvps(self) -> tuple[Mention, ...]:
        """The RSVPs."""
        return self.now().rsvps

    @property
    def mentions(self) -> tuple[Mention, ...]:
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
        """What is said of one post."""
        return _read(self._by_post.get(path, ()), self._urls)

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
        for file, target in files.items():
            path = paths.get(_path_of(target, urls))
            if path is not None:
                by_post[path].append(file)
    index = MentionIndex(by_post, urls, words, form)
    for article in articles:
        path, url = article.get_relative_source_path(), _url_of(article, urls)
        article.mentions = PostMentions(path, url, article.date_format, index)


def of_home(content: Path, folder: str, urls: Urls) -> Mentions:
    """What others say of the site's home page, for the templates that show it."""
    files = _targets(content / folder) if folder else {}
    return _read([file for file, target in files.items() if _place(target, urls) == "/"], urls)


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


class _Stamp(NamedTuple):
    modified: int
    size: int
    inode: int


#: Which post each file is about, over all builds of a process that goes on; ``None`` for a file
#: that is not a mention.
_KNOWN: dict[str, tuple[_Stamp, str | None]] = {}


def _targets(folder: Path) -> dict[str, str]:
    """Every mention's file and target. Only files that are new, or others than before, are read."""
    root = str(folder)
    there = dict(sorted(_files(root)))
    for path in [path for path in _KNOWN if path.startswith(f"{root}{os.sep}")]:
        if path not in there:
            del _KNOWN[path]
    found = {}
    for path, stamp in there.items():
        known = _KNOWN.get(path)
        if known is None or known[0] != stamp:
            said = _entry(path, warn=True)
            known = _KNOWN[path] = (stamp, None if said is None else said["wm-target"])
        if known[1] is not None:
            found[path] = known[1]
    return found


def _files(folder: str, *, top: bool = True) -> Iterator[tuple[str, _Stamp]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        # Tombstones and rules are not mentions.
        if entry.is_dir(follow_symlinks=False):
            if not (top and entry.name == "gone"):
                yield from _files(entry.path, top=False)
        elif not top and entry.name.endswith(".json"):
            status = entry.stat()
            yield entry.path, _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _entry(path: str, *, warn: bool = False) -> dict[str, Any] | None:
    """What one file says; ``None``, and perhaps a warning, where it is not a mention."""
    try:
        said = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if warn:
            logger.warning("%s is passed over: %s", path, error)
        return None
    if path.endswith(f"{os.sep}{_COUNTED}"):
        return _counted(path, said)
    if path.endswith(f"{os.sep}{_COUNTS}"):
        return _counted_elsewhere(said)
    if not isinstance(said, dict) or not isinstance(said.get("wm-target"), str):
        if warn:
            logger.warning("%s is passed over: it names no wm-target", path)
        return None
    return said


def _counted(path: str, said: Any) -> dict[str, Any] | None:
    """How many more there are of the post whose mentions are beside this file."""
    counts = said.values() if isinstance(said, dict) else ()
    more = sum(count for count in counts if isinstance(count, int) and count > 0)
    for file in sorted(Path(path).parent.glob("*-*.json")):
        beside = _entry(str(file))
        if beside is not None:
            return {"wm-target": beside["wm-target"], "more": more}
    return None


def _counted_elsewhere(said: Any) -> dict[str, Any] | None:
    """How many responses the copies of a post have that have no files."""
    if not isinstance(said, dict) or not isinstance(said.get("wm-target"), str):
        return None
    copies = said.get("counts")
    kinds = copies.values() if isinstance(copies, dict) else ()
    counts = [count for each in kinds if isinstance(each, dict) for count in each.values()]
    more = sum(count for count in counts if isinstance(count, int) and count > 0)
    return {"wm-target": said["wm-target"], "more": more}


def _read(files: Sequence[str], urls: Urls) -> Mentions:
    if not files:
        return NONE
    read = (_entry(file) for file in files)
    return _mentions([said for said in read if said is not None], urls)


def _mentions(every: Iterable[Mapping[str, Any]], urls: Urls) -> Mentions:
    lists: defaultdict[str, dict[str, tuple[str, Mention]]] = defaultdict(dict)
    more = 0
    for said in every:
        if "more" in said and "wm-property" not in said:
            more += said["more"]
            continue
        name = LISTS.get(str(said.get("wm-property")), "mentions")
        mention = _mention(said, urls, silent=name in _SILENT)
        if mention is not None:
            when = str(said.get("published") or said.get("wm-received") or "")
            # The same response in two files, after a merge by hand perhaps, is there once.
            lists[name].setdefault(mention.url, (_sortable(when), mention))
    in_order = {
        name: tuple(mention for _, mention in sorted(found.values(), key=lambda each: each[0]))
        for name, found in lists.items()
    }
    return Mentions(**in_order, more=more)


def _mention(
    said: Mapping[str, Any], urls: Urls, *, silent: bool = False, depth: int = 0
) -> Mention | None:
    url = _web(said.get("url"), urls) or _web(said.get("wm-source"), urls)
    if url is None:
        return None
    author = said.get("author")
    card: Mapping[str, Any] = author if isinstance(author, dict) else {}
    content = said.get("content")
    text = content.get("text") if isinstance(content, dict) else content
    children = said.get("wm-children") if depth < _DEEPEST else None
    photo = card.get("photo")
    return Mention(
        url,
        author=_text(card.get("name")) or escape(urlsplit(url).netloc),
        author_url=_web(card.get("url"), urls),
        face=urls.web(photo) if urls.own(photo) else None,
        text=Markup() if silent else _text(text),
        name=Markup() if silent else _text(said.get("name")),
        published=_moment(said.get("published")),
        via=_text(said.get("wm-via")),
        rsvp=_text(said.get("rsvp")),
        children=tuple(
            child
            for each in (children if isinstance(children, list) else [])
            if isinstance(each, dict)
            and (child := _mention(each, urls, depth=depth + 1)) is not None
        ),
    )


def _web(value: Any, urls: Urls) -> str | None:
    """An address elsewhere: the site's own are none."""
    return urls.web(value) if isinstance(value, str) and "://" in value[:8] else None


def _text(value: Any) -> Markup:
    return escape(value) if isinstance(value, str) else Markup()


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None


def _sortable(text: str) -> str:
    moment = _moment(text)
    if moment is None:
        return text
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except OverflowError:
        # A day that only its own time zone's calendar has: before the year 1, or after 9999.
        return text
