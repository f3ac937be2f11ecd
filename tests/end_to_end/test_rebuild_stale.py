"""Inputs of pages that themes, plugins and settings do not declare.

Each has a page or file here: after every change the resident build has exactly the files that
``pelican`` builds from the same checkout.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from counting_kit import COUNTING
from git_kit import git
from rebuild_kinds import BothWays, both_ways
from rebuild_site import CONF, CONFIGURED, commit, files, post, settings, settled, small_site
from soak_kit import in_soak

from bridge.rebuild.rebuilder import make_rebuilder
from bridge.rebuild.worker import BuildTiming, Worker
from bridge.store.git import GitStore

Files = Mapping[str, bytes | None]


@pytest.fixture
async def site(
    tmp_path: Path, bare_store: GitStore, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[BothWays]:
    async with both_ways(tmp_path, bare_store, caplog) as site:
        yield site


#: Looks at the other posts in ways that no template shows.
LOOKING = b'''
import enum, types
from collections import namedtuple
from dataclasses import dataclass
from pelican import contents, signals

ALL = []
numbers = types.ModuleType("numbers_of_posts")

class Text(str):
    """A text that knows more."""
    def how_many(self):
        return len(ALL)

class Said(str):
    """A text that says something else."""
    def __str__(self):
        return f"said {len(ALL)}"

@dataclass
class Data:
    name: str
    @property
    def how_many(self):
        return len(ALL)

class Pair(namedtuple("Pair", "one other")):
    @property
    def how_many(self):
        return len(ALL)

class Colour(enum.Enum):
    RED = 1
    @property
    def how_many(self):
        return len(ALL)

class Bag(dict):
    def __getitem__(self, name):
        return len(ALL)

class Slow(dict):
    def __missing__(self, name):
        return len(ALL)

def finalized(generators):
    ALL[:] = [a for g in generators for a in getattr(g, "articles", ())]
    contents.Article.in_the_class = len(ALL)
    numbers.how_many = len(ALL)
    Data.in_the_class = len(ALL)
    text = Text("text")
    text.attribute = len(ALL)
    said = Said("said")
    for generator in generators:
        generator.env.globals["everything"] = ALL[:]
        generator.settings["COUNT"] = len(ALL)
        generator.context["SITESUBTITLE"] = f"{len(ALL)} posts"
        generator.context.update(
            text=text, said=said, data=Data("data"), pair=Pair(1, 2), colour=Colour.RED, bag=Bag(),
            slow=Slow(), numbers=numbers, Data=Data, function=finalized,
        )
        # Not into the last one: a post with that cannot be compared, whatever else it has.
        for article in getattr(generator, "articles", ())[:-1]:
            article.put_in = types.MethodType(lambda self: len(ALL), article)
    finalized.how_many = len(ALL)

def register():
    contents.Content.siblings = lambda self: len(ALL)
    contents.Article.how_many = property(lambda self: len(ALL))
    signals.all_generators_finalized.connect(finalized)
'''
#: What each page shows; none of it is a list of the site's, or names one.
SHOWN = {
    "imported": '{% import "macros.html" as macros %}{{ macros.first() }}{{ macros.newest }}',
    "imported-from": '{% from "macros.html" import newest %}{{ newest }}',
    "included": '{% include "macros.html" without context %}',
    "text-method": "{{ text.how_many() }}",
    "text-attribute": "{{ text.attribute }}",
    "text-item": "{{ text['attribute'] }}",
    "text-filter": "{{ text | attr('attribute') }}",
    "text-mapped": "{{ [text] | map(attribute='attribute') | join }}",
    "said": "{{ said }}",
    "data": "{{ data.how_many }}",
    "data-class": "{{ data.in_the_class }}",
    "pair": "{{ pair.how_many }}",
    "colour": "{{ colour.how_many }}",
    "bag": "{{ bag['x'] }}",
    "slow": "{{ slow.x }}",
    "module": "{{ numbers.how_many }}",
    "class": "{{ Data.in_the_class }}",
    "function": "{{ function.how_many }}",
    "post-property": "{{ articles[-1].how_many }}",
    "post-method": "{{ articles[-1].siblings() }}",
    "post-class": "{{ articles[-1].in_the_class }}",
    "post-settings": "{{ articles[-1].settings.COUNT }}",
    "post-context": "{{ articles[-1]._context.articles | length }}",
    "category-settings": "{{ categories[-1][0].settings.COUNT }}",
    "post-method-put-in": "{{ articles[-2].put_in() }}",
}
MACROS = b"""
{% set newest = everything[0].title %}{% macro first() %}{{ everything[0].title }}{% endmacro %}
{{ everything[0].title }}
"""


async def test_what_looks_elsewhere_is_made_anew(site: BothWays) -> None:
    pages = {f"content/templates/{name}.html": source.encode() for name, source in SHOWN.items()}
    names = {f"templates/{name}.html": f"{name}.html" for name in SHOWN}
    conf = (
        CONF.replace(b"PLUGINS = []", b'PLUGINS = ["looking"]')
        + f"""
PLUGIN_PATHS = ["plugins"]
THEME_TEMPLATES_OVERRIDES = ["templates"]
ARTICLE_EXCLUDES = ["templates"]
DEFAULT_PAGINATION = 1
TEMPLATE_PAGES = {names!r}
""".encode()
    )
    posts = {f"content/{day}.md": post(f"Post {day}", day) for day in range(1, 4)}
    start = {"plugins/looking.py": LOOKING, "templates/macros.html": MACROS, **pages, **posts}
    # What comes on the page after this one.
    start["templates/index.html"] = b"""{% set next = articles_page.number + 1 %}
{% if next <= articles_paginator.num_pages %}
{% set others = articles_paginator.page(next).object_list %}Next: {{ others[0].title }}
{% endif %}Last: {{ articles_paginator.object_list[-1].title }}"""
    assert await site.after({"pelicanconf.py": conf, **start}) == []
    assert await site.after({"content/new.md": post("New", 20, Category="other")}) == []
    # As many as before, and each on another page.
    other = {"content/new.md": None, "content/old.md": post("Old", 1, Slug="old")}
    assert await site.after(other) == []
    assert await site.after({"content/old.md": None}) == []


#: Files in the content folder that are not posts, and who reads each of them.
READING = b"""
import ctypes, subprocess
from jinja2.ext import Extension
from markdown import Extension as MarkdownExtension
from markdown.preprocessors import Preprocessor
from pelican import signals

def text_of(name):
    try:
        with open(f"content/{name}") as file:
            return file.read().strip()
    except FileNotFoundError:
        return "nothing"

def natively(name):
    # As a library in C does: Python does not see what it opens.
    system, buffer = ctypes.CDLL(None), ctypes.create_string_buffer(100)
    file = system.open(f"content/{name}".encode(), 0)
    system.read(file, buffer, 99)
    system.close(file)
    return buffer.value.decode()

class Parsing(Extension):
    def preprocess(self, source, name, filename=None):
        for name in ("data/parsed.txt", "parsed.md"):
            source = source.replace(f"@{name}@", text_of(name))
        return source

class Embedding(MarkdownExtension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Lines(md), "embedding", 30)

class Lines(Preprocessor):
    def run(self, lines):
        return [
            text_of(line.split()[1]) if line.startswith("@embed ") else line for line in lines
        ] + [
            subprocess.check_output(["cat", f"content/{line.split()[1]}"], text=True)
            for line in lines if line.startswith("@program ")
        ]

def initialized(pelican):
    pelican.settings["AT_START"] = text_of("data/at-start.txt")
    pelican.settings["NATIVE"] = natively("parts/native.md")

def register():
    signals.initialized.connect(initialized)
"""
READING_CONF = (
    CONF.replace(b"PLUGINS = []", b'PLUGINS = ["reading"]')
    + b"""
import sys
sys.path.append("plugins")
import reading
PLUGIN_PATHS = ["plugins"]
JINJA_ENVIRONMENT = {"extensions": [reading.Parsing]}
MARKDOWN = {"extensions": [reading.Embedding()], "output_format": "html5"}
IN_SETTINGS = reading.text_of("data/in-settings.txt")
FROM_A_POST = reading.text_of("quoted.md")
TEMPLATE_PAGES = {"reading.html": "reading.html"}
ARTICLE_EXCLUDES = ["data", "parts"]
"""
)
READING_PAGE = b"""
{{ IN_SETTINGS }} {{ FROM_A_POST }} {{ AT_START }} {{ NATIVE }} @data/parsed.txt@ @parsed.md@
"""


async def test_what_reads_a_file_of_the_content_folder_sees_it_as_it_is(site: BothWays) -> None:
    conf = {"pelicanconf.py": READING_CONF, "plugins/reading.py": READING}
    texts = {f"content/data/{name}.txt": b"first" for name in ("parsed", "at-start", "in-settings")}
    embedded = {
        "content/data/code.py": b"first = 1",
        "content/parts/part.md": b"A part, first.",
        "content/parts/program.md": b"By a program, first.",
        "content/media/drawing.txt": b"an upload",
        "content/quoted.md": post("Quoted", 2),
    }
    names = [path.removeprefix("content/") for path in [*embedded, "content/media/later.txt"]]
    lines = "\n\n".join([*(f"@embed {name}" for name in names), "@program parts/program.md"])
    start = {
        "content/reading.html": READING_PAGE,
        "content/embedding.md": post("Embedding", 1, body=lines),
        "content/parts/native.md": b"By a library, first.",
        "content/parsed.md": post("Parsed", 3, body="In a template, first."),
    }
    assert await site.after({**conf, **texts, **embedded, **start}) == []
    pages = files(site.output)
    assert all(word in pages["embedding.html"] for word in (b"first = 1", b"A part", b"an upload"))
    assert b"nothing" in pages["embedding.html"]
    assert await site.after(dict.fromkeys(texts, b"second")) == []
    assert await site.after({"content/parts/part.md": b"A part, second."}) == []
    assert await site.after({"content/parts/program.md": b"By a program, second."}) == []
    assert b"By a program, second" in files(site.output)["embedding.html"]
    parsed = post("Parsed", 3, body="In a template, second.")
    assert await site.after({"content/parsed.md": parsed}) == []
    assert b"In a template, second" in files(site.output)["reading.html"]
    assert await site.after({"content/parts/native.md": b"By a library, second."}) == []
    assert b"By a library, second" in files(site.output)["reading.html"]
    assert await site.after({"content/quoted.md": post("Quoted", 2, body="Others.")}) == []
    assert await site.after({"content/media/drawing.txt": None}) == []
    # Nothing makes the process start anew here: these may well come with posts.
    assert await site.after({"content/media/later.txt": b"at last"}) == []
    assert b"at last" in files(site.output)["embedding.html"]


#: They list folders, and look for files, that come with posts.
LISTING = b"""
import os
from pathlib import Path
from markdown import Extension
from markdown.preprocessors import Preprocessor
from pelican import signals

def names_in(folder):
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else "no folder"

class Gallery(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Lines(md), "gallery", 30)

class Lines(Preprocessor):
    def run(self, lines):
        return [
            str(names_in(f"content/{line.split()[1]}")) if line.startswith("@gallery ") else line
            for line in lines
        ]

def initialized(pelican):
    pelican.settings["AT_START"] = sorted(path.name for path in Path("content/media").glob("*/*"))

def register():
    signals.initialized.connect(initialized)
"""
LISTING_CONF = (
    CONF.replace(b"PLUGINS = []", b'PLUGINS = ["listing"]')
    + b"""
import sys
sys.path.append("plugins")
import listing, os
from pathlib import Path
PLUGIN_PATHS = ["plugins"]
MARKDOWN = {"extensions": [listing.Gallery()], "output_format": "html5"}
JINJA_FILTERS = {"names_in": listing.names_in, "is_there": os.path.exists}
ARTICLE_PATHS = sorted(path.name for path in Path("content").iterdir() if path.is_dir())
ARTICLE_EXCLUDES = ["media"]
TEMPLATE_PAGES = {"listing.html": "listing.html"}
"""
)
LISTING_PAGE = b"""
{{ AT_START }} {{ 'content/media/b' | names_in }} {{ 'content/media/head.txt' | is_there }}
"""


async def test_what_lists_a_folder_of_posts_or_uploads_sees_it_as_it_is(site: BothWays) -> None:
    start = {
        "content/2025/gallery.md": post("Gallery", 1, body="@gallery media/a\n\n@gallery media/b"),
        "content/media/a/1.txt": b"one",
        "content/listing.html": LISTING_PAGE,
    }
    conf = {"pelicanconf.py": LISTING_CONF, "plugins/listing.py": LISTING}
    assert await site.after({**conf, **start}) == []
    assert await site.after({"content/media/a/2.txt": b"two"}) == []
    assert b"2.txt" in files(site.output)["gallery.html"]
    assert site.worker.status().slow is None
    assert await site.after({"content/media/b/3.txt": b"three"}) == []
    assert b"3.txt" in files(site.output)["listing.html"]
    assert await site.after({"content/media/head.txt": b"there"}) == []
    assert await site.after({"content/2026/first.md": post("First", 2)}) == []
    assert "first.html" in files(site.output)
    assert await site.after({"content/media/b/3.txt": None}) == []
    slow = site.worker.status().slow
    assert slow is not None
    assert slow.reason.endswith("a template look at content/media, which has changed")
    assert not slow.by_command


CHANGING = b"""
from pathlib import Path
from pelican import signals
def finalized(generator):
    number = int(Path("number.txt").read_text()) + 1
    Path("number.txt").write_text(str(number))
    generator.context["NUMBER"] = number
def register():
    signals.article_generator_finalized.connect(finalized)
"""


async def test_committed_files_that_a_plugin_changes_are_restored_for_each_build(
    site: BothWays,
) -> None:
    article = '{% extends "!simple/article.html" %}{% block content %}<{{ NUMBER }}>{% endblock %}'
    start = {
        "pelicanconf.py": CONF.replace(b"PLUGINS = []", b'PLUGINS = ["changing"]')
        + b'THEME_TEMPLATES_OVERRIDES = ["templates"]',
        "changing.py": CHANGING,
        "number.txt": b"7",
        "templates/article.html": article.encode(),
        "content/1.md": post("One", 1),
    }
    # Not compared: both builds begin with the same files, of which one has changed some.
    await site.after(start)
    for number in range(2, 4):
        await site.after({f"content/{number}.md": post(f"Post {number}", number)})
        shown = files(site.output)
        assert all(b"<8>" in shown[f"{name}.html"] for name in ("one", f"post-{number}"))
    assert site.stays_warm


async def test_what_the_site_leaves_in_its_checkout_is_gone_when_it_is_loaded_again(
    site: BothWays,
) -> None:
    leaving = b"""
import os
SITENAME = "Once more" if os.path.exists("left") else "For the first time"
open("left", "w").close()
"""
    conf = CONF + leaving
    # Not compared: the clean build would begin with the file, too.
    await site.after({"pelicanconf.py": conf, "content/1.md": post("One", 1)})
    for text in (b"# Another comment\n", b"# A third one\n"):
        await site.after({"pelicanconf.py": conf + text})
        assert b"For the first time" in files(site.output)["index.html"]


async def test_settings_that_ask_git_show_the_commit_that_is_built(site: BothWays) -> None:
    asking = b"""
from subprocess import check_output
VERSION = check_output(["git", "describe", "--tags", "--always"], text=True)
CHANGED = check_output(["sh", "changed.sh"], text=True)
TEMPLATE_PAGES = {"version.html": "version.html"}
"""
    start = {
        "pelicanconf.py": CONF + asking,
        "changed.sh": b"git log -1 --format=%H",
        "content/version.html": b"{{ VERSION }} {{ CHANGED }}",
        "content/1.md": post("One", 1),
    }
    assert await site.after(start) == []
    repo = site.store.bare_repo.common
    for number in range(2, 4):
        assert await site.after({f"content/{number}.md": post(f"Post {number}", number)}) == []
        shown = files(site.output)["version.html"]
        assert git(repo, "rev-parse", "main").encode() in shown
        # The next commit is the first after this tag.
        git(repo, "tag", f"v{number}", "main")
    assert b"v2-1-g" in shown
    assert site.stays_warm


#: A generator that is none of Pelican's, as the sitemap of the old pelican-plugins repo has it: it
#: names the pages that are in the output folder when its turn comes.
SITEMAP = b"""
import os
from pelican import signals

class SitemapGenerator:
    def __init__(self, context, settings, path, theme, output_path, *rest):
        self.context = context
        self.output_path = output_path

    def generate_output(self, writer):
        names = ["index.html", "archives.html", "nothing.html"]
        names += [content.save_as for content in self.context["generated_content"].values()]
        names += [author.save_as for author, _ in self.context["authors"]]
        there = [name for name in names if os.path.exists(os.path.join(self.output_path, name))]
        with open(os.path.join(self.output_path, "sitemap.xml"), "w") as file:
            file.write("\\n".join(sorted(there)))

def get_generators(generators):
    return SitemapGenerator

def register():
    signals.get_generators.connect(get_generators)
"""


#: Has words for some moods, and fails for all others.
WORDS = """
from pelican import signals
WORDS = {words!r}
def say(generator):
    for article in generator.articles:
        article.said = WORDS[article.metadata.get("mood", "fine")]
def register():
    signals.article_generator_finalized.connect(say)
"""


async def test_a_post_and_the_plugin_that_it_needs_come_in_one_commit(site: BothWays) -> None:
    """With the plugin as it was, this version cannot be built at all: nobody tries that."""
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["words"]\nPLUGIN_PATHS = ["plugins"]')
    words = {"fine": "well"}
    start = {
        "pelicanconf.py": conf,
        "plugins/words.py": WORDS.format(words=words).encode(),
        "content/a.md": post("A", 1),
    }
    assert await site.after(start) == []
    words["angry"] = "not well"
    together = {
        "plugins/words.py": WORDS.format(words=words).encode(),
        "content/angry.md": post("Angry", 4, Mood="angry"),
    }
    assert await site.after(together) == []
    assert "angry.html" in files(site.output)
    assert site.worker.status().slow is None


async def test_a_file_that_docutils_looks_for_is_seen_as_it_is(site: BothWays) -> None:
    """It is no post, and changes what all posts in reStructuredText are: what was kept on disk of
    them, for the process that then starts, holds no longer.
    """
    quoting = b'Quoting\n#######\n\n:date: 2026-11-03\n\nThey said "yes".\n'
    start = {
        "pelicanconf.py": CONF,
        "docutils.conf": b"[parsers]\nsmart_quotes: no\n",
        "content/quoting.rst": quoting,
    }
    assert await site.after(start) == []
    assert await site.after({"docutils.conf": b"[parsers]\nsmart_quotes: yes\n"}) == []
    assert "\u201cyes\u201d" in (site.output / "quoting.html").read_text("utf-8")


async def test_the_sitemap_of_the_old_repo_of_plugins(site: BothWays) -> None:
    # By its module: pelican-sitemap is found by the same name here.
    conf = b"import sys\nsys.path.append('plugins')\nimport sitemap\n"
    conf += CONF.replace(b"PLUGINS = []", b'PLUGINS = [sitemap, "pelican_indieauth"]')
    conf += b'del sitemap\nINDIEAUTH_BRIDGE = "https://example.com/"\n'
    plugin = {"plugins/sitemap/__init__.py": b"from .sitemap import *\n"}
    plugin["plugins/sitemap/sitemap.py"] = SITEMAP
    posts = {f"content/{day}.md": post(f"Post {day}", day, Author="Me") for day in (1, 2)}
    assert await site.after({"pelicanconf.py": conf, **plugin, **posts}) == []
    assert b"post-1.html" in files(site.output)["sitemap.xml"]
    assert await site.after({"content/new.md": post("New", 20, Author="Ann")}) == []
    assert b"new.html" in files(site.output)["sitemap.xml"]
    assert await site.after({"content/new.md": None, "content/2.md": None}) == []
    assert b"new.html" not in files(site.output)["sitemap.xml"]


READS_BY_ITSELF = b"""
from pelican import signals

def finalized(generator):
    read = generator.readers.read_file
    found = [read(base_path=generator.path, path="a.md"), read(generator.path, "a.md")]
    generator.context["SITESUBTITLE"] = " ".join(each._content for each in found)

def register():
    signals.article_generator_finalized.connect(finalized)
"""


async def test_a_plugin_that_reads_files_by_itself(site: BothWays) -> None:
    """As one does for the description of each category, in a file of its own."""
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["reading"]\nPLUGIN_PATHS = ["."]')
    start = {"pelicanconf.py": conf, "reading.py": READS_BY_ITSELF, "content/a.md": post("A", 1)}
    assert await site.after(start) == []
    assert await site.after({"content/a.md": post("A", 1, body="Other words.")}) == []
    assert b"Other words." in (site.output / "index.html").read_bytes()


#: Ways to remember what was computed for a post, as filters do to save time.
REMEMBERING = b'''
import collections, functools, os, threading

def length(post):
    return len(post._content)

def remembered(known, post):
    return known.setdefault(post.slug, length(post))

KNOWN, ORDERED = {}, collections.OrderedDict()
LAST = ""
class InClass:
    known = {}
    last = None
class Slots:
    __slots__ = "known"
class InSlots(Slots):
    __slots__ = ()
slots = InSlots()
slots.known = {}
class Mapping(dict):
    """A dictionary of its own."""
mapping = Mapping()
INNER = {"known": {}}
ALIAS = INNER["known"]
PAIR = ({}, None)
class Locked:
    """It cannot be copied, nor compared."""
    def __init__(self):
        self.lock, self.known = threading.Lock(), {}
    def __eq__(self, other):
        raise ValueError("ambiguous")
objects = {"locked": Locked()}
thread = threading.local()
thread.known = {}

def in_module(post):
    return remembered(KNOWN, post)
def in_order(post):
    return remembered(ORDERED, post)
def in_variable(post):
    global LAST
    LAST = LAST if post.slug in LAST else f"{LAST} {post.slug} {length(post)}"
    return LAST.partition(post.slug)[2].split()[0]
def in_class(post):
    return remembered(InClass.known, post)
def in_class_variable(post):
    InClass.last = InClass.last or f"{post.slug}{length(post)}"
    return post.slug == "a" and InClass.last
def in_slots(post):
    return remembered(slots.known, post)
def in_mapping(post):
    return remembered(mapping, post)
def in_alias(post):
    remembered(INNER["known"], post)
    return ALIAS[post.slug]
def in_tuple(post):
    return remembered(PAIR[0], post)
def in_object(post):
    return remembered(objects.setdefault(post.slug, objects["locked"]).known, post)
def in_default(post, known={}):
    return remembered(known, post)
def in_attribute(post):
    return remembered(in_attribute.known, post)
in_attribute.known = {}
def closing():
    known = {}
    def in_closure(post):
        return remembered(known, post)
    return in_closure
in_closure = closing()
@functools.lru_cache
def read(path):
    return len(open(path).read())
def in_cache(post):
    return read(post.source_path)
def in_late_module(post):
    import late
    from shelf import later
    return [remembered(each.known, post) for each in (late, later)]
def in_environment(post):
    return os.environ.setdefault(f"LENGTH_OF_{post.slug}", str(length(post)))
def in_thread(post):
    return remembered(thread.known, post)

ALL = (in_late_module, in_environment, in_thread, in_module, in_order, in_variable, in_class,
       in_class_variable, in_slots, in_mapping, in_alias, in_tuple, in_object, in_default,
       in_attribute, in_closure, in_cache)
def what(post):
    return [function(post) for function in ALL]
'''
FILTERS = b"""
PLUGINS = ["mine"]
PLUGIN_PATHS = ["."]
import os, sys
THEME_TEMPLATES_OVERRIDES = [os.path.abspath("templates")]
sys.path.append(os.getcwd())
import helpers
JINJA_FILTERS = {"imported": helpers.what, "own": what}
"""
FILTERING = b"""
import sys, types
from pelican import signals
def library():
    from pelican import contents, signals
    def finalized(generator):
        generator.context["OF_LIBRARY"] = contents.Article.of_library.fget(None)
    contents.Article.of_library = property(lambda self: f"{__name__} {finalized.__name__}")
    contents.Article.finalized = finalized
    signals.article_generator_finalized.connect(finalized)
def add(generator):
    import listening
    if "library" not in sys.modules:  # as one that is not of the site, nor a plugin, is imported
        sys.modules["library"] = types.ModuleType("library")
        types.FunctionType(library.__code__, vars(sys.modules["library"]))()
    generator.env.filters["plugged"] = what
def register():
    signals.generator_init.connect(add)
"""
#: Is imported in each build, and listens; changes what a process has but once.
LISTENING = b"""
import locale, os, time
from pelican import contents, signals
def finalized(generator):
    form = locale.setlocale(locale.LC_TIME)
    seen = (time.localtime(0).tm_hour, os.path.basename(os.getcwd()) == "content", form,
            hasattr(contents.Article, "how_many"))
    generator.context["SEEN"] = [*generator.context.get("SEEN", ()), seen]
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    os.chdir(generator.settings["PATH"])
    locale.setlocale(locale.LC_TIME, "C" if "UTF" in form else "C.UTF-8")
    wrapped, contents.Article.how_many = contents.Content._update_content, 5
    contents.Content._update_content = lambda *args: wrapped(*args) + "!"
signals.article_generator_finalized.connect(finalized)
"""


async def test_what_filters_remember_is_forgotten_before_each_build(site: BothWays) -> None:
    shown = "".join(f"{{{{ article | {each} }}}}" for each in ("imported", "own", "plugged"))
    article = '{% extends "!simple/article.html" %}{% block content %}{{ SEEN }} {{ OF_LIBRARY }}'
    article += shown + "{% endblock %}"
    start = {
        "pelicanconf.py": CONF + REMEMBERING + FILTERS,
        "helpers.py": REMEMBERING,
        "late.py": b"known = {}",
        "shelf/later.py": b"known = {}",
        "listening.py": LISTENING,
        "mine.py": REMEMBERING + FILTERING,
        "templates/article.html": article.encode(),
        "content/a.md": post("A", 1),
    }
    assert await site.after(start) == []
    before = (site.output / "a.html").read_bytes()
    assert await site.after({"content/a.md": post("A", 1, body="A longer text.")}) == []
    after = (site.output / "a.html").read_bytes()
    assert before != after
    assert await site.after({"content/a.md": post("A", 1)}) == []
    assert site.stays_warm


#: Each way by which a template comes to such a thing. Sets one up in each build, too.
NUMBERING = b"""
PLUGINS = ["numbering"]
PLUGIN_PATHS = ["."]
import os, sys
THEME_TEMPLATES_OVERRIDES = [os.path.abspath("templates")]
sys.path.append(os.getcwd())
import counting
LINES, KEPT = [], []
def keep(text):
    KEPT.append(text)
    return text
LAST = None
def after(post):
    global LAST
    before, LAST = LAST, post
    return before.title if before else "none"
from jinja2 import pass_environment
@pass_environment
def counted(environment, _):
    environment.globals["counted"] = environment.globals.get("counted", 0) + 1
    return environment.globals["counted"]
from markdown import Extension
from markdown.preprocessors import Preprocessor
class Numbered(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Lines(md), "numbered", 30)
class Lines(Preprocessor):
    def run(self, lines):
        return [line.replace("@number@", str(by_global())) for line in lines]
MARKDOWN = {"extensions": [Numbered()], "output_format": "html5"}
JINJA_FILTERS = {"number": counting.number, "keep": keep, "exported": lambda _: by_environment(),
                 "after": after, "counted": counted}
JINJA_TESTS = {"third": lambda _, kept=[]: kept.append(0) or len(kept) % 3 == 0}
JINJA_GLOBALS = {"row": Cycler("odd", "even"), "hits": by_call, "count": by_closure(),
                 "numbers": Namespace(n=0)}
"""
NUMBERED = {
    "filter": "{{ article.title | number }}",
    "test": "{{ article.title is third }}",
    "global": "{{ hits() }}",
    "closure": "{{ count() }}",
    "cycler": "{{ row.next() }}",
    "list": "{% set _ = LINES.append(1) %}{{ LINES | length }}",
    "namespace": "{% set numbers.n = numbers.n + 1 %}{{ numbers.n }}",
    "shared": "{{ article.title | keep }}{{ KEPT | length }}",
    "of each build": "{{ article.title | plugged }}",
    "written": "<!-- numbered -->",
    "environment": "{{ article.title | exported }}",
    "last post": "{{ article | after }}",
    "globals": "{{ article.title | counted }}",
    "text of a post": "{{ article.content }}",
}
#: What is named to the owner; none where only reading a post counts, not its page.
COUNTED_BY = {
    "filter": "counting.N",
    "test": "pelicanconf.<lambda>",
    "global": "pelicanconf.by_call",
    "closure": "pelicanconf.by_closure.<locals>.count",
    "cycler": "pelicanconf.JINJA_GLOBALS",
    "list": "pelicanconf.LINES",
    "namespace": "pelicanconf.JINJA_GLOBALS",
    "shared": "pelicanconf.KEPT",
    "of each build": "counting.by_closure.<locals>.count",
    "written": "numbering.written",
    "environment": "os.environ",
    "last post": "pelicanconf.LAST",
    "globals": "the globals of templates",
}
OF_EACH_BUILD = b"""
from pelican import signals
import counting
def add(generator):
    count = counting.by_closure()
    generator.env.filters["plugged"] = lambda _: count()
def written(path, context, kept=[]):
    kept.append(0)
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace("<!-- numbered -->", str(len(kept))))
def register():
    signals.article_generator_init.connect(add)
    signals.content_written.connect(written)
"""


#: Each is found in a way of its own; the others in `make soak`.
OFTEN = ("filter", "list", "written", "last post", "text of a post")


@pytest.mark.parametrize("way", [way if way in OFTEN else in_soak(way, id=way) for way in NUMBERED])
async def test_what_counts_over_all_pages_counts_as_in_a_clean_build(
    site: BothWays, way: str
) -> None:
    article = '{% extends "!simple/article.html" %}{% block content %}'
    start = {
        "pelicanconf.py": CONF + COUNTING + NUMBERING,
        "counting.py": COUNTING,
        "numbering.py": OF_EACH_BUILD if way in {"of each build", "written"} else b"register = int",
        "templates/article.html": f"{article}{NUMBERED[way]}{{% endblock %}}".encode(),
        "templates/index.html": b"{{ articles | length }} posts",
        **{f"content/{day}.md": post(f"Post {day}", day, body="@number@") for day in range(1, 4)},
    }
    assert await site.after(start) == []
    old = post("Old", 1, Date="2001-01-01", body="@number@")
    assert await site.after({"content/old.md": old}) == []
    assert await site.after({"content/2.md": post("Post 2", 2, body="Edited.")}) == []
    slow = site.worker.status().slow
    if (name := COUNTED_BY.get(way)) is None:
        assert slow is None
    else:
        assert slow is not None
        assert slow.reason == f"writing pages changes {name}, on which later pages may depend"
        assert not slow.by_command


#: Writes a file that it does not find, as plugins do that take long to make one.
THUMBNAIL = b"""
from pathlib import Path
from pelican import signals
import counting
def make(generators):
    thumbnail = Path(generators[0].output_path, "thumbnails", "one.png")
    if not thumbnail.exists():
        thumbnail.parent.mkdir(parents=True)
        thumbnail.write_bytes(b"small")
def register():
    signals.all_generators_finalized.connect(make)
"""


async def test_what_a_plugin_makes_only_once_is_there_after_a_build_that_began_again(
    site: BothWays,
) -> None:
    counted = '{% extends "!simple/article.html" %}{% block content %}{{ hits() }}{% endblock %}'
    start = {
        "pelicanconf.py": CONF + COUNTING + NUMBERING,
        "counting.py": COUNTING,
        "numbering.py": THUMBNAIL,
        "templates/article.html": counted.encode(),
        **{f"content/{day}.md": post(f"Post {day}", day) for day in range(1, 4)},
    }
    assert await site.after(start) == []
    assert (site.output / "thumbnails" / "one.png").exists()
    assert await site.after({"content/2.md": post("Post 2", 2, body="Edited.")}) == []
    assert site.stays_warm


#: Keeps the settings, as plugins do that need them later.
KEEPING = b"""
from pelican import signals
SETTINGS = {}
def keep(pelican):
    global SETTINGS
    SETTINGS = pelican.settings
def register():
    signals.initialized.connect(keep)
"""


async def test_a_plugin_that_keeps_the_settings_is_no_hindrance(site: BothWays) -> None:
    start = {
        "pelicanconf.py": CONFIGURED.replace(b'PLUGINS = ["', b'PLUGINS = ["keeping", "'),
        "keeping.py": KEEPING,
        "content/a.md": post("A", 1),
        "content/mentions/gone/0123456789ab.json": b'{"pages": ["old.html"]}',
    }
    assert await site.after(start) == []
    assert (site.output / "old.html").exists()
    assert await site.after({"content/b.md": post("B", 2)}) == []
    assert site.worker.status().slow is None
    assert site.stays_warm


COUNTS = CONF + b"import itertools\nTHEME_TEMPLATES_OVERRIDES = ['templates']\n"


@pytest.mark.parametrize(
    ("files_of_it", "why", "remedy"),
    [
        (
            {
                "plugins/odd.py": b"from pelican import contents\ndef register():\n"
                b"    contents.Content.url = property(lambda self: self.slug + '.html')\n"
            },
            "a plugin has replaced Pelican's Content.url",
            "Take that plugin out of PLUGINS",
        ),
        (
            {
                "plugins/odd.py": b"def register(): pass\n",
                "templates/m.html": b"{% set n = namespace(count=0) %}{% macro next() %}"
                b"{% set n.count = n.count + 1 %}{{ n.count }}{% endmacro %}",
                "templates/article.html": b'{% import "m.html" as m %}{{ m.next() }}',
            },
            "'n' in the template 'm.html' counts over all pages",
            "inside of a macro",
        ),
        (
            {
                "plugins/odd.py": b"from pelican import signals\n"
                b"def see(generator, content): pass\n"
                b"def register(): signals.article_generator_write_article.connect(see)\n"
            },
            "the plugin odd may change how each file is written (odd.see listens to",
            "Take that plugin out of PLUGINS",
        ),
        (
            {
                "pelicanconf.py": CONF + b'DATE_FORMATS = {"de": "%d.%m."}\n'
                b'DEFAULT_DATE_FORMAT = ("C.UTF-8", "%d %B")\n'
            },
            "DEFAULT_DATE_FORMAT names a locale, and DATE_FORMATS has others",
            "Name the site's locale in LOCALE",
        ),
        (
            {
                "plugins/odd.py": b"def register(): pass\n",
                "pelicanconf.py": COUNTS
                + b"C = itertools.count(1)\nJINJA_FILTERS = {'next': lambda _: next(C)}\n",
                "templates/article.html": b"{{ article.title | next }}",
            },
            "the site's own code counts over all pages, with an iterator (count): pelicanconf.C",
            "Let a variable count",
        ),
        in_soak(
            {
                "plugins/odd.py": b"def register(): pass\n",
                "pelicanconf.py": COUNTS
                + b"JINJA_GLOBALS = {'next': itertools.cycle('ab').__next__}\n",
                "templates/article.html": b"{{ next() }}",
            },
            "the site's own code counts over all pages, with an iterator (cycle)",
            "begin anew on each page",
        ),
        in_soak(
            {
                "plugins/odd.py": b"def register(): pass\n",
                "pelicanconf.py": COUNTS
                + b"G = (n * n for n in range(1000))\nJINJA_GLOBALS = {'next': lambda: next(G)}\n",
                "templates/article.html": b"{{ next() }}",
            },
            "the site's own code counts over all pages, with an iterator (generator)",
            "Let a variable count",
        ),
        (
            {
                "plugins/odd.py": b"def register(): pass\n",
                "pelicanconf.py": COUNTS
                + b"KEPT = []\nJINJA_FILTERS = {'count': lambda _: KEPT.append(0) or len(KEPT)}\n",
                "templates/article.html": b"{{ '' | count }}",
            },
            "the filter or test 'count', applied to a constant, may count pages",
            "a value that differs between pages",
        ),
        (
            {
                "plugins/odd.py": b"def register(): pass\n",
                "pelicanconf.py": COUNTS + b"LINES = []\n",
                "templates/base.html": b"{% set _ = LINES.append(1) %}{{ LINES | length }}",
                "content/pages/home.md": b"Title: Home\nSave_as: index.html\n\nHome.",
            },
            "pelicanconf.LINES counts pages, and index.html is written twice",
            "Give every page, post and file a different URL",
        ),
        (
            {
                "plugins/odd.py": b"import sys\nfrom pelican import signals\n"
                b"def end(pelican):\n    sys.exit(0)\n"
                b"def register():\n    signals.finalized.connect(end)\n",
            },
            "the site's own code ends Pelican (sys.exit)",
            "raise an exception",
        ),
    ],
    ids=[
        *("a replaced method", "a macro that counts", "a listener", "a locale of most posts"),
        *("itertools.count", "itertools.cycle", "a generator", "a constant that is counted"),
        *("a page in the place of another", "an exit"),
    ],
)
async def test_what_cannot_be_kept_warm_is_built_by_command(
    tmp_path: Path,
    bare_store: GitStore,
    caplog: pytest.LogCaptureFixture,
    files_of_it: Files,
    why: str,
    remedy: str,
) -> None:
    site = BothWays(tmp_path, bare_store)
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["odd"]\nPLUGIN_PATHS = ["plugins"]')
    conf += b'THEME_TEMPLATES_OVERRIDES = ["templates"]\n'
    commit(site.store, {"pelicanconf.py": conf, **files_of_it})
    await site.worker.start()
    try:
        assert await site.after({"content/one.md": post("One", 1)}) == []
        assert await site.after({"content/two.md": post("Two", 2)}) == []
        slow = site.worker.status().slow
    finally:
        await site.worker.close()
    assert caplog.text.count(f"The site is built by command, since {why}") == 1
    assert [*(tmp_path / "state").rglob("shadow*")] == []
    assert slow is not None
    assert slow.reason.startswith(why)
    assert remedy in slow.remedy


def importing_from(folder: str, tmp_path: Path, store: GitStore) -> Worker:
    """The resident build with a folder in its PYTHONPATH."""
    worker = make_rebuilder(
        settings(tmp_path / "output", mode="resident"),
        store,
        tmp_path / "state",
        output=tmp_path / "output",
        environment={"PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"},
        timing=BuildTiming(debounce=0.01, again=()),
    )
    assert isinstance(worker, Worker)
    return worker


async def test_an_older_pelican_is_reported_in_one_line_and_builds_by_command(
    tmp_path: Path, bare_store: GitStore, caplog: pytest.LogCaptureFixture
) -> None:
    packages = tmp_path / "state" / "site" / "home" / "packages"  # where the site may read
    installed = packages / "pelican-4.11.0.dist-info" / "METADATA"
    installed.parent.mkdir(parents=True)
    installed.write_text("Metadata-Version: 2.1\nName: pelican\nVersion: 4.11.0\n")
    store = bare_store
    small_site(store)
    worker = importing_from(str(packages), tmp_path, store)
    version = commit(store, {"content/new.md": post("New", 9)})
    await worker.start()
    await settled(worker, version)
    version = commit(store, {"content/newer.md": post("Newer", 10)})
    worker.changed(version)
    await settled(worker, version)
    await worker.close()
    assert "newer.html" in files(tmp_path / "output")
    (told,) = [one.message for one in caplog.records if one.levelname in {"WARNING", "ERROR"}]
    assert told == (
        "The site is built by command, since Pelican 4.11.0 is older than the resident build"
        " needs (4.12)"
    )


async def test_a_folder_of_pythonpath_may_be_in_the_checkout(
    tmp_path: Path, bare_store: GitStore, caplog: pytest.LogCaptureFixture
) -> None:
    """As for ``pelican``: ``[site] environment`` may name it so."""
    store = bare_store
    small_site(store)
    commit(
        store,
        {
            "pelicanconf.py": CONF + b"import ours\nSITENAME = ours.NAME\n",
            "lib/ours.py": b"NAME = 'The name of the site'\n",
        },
    )
    worker = importing_from("lib", tmp_path, store)
    await worker.start()
    version = commit(store, {"content/new.md": post("New", 9)})
    worker.changed(version)
    await settled(worker, version)
    await worker.close()
    assert b"The name of the site" in files(tmp_path / "output")["new.html"]
    assert not [one.message for one in caplog.records if one.levelname in {"WARNING", "ERROR"}]
