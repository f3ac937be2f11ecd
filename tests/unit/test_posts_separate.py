"""Posts in submodules are looked at in the background."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from site_kit import lay_out, process

from bridge.posts.separate import SeparatePosts, described_at
from bridge.site.messages import MANY, Described, IndexedPost
from bridge.store import Version


async def test_no_question_of_a_request_waits_for_posts_in_submodules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where plugins take long, a create waited for many of them."""
    text = "Title: A\nDate: 2020-01-02\nSlug: {}\n\nText.\n"
    posts = {f"talks/{number}.md": text.format(number) for number in range(60)}
    root = lay_out(tmp_path / "site", {f"content/{name}": text for name, text in posts.items()})
    site, kinds = process(root), list[int]()
    ask = site._ask

    async def noted(question: Any, expected: type[Described], kind: int, seconds: float) -> Any:
        kinds.append(kind)
        return await ask(question, expected, kind, seconds)

    monkeypatch.setattr(site, "_ask", noted)
    try:
        await site.load()
        found = [each async for each in described_at("content/talks", root / "content/talks", site)]
    finally:
        await site.close()
    assert len(found) == 60
    assert all(isinstance(each, IndexedPost) for each in found)
    assert kinds == [MANY]


async def test_a_page_of_a_submodule_that_is_removed_leaves_its_address_free(
    tmp_path: Path,
) -> None:
    page = "Title: A\nSlug: a\n\nText.\n"
    root = lay_out(tmp_path / "site", {"content/pages/b.md": page})
    store: Any = SimpleNamespace(links=lambda folder, at: {})
    checkout: Any = SimpleNamespace(folder=root, modules={"content/pages": "1"})
    site, separate = process(root), SeparatePosts(store, "content", frozenset())
    try:
        await site.load()
        for expected in ({"pages/a.html": "content/pages/b.md"}, {}):
            separate.follow(Version("1"), site, checkout)
            await separate.settled()
            assert separate.outputs == expected
            checkout.modules.clear()
    finally:
        await separate.close()
        await site.close()
