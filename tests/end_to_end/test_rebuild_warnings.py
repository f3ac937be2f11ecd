"""A site for which ``pelican`` exits with status 0 is built, and its errors become warnings."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rebuild_kinds import clean, differing
from rebuild_site import CONF, commit, files, post, settings, small_site, worker_for
from soak_kit import in_soak

from bridge.rebuild import BuildStatus
from bridge.rebuild.rebuilder import importing_from
from bridge.runtime import process
from bridge.store.git import GitStore

SHOUTING = b"""
import logging
from pelican import signals

log = logging.getLogger(__name__)
LONG = "no cover and " * 30 + "no more"

def finalized(generator):
    log.error("no cover found for 978")
    log.critical("a service is away")
    log.error("one.md has no cover")
    log.error("content/one.md has %s", LONG)
    try:
        raise OSError("unreachable")
    except OSError:
        log.error("Skipping ./two.md: it has no cover\\nand this is a second line")

def register():
    log.error("an old configuration")
    signals.article_generator_finalized.connect(finalized)
"""
LOUD = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["shouting"]\nPLUGIN_PATHS = ["plugins"]')
WARNINGS = {
    "an old configuration",
    "no cover found for 978",
    "a service is away",
    "one.md has no cover",
    # Longer than the name of any file.
    f"content/one.md has {'no cover and ' * 30}no more",
    "Skipping ./two.md: it has no cover and this is a second line",
}


class Site:
    """A site that is built in one of two ways, with a program that takes its pages away."""

    def __init__(self, folder: Path, store: GitStore, mode: str) -> None:
        self.folder = folder
        self.store = store
        small_site(self.store)
        deploy = ("sh", "-c", 'cat >> "$0"', str(folder / "deployed"))
        config = settings(folder / "output", mode=mode, deploy=deploy)
        self.worker = worker_for(config, store, folder)

    async def after(self, change: dict[str, bytes | None]) -> BuildStatus:
        before = self.worker.status()
        version = commit(self.store, change)
        self.worker.changed(version)
        async with asyncio.timeout(300):
            while True:
                status = self.worker.status()
                failed_anew = status.state == "failed" and status.finished != before.finished
                if failed_anew or (status.state == "idle" and status.version == version):
                    return status
                await asyncio.sleep(0.01)

    def differing(self) -> list[str]:
        """The files that differ from the output of ``pelican``."""
        checkout = self.folder / "state" / "rebuild" / "checkout"
        environment = importing_from(checkout, process.environment({}))
        expected = clean(checkout, self.folder / "clean", environment)
        return differing(expected, files(self.folder / "output"))


#: For what the site's Pelican finds, whichever way it is run: `make soak` has both.
once = pytest.mark.parametrize("site", ["resident", in_soak("command")], indirect=True)


@pytest.fixture(params=["command", "resident"])
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, bare_store: GitStore
) -> AsyncIterator[Site]:
    site = Site(tmp_path, bare_store, request.param)
    await site.worker.start()
    yield site
    await site.worker.close()


async def test_errors_of_a_plugin_are_warnings(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    status = await site.after({"pelicanconf.py": LOUD, "plugins/shouting.py": SHOUTING})
    assert status.state == "idle", status
    assert set(status.warnings) == WARNINGS
    assert status.left_out == ()
    assert site.differing() == []
    deployed = site.folder / "deployed"
    assert "one.html" in deployed.read_text()
    deployed.unlink()
    status = await site.after(
        {"content/new.md": post("New", 9), "content/untitled.md": b"Date: 2026-11-01\n\nText\n"}
    )
    assert (status.state, set(status.warnings)) == ("idle", WARNINGS)
    assert [file for file, _ in status.left_out] == ["content/untitled.md"]
    assert "title" in status.left_out[0][1]
    assert "new.html" in deployed.read_text()
    assert site.differing() == []
    assert "takes over" not in caplog.text, "one build is enough"


#: A reader of posts in a format that Pelican does not know.
NOTEBOOKS = b"""
import json
from pelican import signals
from pelican.readers import BaseReader

class Notebooks(BaseReader):
    enabled = True
    file_extensions = ["ipynb"]

    def read(self, path):
        said = json.load(open(path))
        return said["html"], {n: self.process_metadata(n, v) for n, v in said["about"].items()}

def register():
    signals.readers_init.connect(add)

def add(readers):
    readers.reader_classes["ipynb"] = Notebooks
"""
WITH_NOTEBOOKS = CONF.replace(
    b"PLUGINS = []", b'PLUGINS = ["notebooks"]\nPLUGIN_PATHS = ["plugins"]'
)


@once
async def test_a_plugin_that_cannot_be_loaded_is_a_warning(site: Site) -> None:
    """`pelican` logs an error, builds the site without it, and exits with 0."""
    broken = b"import nonesuch\n"
    conf = CONF.replace(
        b"PLUGINS = []", b'PLUGINS = ["gone", "broken", "stuck"]\nPLUGIN_PATHS = ["plugins"]'
    )
    stuck = b"def register():\n    1 / 0\n"
    plugins = {"plugins/broken.py": broken, "plugins/stuck.py": stuck}
    status = await site.after({"pelicanconf.py": conf, **plugins, "content/new.md": post("N", 6)})
    assert status.state == "idle", status
    told = "\n".join(status.warnings)
    assert "Cannot load plugin `gone`" in told
    assert "Cannot load plugin `broken` No module named 'nonesuch'" in told
    assert "Cannot register plugin `stuck`" in told
    assert site.differing() == []
    assert "n.html" in (site.folder / "deployed").read_text()


async def test_without_the_plugin_that_reads_its_posts_a_site_is_not_emptied(site: Site) -> None:
    about = {"title": "A notebook", "date": "2026-11-09"}
    notebook = json.dumps({"html": "<p>Cells</p>", "about": about}).encode()
    gone = dict.fromkeys(["content/one.md", "content/two.md", "content/three.md"])
    good = {"pelicanconf.py": WITH_NOTEBOOKS, "plugins/notebooks.py": NOTEBOOKS}
    status = await site.after({**gone, **good, "content/a.ipynb": notebook})
    assert status.state == "idle", status
    before = files(site.folder / "output")
    assert "a-notebook.html" in before
    status = await site.after({"plugins/notebooks.py": b"import nonesuch\n" + NOTEBOOKS})
    assert status.state == "failed"
    assert "Cannot load plugin `notebooks`" in str(status.reason)
    assert "no post of the site can be read" in str(status.reason)
    assert files(site.folder / "output") == before


@once
async def test_a_site_of_which_most_files_are_no_posts_is_built(site: Site) -> None:
    notes = {f"content/notes/{number}.md": b"Only words.\n" for number in range(30)}
    status = await site.after({**notes})
    assert status.state == "idle", status
    assert {file for file, _ in status.left_out} == set(notes)
    assert site.differing() == []


@once
async def test_a_reader_says_why_it_cannot_read(site: Site) -> None:
    status = await site.after({"content/when.md": b"Title: When\nDate: the day after\n\nText\n"})
    assert [file for file, _ in status.left_out] == ["content/when.md"]
    assert "the day after" in status.left_out[0][1]


@once
async def test_if_no_post_can_be_read_the_commonest_reason_is_logged_once(
    site: Site,
) -> None:
    assert (await site.after({"content/four.md": post("Four", 4)})).state == "idle"
    before = files(site.folder / "output")
    broken = CONF + b'MARKDOWN = {"extension_configs": {"nonesuch": {}}}\n'
    status = await site.after({"pelicanconf.py": broken})
    assert status.state == "failed"
    assert status.reason is not None
    assert status.reason.count("nonesuch") == 1
    assert ".md" not in status.reason, "no file is more to blame than another"
    assert files(site.folder / "output") == before


#: Takes posts out of the lists: some have no page then, for one it writes a page of its own.
DROPPING = b"""
import os
from pelican import signals
from pelican.contents import Article

def pretaxonomy(generator):
    for name in ("articles", "drafts"):
        setattr(generator, name, [p for p in getattr(generator, name) if "mood" not in p.metadata])

def finalized(generator):
    # What it leaves in the archives has no page either.
    generator.articles = [p for p in generator.articles if "late" not in p.metadata]
    made = Article("Words", {"title": "Of no file"}, generator.settings, None, generator.context)
    generator.context["generated_content"]["made"] = made

def last(pelican):
    print("\\nIN NO LIST: [It is none of ours]", flush=True)
    with open(os.path.join(pelican.output_path, "own.html"), "w") as page:
        page.write("By the plugin")

def register():
    signals.article_generator_pretaxonomy.connect(pretaxonomy)
    signals.article_generator_finalized.connect(finalized)
    signals.finalized.connect(last)
"""


async def test_posts_that_a_plugin_drops_are_named(site: Site) -> None:
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["dropping"]\nPLUGIN_PATHS = ["plugins"]')
    posts = {
        "content/a.md": post("A", 4, Mood="bad"),
        "content/b.md": post("B", 5, Mood="bad", Status="draft"),
        "content/c.md": post("C", 6, Late="yes"),
        "content/own.md": post("Own", 7, Mood="bad"),
        "content/draft.md": post("A draft", 8, Status="draft"),
        "content/hidden.md": post("Hidden", 9, Status="hidden"),
        "content/deutsch.md": post("Eins", 1, Slug="one", Lang="de"),
    }
    status = await site.after(
        {"pelicanconf.py": conf, "plugins/dropping.py": DROPPING, "content/bad.md": b"-\n", **posts}
    )
    assert status.state == "idle", status
    left_out = dict(status.left_out)
    dropped = {"content/a.md", "content/b.md", "content/c.md"}
    assert left_out.keys() == {"content/bad.md", *dropped}
    assert {left_out[path] for path in dropped} == {
        "Pelican reads it, but a plugin takes it out of the site's lists: it has no page"
    }
    assert site.differing() == []
    status = await site.after({"content/a.md": posts["content/a.md"].replace(b"Mood", b"Mind")})
    assert dict(status.left_out).keys() == {"content/bad.md", "content/b.md", "content/c.md"}


@once
async def test_a_file_that_is_attached_and_is_not_there(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    status = await site.after(
        {
            "content/attaching.md": post("A", 8, body="[x]({attach}gone.png)"),
            "content/linking.md": post("B", 9, body="[x]({static}/media/gone.png)"),
        }
    )
    assert status.state == "idle", status
    assert site.differing() == []
    status = await site.after({"content/new.md": post("New", 10)})
    assert status.state == "idle", status
    assert "takes over" not in caplog.text


async def test_a_file_outside_of_the_content_folder_that_is_linked_stops_no_build(
    site: Site,
) -> None:
    """Pelican copies it to a place outside of the output, where no build may write."""
    links = "[a]({static}../pictures/a.png) [b]({static}../../not-there/b.png)"
    told = "pictures/a.png is not published, since it is outside of the content folder"
    changes: list[dict[str, bytes | None]] = [
        {"content/linking.md": post("A", 8, body=links), "pictures/a.png": b"a picture"},
        {"content/new.md": post("New", 10)},
    ]
    for change in changes:
        status = await site.after(change)
        assert (status.state, status.slow) == ("idle", None), status
        assert site.differing() == []
        assert status.warnings == (told,)


@once
async def test_a_folder_that_is_linked_is_copied_with_its_files(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    links = "[a]({static}/files) [b]({attach}files/) [c]({static}/files/inner)"
    start: dict[str, bytes | None] = {
        "content/linking.md": post("A", 8, body=links),
        "content/files/one.txt": b"one",
        "content/files/inner/two.txt": b"two",
    }
    changes: list[dict[str, bytes | None]] = [
        {"content/files/one.txt": b"other", "content/files/inner/three.txt": b"three"},
        {"content/files/inner/two.txt": None, "content/new.md": post("New", 10)},
        {"content/linking.md": post("A", 8)},
    ]
    for change in (start, *changes):
        status = await site.after(change)
        assert (status.state, status.slow) == ("idle", None), status
        assert site.differing() == []
    assert "takes over" not in caplog.text


@pytest.mark.parametrize("site", ["resident"], indirect=True)
async def test_an_error_that_the_command_has_as_well_costs_one_build_a_change(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    failing = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["failing"]\nPLUGIN_PATHS = ["plugins"]')
    plugin = SHOUTING.replace(b'log.critical("a service is away")', b"1 / 0")
    status = await site.after({"pelicanconf.py": failing, "plugins/failing.py": plugin})
    assert status.state == "failed"
    assert "takes over" in caplog.text, "it may be the fault of the process"
    for day in (5, 6):
        caplog.clear()
        status = await site.after({f"content/{day}.md": post(f"Another {day}", day)})
        assert status.state == "failed"
        assert "ZeroDivisionError" in str(status.reason)
        assert "takes over" not in caplog.text
    caplog.clear()
    status = await site.after({"pelicanconf.py": CONF})
    assert status.state == "idle", status
    assert "takes over" not in caplog.text
    assert site.differing() == []
