"""Pairs of files: the post ``NAME.json`` is rendered to ``NAME.md``, and that is read as the same
post.

``PYTHONPATH=. python tests/unit/test_content_golden.py`` writes the ``.md`` files again; review the
diff.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from content_site import WHEN, load_rules, properties_of, site_of

from bridge.content.convert import new_file, read
from bridge.content.file import PelicanFile
from bridge.content.rules import SiteRules
from bridge.micropub.post import Post, Properties

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = sorted(file.stem for file in GOLDEN.glob("*.json"))


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


def test_there_are_pairs() -> None:
    assert {"note", "article", "reply", "like", "repost", "bookmark", "rsvp"} < set(NAMES)
    assert {"photo", "checkin", "event"} < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_post_is_rendered_to_the_file(name: str, rules: SiteRules) -> None:
    post, commands = load(name)
    file = new_file(post, commands=commands, when=WHEN, rules=rules)
    assert file.text() == (GOLDEN / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_read_as_the_post(name: str, rules: SiteRules) -> None:
    post, _ = load(name)
    found = read(PelicanFile.parse((GOLDEN / f"{name}.md").read_text("utf-8")), rules)
    assert found.type == post.type
    server_set = "" if "published" in post.properties else "published"
    assert properties_of(found, without=server_set) == properties_of(post)
    assert found.first("published")


@pytest.mark.parametrize("name", NAMES)
def test_pelican_builds_a_page_from_the_file(name: str, rules: SiteRules) -> None:
    text = (GOLDEN / f"{name}.md").read_text("utf-8")
    path = "content/notes/2026/11/x.md"
    location = site_of(rules).locate(text, path)
    slug = PelicanFile.parse(text).get("Slug")
    assert slug
    assert slug in location.url
    assert site_of(rules).quick_locate(PelicanFile.parse(text), path) == location


def load(name: str) -> tuple[Post, Properties]:
    data: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    kind = data["post"]["type"][0].removeprefix("h-")
    return Post(kind, _tuples(data["post"]["properties"])), _tuples(data["commands"])


def _tuples(listed: dict[str, list[Any]]) -> Properties:
    return MappingProxyType({name: tuple(values) for name, values in listed.items()})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        here = load_rules(Path(folder))
        for each in NAMES:
            entry, wishes = load(each)
            written = new_file(entry, commands=wishes, when=WHEN, rules=here).text()
            (GOLDEN / f"{each}.md").write_text(written, "utf-8")
