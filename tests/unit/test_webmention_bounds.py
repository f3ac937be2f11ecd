"""Limits on stored webmentions, and the effect of one bad record on others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hearing_kit import OTHER, POST, hearing
from webmention_kit import elsewhere

from bridge.webmention.incoming import commits
from bridge.webmention.incoming import inbox as inboxes
from bridge.webmention.incoming.inbox import Inbox, Record
from bridge.webmention.incoming.moderation.decisions import Moderation


def put(inbox: Inbox, source: str, now: float) -> None:
    """Add a record that waits for the owner."""
    record = inbox.receive(source, POST, now)
    record.set_state("pending", now=now)
    inbox.write(record)


def test_what_is_kept_has_a_bound_while_the_bridge_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "_REMEMBERED", 20)
    monkeypatch.setattr(inboxes, "_PRUNED", 5)
    inbox = Inbox(tmp_path / "inbox")
    inbox.start(0.0)
    for number in range(60):
        record = inbox.receive(f"https://bob.example/{number}", POST, float(number))
        record.set_state("no-link", now=float(number))
        inbox.write(record)
    assert len(list((tmp_path / "inbox").glob("*.json"))) <= 25
    assert len(inbox.in_state("no-link")) <= 25


def test_a_flood_pushes_out_itself_and_not_what_others_have_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "_PENDING", 10)
    monkeypatch.setattr(inboxes, "_PRUNED", 1)
    inbox = Inbox(tmp_path / "inbox")
    inbox.start(0.0)
    put(inbox, "https://friend.example/1", 1.0)
    for number in range(50):
        put(inbox, f"https://{number}.spam.example/{number}", 2.0 + number)
    pending = inbox.in_state("pending")
    assert len(pending) <= 11
    assert pending[0].source == "https://friend.example/1"


@pytest.mark.parametrize("mention", [{"unknown": 1}, {"kind": "x", "url": "y", "entry": {}}])
async def test_what_no_file_can_be_made_of_does_not_keep_others_waiting(
    tmp_path: Path, mention: dict[str, Any]
) -> None:
    async with elsewhere() as bob, hearing(tmp_path) as bridge:
        bad = Record(
            source=f"{bob.base}bad", target=OTHER, received=1.0, changed=1.0, state="approved",
            mention=mention,
        )  # fmt: skip
        bridge.receiver.inbox.write(bad)
        source = bob.page("/1", f'<p class="h-entry"><a href="{POST}">x</a></p>')
        assert await bridge.told(source) == "shown"
        assert bridge.record(bad.source, OTHER).state == "unreachable"


async def test_what_cannot_be_judged_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with elsewhere() as bob, hearing(tmp_path) as bridge:

        async def stumble(*_: object) -> None:
            raise ValueError("unexpected")

        monkeypatch.setattr(bridge.receiver, "_moderate", stumble)
        source = bob.page("/1", f'<p class="h-entry"><a href="{POST}">x</a></p>')
        assert await bridge.told(source) == "unreachable"


async def test_of_many_that_are_approved_at_once_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_MAX_PER_COMMIT", 2)
    monkeypatch.setattr(commits, "_BATCH", 2)
    async with elsewhere() as bob, hearing(tmp_path, approve="none") as bridge:
        for number in range(3):
            source = bob.page(f"/{number}", f'<p class="h-entry"><a href="{POST}">x</a></p>')
            assert await bridge.told(source) == "pending"
        moderation = Moderation(bridge.receiver, tmp_path / "orders")
        await moderation.decide("trust", [each.id for each in moderation.pending()])
        shown = [name for name in bridge.files() if name.startswith("2026/hello/")]
        assert len(shown) == 3
