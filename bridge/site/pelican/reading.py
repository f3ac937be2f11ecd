"""Reads texts as the site's own readers do, with its plugins listening: each where its file would
be.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blinker
import pelican
from pelican.contents import Article, Content
from pelican.generators import ArticlesGenerator
from pelican.plugins import signals
from pelican.readers import (
    DUPLICATES_DEFINITIONS_ALLOWED,
    METADATA_PROCESSORS,
    BaseReader,
    HTMLReader,
    MarkdownReader,
    Readers,
    RstReader,
    parse_path_metadata,
)
from pelican.urlwrappers import Author, Category, URLWrapper

from bridge.content.file import PelicanFile, has_other_format
from bridge.content.rules import Rendered
from bridge.errors import InsufficientStorage, InvalidRequest, SiteBroken
from bridge.runtime.private import is_full
from bridge.settings import prefix_of
from bridge.site.pelican.addresses.addresses import has_long_name
from bridge.site.pelican.audit import effects_of, host_in
from bridge.site.pelican.facts import folder_inside

#: Number of lock files, and of attempts to write where other copies remove folders.
_LOCKS, _TRIES = 4096, 100


@contextmanager
def in_place(base: Path, source: str, data: bytes, root: Path) -> Iterator[None]:
    """Let a file below ``base`` contain these bytes within the block, as it would in a build.
    ``root`` is the site's own folder, in which ``base`` is.

    So relative names in it (an include, a picture beside it) mean what they mean in a build. Raises
    :class:`InvalidRequest` for a folder that is a link to the outside.
    """
    file = base / source
    if file.is_symlink():
        file = file.resolve()
    with _locked(str(file)):
        if not file.parent.resolve().is_relative_to(root.resolve()):
            raise InvalidRequest(f"{source} is in a folder outside of the site.")
        before = file.read_bytes() if file.is_file() else None
        if before == data:
            yield
            return
        _write(file, data)
        try:
            yield
        finally:
            if before is None:
                file.unlink(missing_ok=True)
            else:
                _write(file, before)
            # Settings may list the folders of posts. git keeps no empty folder: an empty one was
            # made here, or by another copy.
            with suppress(OSError):
                for each in Path(source).parents[:-1]:
                    (base / each).rmdir()


class Room:
    """Where new files can be made below the folder ``content``, as long as no folder there changes.
    ``root`` is the repo's root.
    """

    def __init__(self, content: str, root: str) -> None:
        self._content = content
        self._root = root
        self._folders: dict[str, bool] = {}

    def has(self, source: str) -> bool:
        """Whether a file could be made here: its path leads through folders of the site, none of
        them a submodule, which is a repo of its own; there is no folder of this name, and no name
        in it is too long.
        """
        if has_long_name(source):
            return False
        file = f"{self._content}{source}"
        folder = file.rpartition("/")[0]
        if folder not in self._folders:
            self._folders[folder] = self._leads_to(folder)
        return self._folders[folder] and not os.path.isdir(file)  # noqa: PTH112 - for each post

    def _leads_to(self, folder: str) -> bool:
        """Whether new files can be made in a folder below the root, which need not be there."""
        place = self._root
        for name in filter(None, folder.removeprefix(place).split("/")):
            place = f"{place}/{name}"
            try:
                mode = os.lstat(place).st_mode
            except OSError as error:
                return isinstance(error, FileNotFoundError)
            if stat.S_ISLNK(mode):
                real = os.path.realpath(place)
                rest = folder.removeprefix(place)
                is_inside = f"{real}/".startswith(f"{self._root}/") and os.path.isdir(real)  # noqa: PTH112
                return is_inside and self._leads_to(f"{real}{rest}")
            if not stat.S_ISDIR(mode) or os.path.lexists(f"{place}/.git"):
                return False
        return True


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Lock a file against other copies of this process."""
    bucket = int.from_bytes(hashlib.sha256(name.encode(errors="replace")).digest()[:2]) % _LOCKS
    with (Path(tempfile.gettempdir()) / f"reading-{bucket}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # What a plugin has started may have the file open for longer.
            fcntl.flock(lock, fcntl.LOCK_UN)


def _write(file: Path, data: bytes) -> None:
    for _ in range(_TRIES):
        # Another copy removes the folders that it has made once they are empty.
        with suppress(FileNotFoundError, FileExistsError):
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{os.getpid()}.bridge")
            temporary.write_bytes(data)
            temporary.replace(file)
            return
    raise FileNotFoundError(f"{file.parent} cannot be made")


_STOCK = (MarkdownReader, RstReader, HTMLReader)
#: Through these, plugins may change what a reader has read.
CONTENT_SIGNALS = (
    signals.article_generator_preread,
    signals.article_generator_context,
    signals.page_generator_preread,
    signals.page_generator_context,
    signals.content_object_init,
)
#: Where an error is in a text that is in no file; its line is counted with headers made up.
_NAME_OF_TEXT = re.compile(r"[^\s'\"]*\.bridge-text\.\w+(?::\d+)*:? ?")
#: An empty file of a format whose headers are inside of a document.
_EMPTY_FILES = {"html": "<html><head><title>x</title></head><body></body></html>"}
#: Extensions of these packages turn text into HTML and leave the headers alone.
_KNOWN_EXTENSIONS = ("markdown.extensions.", "pymdownx.", "pelican_indieauth.")


@dataclass(frozen=True, slots=True)
class FileRead:
    """What Pelican makes of a file, and what its reader returned, before plugins saw it."""

    content: Content
    shown: Rendered


class SiteReaders:
    """The readers of a site.

    ``root`` is the repo's root, which no message names. ``suffixes`` are those of the files that
    they read, ``stock`` the ones that Pelican's own readers read. ``by_headers``: whether the
    headers alone decide what Pelican makes of such a file, since no plugin listens, and neither
    settings nor plugins have replaced functions of Pelican's.
    """

    def __init__(self, settings: dict[str, Any], root: Path, siteurl: str) -> None:
        self._settings = settings
        self._root = root
        self._prefix = prefix_of(folder_inside(root, Path(str(settings["PATH"]))))
        self.generator = _generator(settings, siteurl)
        self._readers: Readers = self.generator.readers
        self._raw = _store_raw_html(self._readers)
        #: Suffixes of files whose reader is known to need front matter in YAML.
        self._read_in_yaml: set[str] = set()
        #: The hosts that the site's code uses for any text, by how that is read.
        self._usual_hosts: dict[str, frozenset[str]] = {}
        readers: Mapping[str, Any] = self._readers.readers
        self.suffixes = tuple(sorted(readers))
        self.stock = {suffix for suffix, reader in readers.items() if type(reader) in _STOCK}
        markdown = dict(settings["MARKDOWN"] or {})
        extensions = [
            *markdown.get("extensions", ()),
            *dict(markdown.get("extension_configs") or {}),
        ]
        self.by_headers = (
            all(str(name).startswith(_KNOWN_EXTENSIONS) for name in extensions)
            and not settings.get("TYPOGRIFY")
            and not any(signal.receivers for signal in CONTENT_SIGNALS)
            and _code_of_pelican() == _PELICANS_OWN
        )
        self._decided = tuple(
            f".{suffix}"
            for suffix, reader in readers.items()
            if self.by_headers and type(reader) is MarkdownReader
        )

    def render(self, text: str, suffix: str = "md") -> Rendered:
        """What the site's own reader makes of a body in the format of this suffix; of a whole file,
        where the format is not one of Pelican's.

        Raises :class:`InvalidRequest` if it cannot.
        """
        reader = self._readers.readers.get(suffix)
        if suffix == "md" and type(reader) is MarkdownReader:
            # The header keeps Python-Markdown from reading the body's first lines as metadata.
            return self._markdown(f"Title: x\n\n{text}", suffix)
        if has_other_format(f"x.{suffix}"):
            # Only its reader knows which part of it is the body.
            return self.read(text.encode(), f".bridge-text.{suffix}", Article).shown
        return self._render_in_file(text, suffix)

    def _render_in_file(self, text: str, suffix: str) -> Rendered:
        """What the site's reader and plugins make of a body in a file of its own."""
        file = PelicanFile.parse(_EMPTY_FILES.get(suffix, ""), f"x.{suffix}").with_body(text)
        for key, value in (("Title", "x"), ("Date", "2000-01-01"), ("Slug", "x")):
            file = file.with_header(key, value)
        source, in_yaml = f".bridge-text.{suffix}", file.in_yaml()
        if suffix in self._read_in_yaml:
            return self.read(in_yaml.text().encode(), source, Article).shown
        try:
            return self.read(file.text().encode(), source, Article).shown
        except InvalidRequest:
            # A reader of the site's own may need YAML. If not, this error is about the text.
            if in_yaml is file:
                raise
            with suppress(InvalidRequest):
                shown = self.read(in_yaml.text().encode(), source, Article).shown
                self._read_in_yaml.add(suffix)
                return shown
            raise

    def try_markdown(self) -> None:
        """Load Markdown's extensions. Raises :class:`InvalidRequest` if one is not there.

        A reader of the site's own is not tried: it may want more of a file than a text, and reads
        files, where ``init`` may write none.
        """
        if type(self._readers.readers.get("md")) is MarkdownReader:
            self._markdown("", "md")

    def headers_decide(self, path: str) -> bool:
        """Whether headers alone determine what Pelican makes of this file."""
        return path.endswith(self._decided)

    def room(self) -> Room:
        """Where new files can be made now."""
        return Room(f"{self._root}/{self._prefix}", str(self._root))

    def shown_by_headers(self, text: str, path: str) -> Rendered:
        """What is shown of the text of a whole file for which :meth:`headers_decide`: neither its
        reader nor any plugin looks at the file then, which need not exist.

        Raises :class:`InvalidRequest` if Markdown cannot read it.
        """
        return self._markdown(text.removeprefix("\ufeff"), path.rpartition(".")[2])

    def read(self, data: bytes, source: str, kind: type[Content]) -> FileRead:
        """What the site's readers and plugins make of these bytes in this file."""
        preread, context = signals.article_generator_preread, signals.article_generator_context
        listening: dict[str, Any] = {}
        if kind is Article:
            listening = {
                "preread_signal": preread,
                "preread_sender": self.generator,
                "context_signal": context,
                "context_sender": self.generator,
            }
        self._raw.clear()
        base = Path(str(self._settings["PATH"]))
        try:
            with (
                in_place(base, source, data, self._root),
                effects_of(data.decode("utf-8", "replace"), str(base / source)) as effects,
            ):
                content = self._readers.read_file(
                    base_path=str(base),
                    path=source,
                    content_class=kind,
                    context=self.generator.context,
                    **listening,
                )
        except ImportError as error:
            # It is not about this text: the owner has to install something.
            reason = str(error)
            raise SiteBroken(f"Pelican cannot read this post: {reason}.") from error
        except (Exception, SystemExit) as error:
            raise self._unreadable(error) from error
        html = self._raw[-1] if self._raw else str(content._content or "")
        suffix = source.rpartition(".")[2]
        of_text = self._of_text(effects, source, lambda: self._render_in_file("x", suffix))
        return FileRead(content, Rendered(html, of_text))

    def _of_text(
        self, effects: set[str], name: str, render_plain: Callable[[], Rendered]
    ) -> frozenset[str]:
        """These effects, without addresses on hosts that the site's code uses for any text, as a
        plugin that embeds pictures or asks for covers does.

        ``name`` is the file's, empty for a text without one; ``render_plain`` renders the plainest
        text in the same way.
        """
        if any(map(host_in, effects)):
            way = name.rpartition(".")[2]
            if way not in self._usual_hosts:
                self._usual_hosts[way] = frozenset()
                with suppress(InvalidRequest, SiteBroken):
                    used = map(host_in, render_plain().effects)
                    self._usual_hosts[way] = frozenset(filter(None, used))
            usual = self._usual_hosts[way]
            effects = {effect for effect in effects if host_in(effect) not in usual}
        return frozenset(effects)

    def with_slug(self, article: Content, named: PelicanFile, path: str) -> Content:
        """The same article with the slug that ``named`` has, a file of the repo in another place.

        Raises :class:`InvalidRequest` if Pelican cannot read it.
        """
        file = self._as_pelican_names(path)
        base = Path(str(self._settings["PATH"]))
        metadata = {**article.metadata, "slug": named.get("Slug")}
        # The names of a file and its folders may contain metadata, which its own headers replace.
        before, after = self._path_metadata(str(article.source_path)), self._path_metadata(file)
        for name in (before.keys() | after.keys()) - {"slug", *named.keys()}:
            if name not in metadata or metadata[name] == before.get(name):
                metadata[name] = after.get(name)
        try:
            # A plugin may look at the file, or start a program in its folder.
            source, data = os.path.relpath(file, base), named.text().encode()
            with in_place(base, source, data, self._root):
                return Article(
                    "",
                    metadata={name: value for name, value in metadata.items() if value is not None},
                    settings=self._settings,
                    source_path=file,
                    context=self.generator.context,
                )
        except (Exception, SystemExit) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: BaseException) -> InvalidRequest | InsufficientStorage:
        """The error that a client gets. A full disk is no fault of the post."""
        if isinstance(error, OSError) and is_full(error):
            return InsufficientStorage("The disk is full; nothing was written.")
        return InvalidRequest(f"Pelican cannot read this post: {self._reason(error)}.")

    def _reason(self, error: BaseException) -> str:
        said = str(error).replace(f"{self._root}/", "").rstrip(".") or type(error).__name__
        said = _NAME_OF_TEXT.sub("", said)
        text = f"{said}: save the file in UTF-8"
        return text if isinstance(error, UnicodeDecodeError) else said

    def metadata_in_name(self, path: str) -> dict[str, Any] | None:
        """The metadata that the name of a file of the repo holds; ``None`` where Pelican fails."""
        try:
            return self._path_metadata(self._as_pelican_names(path))
        except Exception:  # noqa: BLE001 - of the site's own reader
            return None

    def _as_pelican_names(self, path: str) -> str:
        """The whole path of a post's file: PATH may be a link to the content folder."""
        return f"{self._settings['PATH']}/{path.removeprefix(self._prefix)}"

    def _path_metadata(self, file: str) -> dict[str, Any]:
        """The metadata that a file's path holds by the site's settings."""
        found: dict[str, Any] = parse_path_metadata(
            os.path.relpath(file, str(self._settings["PATH"])),
            settings=self._settings,
            process=self._readers.readers[file.rpartition(".")[2]].process_metadata,
        )
        return found

    def _markdown(self, text: str, suffix: str) -> Rendered:
        reader = self._readers.readers[suffix]
        if not hasattr(reader, "_bridge_markdown"):
            from markdown import Markdown  # noqa: PLC0415 - a site may do without

            reader._bridge_markdown = Markdown(**reader.settings["MARKDOWN"])
        try:
            reader._bridge_markdown.reset()
            with effects_of(text, "") as effects:
                html = str(reader._bridge_markdown.convert(text))
            return Rendered(html, self._of_text(effects, "", lambda: self._markdown("x", suffix)))
        except (Exception, SystemExit) as error:
            # Its parser still is inside of the list or quote in which it failed.
            del reader._bridge_markdown
            raise InvalidRequest(
                f"The site's Markdown cannot read this content: {error}."
            ) from error


def _code_of_pelican() -> list[dict[str, Any]]:
    """What Pelican reads posts in Markdown with: a site's code may replace parts of it."""
    modules = (pelican.readers, pelican.contents, pelican.urlwrappers, pelican.utils)
    classes = (BaseReader, MarkdownReader, Readers, Content, Article, URLWrapper, Author, Category)
    return [
        *(
            {
                name: each
                for name, each in vars(module).items()
                if callable(each) and str(getattr(each, "__module__", "")).startswith("pelican.")
            }
            for module in modules
        ),
        *(
            {name: value for name, value in vars(each).items() if name not in _NOTED_BY_PYTHON}
            for each in classes
        ),
        {**METADATA_PROCESSORS},
        {**DUPLICATES_DEFINITIONS_ALLOWED},
    ]


#: What Python itself adds to a class, the latter when one of its objects is copied.
_NOTED_BY_PYTHON = {"__annotations__", "__slotnames__"}
#: The same before any site's code was loaded.
_PELICANS_OWN = _code_of_pelican()


def stop_withholding() -> None:
    """Disconnect the bridge's own plugin, which withholds scheduled posts: here they have URLs."""
    for signal in CONTENT_SIGNALS:
        for receiver in [*signal.receivers_for(blinker.ANY)]:
            if receiver.__module__.startswith("pelican_indieauth"):
                signal.disconnect(receiver)


def _generator(settings: dict[str, Any], siteurl: str) -> ArticlesGenerator:
    """The generator whose readers read articles, as ``Pelican.run`` makes it."""
    context = {
        **settings,
        "generated_content": {},
        "static_links": set(),
        "static_content": {},
        "localsiteurl": siteurl,
    }
    return ArticlesGenerator(
        context=context,
        settings=settings,
        path=settings["PATH"],
        theme=settings["THEME"],
        output_path=settings["OUTPUT_PATH"],
    )


def _store_raw_html(readers: Readers) -> list[str]:
    """Store the HTML of the last file as its reader returned it; returns where.

    ``Readers.read_file`` passes it to the cache before typography and plugins change it.
    """
    kept: list[str] = []

    def cache_data(path: str, data: tuple[str | None, dict[str, Any]]) -> None:
        del path
        kept[:] = [str(data[0] or "")]

    readers.cache_data = cache_data
    return kept
