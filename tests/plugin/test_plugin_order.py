"""Posts with equal date and slug have a fixed order, whatever Python's hash seed, and are no
translations of each other.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from bs4 import BeautifulSoup
from plugin_site import THEMES, build, post, theme, write, write_settings
from soak_kit import rounds

from pelican_indieauth.lists.translations import drop_those_in_one_language

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
    orders = {order(tmp_path, seed) for seed in range(1, rounds(3, 9))}
    assert len(orders) == 1
    assert len(set(orders.pop().split())) > 4


def test_posts_of_one_slug_in_one_language_are_no_translations(tmp_path: Path) -> None:
    months = ("may", "june")
    posts = {month: post("weeknotes", category=month) for month in months}
    where = "{category}/{slug}.html"
    built = build(tmp_path, posts, ARTICLE_URL=where, ARTICLE_SAVE_AS=where, **THEMES["notmyidea"])
    for month in months:
        page = BeautifulSoup(built.text(f"{month}/weeknotes.html"), "html.parser")
        assert page.select("a[hreflang]") == []


def test_a_translation_is_in_another_language() -> None:
    # Not by a build: the plugin for languages, which a theme of other tests loads, stays loaded,
    # and takes no languages without settings of its own.
    may, june, mai = (SimpleNamespace(lang=lang, translations=[]) for lang in ("en", "en", "de"))
    for each in (may, june, mai):
        each.translations = [other for other in (may, june, mai) if other is not each]
    drop_those_in_one_language([may, june, mai])
    assert (may.translations, june.translations) == ([mai], [mai])
    assert mai.translations == [may, june]


def test_posts_of_several_time_zones_have_one_archive_a_day(tmp_path: Path) -> None:
    """At New Year in Auckland, it is still the old year for hours in Paris."""
    dates = {
        "before": "2026-12-31T08:00:00+01:00",
        "new-year": "2027-01-01T00:30:00+13:00",
        "after": "2026-12-31T20:00:00+01:00",
        "later": "2027-01-01T09:00:00+01:00",
    }
    folder = theme(
        tmp_path,
        period_archives="{% for a in articles %}{{ a.slug }} {% endfor %}|"
        "{% for a in dates %}{{ a.slug }} {% endfor %}",
    )
    built = build(
        tmp_path,
        {slug: post(slug, date=date) for slug, date in dates.items()},
        YEAR_ARCHIVE_SAVE_AS="{date:%Y}/index.html",
        MONTH_ARCHIVE_SAVE_AS="{date:%Y}/{date:%m}/index.html",
        DAY_ARCHIVE_SAVE_AS="{date:%Y}/{date:%m}/{date:%d}/index.html",
        THEME=folder,
    )
    for old, new in (("2026", "2027"), ("2026/12", "2027/01"), ("2026/12/31", "2027/01/01")):
        assert built.text(f"{old}/index.html") == "after before |after before "
        assert built.text(f"{new}/index.html") == "later new-year |later new-year "
