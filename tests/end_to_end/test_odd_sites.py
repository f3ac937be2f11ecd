"""Unusual sites: features of Pelican that ``pelican-quickstart`` does not use.

Posts are published with the bridge's own parts, with a real repo and process, and the site is built
by ``pelican`` in a clone: each post has the URL that the bridge reported.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from git_kit import commit_all, git, new_repo
from publishing_kit import bench
from site_kit import CONF

from bridge.errors import InvalidRequest, SiteBroken, Unavailable
from bridge.micropub.action import Update
from bridge.posts import separate
from bridge.settings import Settings, Site
from bridge.web.queries import Queries

MDEXT = """
from markdown import Extension
class Mine(Extension):
    def extendMarkdown(self, md):
        pass
def makeExtension(**given):
    return Mine(**given)
"""
HEADINGS = """
import re
from datetime import datetime
from pathlib import Path
from pelican.readers import MarkdownReader

class FirstHeading(MarkdownReader):
    def read(self, path):
        content, metadata = super().read(path)
        first = re.search("^# (.*)$", Path(path).read_text(), re.MULTILINE)
        if first:
            metadata.setdefault("title", first[1])
        return content, metadata

READERS = {"md": FirstHeading}
"""
YAML = """
import re
from pathlib import Path
from markdown import markdown
from pelican.readers import MarkdownReader

class Fenced(MarkdownReader):
    def read(self, path):
        text = Path(path).read_text()
        if not text.startswith("---\\n"):
            return super().read(path)
        head, body = text[4:].split("---\\n", 1)
        metadata = {}
        for key, value in re.findall(r"^(\\w+):(.*(?:\\n .*)*)", head, re.MULTILINE):
            items = [item.strip() for item in value.split("\\n  - ")[1:]]
            said = ", ".join(items) or value.strip().strip("'\\"")
            metadata[key.lower()] = self.process_metadata(key.lower(), said)
        return markdown(body), metadata

READERS = {"md": Fenced}
"""
RST = """A post
######

:date: 2020-01-02 03:04
:tags: one, two
:slug: small

A `link <https://x.example/>`_ and ``code``.

.. code-block:: python

    print(1)

.. raw:: html

    <video autoplay></video>

End.
"""
HTML = """<html><head><title>By hand</title><meta name="date" content="2020-01-02 03:04">
    <meta name="tags" content="a, b">
  </head><body>
<p>Some <em>words</em>.</p>
<script>ownersScript()</script>
</body></html>
"""

SITES = {
    "a Markdown extension in the repo": (
        {"mdext/__init__.py": "", "mdext/mine.py": MDEXT},
        CONF + 'MARKDOWN = {"extension_configs": {"mdext.mine": {}}}\n',
    ),
    "settings that open a file by a relative name": (
        {"extra_header.html": "<b>"},
        CONF + 'EXTRA = open("extra_header.html").read()\n',
    ),
    "settings that list the content folder": (
        {"content/blog/a.md": "Title: a\nDate: 2020-01-02\n\nx\n"},
        CONF
        + "from pathlib import Path\n"
        + "ARTICLE_PATHS = [d.name for d in (Path(__file__).parent / 'content').iterdir()]\n",
    ),
    "settings that import a module of the repo": ({"words.py": "N = 1"}, CONF + "import words\n"),
    "settings that ask git": (
        {},
        CONF
        + "from subprocess import check_output\n"
        + "VERSION = check_output(['git', 'describe', '--tags', '--always'])\n"
        + "assert b'the site' in check_output(['git', 'log'])\n",
    ),
    "settings whose keys are no texts, and which contain themselves": (
        {},
        CONF
        + "FILTERS = {('C++', 'x'): len, 1: {2, 'b'}, 'a': []}\nFILTERS['a'].append(FILTERS)\n",
    ),
    "settings that make files": (
        {},
        CONF
        + "from pathlib import Path\n"
        + "Path('made').mkdir(exist_ok=True)\n"
        + "Path('made/version.txt').write_text('1')\n",
    ),
    "a theme that is not there": ({}, CONF + 'THEME = "themes/none"\n'),
}


@pytest.mark.parametrize(("files", "conf"), SITES.values(), ids=SITES)
async def test_settings_are_read_where_pelican_reads_them(
    files: dict[str, str], conf: str, tmp_path: Path
) -> None:
    path = "blog/{slug}.md" if "ARTICLE_PATHS" in conf else "{slug}.md"
    async with bench(tmp_path, files, conf, path=path) as site:
        first = await site.create(content="A note")
        second = await site.create(name="A note", content="An *article*")
        assert (first, second) == (
            "https://example.com/2026/a-note/",
            "https://example.com/2026/a-note-2/",
        )
        if "THEME" not in conf:
            pages = await asyncio.to_thread(site.pages, tmp_path)
            assert {"2026/a-note/index.html", "2026/a-note-2/index.html"} <= pages


#: As pelican-jupyter, asciidoc-reader and org-reader do, in small.
FORMATS = """
import json, re
from pelican.readers import BaseReader

class Notebooks(BaseReader):
    enabled = True
    file_extensions = ["ipynb"]

    def read(self, path):
        about = json.load(open(path))["metadata"]["pelican"]
        return "<p>Cells</p>", {key: self.process_metadata(key, about[key]) for key in about}

class Marked(BaseReader):
    enabled = True
    file_extensions = ["adoc", "org"]

    def read(self, path):
        found = re.findall(r"^(?:#[+]|:)(\\w+): (.*)$", open(path).read(), re.MULTILINE)
        about = {key.lower(): value for key, value in found}
        return "<p>Text</p>", {key: self.process_metadata(key, about[key]) for key in about}

READERS = {"ipynb": Notebooks, "adoc": Marked, "org": Marked}
"""


async def test_posts_in_formats_of_plugins_are_listed_and_not_edited(tmp_path: Path) -> None:
    about = {"title": "Cells", "date": "2020-01-02", "tags": "a, b"}
    notebook = {"cells": [{"source": ["Title: not this"]}], "metadata": {"pelican": about}}
    files = {
        "content/a.ipynb": json.dumps(notebook, indent=1),
        "content/b.adoc": "= An outline\n:title: Doc\n:date: 2020-01-03\n:tags: b\n\nText\n",
        "content/c.org": "#+TITLE: Org\n#+DATE: 2020-01-04\n\n* Title: neither\n",
    }
    async with bench(tmp_path, files, CONF + FORMATS, path="{slug}.md") as site:
        await site.catalogue.refresh()
        assert site.catalogue.report().unread == ()
        newest = site.catalogue.index.newest(limit=9)
        assert [each.path for each in newest] == [*sorted(files, reverse=True)]
        # A reader of notebooks takes its time: a list does without their texts.
        assert not any("content" in post.properties for post in await site.posts.posts(newest))
        for slug, name in (("cells", "Cells"), ("doc", "Doc"), ("org", "Org")):
            url = f"https://example.com/2020/{slug}/"
            source = await site.source(url)
            assert source["name"] == name
            assert source["published"].startswith("2020-01-0")
            html = "<p>Cells</p>" if slug == "cells" else "<p>Text</p>"
            assert source["content"] == {"html": html}
            with pytest.raises(InvalidRequest, match="format of the site's own"):
                await site.update(url, content="Other words")
            await site.delete(url)
            assert await site.undelete(url) == url
        assert site.read("content/a.ipynb") == files["content/a.ipynb"]


@pytest.mark.parametrize("name", ["PLUGIN_PATHS", "PLUGIN_PATH"])
async def test_plugins_in_a_folder_that_is_named_without_a_list(tmp_path: Path, name: str) -> None:
    """As sites of ten years ago have it."""
    conf = CONF + f'{name} = "plugins"\nPLUGINS = ["mine"]\n'
    async with bench(tmp_path, {"plugins/mine.py": "def register():\n    pass\n"}, conf) as site:
        await site.create(content="A note")
        assert site.catalogue.report().warnings == ()


async def test_a_plugin_that_exits_pelican_is_reported_and_stops_no_post(tmp_path: Path) -> None:
    conf = CONF + 'PLUGIN_PATHS = ["plugins"]\nPLUGINS = ["mine"]\n'
    plugin = "import sys\ndef register():\n    sys.exit(0)\n"
    async with bench(tmp_path, {"plugins/mine.py": plugin}, conf) as site:
        await site.create(content="A note")
        (warning,) = site.catalogue.report().warnings
        assert "a plugin ends Pelican" in warning


async def test_a_plugin_that_ends_pelican_at_another_address_is_a_refusal(tmp_path: Path) -> None:
    plugin = (
        "import sys\nfrom pelican import signals\n"
        "def end(content):\n"
        "    if getattr(content, 'slug', '').endswith('-2'):\n"
        "        sys.exit('no second one')\n"
        "def register():\n    signals.content_object_init.connect(end)\n"
    )
    conf = CONF + 'PLUGIN_PATHS = ["plugins"]\nPLUGINS = ["mine"]\n'
    async with bench(tmp_path, {"plugins/mine.py": plugin}, conf) as site:
        await site.create(content="A note")
        with pytest.raises(InvalidRequest, match="no second one"):
            await site.create(content="A note")


async def test_posts_that_only_the_sites_own_reader_understands(tmp_path: Path) -> None:
    text = "date: 2020-01-02\n\n# A heading of its own\n\nText.\n"
    files = {f"content/p{n}.md": text.replace("A ", f"{n} ") for n in range(3)}
    async with bench(tmp_path, files, CONF + HEADINGS, path="{slug}.md") as site:
        url = "https://example.com/2020/1-heading-of-its-own/"
        assert (await site.source(url))["name"] == "1 heading of its own"
        assert (await site.source(url))["published"] == "2020-01-02T00:00:00+01:00"
        await site.add(url, category="new")
        assert site.changed() == [
            "+Tags: new;",
            "+Modified: 2026-11-21T13:00:00+01:00",
        ]
        await site.create(name="Another", content="Text")
        pages = await asyncio.to_thread(site.pages, tmp_path)
        assert {"2020/1-heading-of-its-own/index.html", "2026/another/index.html"} <= pages


async def test_headers_in_yaml_stay_yaml(tmp_path: Path) -> None:
    text = (
        '---\ntitle: "A: b"\ndate: 2020-01-02\ntags:\n  - one\n  - two\nmood: fine\n---\n\nText.\n'
    )
    async with bench(tmp_path, {"content/a.md": text}, CONF + YAML, path="{slug}.md") as site:
        url = "https://example.com/2020/a-b/"
        source = await site.source(url)
        assert (source["name"], source["content"]) == ("A: b", "Text.")
        await site.add(url, category="three")
        assert site.changed() == ["+  - three", "+modified: 2026-11-21T13:00:00+01:00"]
        await site.update(url, content="Other words.")
        assert site.changed() == ["-Text.", "+Other words."]
        assert site.read("content/a.md").startswith(text[: text.index("mood")])
        await site.create(name="Another", content="Text")
        pages = await asyncio.to_thread(site.pages, tmp_path)
        assert {"2020/a-b/index.html", "2026/another/index.html", "tag/three.html"} <= pages


async def test_new_posts_are_in_yaml_where_the_sites_reader_reads_nothing_else(
    tmp_path: Path,
) -> None:
    """As pelican-myst-reader and pandoc-reader want it."""
    reader = YAML.replace("return super().read(path)", "raise ValueError('no front matter')")
    files = {"content/a.md": '---\ntitle: "A"\ndate: 2020-01-02\n---\nText\n'}
    async with bench(tmp_path, files, CONF + reader, path="{slug}.md") as site:
        note = await site.create(content="It's *one*: a note", category="x")
        again = await site.create(content="It's *one*: a note", category="x")
        await site.add(again, category="true")
        article = await site.create(name="2026-01-01", content="An *article*")
        assert [note, again, article] == [
            f"https://example.com/2026/{slug}/"
            for slug in ("its-one-a-note", "its-one-a-note-2", "2026-01-01")
        ]
        text = site.read("content/its-one-a-note-2.md")
        assert text.startswith('---\ntitle: "It\'s one: a note"\ndate: 2026-11-21T')
        assert 'tags: [x, "true"]\n' in text
        assert 'title: "2026-01-01"\n' in site.read("content/2026-01-01.md")
        assert (await site.source(again))["content"] == "It's *one*: a note"
        await site.update(again, name="Plain", content="Other words")
        assert (await site.source(again))["name"] == "Plain"
        await site.delete(again)
        assert await site.undelete(again) == again
        pages = await asyncio.to_thread(site.pages, tmp_path)
        slugs = ("its-one-a-note", "its-one-a-note-2", "2026-01-01", "a")
        years = {f"{2020 if slug == 'a' else 2026}/{slug}/index.html" for slug in slugs}
        assert years <= pages


async def test_a_format_of_the_sites_own_is_read_and_not_edited(tmp_path: Path) -> None:
    conf = CONF + (
        "from pelican.readers import BaseReader\n"
        "class Org(BaseReader):\n"
        "    enabled = True\n"
        "    file_extensions = ['org']\n"
        "    def read(self, path):\n"
        "        date = self.process_metadata('date', '2020-01-02')\n"
        "        return '<p>x</p>', {'title': 'Org', 'date': date}\n"
        "READERS = {'org': Org}\n"
    )
    async with bench(tmp_path, {"content/x.org": "#+TITLE: Org\n"}, conf) as site:
        url = "https://example.com/2020/org/"
        assert (await site.source(url))["name"] == "Org"
        with pytest.raises(InvalidRequest, match=r"\.org"):
            await site.add(url, category="x")
        await site.delete(url)
        assert await site.undelete(url) == url


async def test_restructured_text_comes_back_as_it_was_handed_out(tmp_path: Path) -> None:
    async with bench(tmp_path, {"content/small.rst": RST}, CONF) as site:
        url = "https://example.com/2020/small/"
        text = (await site.source(url))["content"]
        assert text == RST.partition("small\n\n")[2].rstrip("\n")
        await site.update(url, content=text.replace("End.", "The *end*."))
        modified = "+:modified: 2026-11-21T13:00:00+01:00"
        assert site.changed() == [modified, "-End.", "+The *end*."]
        # Sent back as it is: no commit.
        before = site.store.head()
        await site.update(url, content=(await site.source(url))["content"])
        assert site.store.head() == before


GUARDED = [
    ".. raw:: html\n\n   <script>x()</script>",
    ".. raw:: html\n\n   <b>harmless</b>",
    ".. include:: ../pelicanconf.py\n   :literal:",
    ".. include:: /etc/hostname",
    ".. raw:: html\n   :file: ../pelicanconf.py",
    ".. csv-table::\n   :file: ../table.csv",
    ".. role:: raw-html(raw)\n   :format: html\n\n:raw-html:`<b>x</b>`",
    "`x <javascript:alert(1)>`_",
    ".. image:: javascript:alert(1)",
    "`x <{static}/../pelicanconf.py>`_",
]


async def test_what_a_client_adds_to_restructured_text_is_guarded(tmp_path: Path) -> None:
    files = {"content/small.rst": RST, "table.csv": "a,b\n"}
    async with bench(tmp_path, files, CONF) as site:
        url, before = "https://example.com/2020/small/", site.store.head()
        text = (await site.source(url))["content"]
        for added in GUARDED:
            with pytest.raises(InvalidRequest):
                await site.update(url, content=f"{text}\n\n{added}\n")
            assert site.store.head() == before, added


async def test_html_may_replace_restructured_text(tmp_path: Path) -> None:
    async with bench(tmp_path, {"content/small.rst": RST}, CONF) as site:
        url = "https://example.com/2020/small/"
        sent = '<p>A <b>text</b></p><script>x()</script><a href="{static}/../pelicanconf.py">y</a>'
        await site.update(url, content={"html": f"{sent}\n\n.. include:: ../pelicanconf.py"})
        body = site.read("content/small.rst").partition(".. raw:: html")[2]
        assert "<p>A <b>text</b></p>" in body
        assert "script" not in body
        assert "{static}" not in body
        assert all(line.startswith("   ") for line in body.splitlines() if line)


async def test_an_error_in_a_text_does_not_name_the_temporary_file(tmp_path: Path) -> None:
    async with bench(tmp_path, {"content/small.rst": RST}, CONF) as site:
        with pytest.raises(InvalidRequest) as raised:
            await site.update("https://example.com/2020/small/", content=":nope:`x`")
        assert raised.value.description == (
            'Pelican cannot read this post: (ERROR/3) Unknown interpreted text role "nope".'
        )


USUAL = [
    "A list:\n\n- one\n- two\n\n1. one\n2. two",
    "Heading\n=======\n\nText [1]_.\n\n.. [1] A footnote.",
    "=====  =====\nA      B\n=====  =====\n1      2\n=====  =====",
    ".. image:: https://x.example/y.png\n   :alt: Y\n   :width: 50%",
    ".. figure:: https://x.example/y.png\n\n   A caption",
    ".. note:: Mind the gap.",
    "term\n    definition\n\n:field: value\n\n| a line\n| another\n\n    quoted\n\n>>> 1",
    "H\\ :sub:`2`\\ O, `title <https://x.example/>`__, |x|\n\n.. |x| replace:: y",
]


async def test_usual_restructured_text_can_be_added(tmp_path: Path) -> None:
    async with bench(tmp_path, {"content/small.rst": RST}, CONF) as site:
        url = "https://example.com/2020/small/"
        text = (await site.source(url))["content"]
        for added in USUAL:
            await site.update(url, content=f"{text}\n\n{added}")
            assert (await site.source(url))["content"] == f"{text}\n\n{added}"


async def test_a_long_text_can_be_edited(tmp_path: Path) -> None:
    long = RST + "\n\n".join(f"Paragraph {n} of very many words, all in one." for n in range(400))
    async with bench(tmp_path, {"content/long.rst": long}, CONF) as site:
        url = "https://example.com/2020/small/"
        text = (await site.source(url))["content"]
        await site.update(url, content=text.replace("Paragraph 7 ", "Paragraph seven "))
        assert len(site.changed()) == 3
        assert (await site.source(url))["content"] == text.replace(
            "Paragraph 7 ", "Paragraph seven "
        )


async def test_edits_of_posts_by_hand_are_only_the_edit(tmp_path: Path) -> None:
    head = "Title: A\nDate: 2020-01-02\nTags: one,  two\nMood: fine\n"
    files = {
        "content/a.md": f"{head}\n\nText.\n\nEnd.\n\n",
        "content/b.html": HTML,
    }
    async with bench(tmp_path, files, CONF) as site:
        modified = "Modified: 2026-11-21T13:00:00+01:00"
        url = "https://example.com/2020/a/"
        await site.update(url, content="Text.\n\nThe end.")
        assert site.changed() == [f"+{modified}", "-End.", "+The end."]
        await site.add(url, category="three")
        assert site.changed() == ["-Tags: one,  two", "+Tags: one,  two,  three"]
        url = "https://example.com/2020/by-hand/"
        html = (await site.source(url))["content"]["html"]
        assert "ownersScript" in html
        await site.update(url, content={"html": html.replace("words", "new words")})
        assert site.changed() == [
            '+    <meta name="modified" content="2026-11-21T13:00:00+01:00">',
            "-<p>Some <em>words</em>.</p>",
            "+<p>Some <em>new words</em>.</p>",
        ]
        sent = (await site.source(url))["content"]["html"] + "<script>theirs()</script>"
        await site.update(url, content={"html": sent})
        assert "theirs" not in site.read("content/b.html").partition("<body>")[2]


async def test_an_edit_of_html_keeps_the_line_ends_of_the_file(tmp_path: Path) -> None:
    files = {"content/b.html": HTML.replace("\n", "\r\n").encode()}
    async with bench(tmp_path, files, CONF) as site:
        url = "https://example.com/2020/by-hand/"
        html = (await site.source(url))["content"]["html"]
        await site.update(url, content={"html": html.replace("words", "new words")})
        expected = (
            HTML.replace("words", "new words").replace("\n", "\r\n").splitlines(keepends=True)
        )
        kept = site.read("content/b.html").splitlines(keepends=True)
        assert [line for line in kept if "modified" not in line] == expected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_a_newline_at_the_end_of_a_text_by_hand_is_no_change(
    tmp_path: Path, end: str
) -> None:
    files = {
        "content/a.md": "Title: A\nDate: 2020-01-02\n\nOne.\n\nTwo.\n",
        "content/small.rst": RST,
        "content/b.html": HTML,
    }
    async with bench(tmp_path, files, CONF) as site:
        for slug in ("a", "small", "by-hand"):
            url, before = f"https://example.com/2020/{slug}/", site.store.head()
            content = (await site.source(url))["content"]
            if isinstance(content, str):
                await site.update(url, content=f"{content}\n".replace("\n", end))
            else:
                await site.update(url, content={"html": content["html"] + end})
            assert site.store.head() == before


async def test_a_post_that_comes_back_has_its_mode(tmp_path: Path) -> None:
    async with bench(tmp_path, {"content/a.md": "Title: A\nDate: 2020-01-02\n\nx\n"}, CONF) as site:
        (site.clone / "content/a.md").chmod(0o755)
        await site.arrived({})
        assert site.mode("content/a.md") == "100755"
        url = "https://example.com/2020/a/"
        await site.update(url, content="y")
        assert site.mode("content/a.md") == "100755"
        await site.delete(url)
        await site.undelete(url)
        assert site.mode("content/a.md") == "100755"


async def test_a_post_with_a_backslash_in_its_files_name_is_edited_and_comes_back(
    tmp_path: Path,
) -> None:
    files = {"content/a\\b.md": "Title: Hello\nDate: 2020-01-02\nSlug: hello\n\nText.\n"}
    async with bench(tmp_path, files, CONF) as site:
        url = await site.add("https://example.com/2020/hello/", category="new")
        assert "+Tags: new;" in site.changed()
        await site.delete(url)
        assert await site.undelete(url) == url
        assert site.read("content/a-b.md").endswith("\nText.\n")
        assert "2020/hello/index.html" in await asyncio.to_thread(site.pages, tmp_path)


async def test_posts_behind_links_are_listed_edited_and_followed(tmp_path: Path) -> None:
    """A folder and a file outside of the content folder, to which links in it lead."""
    text = "Title: {}\nDate: 2020-01-02\nCategory: x\n\nText.\n"
    files = {
        "posts/2020/a.md": text.format("A"),
        "drawer/b.md": text.format("B"),
        "content/c.md": text.format("C"),
    }
    at = "https://example.com/2020/{}/".format
    async with bench(tmp_path, files, CONF) as site:
        (site.clone / "content/blog").symlink_to("../posts")
        (site.clone / "content/b.md").symlink_to("../drawer/b.md")
        (site.clone / "content/round").symlink_to("../content")
        (site.clone / "content/outside").symlink_to("/etc")
        await site.arrived({})
        assert {url for url, _ in site.catalogue.index.sources()} == {at("a"), at("b"), at("c")}
        for name, file in (("a", "posts/2020/a.md"), ("b", "drawer/b.md")):
            await site.update(at(name), content="Other words.")
            assert (await site.source(at(name)))["content"] == "Other words."
            assert "Other words." in site.read(file)
        git(site.clone, "pull", "-q", "--rebase", str(site.bare), "main")
        await site.arrived({"posts/2020/d.md": text.format("D"), "drawer/b.md": text.format("B")})
        assert (await site.source(at("d")))["name"] == "D"
        assert (await site.source(at("b")))["content"] == "Text."
        await site.delete(at("a"))
        await site.catalogue.refresh()
        assert {at("b"), at("c"), at("d")} == {url for url, _ in site.catalogue.index.sources()}
        await site.delete(at("b"))
        assert site.read("drawer/b.md")
        for name, file in (("a", "posts/2020/a.md"), ("b", "drawer/b.md")):
            assert await site.undelete(at(name)) == at(name)
            assert (await site.source(at(name)))["name"] == name.upper()
            assert site.read(file)
        (site.clone / "content/blog").unlink()
        await site.arrived({})
        assert {url for url, _ in site.catalogue.index.sources()} == {at("b"), at("c")}


async def test_posts_in_submodules_are_counted_and_said_to_be_there(tmp_path: Path) -> None:
    """One in the content folder itself, one behind a link."""
    text = "Title: {0}\nDate: 2020-01-02\nSlug: {0}\n\nText.\n"
    allowed = ("-c", "protocol.file.allow=always")
    at = "https://example.com/2020/{}/".format
    async with bench(tmp_path, {"content/c.md": text.format("c")}, CONF) as site:
        assert site.catalogue.report().in_submodules == 0
        for place in ("content/talks", "data"):
            name = place.rpartition("/")[2]
            other = new_repo(tmp_path / name)
            (other / "2026").mkdir()
            (other / f"2026/{name}.md").write_text(text.format(name))
            (other / "2026/README.txt").write_text("No post.")
            commit_all(other, "a post")
            git(site.clone, *allowed, "submodule", "--quiet", "add", str(other), place)
        (site.clone / "content/years").symlink_to("../data/2026")
        await site.arrived({})
        await site.catalogue.separate.settled()
        assert site.catalogue.report().in_submodules == 2
        for name, file in (("talks", "talks/2026/talks.md"), ("data", "years/data.md")):
            said = rf"is in a submodule \(content/{file}\), a separate repo.* Change it there\."
            for refused in (
                site.source(at(name)),
                site.update(at(name), content="x"),
                site.delete(at(name)),
                site.undelete(f"{at(name)}index.html"),
            ):
                with pytest.raises(InvalidRequest, match=said):
                    await refused
        url = await site.create(name="talks", content="Mine", published="2020-05-05")
        assert url == at("talks-2")
        site.pull()
        git(site.clone, "rm", "-q", "content/talks")
        await site.arrived({})
        await site.catalogue.separate.settled()
        assert site.catalogue.report().in_submodules == 1
        with pytest.raises(InvalidRequest, match="There is no post at"):
            await site.source(at("talks"))


async def test_posts_in_submodules_that_are_not_known_yet_are_not_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after a start: an app was told for good that there is no such post, and a new post got
    the address of one of them.
    """
    text = "Title: talk\nDate: 2020-01-02\nSlug: talk\n\nText.\n"
    looking, find = threading.Event(), separate.places_in_submodules

    def later(*asked: Any) -> Any:
        assert looking.wait(60)
        return find(*asked)

    monkeypatch.setattr(separate, "places_in_submodules", later)
    monkeypatch.setattr(separate, "_SECONDS", 60.0)
    async with bench(tmp_path, {"content/c.md": text.replace("talk", "c")}, CONF) as site:
        other = new_repo(tmp_path / "talks")
        (other / "talk.md").write_text(text)
        commit_all(other, "a post")
        git(site.clone, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add",
            str(other), "content/talks")  # fmt: skip
        await site.arrived({})
        url = "https://example.com/2020/talk/"
        for refused in (site.source(url), site.delete(url), site.undelete(url)):
            with pytest.raises(Unavailable, match="looking at the posts in submodules"):
                await refused
        new = asyncio.create_task(site.create(name="talk", content="x", published="2020-05-05"))
        await asyncio.sleep(0.1)
        looking.set()
        assert await new == "https://example.com/2020/talk-2/"


async def test_a_new_post_is_not_put_into_a_submodule(tmp_path: Path) -> None:
    async with bench(tmp_path, {}, CONF) as site:
        other = new_repo(tmp_path / "talks")
        (other / "talk.md").write_text("Title: talk\nDate: 2020-01-02\n\nText.\n")
        commit_all(other, "a post")
        git(site.clone, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add",
            str(other), "content/notes")  # fmt: skip
        await site.arrived({})
        await site.create(content="A note")
        assert "content/notes-posts/" in git(site.bare, "show", "--name-only", "--format=", "main")


async def test_a_search_for_posts_in_submodules_that_takes_long_does_not_hold_up_each_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, find = threading.Event(), separate.places_in_submodules

    def later(*asked: Any) -> Any:
        assert done.wait(600)
        return find(*asked)

    monkeypatch.setattr(separate, "places_in_submodules", later)
    async with bench(tmp_path, {}, CONF) as site:
        other = new_repo(tmp_path / "talks")
        (other / "talk.md").write_text("Title: talk\nDate: 2020-01-02\n\nText.\n")
        commit_all(other, "a post")
        git(site.clone, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add",
            str(other), "content/talks")  # fmt: skip
        await site.arrived({})
        began = time.monotonic()
        try:
            for number in range(10):
                await site.create(content=f"Note {number}")
            assert time.monotonic() - began < 10 * separate._SECONDS
            assert site.catalogue.separate.is_looking
        finally:
            done.set()


async def test_a_submodule_that_is_moved_is_read_as_it_is_now(tmp_path: Path) -> None:
    """A commit that moves one changes no file: posts got addresses of the plugin as it was, and
    posts in it were those of before.
    """
    allowed = ("-c", "protocol.file.allow=always")
    text = "Title: {0}\nDate: 2020-01-02\nSlug: {0}\n\nText.\n"
    plugin = new_repo(tmp_path / "plugin")
    talks = new_repo(tmp_path / "talks")
    rule = """from pelican import signals

def name(article):
    article.slug = "{0}-" + article.slug

def register():
    signals.article_generator_preread.disconnect(name)
    signals.content_object_init.connect(name)
"""
    (plugin / "naming.py").write_text(rule.format("old"))
    (talks / "one.md").write_text(text.format("one"))
    commit_all(plugin, "a plugin")
    commit_all(talks, "a talk")
    conf = f'{CONF}\nPLUGIN_PATHS = ["plugins/naming"]\nPLUGINS = ["naming"]\n'
    files = {"content/c.md": text.format("c"), "pelicanconf.py": CONF}
    async with bench(tmp_path, files, CONF) as site:
        for place, other in (("plugins/naming", plugin), ("content/talks", talks)):
            git(site.clone, *allowed, "submodule", "--quiet", "add", str(other), place)
        await site.arrived({"pelicanconf.py": conf})
        assert await site.create(name="first", content="x", published="2021-01-01") == (
            "https://example.com/2021/old-first/"
        )
        site.pull()
        (plugin / "naming.py").write_text(rule.format("new"))
        (talks / "two.md").write_text(text.format("two"))
        for place, other in (("plugins/naming", plugin), ("content/talks", talks)):
            commit_all(other, "more")
            git(site.clone / place, "pull", "--quiet", str(other), "main")
        await site.arrived({})
        assert await site.create(name="second", content="x", published="2021-01-01") == (
            "https://example.com/2021/new-second/"
        )
        await site.catalogue.separate.settled()
        assert site.catalogue.report().in_submodules == 2


async def test_a_post_that_is_a_link_is_deleted_and_what_it_leads_to_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pelican reports a link that leads nowhere in every build."""
    text = "Title: About\nDate: 2020-01-02\n\nText.\n"
    url = "https://example.com/2020/about/"
    async with bench(
        tmp_path, {"README.md": text, "content/c.md": text.replace("About", "C")}, CONF
    ) as site:
        (site.clone / "content/in").mkdir()
        (site.clone / "content/in/about.md").symlink_to("../../README.md")
        await site.arrived({})
        # Only what changes is described again.
        monkeypatch.setattr(site.catalogue.index, "_describe_all", None)
        await site.delete(url)
        await site.catalogue.refresh()
        assert len(site.catalogue.index.sources()) == 1
        assert site.read("README.md") == text
        assert git(site.bare, "ls-tree", "main", "content/in/about.md") == ""
        assert await site.undelete(url) == url
        assert site.mode("content/in/about.md") == "120000"
        assert (await site.source(url))["content"] == "Text."
        await site.delete(url)
        site.pull()
        await site.arrived({"README.md": text.replace("Text", "Other words")})
        assert await site.undelete(url) == url
        assert site.mode("content/in/about.md") == "100644"
        assert (await site.source(url))["content"] == "Text."
        assert "Other words" in site.read("README.md")


async def test_a_new_post_is_written_into_the_folder_to_which_a_link_leads(tmp_path: Path) -> None:
    files = {"posts/a.md": "Title: A\nDate: 2020-01-02\nCategory: x\n\nText.\n"}
    path = "blog/{published:%Y}/{slug}.md"
    async with bench(tmp_path, files, CONF, path=path) as site:
        (site.clone / "content").mkdir(exist_ok=True)
        (site.clone / "content/blog").symlink_to("../posts")
        await site.arrived({})
        url = await site.create(name="New", content="x", published="2021-05-05")
        assert url == "https://example.com/2021/new/"
        assert site.read("posts/2021/new.md")
        assert "2021/new/index.html" in await asyncio.to_thread(site.pages, tmp_path)


async def test_addresses_are_found_however_they_are_spelt(tmp_path: Path) -> None:
    files = {"content/a.md": "Title: A\nDate: 2020-01-02\nSlug: el-año\n\nx\n"}
    async with bench(tmp_path, files, CONF) as site:
        for url in ("https://example.com/2020/el-año/", "http://example.com/2020/el-a%C3%B1o#x"):
            assert (await site.source(url))["name"] == "A"
            await site.add(url, category=url[-1])
        await site.delete("https://EXAMPLE.com/2020/el-año/index.html")
        assert await site.undelete("https://example.com/2020/el-año")


async def test_an_edit_leaves_a_post_whose_address_another_file_claims_where_it_is(
    tmp_path: Path,
) -> None:
    """A file that was copied by hand, with its slug: Pelican builds neither of the two."""
    copied = "Title: A\nDate: 2020-01-02\nSlug: same\n\nText.\n"
    files = {"content/a.md": copied, "content/b.md": copied}
    async with bench(tmp_path, files, CONF) as site:
        url = "https://example.com/2020/same/"
        assert await site.update(url, content="Other words.") == url
        assert site.changed()[1:] == ["-Text.", "+Other words."]
        # A new post, or one that moves, stays away from there.
        assert await site.update(url, name="Another") == url
        moved = await site.create({"slug": ("same",)}, content="x", published="2020-05-05")
        assert moved == "https://example.com/2020/same-2/"


async def test_a_post_that_moved_is_found_where_pages_have_no_suffix(tmp_path: Path) -> None:
    conf = CONF + 'ARTICLE_URL = "blog/{slug}"\nARTICLE_SAVE_AS = "blog/{slug}.html"\n'
    async with bench(tmp_path, {"content/a.md": "Title: A\nDate: 2020-01-02\n\nx\n"}, conf) as site:
        assert await site.update("https://example.com/blog/a", name="B") == (
            "https://example.com/blog/b"
        )
        for url in ("https://example.com/blog/a", "https://example.com/blog/a.html"):
            assert (await site.source(url))["name"] == "B"


async def test_a_title_that_only_the_files_name_has(tmp_path: Path) -> None:
    conf = CONF + 'FILENAME_METADATA = r"(?P<date>\\d{4}-\\d\\d-\\d\\d) (?P<title>.*)"\n'
    files = {"content/2020-01-02 A walk.md": "Tags: a\n\nx\n"}
    async with bench(tmp_path, files, conf) as site:
        assert (await site.source("https://example.com/2020/a-walk/"))["name"] == "A walk"


async def test_a_file_in_another_encoding_is_named_and_is_no_post(tmp_path: Path) -> None:
    """Pelican skips it, whatever its front matter says."""
    old = "Title: A\nDate: 2020-01-02\n\nCaf\xe9\n".encode("latin-1")
    async with bench(tmp_path, {"content/a.md": old}, CONF) as site:
        await site.catalogue.refresh()
        (unread,) = site.catalogue.report().unread
        assert (unread.path, "utf-8" in unread.reason) == ("content/a.md", True)
        assert await site.create(name="A", content="x") == "https://example.com/2026/a/"


async def test_a_new_post_takes_no_file_that_is_no_post(tmp_path: Path) -> None:
    """The index does not know it: its commit fails, and then all files are looked at."""
    other = "Title: A\nDate: 2020-01-02\nStatus: skip\n\nx\n"
    async with bench(
        tmp_path, {"content/2026/a.md": other}, CONF, path="{published:%Y}/{slug}.md"
    ) as site:
        assert await site.create(name="A", content="x") == "https://example.com/2026/a-2/"
        assert git(site.bare, "show", "HEAD:content/2026/a.md") == other.strip()


async def test_addresses_that_the_files_name_decides(tmp_path: Path) -> None:
    """The second of two equal posts has another file, and so another address."""
    conf = CONF + (
        "PATH_METADATA = r'(?P<path_no_ext>.*)\\..*'\n"
        "ARTICLE_URL = ARTICLE_SAVE_AS = '{path_no_ext}.html'\n"
    )
    async with bench(tmp_path, {}, conf, path="{published:%Y}/{slug}.md") as site:
        for slug in ("a-note", "a-note-2", "a-note-3"):
            assert await site.create(content="A note") == f"https://example.com/2026/{slug}.html"
        pages = await asyncio.to_thread(site.pages, tmp_path)
        assert {"2026/a-note.html", "2026/a-note-2.html", "2026/a-note-3.html"} <= pages


async def test_a_slug_that_is_not_the_end_of_the_url_is_given_and_may_be_sent_back(
    tmp_path: Path,
) -> None:
    conf = CONF.replace("{slug}/", "{slug}/post/")
    files = {"content/a.md": "Title: A\nDate: 2020-01-02\nSlug: My-Walk\n\nx\n"}
    async with bench(tmp_path, files, conf) as site:
        queries = Queries(
            site.catalogue, site.posts, Settings(Site("https://example.com/", tmp_path)), ""
        )
        url = "https://example.com/2020/My-Walk/post/"
        found: Any = await queries.answer([("q", "source"), ("url", url)])
        assert found["properties"]["mp-slug"] == ["My-Walk"]
        listed: Any = await queries.answer([("q", "source"), ("properties[]", "mp-slug")])
        for slug in ("My-Walk", listed["items"][0]["properties"]["mp-slug"][0]):
            await site.do(Update(url, replace={"name": (slug,)}, commands={"slug": (slug,)}))
            assert "Slug: My-Walk\n" in site.read("content/a.md"), slug


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ("ARTICLE_URL = ARTICLE_SAVE_AS = ''\n", "set ARTICLE_URL and"),
        ("READERS = {'md': None}\n", "READERS"),
        ("ARTICLE_PATHS = ['blog']\n", r"content/a-note\.md.*\[content\] path"),
        ("ARTICLE_PATHS = []\nPAGE_PATHS = ['']\n", "ARTICLE_PATHS"),
    ],
)
async def test_a_site_without_room_for_new_posts_says_what_to_change(
    tmp_path: Path, conf: str, told: str
) -> None:
    async with bench(tmp_path, {}, CONF + conf, path="{slug}.md") as site:
        before = site.store.head()
        with pytest.raises(SiteBroken, match=told) as caught:
            await site.create(content="A note")
        # No fault of the app's, and nothing that it should try again.
        assert (caught.value.status, caught.value.code) == (500, "server_error")
        assert site.store.head() == before


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{mood}/{slug}.html", r"names \{mood\}.*DEFAULT_METADATA"),
        ("{author}/{slug}.html", r"this post does not have: \{author\}"),
    ],
)
async def test_an_address_that_a_post_cannot_fill_is_refused_with_what_is_missing(
    tmp_path: Path, pattern: str, told: str
) -> None:
    conf = CONF + f'ARTICLE_URL = ARTICLE_SAVE_AS = "{pattern}"\n'
    async with bench(tmp_path, {}, conf) as site:
        with pytest.raises(InvalidRequest, match=told):
            await site.create(content="A note")


async def test_broken_settings_are_reported_and_stop_no_post(tmp_path: Path) -> None:
    async with bench(tmp_path, {}, CONF) as site:
        await site.create(name="First", content="x")
        await site.arrived({"pelicanconf.py": CONF + "import not_there\n"})
        assert await site.create(name="Second", content="x") == "https://example.com/2026/second/"
        assert "not_there" in site.catalogue.report().problem
        await site.arrived({"pelicanconf.py": CONF.replace('"{date:%Y}/{slug}/"', '"{slug}/"')})
        assert await site.create(name="Third", content="x") == "https://example.com/third/"
        assert site.catalogue.report().problem == ""


async def test_nothing_is_posted_into_a_content_folder_that_was_renamed(tmp_path: Path) -> None:
    text = "Title: A\nDate: 2020-01-02\n\nx\n"
    async with bench(tmp_path, {"content/a.md": text}, CONF) as site:
        await site.create(name="First", content="x")
        site.pull()
        git(site.clone, "mv", "content", "texts")
        conf = CONF.replace('"content"', '"texts"')
        site.push({"pelicanconf.py": conf})
        with pytest.raises(SiteBroken, match='folder = "texts"') as caught:
            await site.create(name="Second", content="x")
        assert caught.value.status == 500
        assert 'folder = "texts"' in site.catalogue.report().problem
        git(site.clone, "mv", "texts", "content")
        site.push({"pelicanconf.py": CONF})
        assert await site.create(name="Third", content="x") == "https://example.com/2026/third/"


async def test_nothing_is_posted_where_the_settings_do_not_look(tmp_path: Path) -> None:
    """No earlier version of the site is known, in which the folder had another name."""
    text, named = "Title: A\nDate: 2020-01-02\n\nx\n", CONF.replace('"content"', '"texts"')
    async with bench(tmp_path, {"texts/a.md": text}, named) as site:
        for _ in range(2):
            with pytest.raises(SiteBroken, match='folder = "texts"') as caught:
                await site.create(name="First", content="x")
            assert caught.value.status == 500
        assert 'folder = "texts"' in site.catalogue.report().problem
        # What is in the folder may be meant, so that is only a warning.
        site.push({"content/b.md": text.replace("A", "B")})
        assert await site.create(name="Second", content="x")
        report = site.catalogue.report()
        assert report.problem == ""
        assert any('folder = "texts"' in warning for warning in report.warnings)
        site.pull()
        git(site.clone, "mv", "content/b.md", "texts/b.md")
        git(site.clone, "mv", "content", "elsewhere")
        site.push({})
        with pytest.raises(SiteBroken, match="folder"):
            await site.create(name="Third", content="x")
        git(site.clone, "mv", "texts", "content")
        site.push({"pelicanconf.py": CONF})
        assert await site.create(name="Fourth", content="x") == "https://example.com/2026/fourth/"
        assert site.catalogue.report().warnings == ()


async def test_settings_that_never_could_be_read_are_the_owners_fault(tmp_path: Path) -> None:
    async with bench(tmp_path, {}, "import not_there\n") as site:
        with pytest.raises(SiteBroken, match="not_there") as caught:
            await site.create(content="x")
        # Nothing that an app should try again: Micropub's server_error.
        assert (caught.value.status, caught.value.code) == (500, "server_error")
        assert "not_there" in site.catalogue.report().problem


async def test_the_sites_own_reader_says_what_is_wrong_with_a_text(tmp_path: Path) -> None:
    conf = CONF + HEADINGS.replace(
        "        content, metadata",
        "        text = Path(path).read_text()\n"
        "        assert not text.startswith('---'), 'no YAML here'\n"
        "        assert 'odd' not in text, 'an odd word'\n"
        "        content, metadata",
    )
    async with bench(tmp_path, {}, conf) as site:
        with pytest.raises(InvalidRequest, match="an odd word"):
            await site.create(content="odd")
        url = await site.create(name="A", content="fine")
        with pytest.raises(InvalidRequest, match="an odd word"):
            await site.update(url, content="odd")


async def test_what_is_not_installed_is_no_fault_of_the_app(tmp_path: Path) -> None:
    conf = CONF + HEADINGS.replace(
        "        content, metadata", "        import nonesuch\n        content, metadata"
    )
    async with bench(tmp_path, {"content/a.md": "Date: 2020-01-02\n\n# A\n"}, conf) as site:
        with pytest.raises(SiteBroken, match="No module named 'nonesuch'") as caught:
            await site.create(content="x")
        assert (caught.value.status, caught.value.code) == (500, "server_error")
        (unread,) = site.catalogue.report().unread
        assert "nonesuch" in unread.reason


async def test_what_keeps_a_reader_that_needs_yaml_from_a_post_is_said(tmp_path: Path) -> None:
    """As pandoc-reader does where a filter is not installed: only the header was named."""
    conf = CONF + HEADINGS.replace(
        "        content, metadata",
        "        text = Path(path).read_text()\n"
        "        assert text.startswith('---'), 'no metadata header'\n"
        "        raise OSError('no crossref here')\n"
        "        content, metadata",
    )
    async with bench(tmp_path, {}, conf) as site:
        with pytest.raises(SiteBroken, match=r"no metadata header.* no crossref here"):
            await site.create(content="x")


FAILING = """
from pelican import signals

def stumble(generator, metadata):
    if metadata["title"] != "Odd":
        raise TypeError("got an unexpected argument")

signals.article_generator_context.connect(stumble)
"""


async def test_a_plugin_that_fails_on_every_post_is_no_fault_of_the_app(tmp_path: Path) -> None:
    async with bench(tmp_path, {}, CONF + FAILING) as site:
        with pytest.raises(SiteBroken, match=r"No new post.*unexpected argument.*plugin"):
            await site.create(name="A post", content="x")
        assert await site.create(name="Odd", content="x") == "https://example.com/2026/odd/"
        await site.arrived({"pelicanconf.py": CONF + FAILING.replace('!= "Odd"', '== "Odd"')})
        with pytest.raises(InvalidRequest, match="unexpected argument"):
            await site.create(name="Odd", content="another")


LOOKING = """
import os
from pelican import signals

def look(content):
    if getattr(content, "source_path", None):
        os.stat(content.source_path)
        assert content.slug in open(content.source_path).read()

signals.content_object_init.connect(look)
"""


async def test_a_plugin_that_opens_each_posts_file_finds_it(tmp_path: Path) -> None:
    """As plugins do that take dates from git, or pictures from the folder."""
    async with bench(tmp_path, {}, CONF + LOOKING, path="{category}/{slug}.md") as site:
        for end in ("", "-2"):
            url = await site.create(name="A post", content="x")
            assert url == f"https://example.com/2026/a-post{end}/"


async def test_files_that_pelican_passes_over_are_named(tmp_path: Path) -> None:
    files = {"content/a.md": "Title: no date\n\nx\n", "content/b.md": "Date: 2020-01-02\n\nx\n"}
    async with bench(tmp_path, files, CONF) as site:
        await site.catalogue.refresh()
        unread = {each.path: each.reason for each in site.catalogue.report().unread}
        assert unread.keys() == files.keys()
        assert "no date" in unread["content/a.md"]
        assert "no title" in unread["content/b.md"]


async def test_an_extension_that_includes_files_is_not_for_clients(tmp_path: Path) -> None:
    snippets = """
import pathlib, re
from markdown import Extension
from markdown.preprocessors import Preprocessor
class Step(Preprocessor):
    def run(self, lines):
        return [re.sub('--8<-- "(.*)"', lambda m: pathlib.Path(m[1]).read_text(), l) for l in lines]
class Snippets(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Step(md), "snippets", 50)
MARKDOWN = {"extensions": [Snippets(), "markdown.extensions.meta"]}
"""
    by_hand = 'Title: Mine\nDate: 2020-01-02\n\n--8<-- "part.txt"\n\nEnd.\n'
    files = {"part.txt": "A part", "content/mine.md": by_hand}
    async with bench(tmp_path, files, CONF + snippets) as site:
        for name in ("pelicanconf.py", "./part.txt", str(tmp_path / "site.git" / "config")):
            text = f'--8<-- "{name}"'
            with pytest.raises(InvalidRequest):
                await site.create(name="x", content=text)
        # What the owner includes stays when a client edits the rest.
        url = "https://example.com/2020/mine/"
        await site.update(url, content='--8<-- "part.txt"\n\nThe end.')
        assert site.changed()[1:] == ["-End.", "+The end."]
