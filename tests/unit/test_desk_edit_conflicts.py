"""An edit at the desk while something else writes to the same post."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from desk_kit import OwnHost, bridge_in
from git_kit import git
from indieauth_kit import PASSWORD, Browser, Page, browser

from bridge.auth.token import Token
from bridge.errors import Conflict
from bridge.micropub.action import Action, Update
from bridge.micropub.body import RequestBody
from bridge.micropub.parse import parse_action
from bridge.micropub.post import Json
from bridge.publisher import Published, Publisher

URL = "https://example.com/2026/by-hand/"
POST = "Title: By hand\nDate: 2026-01-02\nSlug: by-hand\n\nFirst words.\n"


@asynccontextmanager
async def editing(folder: Path) -> AsyncIterator[tuple[OwnHost, Browser, Page]]:
    """A bridge, its signed-in owner, and the form of the post."""
    files = {"content/by-hand.md": POST}
    async with (
        bridge_in(folder, "127.0.0.1", files=files) as there,
        browser(there.desk.removesuffix("/desk/")) as owner,
    ):
        assert (await owner.sign_in("/auth/sign-in?then=/desk/", PASSWORD)).status == 200
        page = await owner.get(f"/desk/edit?url={URL}")
        assert page.status == 200, page.text
        yield there, owner, page


@pytest.mark.parametrize("conflicts", [2, 3])
async def test_a_change_that_the_form_does_not_show_is_no_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conflicts: int
) -> None:
    """Such as the addresses of a post's copies, which are written down moments after it."""
    carry_out, left = Publisher.carry_out, [conflicts]

    async def meets_others(self: Publisher, action: Action, token: Token) -> Published:
        if isinstance(action, Update) and left[0]:
            left[0] -= 1
            raise Conflict("The post was changed at the same time.")
        return await carry_out(self, action, token)

    monkeypatch.setattr(Publisher, "carry_out", meets_others)
    async with editing(tmp_path) as (there, owner, page):
        done = await owner.submit(page, "/desk/edit", content="Other words.")
        assert done.status == (303 if conflicts == 2 else 409), done.text
        text = git(there.bare, "show", "main:content/by-hand.md")
        assert ("Other words." in text) == (conflicts == 2)


async def test_what_changed_at_the_last_look_is_in_the_form_and_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The title that another wrote: the form, which has the old one, takes the new one."""
    carry_out, left = Publisher.carry_out, [3]

    async def meets_others(self: Publisher, action: Action, token: Token) -> Published:
        if isinstance(action, Update) and left[0]:
            left[0] -= 1
            if not left[0]:
                title: dict[str, Json] = {"action": "update", "url": URL}
                title["replace"] = {"name": ["Their title"]}
                theirs = parse_action(RequestBody("json", json=title))
                await carry_out(self, theirs, token)
            raise Conflict("The post was changed at the same time.")
        return await carry_out(self, action, token)

    monkeypatch.setattr(Publisher, "carry_out", meets_others)
    async with editing(tmp_path) as (there, owner, page):
        refused = await owner.submit(page, "/desk/edit", content="Other words.")
        assert refused.status == 409, refused.text
        assert ">\nOther words.</textarea>" in refused.text
        done = await owner.submit(refused, "/desk/edit", content="Other words.")
        assert done.status == 303, done.text
        text = git(there.bare, "show", "main:content/by-hand.md")
        assert "Other words." in text
        assert "Their title" in text
