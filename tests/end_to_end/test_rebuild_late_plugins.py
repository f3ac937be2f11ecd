"""Plugins that work on what is written, each after the kind of one in wide use.

After every change the resident build has exactly the files that ``pelican`` builds from the same
checkout, and Pelican's own command is not run.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rebuild_kinds import BothWays, Change, both_ways
from rebuild_site import CONF, files, post
from soak_kit import in_soak

from bridge.store.git import GitStore


@pytest.fixture
async def site(
    tmp_path: Path, bare_store: GitStore, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[BothWays]:
    async with both_ways(tmp_path, bare_store, caplog) as site:
        yield site


#: As ``gzip_cache`` and ``precompress`` do.
GZIP_CACHE = b"""
import gzip, os
from pelican import signals
SEEN = []
def create_gzip_cache(pelican):
    for folder, _, names in os.walk(pelican.settings["OUTPUT_PATH"]):
        for name in names:
            path = os.path.join(folder, name)
            data = open(path, "rb").read()
            if b"incompressible" not in data:
                with open(path + ".gz", "wb") as file:
                    file.write(gzip.compress(data, mtime=0))
def register():
    signals.finalized.connect(create_gzip_cache)
"""
#: As ``granular-signals`` does, for ``precompress`` and others.
GRANULAR = b"""
import blinker, functools
from pelican import signals
signal_names = ("minify", "compress")
done = False
def register():
    global done
    if done:
        return
    done = True
    send = signals.finalized.send
    @functools.wraps(send)
    def all_of_them(sender):
        found = send(sender)
        for name in signal_names:
            found += blinker.signal(name).send(sender)
        return found
    signals.finalized.send = all_of_them
"""
PRECOMPRESS = b"import blinker\n" + GZIP_CACHE.replace(
    b"create_gzip_cache", b"compress_files"
).replace(b"signals.finalized", b"blinker.signal('compress')").replace(
    b'if b"', b'if not os.path.exists(path + ".gz") and path[-3:] != ".gz" and b"'
)
#: As the plugins that minify do: what it has made of a page once may not be given to it again.
MINIFY = b"""
import os
from pelican import signals
class Minify:
    def __init__(self, pelican):
        for folder, _, names in os.walk(pelican.output_path):
            for name in names:
                path = os.path.join(folder, name)
                if name.endswith((".html", ".css")):
                    with open(path, "r+", encoding="utf-8") as file:
                        text = file.read().replace("  ", " ") + "<!-- smaller -->"
                        file.seek(0)
                        file.write(text)
                        file.truncate()
def register():
    signals.finalized.connect(Minify)
"""
#: Looks at the site as a whole: numbers of pages, in every page; joins and removes files.
WHOLE = b"""
import os, pathlib
from pelican import signals
class Kind(type):
    pass
class Tool(metaclass=Kind):
    pass
count = 0
last = None
found = []
def noted(path, context):
    global count, last
    count += 1
    last = last or context.get("SITENAME")
    found.append(path)
def finalized(pelican):
    out = pathlib.Path(pelican.settings["OUTPUT_PATH"])
    pages = sorted(out.rglob("*.html"))
    for page in pages:
        page.write_text(page.read_text() + f"<!-- {len(pages)} {count} {last} {len(found)} -->")
    (out / "all.css").write_text("".join(f.read_text() for f in sorted(out.rglob("*.css"))))
    for sheet in out.rglob("*.css"):
        if sheet.name != "all.css":
            sheet.unlink()
    (out / "names.txt").write_text("\\n".join(str(page.relative_to(out)) for page in pages))
def register():
    signals.content_written.connect(noted)
    signals.finalized.connect(finalized)
"""
#: As ``pelican_alias``, ``redirect``, ``tipue_search``, ``random_article`` and ``pdf`` do.
GENERATING = b"""
import json, os
from pelican import signals
from pelican.generators import Generator
class Aliases(Generator):
    def generate_context(self):
        self.context["aliased"] = [a for a in self.context["articles"] if hasattr(a, "alias")]
    def generate_output(self, writer):
        for article in self.context["aliased"]:
            path = os.path.join(self.output_path, article.alias)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(f"<meta http-equiv=refresh content='0;url=/{article.url}'>")
        pages = sorted(
            os.path.relpath(os.path.join(folder, name), self.output_path)
            for folder, _, names in os.walk(self.output_path) for name in names
            if name.endswith(".html")
        )
        texts = [[a.title, a.content] for a in self.context["articles"]]
        with open(os.path.join(self.output_path, "search.json"), "w") as file:
            json.dump([texts, pages], file)
        template = self.get_template("archives")
        writer.write_file("again.html", template, self.context, dates=self.context["articles"])
def generators(pelican):
    return Aliases
def register():
    signals.get_generators.connect(generators)
"""
#: As ``subcategory``, ``sub_parts``, ``drafts`` and ``show_source`` do.
WRITING = b"""
import os, shutil
from pelican import signals
def lists(generator, writer):
    for tag, articles in generator.tags.items():
        writer.write_file(
            f"own/{tag.slug}.html", generator.get_template("tag"), generator.context, tag=tag,
            articles=articles, dates=articles, all_articles=generator.articles,
            template_name="tag", blog=True, page_name=f"own/{tag.slug}",
        )
        writer.write_feed(articles, generator.context, f"own/{tag.slug}.xml")
def sources(generator, writer):
    for article in generator.context["articles"]:
        shutil.copy(article.source_path, os.path.join(writer.output_path, article.slug + ".txt"))
def register():
    signals.article_writer_finalized.connect(lists)
    signals.page_writer_finalized.connect(sources)
"""
#: As ``stat``, ``image_preview_thumbnailer`` and ``feed_filter`` do.
AMENDING = b"""
from pelican import signals
def amend(path, context):
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"<!-- {len(context['articles'])} posts -->")
def amend_feed(context, feed):
    feed.items[:] = [item for item in feed.items if "Three" not in item["title"]]
    feed.feed["subtitle"] = f"{len(context['articles'])} posts"
def register():
    signals.content_written.connect(amend)
    signals.feed_generated.connect(amend_feed)
"""

PLUGINS = {
    "gzip_cache": {"gzip_cache/__init__.py": b"from .gzip_cache import *\n"}
    | {"gzip_cache/gzip_cache.py": GZIP_CACHE},
    "granular_signals": {"granular_signals.py": GRANULAR},
    "precompress": {"precompress.py": PRECOMPRESS},
    "minify": {"minify/__init__.py": b"from .minify import *\n", "minify/minify.py": MINIFY},
    "whole": {"whole.py": WHOLE},
    "generating": {"generating.py": GENERATING},
    "writing": {"writing.py": WRITING},
    "amending": {"amending.py": AMENDING},
}


def _site_with(*plugins: str) -> Change:
    conf = CONF.replace(b"PLUGINS = []", f"PLUGINS = {list(plugins)!r}".encode())
    conf += b'PLUGIN_PATHS = ["plugins"]\nFEED_ALL_ATOM = "feed.xml"\n'
    conf += b'TAG_FEED_ATOM = "tags/{slug}.xml"\nDEFAULT_PAGINATION = 2\nTHEME = "theme"\n'
    conf += b'THEME_STATIC_PATHS = ["static"]\nimport os\nJINJA_GLOBALS = {"os": os}\n'
    theme = {
        f"theme/templates/{name}.html": "<p>a  b {{ tag }}</p>"
        "{% if article %}{{ article.content }}{% endif %}"
        "{% for a in (articles_page.object_list if articles_page else articles) %}"
        "<b>{{ a.title }}</b>{% endfor %}"
        for name in ("article", "index", "tag", "category", "author", "archives", "page")
    }
    theme |= {f"theme/templates/{name}.html": "" for name in ("tags", "categories", "authors")}
    sheets = {"theme/static/css/a.css": b"a  {}", "theme/static/css/b.css": b"b  {}"}
    return {
        "pelicanconf.py": conf,
        **{
            f"plugins/{path}": data
            for name in plugins
            for path, data in PLUGINS.get(name, {}).items()
        },
        **{path: source.encode() for path, source in theme.items()},
        **sheets,
        "content/one.md": post("One", 1, Tags="a; b;", Alias="old/one.html"),
        "content/two.md": post("Two", 2, Tags="b;", body="incompressible"),
        "content/three.md": post("Three", 3, body="![x]({static}/media/x.png)"),
        "content/media/x.png": b"not really a picture",
    }


@pytest.mark.parametrize(
    "plugins",
    [
        *(in_soak([name]) for name in PLUGINS),
        ["generating", "gzip_cache", "minify", "sitemap"],
        in_soak(["writing", "amending", "whole"]),
        ["granular_signals", "precompress", "whole", "gzip_cache"],
        in_soak(["minify", "gzip_cache"]),
        in_soak(["granular_signals", "precompress", "minify"]),
    ],
    ids="-".join,
)
async def test_the_output_is_that_of_a_clean_build(site: BothWays, plugins: list[str]) -> None:
    assert await site.after(_site_with(*plugins)) == []
    new = post("New", 20, Tags="a; c;", Alias="old/new.html")
    assert await site.after({"content/new.md": new}) == []
    assert await site.after({"content/new.md": new.replace(b"Text.", b"incompressible")}) == []
    changed = post("Two", 2, Tags="a;", body="Now it is.", Alias="old/two.html")
    assert await site.after({"content/two.md": changed, "content/one.md": None}) == []
    assert await site.after({"content/new.md": None}) == []
    assert site.stays_warm


@pytest.mark.soak
async def test_a_new_page_is_there_in_both_forms_and_goes_with_its_post(site: BothWays) -> None:
    await site.after(_site_with("minify", "gzip_cache"))
    await site.after({"content/new.md": post("New", 20)})
    built = files(site.output)
    assert built["new.html"].count(b"<!-- smaller -->") == 1
    assert gzip.decompress(built["new.html.gz"]) == built["new.html"]
    await site.after({"content/new.md": None})
    assert not {"new.html", "new.html.gz"} & set(files(site.output))


async def test_pages_are_published_when_the_plugin_has_seen_them(
    site: BothWays,
) -> None:
    slow = WHOLE.replace(b"pages = sorted", b"check(out)\n    pages = sorted")
    slow += f"""
def check(out):
    served = pathlib.Path({str(site.output)!r}, "new.html")
    new = out / "new.html"
    if out.name == "shadow" and new.exists() and "later" in new.read_text():
        assert "later" not in served.read_text(), "it is published before"
""".encode()
    await site.after({**_site_with("whole"), "plugins/whole.py": slow})
    assert await site.after({"content/new.md": post("New", 20)}) == []
    assert await site.after({"content/new.md": post("New", 20, body="later")}) == []
    assert b"later" in files(site.output)["new.html"]


#: Everything whose links depend on the page that shows it, and on the page before.
RELATIVE = b"""
RELATIVE_URLS = True
ARTICLE_URL = ARTICLE_SAVE_AS = "{date:%Y}/{category}/{slug}.html"
PAGE_URL = PAGE_SAVE_AS = "p/{slug}.html"
TAG_URL = TAG_SAVE_AS = "t/{slug}/index.html"
YEAR_ARCHIVE_SAVE_AS = "{date:%Y}/index.html"
MONTH_ARCHIVE_SAVE_AS = "{date:%Y}/in/{date:%m}/index.html"
"""


async def test_links_relative_to_each_page(site: BothWays) -> None:
    content = dict(_site_with("writing", "generating"))
    conf = content["pelicanconf.py"]
    assert conf is not None
    texts = "<a href={{ SITEURL }}/{{ localsiteurl }}>x</a>{{ article.content if article }}"
    texts += "{% for a in (articles_page.object_list if articles_page else articles) %}"
    texts += "{{ a.content }}{{ a.summary }}{% endfor %}"
    for name in ("article", "index", "tag", "period_archives", "page"):
        content[f"theme/templates/{name}.html"] = texts.encode()
    content |= {
        "pelicanconf.py": conf + RELATIVE,
        "content/one.md": post("One", 1, Tags="a; b;", body="[two]({filename}two.md)"),
        "content/two.md": post(
            "Two", 2, Tags="b;", body="[one]({filename}one.md) [p]({static}p.txt)"
        ),
        "content/p.txt": b"p",
        "content/pages/about.md": b"Title: About\n\n[one]({filename}../one.md)\n",
    }
    assert await site.after(content) == []
    linking = post("New", 20, Tags="a; c;", Category="x", body="[one]({filename}one.md)")
    assert await site.after({"content/new.md": linking}) == []
    assert await site.after({"content/one.md": post("One", 1, Slug="uno", Tags="b;")}) == []
    assert await site.after({"content/new.md": linking.replace(b"2026-11", b"2025-10")}) == []
    assert await site.after({"content/new.md": None}) == []
    assert site.stays_warm


NO_FEEDS = b"FEED_ALL_ATOM = CATEGORY_FEED_ATOM = TRANSLATION_FEED_ATOM = None\n"
SUMMARIES = NO_FEEDS + b'FEED_ALL_RSS = "rss.xml"\n'


@pytest.mark.parametrize("feeds", [in_soak(b"FEED_MAX_ITEMS = 1\n"), in_soak(NO_FEEDS), SUMMARIES])
async def test_a_file_that_several_posts_attach(site: BothWays, feeds: bytes) -> None:
    """It goes beside the post that a clean build writes first: which one depends on the feeds."""
    attached = "![x]({attach}/media/x.png)"
    content = {
        "pelicanconf.py": CONF + b'ARTICLE_SAVE_AS = "{date:%d}/{slug}/index.html"\n' + feeds,
        "content/media/x.png": b"x",
        "content/a.md": post("A", 1, body=attached),
        "content/in/b.md": post("B", 2, body=attached),
        "content/c.md": post("C", 3, body=attached, Summary="Short"),
        "content/c-de.md": post("C", 4, body=attached, Slug="c", Lang="de"),
        "content/d.md": post("D", 9, body="![x]({static}media/x.png)", Status="hidden"),
    }
    assert await site.after(content) == []
    assert await site.after({"content/a.md": post("A", 8, body=attached)}) == []
    assert await site.after({"content/c-de.md": None, "content/a.md": post("A", 1)}) == []
    assert site.stays_warm


SUBSITES = b"""
PLUGINS = ["i18n_subsites", *PLUGINS]
DEFAULT_LANG = "en"
JINJA_ENVIRONMENT = {"extensions": ["jinja2.ext.i18n"]}
I18N_SUBSITES = {"de": {"SITENAME": "Eine Website"}, "fr": {}}
"""


@pytest.mark.parametrize(
    "plugins",
    [
        in_soak(()),
        ("writing", "gzip_cache", "sitemap"),
        in_soak(("granular_signals", "precompress", "minify")),
        in_soak(("whole",)),
    ],
)
async def test_the_site_in_further_languages(site: BothWays, plugins: tuple[str, ...]) -> None:
    content = dict(_site_with(*plugins))
    conf = content["pelicanconf.py"]
    assert conf is not None
    shown = "{{ SITENAME }}{{ article.content if article }}{{ relpath_to_site('en', 'de') }}"
    shown += "{% for t in article.translations if article %}{{ t.url }}{% endfor %}"
    content["theme/templates/article.html"] = shown.encode()
    content |= {
        "pelicanconf.py": conf + SUBSITES,
        "content/one.de.md": post(
            "Eins", 1, Slug="one", Lang="de", body="Text [2]({filename}two.md)"
        ),
        "content/one.md": post("One", 1, Tags="a; b;", Lang="en"),
        "content/nur.md": post("Nur hier", 4, Lang="de"),
    }
    assert await site.after(content) == []
    assert "de/one.html" in files(site.output)
    new = post("New", 20, Tags="a; c;", Lang="en")
    assert await site.after({"content/new.md": new}) == []
    translated = post("Neu", 20, Slug="new", Lang="de", Tags="a;")
    assert await site.after({"content/neu.md": translated}) == []
    assert await site.after({"content/neu.md": translated.replace(b"Text", b"Worte")}) == []
    assert b"Worte" in files(site.output)["de/new.html"]
    assert await site.after({"content/new.md": None, "content/nur.md": None}) == []
    assert site.stays_warm


async def test_a_page_that_is_written_as_before_is_not_compressed_again(
    site: BothWays, tmp_path: Path
) -> None:
    content = dict(_site_with("granular_signals", "precompress", "stamp"))
    conf, compressing = content["pelicanconf.py"], content["plugins/precompress.py"]
    assert conf is not None
    assert compressing is not None
    seen = tmp_path / "state" / "site" / "home" / "compressed"
    # The clean build beside it compresses everything.
    noting = (
        f"if not path.startswith({str(tmp_path / 'clean')!r}):\n"
        f"                    open({str(seen)!r}, 'a').write(name + '\\n')\n"
    ).encode()
    content |= {
        "pelicanconf.py": conf + SUBSITES,
        "plugins/precompress.py": compressing.replace(
            b"with open(path", b"%s                with open(path" % noting
        ),
        "plugins/stamp.py": b"from pelican import signals\n"
        b"def stamp(pelican):\n    open(pelican.output_path + '/stamp', 'w').write('x')\n"
        b"def register():\n    signals.finalized.connect(stamp)\n",
        "content/eins.md": post("Eins", 1, Lang="de"),
    }
    assert await site.after(content) == []
    first = seen.read_text().split()
    assert {"one.html", "three.html", "a.css"} <= set(first)
    changed = post("Two", 2, Tags="b;", body="Other words.")
    assert await site.after({"content/two.md": changed}) == []
    again = seen.read_text().split()[len(first) :]
    assert "two.html" in again
    assert not {"one.html", "three.html", "a.css"} & set(again)
    # All that is derived may be deleted at any time.
    (made,) = site.checkout.parent.rglob("*-made")
    shutil.rmtree(made)
    assert await site.after({"content/two.md": None}) == []
