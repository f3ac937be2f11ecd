"""In any theme webmentions are sent to the links of the post, and to no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plugin_site import SITE, SPREAD, THEMES, build, note, post

from bridge.webmention.outgoing.links import read

TARGET, REPLY = "https://b.example/linked?a=1&b=2", "https://c.example/post"
ANSWER = {
    "type": "entry",
    "url": "https://d.example/answer",
    "author": {"type": "card", "name": "Dora", "url": "https://d.example/"},
    "content": {"text": "Yes: https://d.example/more"},
    "wm-property": "in-reply-to",
    "wm-source": "https://d.example/answer",
    "wm-target": f"{SITE}/a.html",
    "wm-received": "2026-11-26T14:01:12Z",
}


@pytest.mark.parametrize("name", SPREAD)
def test_webmentions_go_to_the_links_of_a_post_and_no_others(name: str, tmp_path: Path) -> None:
    properties = {"in-reply-to": [REPLY], "syndication": ["https://social.example/@me/1"]}
    posts = {
        "a": post("a", note(properties), f"Words, and [a link]({TARGET})."),
        "b": post("b", note({}), "Another, with [its own](https://e.example/)."),
    }
    built = build(tmp_path, posts, **THEMES[name])
    before = read((built.output / "a.html").read_bytes(), f"{SITE}/a.html")
    assert before["entry"]
    assert [link for link in before["links"] if not link.startswith(SITE)] == [REPLY, TARGET]
    assert before["replies"] == [REPLY]
    assert before["published"].startswith("2026-11-21T18:37:00")

    folder = tmp_path / "content" / "mentions" / "a"
    folder.mkdir(parents=True)
    (folder / "reply-0123456789ab.json").write_text(json.dumps(ANSWER))
    built = build(tmp_path, posts, **THEMES[name])
    after = read((built.output / "a.html").read_bytes(), f"{SITE}/a.html")
    assert "https://d.example/answer" in after["seen"], "it is shown"
    assert after["links"] == before["links"]
    assert after["digest"] == before["digest"], "that others answer is not a change of the post"
