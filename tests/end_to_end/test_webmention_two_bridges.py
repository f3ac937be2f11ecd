"""Two bridges that reply to each other: the real sender with the real receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from bridge_kit import Client, Page
from demo_kit import Demo, demo_in


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    with (
        demo_in(tmp_path / "ann", BRIDGE_WEBMENTION__APPROVE="all") as ann,
        demo_in(tmp_path / "ben", BRIDGE_WEBMENTION__APPROVE="all") as ben,
    ):
        async with aiohttp.ClientSession() as http:
            yield Client(ann, http), Client(ben, http)


def mentions(demo: Demo) -> list[str]:
    """The mentions in a bridge's repo."""
    names = demo.git("ls-tree", "-r", "--name-only", "main", "content/mentions/").splitlines()
    return [name for name in names if "/gone/" not in name and not name.endswith("rules.json")]


async def test_a_reply_arrives_is_edited_and_goes_and_is_answered(
    pair: tuple[Client, Client],
) -> None:
    ann, ben = pair
    post = await ben.create(content="What paste do you use?")
    await ben.page(post)
    reply = await ann.create(in_reply_to=post, content="Wheat, cooked slowly.")
    shown = await ben.page(post, lambda page: "Wheat, cooked slowly." in page.html)
    (name,) = mentions(ben.bridge)
    assert "/reply-" in name
    assert _comments(shown) == [reply]

    # A reply to the reply is sent in the other direction.
    answer = await ben.create(in_reply_to=reply, content="How slowly?")
    await ann.page(reply, lambda page: "How slowly?" in page.html)
    assert len(mentions(ann.bridge)) == 1

    await ann.act("update", reply, replace={"content": ["Rice, cooked slowly."]})
    shown = await ben.page(post, lambda page: "Rice, cooked slowly." in page.html)
    assert "Wheat" not in shown.html
    assert mentions(ben.bridge) == [name], "an update is not a second mention"

    await ann.act("delete", reply)
    shown = await ben.page(post, lambda page: "cooked slowly" not in page.html)
    assert mentions(ben.bridge) == []
    assert _comments(shown) == []
    assert answer.startswith(ben.bridge.site)


def _comments(page: Page) -> list[str]:
    """The URLs of the replies on a page."""
    return [
        str(each["href"]).partition("#")[0]
        for each in page.entry.select(".u-comment > .answer-body > .answer-meta > .u-url")
    ]
