"""Which further pages of lists would overwrite the file of another list."""

from __future__ import annotations

from pathlib import Path

import pytest
from content_site import load_site
from pelican.paginator import PaginationRule

from bridge.site.pelican.addresses.listings import FurtherPages


def pages(folder: Path, **settings: object) -> FurtherPages:
    return FurtherPages(load_site(folder, **{"DEFAULT_PAGINATION": 5, **settings}).settings)


def test_by_default_later_pages_can_be_another_list(tmp_path: Path) -> None:
    further = pages(tmp_path)
    assert [further.may_clash(sort) for sort in ("category", "author", "tag")] == [True] * 3
    assert further.file("tag/t8.html", 3) == "tag/t83.html"
    assert list(further.bases("tag/t83.html")) == [("tag/t.html", 83), ("tag/t8.html", 3)]
    assert list(further.bases("tag/t803.html")) == [("tag/t.html", 803), ("tag/t80.html", 3)]


@pytest.mark.parametrize("file", ["tag/river.html", "tag/x1.html", "tag/83/river.html", "tag/x"])
def test_most_lists_are_no_page_of_another(tmp_path: Path, file: str) -> None:
    assert list(pages(tmp_path).bases(file)) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"DEFAULT_PAGINATION": False},
        {"TAG_SAVE_AS": ""},
        {"TAG_SAVE_AS": "tag/{slug}/index.html"},
        {"PAGINATED_TEMPLATES": {"index": None}},
    ],
)
def test_with_these_settings_they_never_clash(tmp_path: Path, settings: dict[str, object]) -> None:
    assert not pages(tmp_path, **settings).may_clash("tag")


def test_pages_in_folders_never_clash(tmp_path: Path) -> None:
    settings = load_site(tmp_path, DEFAULT_PAGINATION=5).settings
    settings["PAGINATION_PATTERNS"] = [
        PaginationRule(1, "{url}", "{save_as}"),
        PaginationRule(2, "{base_name}/page/{number}/", "{base_name}/page/{number}/index.html"),
    ]
    assert not FurtherPages(settings).may_clash("tag")


@pytest.mark.parametrize(("posts", "count"), [(0, 1), (1, 1), (5, 1), (6, 2), (10, 2), (11, 3)])
def test_pages_are_counted_as_pelican_counts_them(tmp_path: Path, posts: int, count: int) -> None:
    assert pages(tmp_path).count("tag", posts) == count


def test_orphans_stay_on_the_last_page(tmp_path: Path) -> None:
    assert pages(tmp_path, DEFAULT_ORPHANS=2).count("tag", 12) == 2
