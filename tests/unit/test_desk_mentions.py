"""The owner's page of mentions: its contents, and a single click for each decision."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from indieauth_kit import Browser, Page, Running, browser, running

from bridge.desk.mentions import MentionPages
from bridge.errors import InvalidRequest
from bridge.store import StoreBusy
from bridge.webmention.incoming.moderation.decisions import ACTIONS, ModeratedMention, Moderation
from bridge.webmention.incoming.moderation.rules import Rules

XSS = '"><script>alert(1)</script>'
PENDING = ModeratedMention(
    "a" * 24, "pending", "in-reply-to", f"Bob {XSS}", "https://bob.example/",
    "https://bob.example/1", "bob.example", "https://me.example/post/", text=f"Hi\n{XSS}",
    warnings=("The page has 3 links.",),
)  # fmt: skip
SHOWN = ModeratedMention(
    "b" * 12, "shown", "like-of", "Amy", "", "https://amy.example/", "amy.example",
    "https://me.example/post/",
)  # fmt: skip
RSVP = ModeratedMention(
    "c" * 24, "refused", "rsvp", "Cy", "", "https://cy.example/", "cy.example",
    "https://me.example/post/", rsvp="maybe", why="The source does not link to the target.",
)  # fmt: skip
BLOCKED, TRUSTED = f"https://evil.example/{XSS}", "friend.example"


@dataclass
class Decisions:
    """Stands in for the service that applies decisions."""

    made: list[tuple[str, list[str]]] = field(default_factory=list)
    error: Exception | None = None
    waiting: int = 1

    def pending(self) -> list[ModeratedMention]:
        return [PENDING] * self.waiting

    def refused(self) -> list[ModeratedMention]:
        return [RSVP]

    def rules(self) -> Rules:
        return Rules(trust=(TRUSTED,), block=(BLOCKED,))

    async def shown(self, *, limit: int, offset: int = 0) -> tuple[list[ModeratedMention], int]:
        return ([SHOWN] * limit, 31) if offset == 0 else ([SHOWN], 31)

    async def decide(self, action: str, ids: Sequence[str]) -> int:
        if self.error:
            raise self.error
        self.made.append((action, list(ids)))
        return len(ids)


@pytest.fixture
def decisions() -> Decisions:
    return Decisions()


@pytest.fixture
async def up(tmp_path: Path, decisions: Decisions) -> AsyncIterator[Running]:
    def extend(app: web.Application) -> None:
        MentionPages(cast("Moderation", decisions)).add_to(app)

    async with running(tmp_path, extend=extend) as made:
        yield made


@pytest.fixture
async def owner(up: Running) -> AsyncIterator[Browser]:
    async with browser(up.base) as client:
        await client.sign_in()
        yield client


async def press(owner: Browser, page: Page, action: str) -> Page:
    """Press a button of the first mention."""
    form = dict(page.form("/desk/mentions")) | {"action": action}
    return await owner.post("/desk/mentions", data=form)


async def test_pending_and_shown_mentions_are_listed_as_text(owner: Browser) -> None:
    page = await owner.get("/desk/mentions")
    assert page.status == 200
    assert "<script>alert" not in page.text
    assert "Waiting for you (1)" in page.text
    assert "Shown (31)" in page.text
    assert "The page has 3 links." in page.text
    assert 'rel="noreferrer nofollow ugc"' in page.text
    assert "Page 1 of 2" in page.text
    assert "Page 2 of 2" in (await owner.get("/desk/mentions?page=2")).text
    for number in ("x", "0", "-1", "%C2%B2", "9" * 5, "9" * 20, "1" * 5000):
        assert (await owner.get(f"/desk/mentions?page={number}")).status == 200


@pytest.mark.parametrize("action", ["approve", "trust", "refuse", "block-author", "block-host"])
async def test_one_click_is_one_decision(owner: Browser, decisions: Decisions, action: str) -> None:
    assert action in ACTIONS
    page = await owner.get("/desk/mentions")
    done = await press(owner, page, action)
    assert (done.status, done.location) == (303, "/desk/mentions")
    assert decisions.made == [(action, [PENDING.id])]
    assert "shown" in (await owner.get("/desk/mentions")).text


async def test_the_answer_to_an_invitation_and_the_reason_are_in_the_language_of_the_page(
    owner: Browser,
) -> None:
    page = await owner.get("/desk/mentions", headers={"Accept-Language": "de"})
    assert "Vielleicht" in page.text
    assert "The source does not link" not in page.text
    assert "The page has" not in page.text


async def test_a_rule_is_listed_and_can_be_removed(owner: Browser, decisions: Decisions) -> None:
    page = await owner.get("/desk/mentions")
    for form in page.forms("/desk/mentions")[-2:]:
        await owner.post("/desk/mentions", data=dict(form) | {"action": "forget"})
    assert decisions.made == [("forget", [BLOCKED]), ("forget", [TRUSTED])]


async def test_without_a_session_nothing_can_be_seen_or_decided(
    up: Running, decisions: Decisions
) -> None:
    async with browser(up.base) as stranger:
        assert (await stranger.get("/desk/mentions")).status == 303
        sent = await stranger.post("/desk/mentions", data={"action": "approve", "id": PENDING.id})
        assert sent.status in {401, 403}
    assert decisions.made == []


async def test_failures_are_shown(owner: Browser, decisions: Decisions) -> None:
    page = await owner.get("/desk/mentions")
    decisions.error = StoreBusy("a lock is taken")
    await press(owner, page, "approve")
    assert "a lock is taken" in (await owner.get("/desk/mentions")).text
    decisions.error = InvalidRequest("There is no such mention.")
    refused = await press(owner, page, "approve")
    assert refused.status == 400
    assert "There is no such mention." in refused.text


async def test_a_flood_does_not_make_the_page_unusable(
    owner: Browser, decisions: Decisions
) -> None:
    decisions.waiting = 2_000
    page = await owner.get("/desk/mentions")
    assert "(2000)" in page.text
    assert page.text.count(PENDING.id) == 100
