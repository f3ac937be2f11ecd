"""Two bridges on their own ports mention, answer, edit and delete each other's posts: the real
sender against the real receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import aiohttp
import pytest
from bridge_kit import Client, Page
from bs4 import BeautifulSoup
from demo_kit import Demo, demo_in


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Demo, Demo]]:
    folder = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        ann, bob = (
            stack.enter_context(demo_in(folder / name, BRIDGE_WEBMENTION__APPROVE="all"))
            for name in ("ann", "bob")
        )
        yield ann, bob


@pytest.fixture
async def people(demos: tuple[Demo, Demo]) -> AsyncIterator[tuple[Client, Client]]:
    async with aiohttp.ClientSession() as http:
        yield Client(demos[0], http), Client(demos[1], http)


def comments(page: Page) -> list[str]:
    """The words of the replies that a post shows."""
    soup = BeautifulSoup(page.html, "html5lib")
    return [" ".join(each.get_text(" ").split()) for each in soup.select(".h-entry .u-comment")]


async def test_posts_of_two_bridges_talk_to_each_other(people: tuple[Client, Client]) -> None:
    ann, bob = people
    post = await ann.create(content="What do you think of rivers?")
    reply = await bob.create(content="I like them.", in_reply_to=post)
    fleeting = await bob.create(content="They are wet.", in_reply_to=post)
    like = await bob.create(like_of=post)

    def all_there(page: Page) -> bool:
        soup = BeautifulSoup(page.html, "html5lib")
        found = " ".join(comments(page))
        return "I like them." in found and "They are wet." in found and bool(soup.select(".u-like"))

    page = await ann.page(post, all_there)
    assert len(comments(page)) == 2
    assert like in page.html

    # An answer to the answer, which arrives at Bob's.
    answer = await ann.create(content="So do I.", in_reply_to=reply)
    page = await bob.page(reply, lambda page: any("So do I." in each for each in comments(page)))
    assert answer in page.html

    # What is edited and deleted at one is so at the other.
    await bob.act("update", reply, replace={"content": ["I love them."]})
    await bob.act("delete", fleeting)

    def settled(page: Page) -> bool:
        found = comments(page)
        return len(found) == 1 and "I love them." in found[0]

    page = await ann.page(post, settled)
    assert "They are wet." not in page.html
    assert reply in page.html
    for demo, client in ((ann.bridge, ann), (bob.bridge, bob)):
        answer_json = await client.send(
            "GET", f"{demo.site}status", headers={"Accept": "application/json"}
        )
        assert answer_json.json["webmention"]["failed"] == []
