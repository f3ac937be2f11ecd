"""What the resident process keeps, in memory and on disk: neither the posts of a build, nor the
site of an earlier process; but what a plugin keeps stays as it is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rebuild_site import CONF, post

from bridge.runtime.process import environment

#: Loads a site in a process of its own; notes the posts that Pelican has.
LOADED = """
import gc, sys, weakref
from pathlib import Path
from pelican.plugins import signals
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.pelican_log import SourcePaths
from bridge.rebuild.resident.bad_posts import LoggedErrors
from bridge.rebuild.resident.loaded import SitePaths
from bridge.rebuild.resident.messages import Build
from bridge.rebuild.resident.warm_site import Interrupted, WarmSite

folder, new = Path(sys.argv[1]), sys.argv[2:]
checkout, shown, posts = folder / "checkout", [], []
signals.all_generators_finalized.connect(
    lambda running: posts.extend(weakref.ref(post) for post in running[0].articles), weak=False
)
ending = False
site = WarmSite(
    SitePaths(checkout, "pelicanconf.py", "content", folder / "state" / "staged", ()),
    Output(folder / "output", folder / "state" / "note", None),
    shown=shown.extend,
    previewed=shown.extend,
    newer=lambda: ending and bool(shown),
    logged=LoggedErrors(SourcePaths(checkout, "content")),
)

def build(*new):
    for name in new:
        text = f"Title: {name}\\nDate: 2026-11-20 10:00\\nSlug: {name}\\n\\nNew.\\n"
        (checkout / "content" / f"{name}.md").write_text(text)
    changed = frozenset(f"content/{name}.md" for name in new)
    site.build(Build(changed, changed, changed))
"""
#: Builds it without the garbage collector, completely and then until the first new page is there;
#: prints how many of the posts that Pelican had are left after each build.
BUILDS = """
gc.collect()
gc.disable()
for ending in (False, True):
    shown.clear()
    posts.clear()
    try:
        build(f"new-{ending}")
        how = "complete"
    except Interrupted:
        how = "interrupted"
    print(how, len(posts), sum(post() is not None for post in posts))
"""
#: Builds it, and prints for each file whether the site of an earlier process is still there when it
#: is published.
PUBLISHED = """
publish, older = site._staged.publish, folder / "state" / "staged-older"

def noted(name):
    print(name, "older" if older.exists() else "alone")
    return publish(name)

site._staged.publish = noted
build(*new)
"""
#: Keeps the macros of a template, with a variable for them, and the context of the last page.
FILTERS = """
import jinja2
from pelican import signals

macros = last = None

@jinja2.pass_environment
def signed(environment, text):
    global macros
    if macros is None:
        macros = environment.get_template("macros.html").make_module({"owner": "Ada"})
    return macros.signed(text)

@jinja2.pass_context
def counted(context, text):
    global last
    number = 1 if last is None else last["number"] + 1
    last = context
    context.vars["number"] = number
    return f"{text} {number}"

def add(pelican):
    pelican.settings["JINJA_FILTERS"] = {"signed": signed, "counted": counted}

def register():
    signals.initialized.connect(add)
"""
#: Counts the posts in a thread, which ends after the build.
THREAD = """
import threading, time
from pathlib import Path
from pelican import signals

def start(generators):
    context, folder = generators[0].context, Path(generators[0].output_path).parent

    def run():
        while not (folder / "built").exists():
            time.sleep(0.01)
        (folder / "posts").write_text(str(len(context.get("articles", ()))))

    threading.Thread(target=run, name="count", daemon=True).start()

def register():
    signals.all_generators_finalized.connect(start)
"""
#: Builds a site with that plugin; prints what the thread has counted.
COUNTED = """
import threading

build()
(folder / "state" / "built").touch()
for thread in threading.enumerate():
    if thread.name == "count":
        thread.join()
print((folder / "state" / "posts").read_text())
"""
ARTICLE = "<p>{{ article.title | signed }}</p><p>{{ 'page' | counted }}</p>"
MACROS = "{% macro signed(text) %}{{ text }}, by {{ owner }}{% endmacro %}"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a checkout."""
    content = tmp_path / "checkout" / "content"
    (content / "media").mkdir(parents=True)
    (tmp_path / "state").mkdir()
    (content.parent / "pelicanconf.py").write_bytes(CONF.replace(b'"simple"', b'"notmyidea"'))
    for day in range(1, 21):
        (content / f"{day}.md").write_bytes(post(f"Day {day}", day, Tags="a; b;"))
    (content / "media" / "large.png").write_bytes(b"a picture")
    return tmp_path


def with_plugin(folder: Path, code: str) -> None:
    """Give the site a plugin."""
    checkout = folder / "checkout"
    (checkout / "plugins").mkdir()
    (checkout / "plugins" / "keeping.py").write_text(code)
    with (checkout / "pelicanconf.py").open("a") as settings:
        settings.write('PLUGIN_PATHS = ["plugins"]\nPLUGINS = ["keeping"]\n')


def run(script: str, folder: Path, *new: str) -> list[str]:
    """What a script prints about the site."""
    ended = subprocess.run(
        [sys.executable, "-c", LOADED + script, str(folder), *new],
        env=environment({"PYTHONPATH": str(Path(__file__).parents[2])}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_no_post_of_a_build_waits_for_the_garbage_collector(site: Path) -> None:
    assert run(BUILDS, site) == ["complete 21 0", "interrupted 22 0"]


def test_pictures_need_no_room_beside_those_of_the_older_site(site: Path) -> None:
    run(PUBLISHED, site)
    # A post that waits is there before the older site is gone.
    published = run(PUBLISHED, site, "waiting")
    assert {"waiting.html older", "media/large.png alone"} <= set(published)
    # Without one, that goes first.
    published = run(PUBLISHED, site)
    assert "media/large.png alone" in published
    assert not [line for line in published if line.endswith(" older")]
    assert not (site / "state" / "staged-older").exists()


def test_a_plugin_may_keep_the_contexts_of_pages(site: Path) -> None:
    with_plugin(site, FILTERS)
    templates = site / "checkout" / "templates"
    templates.mkdir()
    (templates / "article.html").write_text(ARTICLE)
    (templates / "macros.html").write_text(MACROS)
    with (site / "checkout" / "pelicanconf.py").open("a") as settings:
        settings.write('THEME_TEMPLATES_OVERRIDES = ["templates"]\n')
    run("build()", site)
    pages = [(site / "output" / f"day-{day}.html").read_text() for day in range(1, 21)]
    assert all(f"<p>Day {day}, by Ada</p>" in page for day, page in enumerate(pages, 1))
    numbers = {int(page.rpartition("<p>page ")[2].removesuffix("</p>")) for page in pages}
    assert numbers == set(range(1, 21))


def test_a_plugin_may_keep_the_context_of_the_site_in_a_thread(site: Path) -> None:
    with_plugin(site, THREAD)
    assert run(COUNTED, site) == ["20"]
