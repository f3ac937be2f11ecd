"""All links in the documentation lead to existing files and headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
ROOMS = (ROOT / "bridge", ROOT / "pelican_indieauth", ROOT, ROOT / "tests" / "end_to_end")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as git hosts generate them."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_in_the_docs_are_valid(page: Path) -> None:
    text = re.sub(r"(?s)```.*?```", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_files_named_in_the_architecture_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)`", page)
    missing = [
        name
        for name in named
        # A second file of a row is named from the first one's folder.
        if not any((room / name).is_file() or [*room.rglob(name)] for room in ROOMS)
    ]
    assert len(named) > 20
    assert missing == []


def test_modules_named_in_docstrings_exist() -> None:
    missing = []
    named = 0
    for file in [*ROOT.glob("bridge/**/*.py"), *ROOT.glob("pelican_indieauth/**/*.py")]:
        for dots, rest in re.findall(r":mod:`~?(\.*)([\w.]*)`", file.read_text(encoding="utf-8")):
            start = file.parents[len(dots) - 1] if dots else ROOT
            there = start.joinpath(*filter(None, rest.split(".")))
            ours = bool(dots) or rest.startswith(("bridge", "pelican_indieauth"))
            named += ours
            if ours and not (there.is_dir() or there.with_suffix(".py").is_file()):
                missing.append(f"{file.relative_to(ROOT)}: {dots}{rest}")
    assert named > 20
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_exist_and_are_small(page: Path) -> None:
    sources = re.findall(r'(?:src|srcset)="(?!https?:)([^"]+)"', page.read_text(encoding="utf-8"))
    for source in sources:
        assert 0 < (page.parent / source).stat().st_size < 100_000, source
