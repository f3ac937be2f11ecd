"""Changes while copies are made: of posts, targets, the bridge itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest
from git_kit import git
from syndication_kit import Bench, Fault, Killed, there

from bridge.store import Change, Commit

CREATE = {"mastodon": ("POST", "/api/v1/statuses"), "bluesky": ("POST", "repo.putRecord")}
REMOVE = {"mastodon": ("DELETE", ""), "bluesky": ("POST", "repo.deleteRecord")}


def kind(bench: Bench) -> str:
    return bench.targets[0].type


def held(bench: Bench, method: str, path: str) -> Fault:
    """The next such request is carried out, and answered when the test says so."""
    fault = Fault(method, path, hold=asyncio.Event(), hang=asyncio.Event())
    bench.networks.faults.append(fault)
    return fault


async def begun(fault: Fault) -> asyncio.Event:
    assert fault.hang is not None
    assert fault.hold is not None
    await asyncio.wait_for(fault.hang.wait(), 300)
    return fault.hold


async def settled(bench: Bench) -> None:
    """Wait until jobs are planned for the site's newest commit."""
    assert bench.syndicator is not None
    ledger = bench.syndicator.ledger
    await bench.until(lambda: ledger.cursor() == bench.store.head())


# ---- the post changes -------------------------------------------------------------------------


async def test_an_edit_while_an_edit_is_made_is_not_lost(
    mastodon: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.syndication.jobs.planner._BETWEEN_EDITS", 0.0)
    mastodon.start()
    path = mastodon.post("One")
    await mastodon.done(path)
    fault = held(mastodon, "PUT", "")
    mastodon.edit(path, "Two")
    go_on = await begun(fault)
    mastodon.edit(path, "Three")
    await settled(mastodon)
    go_on.set()
    await mastodon.until(lambda: mastodon.networks.toots == ["Three"])


async def test_a_deletion_while_an_edit_is_made_is_not_lost(mastodon: Bench) -> None:
    mastodon.start()
    path = mastodon.post("One")
    await mastodon.done(path)
    fault = held(mastodon, "PUT", "")
    mastodon.edit(path, "Two")
    go_on = await begun(fault)
    mastodon.put(path, None)
    await settled(mastodon)
    go_on.set()
    await mastodon.until(lambda: mastodon.networks.toots == [] and not mastodon.jobs())


async def test_an_edit_while_the_copy_is_made_reaches_it(mastodon: Bench) -> None:
    mastodon.start()
    fault = held(mastodon, *CREATE["mastodon"])
    path = mastodon.post("One")
    go_on = await begun(fault)
    mastodon.edit(path, "Two")
    await settled(mastodon)
    go_on.set()
    await mastodon.until(lambda: mastodon.networks.toots == ["Two"])
    await mastodon.done(path)


async def test_a_deletion_while_the_copy_is_made_takes_it_along(one: Bench) -> None:
    one.start()
    fault = held(one, *CREATE[kind(one)])
    path = one.post("One")
    go_on = await begun(fault)
    one.put(path, None)
    await settled(one)
    go_on.set()
    await one.until(lambda: there(one) == [] and not one.jobs())
    assert [each for each in one.commits() if each.startswith("Cop")] == []


async def test_a_post_that_is_gone_before_the_second_try_leaves_no_copy(one: Bench) -> None:
    """The first attempt succeeded, and its response was lost."""
    method, path = CREATE[kind(one)]
    one.networks.faults.append(Fault(method, path, lose=True))
    one.retries = (3_600.0,)
    syndicator = one.start()
    post = one.post("One")
    await one.until(lambda: any(job.tries for job in one.jobs()))
    assert there(one) == ["One"]
    # The retry begins before the new version is planned.
    syndicator._moved = asyncio.Event()
    one.put(post, None)
    (job,) = one.jobs()
    job.next = 0.0
    syndicator._wake(one.targets[0].uid)
    await one.until(lambda: there(one) == [] and not one.jobs())


async def test_a_post_that_is_back_while_its_copy_is_deleted_has_a_copy(one: Bench) -> None:
    one.start()
    path = one.post("One")
    await one.done(path)
    text = one.text(path)
    fault = held(one, *REMOVE[kind(one)])
    one.put(path, None)
    go_on = await begun(fault)
    one.put(path, text)
    await settled(one)
    go_on.set()
    await one.until(lambda: there(one) == ["One"] and not one.jobs())
    assert len(one.copies(path)) == 1


async def test_what_is_changed_after_a_lost_answer_makes_no_second_copy(one: Bench) -> None:
    one.networks.fake.honours_keys = False
    method, path = CREATE[kind(one)]
    one.networks.faults.append(Fault(method, path, lose=True))
    one.retries = (3_600.0,)
    syndicator = one.start()
    post = one.post("First words")
    await one.until(lambda: any(job.tries for job in one.jobs()))
    one.edit(post, "Other words")
    await settled(one)
    (job,) = one.jobs()
    assert syndicator.retry(job.name)
    await one.done(post)
    assert len(there(one)) == 1
    if kind(one) == "mastodon":
        await one.until(lambda: there(one) == ["Other words"])


async def test_an_edit_before_the_copy_is_written_down_reaches_it(
    mastodon: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge ends between the copy and its commit; the owner edits; the bridge starts again."""

    async def never(*_: object) -> None:
        await asyncio.sleep(3_600)

    with monkeypatch.context() as patch:
        patch.setattr("bridge.syndication.jobs.writeback.WriteBack.record", never)
        mastodon.start()
        path = mastodon.post("One")
        await mastodon.until(lambda: any(job.copy for job in mastodon.jobs()))
        await mastodon.stop()
    mastodon.edit(path, "Two")
    mastodon.start()
    await mastodon.done(path)
    await mastodon.until(lambda: mastodon.networks.toots == ["Two"])


async def test_a_copy_that_was_hardly_written_down_is_edited_all_the_same(
    mastodon: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge ends between writing the two files that record the copy."""

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("bridge.syndication.jobs.ledger.Ledger.save_copy", killed)
        syndicator = mastodon.start()
        path = mastodon.post("One")
        await mastodon.until(lambda: any(task.done() for task in syndicator._tasks))
        await mastodon.stop()
    mastodon.start()
    await mastodon.done(path)
    mastodon.edit(path, "Two")
    await mastodon.until(lambda: mastodon.networks.toots == ["Two"])


async def test_a_post_that_is_no_longer_public_takes_its_copies_along(one: Bench) -> None:
    one.start()
    path = one.post("One")
    await one.done(path)
    text = one.text(path)
    one.put(path, text.replace("Category: notes", "Category: notes\nStatus: draft"))
    await one.until(lambda: there(one) == [] and not one.jobs())
    one.put(path, text)
    await one.until(lambda: there(one) == ["One"] and not one.jobs())


async def test_a_file_that_is_renamed_between_two_tries_has_one_copy(one: Bench) -> None:
    method, path = CREATE[kind(one)]
    one.networks.fake.honours_keys = False
    one.networks.faults.append(Fault(method, path, lose=True))
    one.retries = (3_600.0,)
    syndicator = one.start()
    post = one.post("One")
    await one.until(lambda: any(job.tries for job in one.jobs()))
    head, old = one.store.head(), one.text(post)
    assert head is not None
    renamed = "content/notes/renamed.md"
    blob = one.store.read(post, head)
    assert blob is not None
    changes = (Change(post, None, blob.id), Change(renamed, old.encode(), None))
    (version,) = one.store.commit([Commit(changes, "renamed", head)])
    assert isinstance(version, str)
    syndicator.changed(version)
    await settled(one)
    (job,) = one.jobs()
    assert (job.path, job.action) == (renamed, "post")
    assert syndicator.retry(job.name)
    await one.done(renamed)
    assert there(one) == ["One"]


# ---- the targets change -----------------------------------------------------------------------


async def test_a_target_that_was_off_makes_the_copies_that_it_was_wanted_for(both: Bench) -> None:
    first, second = both.targets
    both.targets = (first,)
    both.start()
    await settled(both)
    wanted = [first.uid, second.uid]
    young = both.post("Young", name="young", wanted=wanted)
    old = both.post("Old", name="old", wanted=wanted, when=both.now() - timedelta(days=3))
    await both.until(lambda: len(both.networks.toots) == 2 and not both.jobs())
    assert both.networks.skeets == []
    await both.stop()
    both.targets = (first, second)
    both.start()
    await both.done_with(young)
    assert both.networks.skeets == ["Young"]
    await both.until(lambda: len(both.jobs()) == 1)
    (job,) = both.jobs()
    # For requests that are days old, the owner must decide.
    assert (job.path, job.state) == (old, "held")
    assert len(both.networks.toots) == 2


async def test_a_target_with_another_uid_still_has_its_copies(mastodon: Bench) -> None:
    mastodon.start()
    path = mastodon.post("One")
    await mastodon.done(path)
    await mastodon.stop()
    (target,) = mastodon.targets
    mastodon.targets = (msgspec.structs.replace(target, uid=f"{target.uid}/", name="Renamed"),)
    mastodon.start()
    mastodon.edit(path, "Two")
    await mastodon.until(lambda: mastodon.networks.toots == ["Two"])
    mastodon.put(path, None)
    await mastodon.until(lambda: mastodon.networks.toots == [] and not mastodon.jobs())


# ---- both targets together --------------------------------------------------------------------


async def test_copies_that_are_made_together_are_one_commit(both: Bench) -> None:
    both.start()
    paths = [both.post(f"Number {number}", name=f"n{number}") for number in range(10)]
    for path in paths:
        await both.done(path)
        assert len(both.copies(path)) == 2
    assert len(there(both)) == 20
    commits = [each for each in both.commits() if each.startswith("Cop")]
    assert len(commits) == 10
    assert all(each.startswith("Copies at Mastodon and Bluesky: ") for each in commits)
    message = git(both.folder / "repo.git", "log", "-1", "--format=%b", "main")
    assert "Micropub-Action: syndicated" in message


async def test_a_copy_is_written_down_soon_however_long_another_takes(both: Bench) -> None:
    fault = held(both, *CREATE["bluesky"])
    both.together = 0.2
    both.start()
    path = both.post("One")
    go_on = await begun(fault)
    await both.until(lambda: len(both.copies(path)) == 1)
    go_on.set()
    await both.done(path)
    assert len(both.copies(path)) == 2
