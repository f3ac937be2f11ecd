"""What the resident process keeps, in memory and on disk: neither the posts of a build, nor the
site of an earlier process.
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
