"""When webmentions are sent, and to which pages, with all kinds of commits, hosts and crashes."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from sending_kit import HASTE, Street, street, tombstone, until

from bridge.store import Version
from bridge.webmention.outgoing.delivery import AttemptResult, Courier
from bridge.webmention.outgoing.live_pages import LivePage, LivePages
from bridge.webmention.outgoing.outbox import Delivery, Outbox, Outgoing
from bridge.webmention.outgoing.sender import Timing


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    async with street(tmp_path, monkeypatch) as found:
        yield found


def newest(town: Street) -> Version:
    """The version after what has been written so far."""
    head = town.bench.store.head()
    assert head is not None
    return head


async def test_at_the_first_start_what_is_there_is_old(town: Street) -> None:
    town.show("old", town.other.taker("/old"))
    sender = await town.sender()
    await town.idle(sender)
    assert town.other.asked == []
    assert sender.report().sent == []


async def test_a_host_that_is_late_is_waited_for(town: Street) -> None:
    one, two = town.other.taker("/one"), town.other.taker("/two")
    sender = await town.sender()
    await town.write("late", f"[one]({one})")
    await until(lambda: sender.report().coming and sender.report().coming[0].looks > 3)
    assert "answers 404" in sender.report().coming[0].reason
    town.show("late", one)
    await town.idle(sender)
    assert town.other.mentions() == [(town.url("late"), one)]

    # The page exists in an older version: neither the text alone nor an unchanged link is enough.
    await town.write("late", f"[one]({one}) [two]({two})")
    await until(lambda: sender.report().coming and sender.report().coming[0].looks > 3)
    assert len(town.other.posted) == 1
    town.show("late", one, two)
    await town.idle(sender)
    assert sorted(town.other.targets()[1:]) == ["/one", "/two"]


async def test_a_page_that_tells_its_time_has_to_be_of_that_version(town: Street) -> None:
    one = town.other.taker("/one")
    sender = await town.sender()
    town.show("timed", one, text="old", updated="2026-01-02T10:00:00+00:00")
    await town.write("timed", f"old [one]({one})", Modified="2026-01-03 10:00")
    await until(lambda: sender.report().coming and sender.report().coming[0].looks > 3)
    assert "older version" in sender.report().coming[0].reason
    town.show("timed", one, text="new", updated="2026-01-03T10:00:00Z")
    await town.idle(sender)
    assert town.other.targets() == ["/one"]


async def test_words_changed_by_hand_without_a_time_are_waited_for(town: Street) -> None:
    target = town.other.taker("/target")
    town.show("post", target, text="Old words.")
    sender = await town.sender()
    await town.write("post", f"Old words. [x]({target})")
    await town.idle(sender)
    await town.write("post", f"New words. [x]({target})")
    await until(lambda: sender.report().coming and sender.report().coming[0].looks > 3)
    assert "same content as before" in sender.report().coming[0].reason
    town.show("post", target, text="New words.")
    await town.idle(sender)
    assert town.other.targets() == ["/target"] * 2


async def test_a_page_that_never_comes_is_named(town: Street) -> None:
    sender = await town.sender(timing=Timing(looks=(0.01, 0.01)))
    await town.write("never", f"[x]({town.other.taker('/x')})")
    await town.idle(sender)
    (unseen,) = sender.report().unseen
    assert "answers 404" in unseen.reason
    assert town.other.asked == []


async def test_a_post_that_cannot_be_looked_for_is_given_up_as_well(
    town: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(*_: object) -> LivePage:
        raise OSError("File name too long")

    monkeypatch.setattr(LivePages, "look", look)
    sender = await town.sender(timing=Timing(looks=(0.01, 0.01)))
    await town.write("long", f"[x]({town.other.taker('/x')})")
    await until(lambda: sender.report().unseen)
    assert sender.report().unseen[0].reason == "File name too long"
    await sender.close()
    again = await town.sender(timing=Timing(looks=(0.01, 0.01)))
    assert [each.looks for each in again.report().unseen] == [2]


async def test_a_post_in_a_file_whose_name_is_not_utf8_is_not_gone(town: Street) -> None:
    sender = await town.sender()
    town.show("moved")
    await town.write("moved", "Text.")
    await town.idle(sender)
    text, name = town.bench.read("content/moved.md"), os.fsdecode(b"content/caf\xe9.md")
    await town.bench.arrived({"content/moved.md": None, name: text})
    sender.changed(newest(town))
    await town.idle(sender)
    head = town.bench.store.head()
    assert head is not None
    assert [path for path, _ in town.bench.store.files("content/mentions", head)] == []


async def test_an_edit_of_a_post_whose_file_is_a_link_notifies(town: Street) -> None:
    one, two = town.other.taker("/one"), town.other.taker("/two")
    text = "Title: Linked\nDate: 2026-01-02 10:00\nSlug: linked\n\n{}\n"
    await town.bench.arrived({"README.md": text.format("None yet."), "content/keep.txt": "x"})
    (town.bench.clone / "content/linked.md").symlink_to("../README.md")
    await town.bench.arrived({})
    sender = await town.sender()
    town.show("linked", one)
    await town.bench.arrived({"README.md": text.format(f"[x]({one})")})
    sender.changed(newest(town))
    await town.idle(sender)
    assert town.other.mentions() == [(town.url("linked"), one)]
    # The link itself may lead elsewhere.
    town.show("linked", one, two)
    (town.bench.clone / "content/linked.md").unlink()
    (town.bench.clone / "content/linked.md").symlink_to("../OTHER.md")
    await town.bench.arrived({"OTHER.md": text.format(f"[x]({one}) [y]({two})")})
    sender.changed(newest(town))
    await town.idle(sender)
    assert (town.url("linked"), two) in town.other.mentions()


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Status": "draft"}, False),
        ({"Status": "hidden"}, True),
        ({"Mf2": '{"type":["h-entry"],"webmention":false}'}, False),
        ({"Mf2": '{"type":["h-entry"],"syndicate-to":[]}'}, True),
    ],
)
async def test_whose_links_are_notified(town: Street, headers: dict[str, str], told: bool) -> None:
    target, marker = town.other.taker("/target"), town.other.taker("/marker")
    town.show("post", target)
    town.show("drafts/post", target)
    town.show("after", marker)
    sender = await town.sender()
    await town.write("post", f"[x]({target})", **headers)
    await town.write("after", f"[x]({marker})")
    await town.idle(sender)
    assert sorted(set(town.other.targets())) == (["/marker", "/target"] if told else ["/marker"])


async def test_a_scheduled_post_notifies_when_it_is_published(town: Street) -> None:
    target = town.other.taker("/target")
    town.show("post", target)
    sender = await town.sender()
    await town.write("post", f"[x]({target})", Date="2999-01-01 10:00")
    await until(lambda: sender.report().coming)
    (coming,) = sender.report().coming
    assert coming.next > 32_000_000_000
    assert town.own.asked == []


async def test_changes_that_readers_do_not_see_notify_no_one(town: Street) -> None:
    target = town.other.taker("/target")
    town.show("post", target)
    sender = await town.sender()
    line = '{"type":["h-entry"],"properties":{"syndication":["https://social.example/%d"]}}'
    await town.write("post", f"[x]({target})")
    await town.idle(sender)
    await town.write("post", f"[x]({target})", Mf2=line % 1, Modified="2026-05-05")
    await town.idle(sender)
    # A change of the file without an effect on the page.
    await town.write("post", f"[x]({target})\n\n<!-- nothing -->", Mf2=line % 2)
    await town.idle(sender)
    assert town.other.targets() == ["/target"]
    town.show("post", target, text="Other words.")
    await town.write("post", f"Other words. [x]({target})", Mf2=line % 2)
    await town.idle(sender)
    assert town.other.targets() == ["/target"] * 2


async def test_an_edit_of_an_old_post_notifies_old_and_new_links(town: Street) -> None:
    old, new = town.other.taker("/old"), town.other.taker("/new")
    await town.write("post", f"[x]({old})")
    sender = await town.sender()
    town.show("post", new)
    await town.write("post", f"[x]({new})")
    await town.idle(sender)
    assert sorted(town.other.targets()) == ["/new", "/old"]


@pytest.mark.parametrize("shown", ["410", "tombstone"])
async def test_a_deleted_post_notifies_when_it_is_gone(town: Street, shown: str) -> None:
    target = town.other.taker("/target")
    town.show("post", target)
    sender = await town.sender()
    await town.write("post", f"[x]({target})")
    await town.idle(sender)
    await town.write("post", None)
    await until(lambda: sender.report().coming and sender.report().coming[0].looks > 2)
    assert len(town.other.posted) == 1, "it is still there"
    town.own.pages["/post/"] = (
        tombstone if shown == "tombstone" else lambda: web.Response(status=410)
    )
    await until(lambda: len(town.other.posted) == 2)
    assert town.other.mentions()[1] == (town.url("post"), target)
    head = town.bench.store.head()
    assert head is not None
    (gone,) = [path for path, _ in town.bench.store.files("content/mentions", head)]
    assert gone.startswith("content/mentions/gone/")


async def test_a_post_that_moves_keeps_its_first_address_where_that_leads_on(town: Street) -> None:
    target = town.other.taker("/target")
    first = town.show("first", target)
    sender = await town.sender()
    await town.write("first", f"[x]({target})")
    await town.idle(sender)
    second = town.show("second", target, text="more")
    town.own.pages["/first/"] = lambda: web.Response(status=301, headers={"Location": second})
    alias = '{"type":["h-entry"],"aliases":["first/index.html"]}'
    await town.write("first", f"more [x]({target})", Slug="second", Mf2=alias)
    await town.idle(sender)
    assert town.other.mentions() == [(first, target)] * 2


@pytest.mark.parametrize("aliases", [["first/index.html"], []], ids=["by an app", "by hand"])
async def test_a_moved_post_notifies_again_where_its_first_url_does_not(
    town: Street, aliases: list[str]
) -> None:
    target = town.other.taker("/target")
    first = town.show("first", target)
    sender = await town.sender()
    await town.write("first", f"[x]({target})")
    await town.idle(sender)
    second = town.show("second", target)
    town.own.page("/first/", f'<meta http-equiv="refresh" content="0; url={second}">')
    mf2 = json.dumps({"type": ["h-entry"], "aliases": aliases})
    await town.write("first", f"[x]({target})", Slug="second", Mf2=mf2)
    await town.idle(sender)
    assert town.other.mentions()[0] == (first, target)
    assert sorted(town.other.mentions()[1:]) == sorted([(first, target), (second, target)])


async def test_many_posts_changed_at_once_by_hand_wait_for_the_owner(town: Street) -> None:
    target = town.other.taker("/target")
    sender = await town.sender(most=2)
    for slug in ("a", "b", "c"):
        town.show(slug, target)
    posts = {f"content/{s}.md": f"Title: {s}\nDate: 2026-01-02\nSlug: {s}\n\n[x]({target})\n"
             for s in ("a", "b", "c")}  # fmt: skip
    await town.bench.arrived(posts)
    sender.changed(newest(town))
    await town.idle(sender)
    assert len(sender.report().held) == 3
    assert town.other.asked == []

    await town.stop(sender)
    sender = await town.sender()
    assert len(sender.report().held) == 3, "after a restart, too"
    assert await sender.release() == 3
    await town.idle(sender)
    assert sorted(source for source, _ in town.other.mentions()) == [
        town.url(slug) for slug in ("a", "b", "c")
    ]


async def test_what_failed_is_tried_again_when_the_owner_wants_it(town: Street) -> None:
    target = town.other.taker("/target")
    town.show("post", target)
    town.other.takes = lambda _: web.Response(status=403)
    sender = await town.sender()
    await town.write("post", f"[x]({target})")
    await town.idle(sender)
    await town.stop(sender)
    sender = await town.sender()
    (failed,) = sender.report().failed
    assert "403" in failed[1].reason
    town.other.takes = lambda _: web.Response(status=202)
    assert await sender.try_again() == 1
    await town.idle(sender)
    assert sender.report().failed == []
    assert len(town.other.posted) == 2


async def test_a_clock_that_was_ahead_delays_no_webmention_for_years(town: Street) -> None:
    target = town.other.taker("/target")
    town.show("post", target)
    town.other.takes = lambda _: web.Response(status=503)
    patient = replace(HASTE, again=(3600.0,))
    sender = await town.sender(courier=Courier(town.fetch, patient, time.time))
    ahead = 4000 * 86400.0
    sender._now = lambda: time.time() + ahead
    await town.write("post", f"[x]({target})")
    await until(lambda: sender.report().waiting and sender.report().waiting[0][1].status == 503)
    (waiting,) = sender.report().waiting
    assert waiting[1].next > time.time() + ahead - 86400.0
    await town.write("late", f"[x]({target})")
    await until(lambda: sender.report().coming and sender.report().coming[0].looks > 0)
    await town.stop(sender)
    town.show("late", target)
    town.other.takes = lambda _: web.Response(status=202)
    await town.idle(await town.sender())
    assert len(town.other.posted) == 3


@pytest.mark.parametrize(
    ("told", "waits"), [(0.0, 9000.0), (8000.0, 11600.0), (11600.0, 11600.0), (1e9, 9000.0)]
)
async def test_salmentions_wait_an_hour_at_most(town: Street, told: float, waits: float) -> None:
    """However many answers came in that hour, and whatever the clock was before."""
    sender = await town.sender(timing=Timing(upstream=3600.0))
    up = Delivery("https://up.example/", state="sent")
    out = Outgoing("a", "a", answered=["carol.example"], told_upstream=told)
    sender._notify_upstream(out, LivePage(True, replies=(up.target,)), [up], 9000.0)
    assert (up.state, up.next, out.told_upstream) == ("waiting", waits, waits)


async def test_what_the_owner_does_not_want_sent_is_not(town: Street) -> None:
    target = town.other.taker("/target")
    sender = await town.sender(most=0)
    town.show("a", target)
    await town.write("a", f"[x]({target})")
    await town.idle(sender)
    assert await sender.discard() == 1
    await town.idle(sender)
    assert sender.report().held == []
    assert town.other.asked == []


async def test_a_reply_to_a_reply_notifies_upstream(town: Street) -> None:
    """Salmention: the page that a reply replies to is told of responses to the reply."""
    upstream, aside = town.other.taker("/upstream"), town.other.taker("/aside")
    sender = await town.sender()
    line = f'{{"type":["h-entry"],"properties":{{"in-reply-to":["{upstream}"]}}}}'
    reply = f'<a class="u-in-reply-to" href="{upstream}">re</a>'
    town.show("reply", aside, text="Yes.")
    page = town.own.pages["/reply/"]

    def shown(comment: str) -> web.Response:
        text = str(page().text).replace("<div", f"{reply}{comment}<div")
        return web.Response(text=text, content_type="text/html")

    town.own.pages["/reply/"] = lambda: shown("")
    await town.write("reply", f"Yes. [aside]({aside})", Mf2=line)
    await town.idle(sender)
    assert sorted(town.other.targets()) == ["/aside", "/upstream"]

    answer = "https://carol.example/answer"
    comment = f'<div class="u-comment h-cite"><a class="u-url" href="{answer}">Carol</a></div>'
    mention = json.dumps(
        {"url": answer, "wm-target": f"{town.url('reply')}?ref=x#y", "wm-property": "in-reply-to"}
    )
    await town.bench.arrived({"content/mentions/reply/reply-123456789abc.json": mention})
    sender.changed(newest(town))
    await until(lambda: sender.report().coming and sender.report().coming[0].looks > 2)
    assert len(town.other.posted) == 2, "the answer is not shown yet"
    town.own.pages["/reply/"] = lambda: shown(comment)
    await town.idle(sender)
    assert town.other.targets()[2:] == ["/upstream"]

    # A new ``verified`` time is not a change.
    seen = json.dumps({**json.loads(mention), "wm-checked": "2026-12-01T10:00:00Z"})
    await town.bench.arrived({"content/mentions/reply/reply-123456789abc.json": seen})
    sender.changed(newest(town))
    await town.idle(sender)
    assert len(town.other.posted) == 3

    # The upstream host's own text is not sent back to it.
    back = f"{town.other.base}back"
    own = json.dumps({"url": back, "wm-target": town.url("reply"), "wm-property": "in-reply-to"})
    comment += f'<div class="u-comment h-cite"><a href="{town.other.base}back">Up</a></div>'
    await town.bench.arrived({"content/mentions/reply/reply-abcdef123456.json": own})
    sender.changed(newest(town))
    await town.idle(sender)
    assert len(town.other.posted) == 3


async def test_an_answer_that_is_taken_away_again_holds_nothing_up(town: Street) -> None:
    """A removed response must not make the sender wait for its link for ever."""
    upstream = town.other.taker("/upstream")
    sender = await town.sender()
    line = f'{{"type":["h-entry"],"properties":{{"in-reply-to":["{upstream}"]}}}}'
    town.show("reply", upstream, text="Yes.")
    await town.write("reply", f"Yes. [up]({upstream})", Mf2=line)
    await town.idle(sender)
    file = "content/mentions/reply/reply-123456789abc.json"
    answer = {
        "url": "https://carol.example/answer",
        "wm-target": f"{town.url('reply')}?utm_source=x",
    }
    mention = json.dumps({**answer, "wm-property": "in-reply-to"})
    await town.bench.arrived({file: mention})
    sender.changed(newest(town))
    await until(lambda: sender.report().coming and sender.report().coming[0].looks > 1)
    await town.bench.arrived({file: None})
    sender.changed(newest(town))
    await town.idle(sender)
    assert sender.report().unseen == []


class Killed(BaseException):
    """The process ends here."""


class Mortal(Outbox):
    """An outbox whose process is killed before or after one of its writes."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__(folder)
        self.left = step
        self.is_dead = False

    def _write(self, file: Path, data: bytes) -> None:
        if self.is_dead:
            raise OSError("there is no process any more")
        self.left -= 1
        if self.left == 0:
            self.is_dead = True
            raise OSError("killed before it was written")
        super()._write(file, data)
        self.left -= 1
        if self.left == 0:
            self.is_dead = True
            raise OSError("killed after it was written")


async def test_killed_at_any_step_of_the_outbox_nothing_is_lost(town: Street) -> None:
    one, two = town.other.taker("/one"), town.other.taker("/two")
    await (await town.sender()).close()
    town.senders.clear()
    step = 0
    while True:
        step += 1
        slug = f"post-{step}"
        town.show(slug, one, two)
        town.other.posted.clear()
        box = Mortal(town.folder / "outbox", step)
        sender = await town.sender(outbox=box)
        await town.write(slug, f"[1]({one}) [2]({two})")
        await until(lambda: box.is_dead or sender.is_idle(town.bench.store.head()))  # noqa: B023
        await town.stop(sender)
        if not box.is_dead:
            break
        sender = await town.sender()
        await town.idle(sender)
        told = sorted(town.other.mentions())
        assert set(told) == {(town.url(slug), one), (town.url(slug), two)}, step
        assert len(told) <= 4, step
        await town.stop(sender)
    assert step > 8, "each write was the last one before and after"


async def test_killed_between_the_answer_and_its_record_a_mention_is_sent_again(
    town: Street,
) -> None:
    target = town.other.taker("/target")
    town.show("post", target)

    class Dies(Courier):
        async def deliver(self, source: str, delivery: Delivery) -> AttemptResult:
            await Courier.deliver(self, source, delivery)
            await asyncio.Event().wait()
            raise AssertionError

    sender = await town.sender(courier=Dies(town.fetch, HASTE, lambda: 0.0))
    await town.write("post", f"[x]({target})")
    await until(lambda: town.other.posted)
    await asyncio.wait_for(town.stop(sender), 300)
    sender = await town.sender()
    await town.idle(sender)
    assert town.other.mentions() == [(town.url("post"), target)] * 2
