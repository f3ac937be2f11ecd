"""Parsed source files are cached from one process to the next, but only if that is safe."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pelican.contents import Article
from pelican.readers import HTMLReader, MarkdownReader, RstReader
from pelican.settings import DEFAULT_CONFIG, configure_settings

from bridge.rebuild.resident.pelican.kept_on_disk import KeptOnDisk
from bridge.rebuild.resident.pelican.reading import (
    ContentCache,
    readers_with,
    reads_its_file_alone,
)

MARKDOWN = "Title: A walk\nDate: 2026-01-02 10:00\nTags: river, Paris\nCategory: notes\n\n*Text*.\n"
RST = "A walk\n######\n\n:date: 2026-01-02\n:tags: river\n\n*Text*.\n"
HTML = (
    '<html><head><title>A walk</title><meta name="date" content="2026-01-02"/></head>'
    "<body><p>Text.</p></body></html>"
)


class SiteCode:
    """The site's own code, which counts the files that it sees, or does not."""

    counts = False

    def begin_build(self) -> None:
        """Nothing to reset."""

    def begin(self) -> None:
        """Nothing to note."""

    def is_changed(self) -> bool:
        return self.counts


class Site:
    """A content folder; each ``reads`` is like that of a new process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.file = folder / "read.sqlite"
        self.content = folder / "content"
        self.content.mkdir()
        self.settings: dict[str, Any] = {}
        self.rest = "the rest"
        self.code = SiteCode()
        self._read: list[str] = []
        for kind in (MarkdownReader, RstReader, HTMLReader):
            monkeypatch.setattr(kind, "read", self._noting(kind.read))

    def _noting(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def noted(reader: object, path: str) -> Any:
            self._read.append(Path(path).name)
            return read(reader, path)

        return noted

    def reads(self, *, rest: str | None = None) -> tuple[list[str], dict[str, Article]]:
        """The files that readers parse in a first build, and the contents of all."""
        theme = {"THEME": str(self.folder), "PATH": str(self.content), "TIMEZONE": "UTC"}
        markdown: dict[str, Any] = {"extension_configs": {"markdown.extensions.extra": {}}}
        settings = configure_settings(
            {**DEFAULT_CONFIG, "MARKDOWN": markdown, **theme, **self.settings}
        )
        content_cache = ContentCache(whole=True, logged=lambda: 0, state=self.code)
        rest = self.rest if rest is None else rest
        disk = KeptOnDisk(self.file, self.folder, rest, settings)
        readers = readers_with(content_cache, disk)(settings)
        self._read.clear()
        found: dict[str, Article] = {}
        for path in sorted(self.content.iterdir()):
            found[path.name] = readers.read_file(
                str(self.content), path.name, content_class=Article, context={}
            )
        disk.end({str(path) for path in self.content.iterdir()})
        return [*self._read], found


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_each_format_is_read_once_and_is_the_same_afterwards(site: Site) -> None:
    for name, text in {"a.md": MARKDOWN, "b.rst": RST, "c.html": HTML}.items():
        (site.content / name).write_text(text)
    read, first = site.reads()
    assert read == ["a.md", "b.rst", "c.html"]
    read, second = site.reads()
    assert read == []
    for name, article in first.items():
        again = second[name]
        assert again._content == article._content
        assert repr(again.metadata) == repr(article.metadata)
        assert again.metadata == article.metadata
        assert again.date == article.date
        assert again.save_as == article.save_as
        assert again.category.settings is again.settings


def test_what_the_site_counts_as_it_is_read_is_read_again(site: Site) -> None:
    (site.content / "a.md").write_text(MARKDOWN)
    site.code.counts = True
    assert site.reads()[0] == ["a.md"]
    assert site.reads()[0] == ["a.md"]


def test_a_file_with_other_bytes_is_read(site: Site) -> None:
    (site.content / "a.md").write_text(MARKDOWN)
    (site.content / "b.md").write_text(MARKDOWN)
    site.reads()
    (site.content / "b.md").write_text(MARKDOWN.replace("Text", "Word"))
    read, found = site.reads()
    assert read == ["b.md"]
    assert "Word" in found["b.md"]._content
    (site.content / "a.md").unlink()
    site.reads()
    with sqlite3.connect(site.file) as database:
        assert database.execute("SELECT path FROM made").fetchall() == [("content/b.md",)]


@pytest.mark.parametrize("what", ["settings", "the rest", "installed"])
def test_everything_is_read_again_if_the_environment_changed(
    site: Site, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.content / "a.md").write_text(MARKDOWN)
    site.reads()
    if what == "settings":
        site.settings = {"FORMATTED_FIELDS": ["title"]}
    elif what == "the rest":
        site.rest = "another"
    else:
        (site.folder / "new-1.0.dist-info").mkdir()
        monkeypatch.syspath_prepend(site.folder)
    assert site.reads()[0] == ["a.md"]
    assert site.reads()[0] == []


def test_what_is_read_is_cached_whatever_the_types_of_settings(site: Site) -> None:
    site.settings = {"FILTERS": {("C++", "x"): len, 1: {2, "b"}}}
    (site.content / "a.md").write_text(MARKDOWN)
    assert site.reads()[0] == ["a.md"]
    assert site.reads()[0] == []


@pytest.mark.parametrize("faulty", [[("(", "")], [7], 7, [("a", "\\g<9>")]])
@pytest.mark.parametrize("name", ["TAG", "CATEGORY", "AUTHOR"])
def test_a_file_is_read_where_settings_make_no_slug_of_what_is_in_it(
    site: Site, name: str, faulty: object
) -> None:
    """Pelican itself fails as soon as it needs that slug, and names the setting."""
    (site.content / "a.md").write_text(MARKDOWN.replace("Tags", "Authors: Ann\nTags"))
    site.settings[f"{name}_REGEX_SUBSTITUTIONS"] = faulty
    for _ in range(2):
        read, found = site.reads()
        assert (read, found["a.md"].title) == (["a.md"], "A walk")


def test_a_file_is_read_where_nobody_has_a_home(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless(path: Path) -> Path:
        if path.parts[:1] == ("~",):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", homeless)
    (site.content / "b.rst").write_text(RST)
    for _ in range(2):
        assert site.reads()[0] == ["b.rst"]


def test_nothing_is_cached_if_the_environment_is_unknown(site: Site) -> None:
    (site.content / "a.md").write_text(MARKDOWN)
    site.reads(rest="")
    assert site.reads(rest="")[0] == ["a.md"]
    assert not site.file.exists()


UNSURE = {
    "a date that the day completes": ("a.md", MARKDOWN.replace("2026-01-02 10:00", "10:00")),
    "a title that is not a date": (
        "a.md",
        MARKDOWN.replace("A walk", "Date: 2026-01-01").replace("2026-01-02 10:00", "10:00"),
    ),
    "a year and a month": ("a.md", MARKDOWN.replace("2026-01-02 10:00", "March 2026")),
    "a substitution by the clock": ("a.rst", f"{RST}\n|today|\n\n.. |today| date::\n"),
    "an include": ("a.rst", f"{RST}\n.. include:: other.txt\n"),
}


@pytest.mark.parametrize("what", UNSURE)
def test_files_that_depend_on_the_time_are_not_cached(site: Site, what: str) -> None:
    name, text = UNSURE[what]
    (site.folder / "other.txt").write_text("Other.")
    if "include" in text:
        text = text.replace("other.txt", str(site.folder / "other.txt"))
    (site.content / name).write_text(text)
    site.reads()
    assert site.reads()[0] == [name]


@pytest.mark.parametrize(
    "markdown",
    [
        {"extensions": ["of_the_site"], "extension_configs": {}},
        {"extension_configs": {"markdown.extensions.toc": {"slugify": lambda text, _: text}}},
    ],
)
def test_nothing_is_cached_with_an_extension_that_may_read_files(
    site: Site, markdown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = site.folder / "of_the_site.py"
    module.write_text(
        "from markdown.extensions import Extension\n"
        "class Own(Extension):\n    def extendMarkdown(self, md): pass\n"
        "def makeExtension(**options): return Own(**options)\n"
    )
    monkeypatch.syspath_prepend(site.folder)
    (site.content / "a.md").write_text(MARKDOWN)
    (site.content / "b.html").write_text(HTML)
    site.settings = {"MARKDOWN": markdown}
    site.reads()
    assert site.reads()[0] == ["a.md"]


def _no_database(file: Path) -> None:
    file.write_bytes(b"not a database at all" * 200)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def _broken_pages(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:] = b"x" * (len(data) - 4096)
    file.write_bytes(bytes(data))


def _other_rows(file: Path) -> None:
    evil = b"cposix\nsystem\n(S'touch evil'\ntR."
    with sqlite3.connect(file) as database:
        database.execute("UPDATE made SET made = ?", (evil,))


def _other_tables(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE made")
        database.execute("CREATE TABLE made (other TEXT)")


def _swapped(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("UPDATE made SET seal = (SELECT max(seal) FROM made)")


@pytest.mark.parametrize(
    "damage", [_no_database, _cut, _broken_pages, _other_rows, _other_tables, _swapped]
)
def test_a_damaged_or_foreign_cache_is_ignored(site: Site, damage: Callable[[Path], None]) -> None:
    (site.content / "a.md").write_text(MARKDOWN)
    (site.content / "b.md").write_text(MARKDOWN.replace("walk", "run"))
    _, first = site.reads()
    damage(site.file)
    read, found = site.reads()
    assert read
    assert [each._content for each in found.values()] == [each._content for each in first.values()]
    assert not Path("evil").exists()
    # Whatever was wrong with it, it does not stay so.
    site.reads()
    assert site.reads()[0] == []
    assert {file.name for file in site.folder.iterdir()} == {"content", "read.sqlite"}
    assert site.file.stat().st_mode & 0o077 == 0


def test_an_unwritable_cache_is_ignored(site: Site) -> None:
    site.file.mkdir()
    (site.content / "a.md").write_text(MARKDOWN)
    assert site.reads()[0] == ["a.md"]


@pytest.mark.parametrize(
    ("module", "name", "is_known"),
    [
        ("pelican.readers", "MarkdownReader", True),
        ("pelican.plugins.yaml_metadata.yaml_metadata", "YAMLMetadataReader", True),
        ("plugins.md_metayaml", "MarkdownYAMLReader", True),
        ("mine.readers", "MarkdownReader", False),
    ],
)
def test_readers_that_make_the_same_of_a_file_each_time(
    module: str, name: str, is_known: bool
) -> None:
    reader = type(name, (), {"__module__": module})()
    assert reads_its_file_alone(reader) is is_known
