"""What the resident process keeps of a build: not its posts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rebuild_site import CONF, post

from bridge.runtime.process import environment

#: Builds a site without the garbage collector, completely and then until the first new page is
#: there; prints how many of the posts that Pelican had are left after each build.
BUILDS = """
import gc, sys, weakref
from pathlib import Path
from pelican.plugins import signals
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.pelican_log import SourcePaths
from bridge.rebuild.resident.bad_posts import LoggedErrors
from bridge.rebuild.resident.loaded import SitePaths
from bridge.rebuild.resident.messages import Build
from bridge.rebuild.resident.warm_site import Interrupted, WarmSite

folder = Path(sys.argv[1])
checkout, shown, posts = folder / "checkout", [], []
signals.all_generators_finalized.connect(
    lambda running: posts.extend(weakref.ref(post) for post in running[0].articles), weak=False
)
site = WarmSite(
    SitePaths(checkout, "pelicanconf.py", "content", folder / "state" / "staged", ()),
    Output(folder / "output", folder / "state" / "note", None),
    shown=shown.extend,
    previewed=shown.extend,
    newer=lambda: ending and bool(shown),
    logged=LoggedErrors(SourcePaths(checkout, "content")),
)
gc.collect()
gc.disable()
for ending in (False, True):
    shown.clear()
    posts.clear()
    name = f"content/new-{ending}.md"
    (checkout / name).write_text(f"Title: New {ending}\\nDate: 2026-11-20 10:00\\n\\nNew.\\n")
    changed = frozenset({name})
    try:
        site.build(Build(changed, changed, changed))
        how = "complete"
    except Interrupted:
        how = "interrupted"
    print(how, len(posts), sum(post() is not None for post in posts))
"""


def test_no_post_of_a_build_waits_for_the_garbage_collector(tmp_path: Path) -> None:
    content = tmp_path / "checkout" / "content"
    content.mkdir(parents=True)
    (tmp_path / "state").mkdir()
    (content.parent / "pelicanconf.py").write_bytes(CONF.replace(b'"simple"', b'"notmyidea"'))
    for day in range(1, 21):
        (content / f"{day}.md").write_bytes(post(f"Day {day}", day, Tags="a; b;"))
    ended = subprocess.run(
        [sys.executable, "-c", BUILDS, str(tmp_path)],
        env=environment({"PYTHONPATH": str(Path(__file__).parents[2])}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines() == ["complete 21 0", "interrupted 22 0"], ended.stderr
