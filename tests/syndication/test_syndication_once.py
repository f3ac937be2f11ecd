"""Exactly one copy and one commit, whatever happens in between."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from git_kit import commit_all, git
from partner_kit import each_network
from PIL import Image
from soak_kit import SOAK, in_soak
from syndication_kit import Bench, Fault, Killed, there

from bridge.syndication.fake.bluesky import DID
from bridge.syndication.fake.dialects import DIALECTS, Dialect
from bridge.syndication.jobs.ledger import RETRIES, Copy, Job, Ledger, Trouble

CREATE = {"mastodon": ("POST", "/api/v1/statuses"), "bluesky": ("POST", "repo.putRecord")}


def kind(bench: Bench) -> str:
    return bench.targets[0].type


async def test_a_post_gets_one_copy_at_each_target_and_its_file_says_where(both: Bench) -> None:
    both.start()
    path = both.post("Hello, web", category=["indie web"])
    await both.done(path)
    assert both.networks.toots == both.networks.skeets == ["Hello, web"]
    first, second = both.copies(path)
    assert {first, second} == {
        f"{both.networks.fake.base}/@you/{next(iter(both.networks.fake.statuses))}",
        f"https://bsky.app/profile/{DID}/post/{next(iter(both.networks.fake.records))[-13:]}",
    }
    # One commit with a clear subject; the post's ``updated`` is unchanged.
    assert both.commits()[0] == "Copies at Mastodon and Bluesky: a"
    assert len([each for each in both.commits() if each.startswith("Cop")]) == 1
    assert "Modified" not in both.text(path)
    await both.stop()
    both.start()
    await asyncio.sleep(0.2)
    assert len(there(both)) == 2


async def test_a_post_that_was_not_selected_is_not_copied(both: Bench) -> None:
    both.start()
    both.post("Mine alone", name="alone", wanted=[])
    path = both.post("For Mastodon", name="one", wanted=[both.targets[0].uid])
    await both.done(path)
    assert there(both) == ["For Mastodon"]


@pytest.mark.parametrize("head", ["Status: draft\n", ""])
async def test_a_post_that_is_not_public_waits(one: Bench, head: str) -> None:
    one.start()
    extra: dict[str, Any] = {} if head else {"visibility": ["private"]}
    path = one.post("Secret", head=head, **extra)
    other = one.post("Public", name="b")
    await one.done(other)
    assert there(one) == ["Public"]
    one.post("Secret no more", name="a", when=one.now())
    await one.done(path)
    assert sorted(there(one)) == ["Public", "Secret no more"]


async def test_a_scheduled_post_waits_for_its_time(one: Bench) -> None:
    one.start()
    path = one.post("Later", when=one.now().replace(microsecond=0) + timedelta(hours=1))
    await one.until(lambda: any(job.next > one.now().timestamp() for job in one.jobs()))
    assert there(one) == []
    one.clock = timedelta(hours=2)
    one.syndicator._wake(one.targets[0].uid)  # type: ignore[union-attr] # it runs
    await one.done(path)
    assert there(one) == ["Later"]


async def test_nothing_is_copied_before_its_page_is_live(one: Bench) -> None:
    one.live.live = False
    one.start()
    path = one.post()
    await one.until(lambda: any(job.looks > 2 for job in one.jobs()))
    assert there(one) == []
    one.live.live = True
    await one.done(path)
    assert there(one) == ["Hello, web"]


@each_network
@pytest.mark.parametrize("fault", ["lose", "429", *map(in_soak, ("500", "503", "malformed"))])
async def test_a_lost_answer_or_an_outage_makes_no_second_copy(one: Bench, fault: str) -> None:
    method, path = CREATE[kind(one)]
    if fault == "lose":
        one.networks.faults.append(Fault(method, path, lose=True))
    elif fault == "malformed":
        one.networks.faults.append(Fault(method, path, half=True))
    else:
        headers = {"Retry-After": "0"}
        one.networks.faults.append(Fault(method, path, 2, status=int(fault), headers=headers))
    one.networks.fake.honours_keys = False
    one.start()
    post = one.post()
    await one.done(post)
    assert there(one) == ["Hello, web"]
    assert len(one.copies(post)) == 1
    assert len([each for each in one.commits() if each.startswith("Copy")]) == 1


async def test_a_copy_is_found_by_its_link_when_its_text_is_another_by_now(
    mastodon: Bench,
) -> None:
    mastodon.networks.fake.honours_keys = False
    mastodon.networks.faults.append(Fault("POST", "/api/v1/statuses", lose=True))
    mastodon.retries = (0.5,) * 3
    mastodon.start(link="always")
    path = mastodon.post("First words")
    await mastodon.until(lambda: bool(mastodon.networks.toots))
    mastodon.post("Other words")
    await mastodon.done(path)
    await mastodon.until(lambda: "Other words" in mastodon.networks.toots[0])
    assert len(mastodon.networks.toots) == 1


async def test_two_posts_that_say_the_same_are_two_copies(one: Bench) -> None:
    method, path = CREATE[kind(one)]
    one.networks.fake.honours_keys = False
    one.start()
    first = one.post(name="a")
    await one.done(first)
    one.networks.faults.append(Fault(method, path, status=503))
    second = one.post(name="b")
    await one.done(second)
    assert there(one) == ["Hello, web"] * 2
    assert set(one.copies(first)).isdisjoint(one.copies(second))


async def test_one_target_does_not_wait_for_another(both: Bench) -> None:
    both.networks.faults.append(Fault("GET", "/api/v2/instance", 1_000, status=503))
    both.retries = (600.0,)
    both.start()
    path = both.post()
    await both.until(lambda: both.networks.skeets == ["Hello, web"] and len(both.copies(path)) == 1)
    await both.until(lambda: len(both.jobs()) == 1)
    (job,) = both.jobs()
    assert job.uid == both.targets[0].uid
    assert "503" in job.error
    assert both.mf2(path).syndicate_to == (both.targets[0].uid,)


async def test_retry_after_overrides_the_pauses(mastodon: Bench) -> None:
    fault = Fault("POST", "/api/v1/statuses", status=429, headers={"Retry-After": "1234"})
    mastodon.networks.faults.append(fault)
    mastodon.start()
    mastodon.post()
    await mastodon.until(lambda: any(job.error for job in mastodon.jobs()))
    (job,) = mastodon.jobs()
    assert 1_200 < job.next - mastodon.now().timestamp() < 1_240


def test_the_first_retry_comes_within_a_minute() -> None:
    assert RETRIES[0] < 50
    assert list(RETRIES) == sorted(RETRIES)


async def test_a_refusal_is_final_and_reported_in_the_servers_words(mastodon: Bench) -> None:
    fault = Fault("POST", "/api/v1/statuses", status=422, words="Validation failed: no poetry")
    mastodon.networks.faults.append(fault)
    syndicator = mastodon.start()
    path = mastodon.post()
    await mastodon.until(lambda: any(job.state == "failed" for job in mastodon.jobs()))
    (job,) = mastodon.jobs()
    assert "no poetry" in job.error
    assert mastodon.copies(path) == []
    assert syndicator.retry(job.name)
    await mastodon.done(path)
    assert mastodon.networks.toots == ["Hello, web"]


async def test_a_failed_copy_can_be_skipped(mastodon: Bench) -> None:
    mastodon.networks.faults.append(Fault("POST", "/api/v1/statuses", status=422))
    syndicator = mastodon.start()
    path = mastodon.post()
    await mastodon.until(lambda: any(job.state == "failed" for job in mastodon.jobs()))
    assert await syndicator.skip(mastodon.jobs()[0].name)
    await mastodon.done(path)
    assert mastodon.networks.toots == []


async def test_a_refused_token_turns_the_target_off_until_there_is_another(fake: Bench) -> None:
    fake.networks.fake.token = "another"
    fake.networks.fake.password = "another"
    syndicator = fake.start()
    path = fake.post()
    uid = fake.targets[0].uid
    await fake.until(lambda: syndicator.ledger.trouble(uid) is not None)
    trouble = syndicator.ledger.trouble(uid)
    assert trouble is not None
    assert "401" in trouble.error
    assert trouble.since <= fake.now().timestamp()
    fake.networks.fake.token = "new-token"
    fake.networks.fake.password = "aaaa-bbbb-cccc-dddd"
    secret = {"mastodon": "new-token", "bluesky": "aaaa-bbbb-cccc-dddd"}[kind(fake)]
    (fake.folder / kind(fake) / "account.token").write_text(secret, encoding="utf-8")
    fake.clock = timedelta(minutes=1)
    syndicator._wake(uid)
    await fake.done(path)
    await fake.until(lambda: syndicator.ledger.trouble(uid) is None)
    assert there(fake) == ["Hello, web"]


async def test_a_server_that_calls_a_bad_token_a_bad_request_is_understood(
    mastodon: Bench,
) -> None:
    fault = Fault("GET", "/verify_credentials", 99, status=400, words="bad token")
    mastodon.networks.faults.append(fault)
    syndicator = mastodon.start()
    mastodon.post()
    uid = mastodon.targets[0].uid
    await mastodon.until(lambda: syndicator.ledger.trouble(uid) is not None)
    assert mastodon.jobs()[0].state == "waiting"


async def test_the_accounts_own_password_is_refused_before_it_is_sent(bluesky: Bench) -> None:
    (bluesky.folder / "bluesky/account.token").write_text("correct horse", encoding="utf-8")
    syndicator = bluesky.start()
    bluesky.post()
    uid = bluesky.targets[0].uid
    await bluesky.until(lambda: syndicator.ledger.trouble(uid) is not None)
    assert "app password" in syndicator.ledger.trouble(uid).error  # type: ignore[union-attr]
    assert bluesky.networks.requests == []


async def test_a_session_that_has_ended_is_renewed(bluesky: Bench) -> None:
    bluesky.start()
    await bluesky.done(bluesky.post(name="a"))
    bluesky.networks.fake.generation += 5
    await bluesky.done(bluesky.post(name="b"))
    assert len(bluesky.networks.skeets) == 2
    signed_in = [each for each in bluesky.networks.requests if each.endswith("createSession")]
    assert len(signed_in) == 2
    await bluesky.stop()
    bluesky.start()
    await bluesky.done(bluesky.post(name="c"))
    # Sessions are reused, since their number per day is limited.
    signed_in = [each for each in bluesky.networks.requests if each.endswith("createSession")]
    assert len(signed_in) == 2


async def test_where_links_count_in_full_the_text_is_composed_once_more(mastodon: Bench) -> None:
    mastodon.networks.fake.dialect = Dialect(counts_raw=True)
    mastodon.start()
    long = f"See https://example.org/{'x' * 400} and so on, {'word ' * 40}"
    path = mastodon.post(long)
    await mastodon.done(path)
    (toot,) = mastodon.networks.toots
    assert len(toot) <= 500


async def test_another_server_with_the_same_api_is_counted_with_care(mastodon: Bench) -> None:
    mastodon.networks.fake.dialect = DIALECTS["takahe"]
    mastodon.start()
    path = mastodon.post(f"See https://example.org/{'x' * 600} and so on")
    await mastodon.done(path)
    assert mastodon.networks.requests.count("POST /api/v1/statuses") == 1


async def test_pictures_are_waited_for(mastodon: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.syndication.mastodon.client._PATIENCE", (0.0,) * 9)
    mastodon.networks.fake.processing = 3
    url = await photo(mastodon)
    mastodon.start()
    path = mastodon.post("Look", photo=[{"value": url, "alt": "Blue"}])
    await mastodon.done(path)
    (status,) = mastodon.networks.fake.statuses.values()
    (medium,) = status["media_attachments"]
    assert (medium["description"], medium["_mime"]) == ("Blue", "image/jpeg")


async def test_pictures_that_the_server_has_thrown_away_are_sent_again(mastodon: Bench) -> None:
    url = await photo(mastodon)
    mastodon.retries = (3_600.0,)
    mastodon.networks.faults.append(Fault("POST", "/api/v1/statuses", status=503))
    syndicator = mastodon.start()
    path = mastodon.post("Look", photo=[{"value": url, "alt": "Blue"}])
    await mastodon.until(lambda: any(job.tries for job in mastodon.jobs()))
    mastodon.networks.fake.media.clear()
    (job,) = mastodon.jobs()
    assert job.media
    assert syndicator.retry(job.name)
    await mastodon.done(path)
    (status,) = mastodon.networks.fake.statuses.values()
    assert len(status["media_attachments"]) == 1


async def test_an_edit_is_counted_as_its_server_counts(mastodon: Bench) -> None:
    mastodon.networks.fake.dialect = Dialect(counts_raw=True)
    mastodon.start()
    path = mastodon.post("One")
    await mastodon.done(path)
    mastodon.edit(path, f"See https://example.org/{'x' * 400} and so on, {'word ' * 40}")
    await mastodon.until(lambda: mastodon.networks.toots != ["One"])
    await mastodon.done(path)
    (toot,) = mastodon.networks.toots
    assert len(toot) <= 500


async def test_a_page_that_is_not_live_says_nothing_of_a_token(one: Bench) -> None:
    one.live.live = False
    syndicator = one.start()
    uid = one.targets[0].uid
    syndicator.ledger.set_trouble(uid, Trouble("refused", 1.0, "another token", 1.0))
    one.post("One")
    await one.until(lambda: any(job.looks > 1 for job in one.jobs()))
    assert syndicator.ledger.trouble(uid) is not None
    one.live.live = True
    await one.until(lambda: syndicator.ledger.trouble(uid) is None)


async def photo(bench: Bench, side: int = 64) -> str:

    image = Image.effect_noise((side, side), 90).convert("RGB")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    file = await bench.media.accept(out.getvalue(), "a.jpg")
    return bench.media.url_of(file)


async def test_photos_fit_with_their_sizes_and_alt_texts(bluesky: Bench) -> None:
    url = await photo(bluesky, 2_100)
    bluesky.start()
    path = bluesky.post("Look", photo=[{"value": url, "alt": "Grey"}])
    await bluesky.done(path)
    (record,) = bluesky.networks.fake.records.values()
    (image,) = record["value"]["embed"]["images"]
    assert image["alt"] == "Grey"
    assert image["aspectRatio"]["width"] == image["aspectRatio"]["height"] <= 2_000
    assert image["image"]["size"] <= 1_000_000


async def test_alt_texts_can_be_required(mastodon: Bench) -> None:
    url = await photo(mastodon)
    mastodon.start(require_alt=True)
    path = mastodon.post("Look", photo=[url])
    await mastodon.until(lambda: any(job.state == "failed" for job in mastodon.jobs()))
    assert "alt text" in mastodon.jobs()[0].error
    mastodon.post("Look", photo=[{"value": url, "alt": "Grey"}])
    await mastodon.done(path)
    assert len(mastodon.networks.toots) == 1


async def test_an_edit_reaches_mastodon_at_once_and_then_every_ten_minutes(both: Bench) -> None:
    both.start()
    path = both.post("One")
    await both.done(path)
    line = both.text(path).partition("Mf2: ")[2].partition("\n")[0]
    both.edit(path, "Two")
    # Until it is noted when that was, the clock may not be moved.
    await both.until(lambda: both.networks.toots == ["Two"] and not both.jobs())
    assert line in both.text(path)
    both.edit(path, "Three")
    await both.until(lambda: any(job.action == "edit" for job in both.jobs()))
    assert both.networks.toots == ["Two"]
    both.clock = timedelta(minutes=11)
    both.syndicator._wake(both.targets[0].uid)  # type: ignore[union-attr] # it runs
    await both.until(lambda: both.networks.toots == ["Three"])
    # bsky.app would continue to show the first version.
    assert both.networks.skeets == ["One"]
    edits = [each for each in both.networks.requests if each.startswith("PUT /api")]
    assert len(edits) == 2


async def test_an_edit_of_a_post_whose_file_is_a_link_reaches_its_copy(mastodon: Bench) -> None:
    mastodon.start()
    path = mastodon.post("One")
    await mastodon.done(path)
    await mastodon.stop()
    # The owner moves the file out of the content folder, and leaves a link there.
    clone = mastodon.folder / "clone"
    git(mastodon.folder, "clone", "-q", str(mastodon.folder / "repo.git"), str(clone))
    (clone / path).rename(clone / "drawer.md")
    (clone / path).symlink_to("../../drawer.md")
    commit_all(clone, "a link")
    git(clone, "push", "-q")
    mastodon.start()
    mastodon.edit("drawer.md", "Two")
    await mastodon.until(lambda: mastodon.networks.toots == ["Two"])


async def test_edits_are_left_alone_where_that_is_set(mastodon: Bench) -> None:
    mastodon.start(edit=False)
    path = mastodon.post("One")
    await mastodon.done(path)
    mastodon.put(path, mastodon.text(path).replace("One", "Two"))
    await asyncio.sleep(0.2)
    assert mastodon.networks.toots == ["One"]


async def test_a_deleted_post_takes_its_copies_along_and_brings_them_back(both: Bench) -> None:
    both.start()
    path = both.post()
    await both.done(path)
    text, record = both.text(path), next(iter(both.networks.fake.records))
    both.put(path, None)
    await both.until(lambda: there(both) == [] and not both.jobs())
    both.put(path, text)
    await both.until(lambda: len(there(both)) == 2 and not both.jobs())
    # The same record again, so that its likes are restored; Mastodon has nothing like that.
    assert next(iter(both.networks.fake.records)) == record
    copies = both.copies(path)
    assert len(copies) == 2
    assert f"{both.networks.fake.base}/@you/{next(iter(both.networks.fake.statuses))}" in copies


async def test_copies_outlive_their_post_where_that_is_set(mastodon: Bench) -> None:
    mastodon.start(delete=False)
    path = mastodon.post()
    await mastodon.done(path)
    mastodon.put(path, None)
    await asyncio.sleep(0.2)
    assert mastodon.networks.toots == ["Hello, web"]


async def test_a_copy_made_by_hand_is_enough(one: Bench) -> None:
    one.start()
    copy = f"{one.targets[0].uid}/1"
    if kind(one) == "bluesky":
        copy = f"https://bsky.app/profile/{one.networks.did}/post/3"
    await one.done(one.post(name="first"))
    path = one.post(name="a", syndication=[copy])
    await one.done(path)
    assert one.copies(path) == [copy]
    assert len(there(one)) == 1


async def test_an_answer_there_is_an_answer_and_a_like_a_like(both: Bench) -> None:
    fake = both.networks.fake
    other = {**fake.account(), "acct": "alice@social.example", "id": "7"}
    url = "https://social.example/@alice/99"
    fake.strangers["99"] = {**fake._status({"status": ["Hi"]}, "99"), "account": other, "url": url}
    uri = "at://did:plc:alice/app.bsky.feed.post/3aaaaaaaaaaaa"
    root = {"uri": "at://did:plc:root/app.bsky.feed.post/3bbbbbbbbbbbb", "cid": "bafyroot"}
    fake.strangers[uri] = {"uri": uri, "cid": "bafyalice", "record": {"reply": {"root": root}}}
    page = "https://bsky.app/profile/did:plc:alice/post/3aaaaaaaaaaaa"
    both.start()
    mastodon, bluesky = (each.uid for each in both.targets)
    for name, extra in {
        "reply": {"in-reply-to": [url], "wanted": [mastodon]},
        "like": {"like-of": [url], "wanted": [mastodon]},
        "boost": {"repost-of": [url], "wanted": [mastodon]},
        "answer": {"in-reply-to": [page], "wanted": [bluesky]},
        "heart": {"like-of": [page], "wanted": [bluesky]},
    }.items():
        given: dict[str, Any] = dict(extra)
        path = both.post("Agreed", name=name, **given)
        await both.done(path)
        assert len(both.copies(path)) == 1, name
    (status,) = fake.statuses.values()
    assert (status["_text"], status["in_reply_to_id"]) == ("@alice@social.example Agreed", "99")
    assert fake.done == [("favourite", "99"), ("reblog", "99")]
    reply, like = (each["value"] for each in fake.records.values())
    assert reply["reply"] == {"parent": {"uri": uri, "cid": "bafyalice"}, "root": root}
    assert like["subject"] == {"uri": uri, "cid": "bafyalice"}


async def test_lost_state_copies_young_posts_once_and_offers_old_ones(one: Bench) -> None:
    one.networks.fake.honours_keys = False
    young = one.post("Young", name="young")
    old = one.post("Old", name="old", when=one.now() - timedelta(days=3))
    one.start()
    await one.until(lambda: not one.mf2(young).syndicate_to and len(one.jobs()) == 1)
    (job,) = one.jobs()
    assert (job.state, job.path) == ("held", old)
    assert there(one) == ["Young"]
    assert one.syndicator is not None
    assert one.syndicator.retry(job.name)
    await one.done(old)
    assert sorted(there(one)) == ["Old", "Young"]


#: Requests after which a copy may exist without a record of it; every request in `make soak`.
AROUND_THE_COPY = range(1, 9) if SOAK else range(3, 7)


@pytest.mark.parametrize("step", AROUND_THE_COPY)
@pytest.mark.parametrize("lost", [in_soak(False, id="kept"), pytest.param(True, id="state lost")])
async def test_killed_at_any_request_there_is_one_copy_and_one_commit(
    one: Bench, step: int, lost: bool
) -> None:
    """The request is carried out, and the bridge is killed before the response."""
    one.networks.fake.honours_keys = False
    gone, seen = asyncio.Event(), one.networks.requests
    url = await photo(one)

    class Nth(Fault):
        pass

    fault = Nth("", "", hang=gone)

    class Counting(list[Fault]):
        def __iter__(self) -> Iterator[Fault]:
            if len(seen) == step and not gone.is_set():
                method, path = seen[-1].split(" ")
                fault.method, fault.path = method, path
                return iter([fault])
            return iter([])

        def remove(self, value: Fault) -> None:
            del value

    one.networks.faults = Counting()
    await rerouted(one)
    one.start()
    path = one.post("Look", photo=[{"value": url, "alt": "Blue"}])

    def hung_or_done() -> bool:
        return gone.is_set() or (not one.mf2(path).syndicate_to and not one.jobs())

    await one.until(hung_or_done)
    await one.stop()
    if lost:
        for file in (one.folder / "state").rglob("*"):
            if file.is_file():
                file.unlink()
    one.start()
    await one.done(path)
    assert there(one) == ["Look"]
    assert len(one.copies(path)) == 1
    assert len([each for each in one.commits() if each.startswith("Copy")]) == 1


async def rerouted(bench: Bench) -> None:
    """Make the middleware use the present list of faults."""
    faults = bench.networks.faults
    for middleware in bench.networks.server.app.middlewares:
        for cell in getattr(middleware, "__closure__", None) or ():
            if isinstance(cell.cell_contents, list) and not any(
                isinstance(each, str) for each in cell.cell_contents
            ):
                cell.cell_contents = faults


@pytest.mark.parametrize("step", range(1, 9) if SOAK else range(2, 9, 3))
async def test_killed_at_any_write_there_is_one_copy_and_one_commit(
    one: Bench, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.networks.fake.honours_keys = False
    count, real = 0, Ledger._put

    def put(ledger: Ledger, name: str, data: bytes) -> None:
        nonlocal count
        count += 1
        if count == step:
            raise Killed
        real(ledger, name, data)

    url = await photo(one)
    monkeypatch.setattr(Ledger, "_put", put)
    syndicator = one.start()
    path = one.post("Look", photo=[{"value": url, "alt": "Blue"}])

    def dead_or_done() -> bool:
        dead = any(task.done() for task in syndicator._tasks)
        return dead or (not one.mf2(path).syndicate_to and not one.jobs())

    await one.until(dead_or_done)
    await one.stop()
    monkeypatch.setattr(Ledger, "_put", real)
    one.start()
    await one.done(path)
    assert there(one) == ["Look"]
    assert len(one.copies(path)) == 1
    assert len([each for each in one.commits() if each.startswith("Copy")]) == 1


def test_stored_state_is_accessible_to_the_user_only(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    ledger.save(Job("content/a.md", "u", "post", "https://example.org/", 1.0))
    for file in (tmp_path / "l").rglob("*"):
        assert not file.stat().st_mode & 0o077
    assert [job.path for job in Ledger(tmp_path / "l").jobs.values()] == ["content/a.md"]


def test_a_copy_that_is_forgotten_before_it_is_on_disk_does_not_come_back(
    tmp_path: Path,
) -> None:
    """The planner writes the records in a thread, while copies are made."""
    ledger = Ledger(tmp_path)
    forgotten, replaced = Copy("https://a.example/1", "a"), Copy("https://a.example/2", "a")
    for copy in (forgotten, replaced):
        ledger.put_copy(copy, ("content/a.md",))
    ledger.forget_copy(forgotten.url)
    ledger.save_copy(Copy(replaced.url, "a", "newer"))
    ledger.store_copies([forgotten, replaced])
    assert {url: copy.id for url, copy in Ledger(tmp_path).copies.items()} == {
        replaced.url: "newer"
    }
