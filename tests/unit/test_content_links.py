"""Links to the site's media use Pelican's notation in files; that notation in a client's text
is escaped.
"""

from __future__ import annotations

from typing import Any

import pytest
from content_site import MEDIA
from hypothesis import given
from hypothesis import strategies as st
from soak_kit import any_text

from bridge.content.markup import note
from bridge.content.markup.links import MediaUrls, static_paths
from bridge.micropub.post import Json

BRIDGE = "https://bridge.example/media/2026/11/sea.jpg"
OWN = "{static}/media/2026/11/sea.jpg"


def test_an_upload_is_the_sites_own_file() -> None:
    assert MEDIA.internalise(BRIDGE) == OWN
    assert MEDIA.internalise("https://example.com/media/2026/11/sea.jpg") == OWN
    assert MEDIA.externalise(OWN) == BRIDGE


def test_uploads_are_found_in_nested_values() -> None:
    value: Json = {"value": BRIDGE, "alt": "x", "more": [BRIDGE, 1, None]}
    assert MEDIA.internalise(value) == {"value": OWN, "alt": "x", "more": [OWN, 1, None]}
    assert MEDIA.externalise(MEDIA.internalise(value)) == value


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/media/x.jpg",
        "https://bridge.example/media/",
        "https://bridge.example/media/../secret",
        "https://bridge.example/media/a/../../secret",
        "https://bridge.example/media/.hidden",
        "https://bridge.example/media//x",
        "https://bridge.example/media/x y",
        "https://bridge.example.evil/media/x.jpg",
    ],
)
def test_other_urls_are_unchanged(url: str) -> None:
    assert MEDIA.internalise(url) == url


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("{static}/../secret", "%7Bstatic}/../secret"),
        ("|static|/x", "%7Cstatic|/x"),
        ("{attach}x", "%7Battach}x"),
        ("{static}/media/x.jpg", "%7Bstatic}/media/x.jpg"),
        ("%7Bstatic}/x", "%257Bstatic}/x"),
        ("%257Cfilename|x", "%25257Cfilename|x"),
        ("{curly} text", "%7Bcurly} text"),
        ("{ static}", "{ static}"),
        ("text {static}", "text {static}"),
    ],
)
def test_a_clients_notation_is_escaped_and_read_back(sent: str, stored: str) -> None:
    assert MEDIA.internalise(sent) == stored
    assert MEDIA.externalise(stored) == sent


@given(
    st.recursive(
        st.text(alphabet="{}|%257BCstaticx/.", max_size=20) | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text(3), inner),
    )
)
def test_every_value_is_read_back(value: Any) -> None:
    assert MEDIA.externalise(MEDIA.internalise(value)) == value


def test_uploads_in_the_html_of_a_property_are_the_sites_own_files() -> None:
    sent = f'<p>{BRIDGE}<IMG SRC="{BRIDGE}" alt="{BRIDGE}"><img src=\'{{static}}/media/x.jpg\'></p>'
    stored: Json = {
        "html": sent.replace(f'SRC="{BRIDGE}', f'SRC="{OWN}').replace(
            "{static}/media/x", "%7Bstatic}/media/x"
        )
    }
    assert MEDIA.internalise({"html": sent}) == stored
    assert MEDIA.externalise(stored) == {"html": sent}


@given(
    st.lists(st.sampled_from([*"<a{}|%7BC", "img", " src=", "'", '"', "static", "25", OWN, BRIDGE]))
)
def test_the_html_of_a_property_is_read_back(parts: list[str]) -> None:
    html = "".join(parts)
    assert MEDIA.externalise(MEDIA.internalise({"html": html})) == {"html": html}


def test_links_in_html_and_markdown_to_uploads() -> None:
    assert MEDIA.internalise_html(f'<img alt="{BRIDGE}" src="{BRIDGE}">') == (
        f'<img alt="{BRIDGE}" src="{OWN}">'
    )
    markdown = (
        f"![a]({BRIDGE}) ![a]( {BRIDGE} 't' ) [b](<{BRIDGE}> 'title') <a href='{BRIDGE}'>\n\n"
        f"[c]: {BRIDGE}\n"
    )
    assert MEDIA.internalise_markdown(markdown) == markdown.replace(BRIDGE, OWN)
    assert MEDIA.externalise_text(MEDIA.internalise_markdown(markdown)) == markdown
    assert MEDIA.internalise_markdown(f"see {BRIDGE}") == f"see {BRIDGE}"


@pytest.mark.parametrize("more", ["#t=10", "?x", "?a=1&b=2#t=1,2.5", "#", "?", "#é_1*2*"])
def test_a_query_and_a_fragment_stay_on_the_link_to_an_upload(more: str) -> None:
    sent, stored = BRIDGE + more, OWN + more
    assert MEDIA.internalise([sent, {"value": sent, "alt": "x"}]) == [
        stored,
        {"value": stored, "alt": "x"},
    ]
    assert MEDIA.internalise({"html": f'<video src="{sent}">'}) == {
        "html": f'<video src="{stored}">'
    }
    assert MEDIA.externalise(MEDIA.internalise(sent)) == sent
    assert MEDIA.internalise_html(f"<a href='{sent}'>") == f"<a href='{stored}'>"
    markdown = f'![a]({sent}) ![a]( {sent} "t" ) [b](<{sent}>)\n\n[c]: {sent}\n'
    assert MEDIA.internalise_markdown(markdown) == markdown.replace(BRIDGE, OWN)
    assert MEDIA.internalise_text(f".. image:: {sent}\n") == f".. image:: {stored}\n"
    assert static_paths(f'{stored} [a]({stored}) "{stored}"') == ["media/2026/11/sea.jpg"] * 3
    assert MEDIA.path_of(sent) == "2026/11/sea.jpg"


@pytest.mark.parametrize("url", [f"{BRIDGE}#t=10", f"{BRIDGE}?x=1&y=2#z", f"{BRIDGE}?a_b_c"])
@pytest.mark.parametrize(
    "text", ["{}", "See {}.", "[a film]({})", "![a film]({})", "Is it {}? Yes!"]
)
def test_links_of_a_note_to_a_part_of_an_upload_are_read_back(url: str, text: str) -> None:
    sent = text.format(url)
    written = MEDIA.internalise_note(note.encode(sent))
    assert OWN in written
    assert "bridge.example" not in written
    assert note.decode(MEDIA.externalise_note(written)) == sent
    assert note.is_encoded(MEDIA.externalise_note(written))


def test_the_address_of_a_part_of_an_upload_is_no_words() -> None:
    text = f"One {BRIDGE}#t=10, two {BRIDGE}?x=1. Three {BRIDGE}? Four"
    assert MEDIA.in_words(text, lambda _: "sea") == "One sea, two sea. Three sea? Four"


def test_without_urls_nothing_changes() -> None:
    nowhere = MediaUrls("media", ())
    assert nowhere.internalise(BRIDGE) == BRIDGE
    assert nowhere.externalise(OWN) == OWN
    assert nowhere.externalise_text(OWN) == OWN
