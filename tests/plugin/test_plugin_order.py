"""Posts with equal date and slug have a fixed order, whatever Python's hash seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from plugin_site import post, write, write_settings

SCRIPT = """
import re
from pelican import Pelican
from pelican.settings import read_settings
class Only(Pelican):
    def _get_generator_classes(self):
        return super()._get_generator_classes()[:2]
Only(read_settings("pelicanconf.py")).run()
print(*dict.fromkeys(re.findall("post-[0-9]+", open("output/index.html").read())))
"""


def order(folder: Path, seed: int) -> str:
    """The order of posts on the home page with this hash seed."""
    argv = (sys.executable, "-W", "ignore", "-c", SCRIPT)
    project = str(Path(__file__).parents[2])
    environment = {"PYTHONHASHSEED": str(seed), "PYTHONPATH": project}
    return subprocess.run(
        argv, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.splitlines()[-1]


def test_equal_posts_have_a_fixed_order(tmp_path: Path) -> None:
    posts = {
        f"content/{category}/{number}.md": post("same", title=f"post-{number}", category=category)
        for number, category in enumerate("fbdaecgh")
    }
    write(tmp_path, posts)
    where = "{category}/{slug}.html"
    write_settings(
        tmp_path,
        ARTICLE_URL=where,
        ARTICLE_SAVE_AS=where,
        ARTICLE_TRANSLATION_ID=None,
        THEME="simple",
        FEED_ALL_ATOM=None,
    )
    orders = {order(tmp_path, seed) for seed in (1, 2, 3)}
    assert len(orders) == 1
    assert len(set(orders.pop().split())) > 4
