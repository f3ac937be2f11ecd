"""Posts in submodules are looked at in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from site_kit import lay_out, process

from bridge.posts.separate import described_at
from bridge.site.messages import MANY, Described, IndexedPost


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
