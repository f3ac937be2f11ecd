"""Content that is made to do harm: to stand in the way of a build, or to take for ever."""

from __future__ import annotations

import random
import re

import pytest
from content_site import load_rules

from bridge.content import body, html, text
from bridge.content.intrasite import IntrasiteLinks
from bridge.content.rules import SiteRules

NOTATION = r"[{|](?P<what>.*?)[|}]"
#: Pelican's own expression (``Content._get_intrasite_link_regex``).
PELICANS = re.compile(
    rf"""<[^\>]+(?:href|src|poster|data|cite|formaction|action|content)\s*=\s*
    (?P<quote>["\'])(?P<path>{NOTATION}(?P<value>.*?))(?P=quote)""",
    re.VERBOSE,
)
PIECES = ["<", ">", "a", "<a ", "href=", "src = ", "data=", '"', "'", "{static}", "|x|", "{", "}"]
PIECES += ["/p", "\n", " ", "&#123;", "="]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> SiteRules:
    return load_rules(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("markdown", [False, True])
@pytest.mark.parametrize("reference", ["&#1;", "&#x1b;", "&#127;", "&#xFFFE;"])
def test_no_reference_becomes_a_character_that_no_feed_can_hold(
    reference: str, markdown: bool, rules: SiteRules
) -> None:
    sent = f"a{reference}b <b onclick=x>c</b>"
    content = sent if markdown else {"html": sent}
    written = body.encode(content, markdown=markdown, rules=rules).text
    assert re.sub(r"\s", " ", written).isprintable()


def test_links_to_files_are_found_wherever_pelican_finds_them() -> None:
    links, chance = IntrasiteLinks(NOTATION), random.Random(1)
    for _ in range(20_000):
        source = "".join(chance.choices(PIECES, k=chance.randint(1, 14)))
        found, theirs = set(links.find(source)), {m["path"] for m in PELICANS.finditer(source)}
        assert theirs <= found, source
        disarmed = links.disarm(source)
        assert not PELICANS.search(disarmed), source
        assert list(links.find(disarmed)) == []


def test_links_inside_links_are_disarmed_in_one_reading() -> None:
    links = IntrasiteLinks(NOTATION)
    for link in ("href='{a}' ", "href='{a", "src='|"):
        hostile = '<p title="' + link * 20_000 + '">'
        assert all(found.startswith(("{", "|")) for found in links.find(hostile))
        disarmed = links.disarm(hostile)
        assert len(re.findall("&#12[34];", disarmed)) == 20_000
        # Pelican's turn: it takes minutes for what it was before.
        assert not PELICANS.search(disarmed)


def test_a_line_of_dashes_is_looked_at_once() -> None:
    line = "-" * 200_000 + "x"
    assert text.decode(text.encode(line)) == line


def test_each_script_is_looked_at_once() -> None:
    assert html.offences("<SCRIPT>x</sCript>" * 20_000)
    assert html.offences("<script>" * 50_000)
