"""What of a post is written on the event loop, where other requests wait for it."""

from __future__ import annotations

import pytest
from content_site import post

from bridge.micropub.action import Create
from bridge.posts.post_files import _is_short


def test_a_few_words_are_short() -> None:
    assert _is_short(Create(post(content="A few words"), {"channel": ("Notes",)}))


@pytest.mark.parametrize(
    "action",
    [
        Create(post(content="x" * 1000)),
        Create(post(content="x", category=("y",) * 100)),
        Create(post(content={"html": "x"})),
        Create(post(content="x"), {"channel": ("y" * 1000,)}),
        Create(post(content="x"), {"syndicate-to": ("https://a.example/",) * 50}),
    ],
    ids=["text", "tags", "html", "channel", "targets"],
)
def test_what_may_take_long_is_not_short(action: Create) -> None:
    assert not _is_short(action)
