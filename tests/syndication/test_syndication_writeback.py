"""What the bridge has committed itself (a copy's URL), and what is committed before the planner has
seen that: it looks at the branch when the test says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from syndication_kit import Bench, Fault, there

from bridge.store import Change, Commit
from bridge.syndication.jobs.planner import copies_of


class _Gate(asyncio.Event):
    """Wakes the planner only once it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def wait(self) -> bool:  # type: ignore[override] # of the same meaning
        await self.open.wait()
        return await super().wait()


@pytest.fixture(autouse=True)
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner looks when it is told, however slow this machine is."""
    monkeypatch.setattr("bridge.syndication.syndicator._POLL", 86_400.0)


class Planning:
    """The planner of a bench, held from when a copy is planned until :meth:`go_on`."""

    def __init__(self, bench: Bench) -> None:
        assert bench.syndicator is not None
        self._bench, self._syndicator = bench, bench.syndicator
        self._before, self._gate = self._syndicator._moved, _Gate()
        self._syndicator._moved = self._gate

    def go_on(self) -> None:
        self._gate.open.set()
        self._gate.set()
        self._before.set()

    async def up_to_date(self) -> None:
        self.go_on()
        ledger = self._syndicator.ledger
        await self._bench.until(lambda: ledger.cursor() == self._bench.store.head())


async def copied_unseen(bench: Bench) -> tuple[str, Planning]:
    """A post with a copy in its file, of which the planner has not seen the commit."""
    method, path = {"mastodon": ("POST", "/api/v1/statuses"), "bluesky": ("POST", "putRecord")}[
        bench.targets[0].type
    ]
    fault = Fault(method, path, hold=asyncio.Event(), hang=asyncio.Event())
    bench.networks.faults.append(fault)
    assert fault.hang is not None
    assert fault.hold is not None
    file = bench.post("One")
    await asyncio.wait_for(fault.hang.wait(), 300)
    ledger = bench.syndicator.ledger if bench.syndicator else None
    assert ledger is not None
    await bench.until(lambda: ledger.cursor() == bench.store.head())
    planning = Planning(bench)
    fault.hold.set()
    await bench.done(file)
    assert ledger.cursor() != bench.store.head()
    return file, planning


def commit(bench: Bench, files: Sequence[tuple[str, str | None]]) -> None:
    """Commit several files together, as the owner."""
    head = bench.store.head()
    assert head is not None
    changes = []
    for path, text in files:
        old = bench.store.read(path, head)
        changes.append(
            Change(path, text.encode() if text is not None else None, old.id if old else None)
        )
    (answer,) = bench.store.commit([Commit(tuple(changes), "by hand", head)])
    assert isinstance(answer, str), answer
    assert bench.syndicator is not None
    bench.syndicator.changed(answer)


async def quiet(bench: Bench, planning: Planning) -> None:
    """Wait until everything is planned and carried out, and again for what that has committed."""
    await planning.up_to_date()
    await bench.until(lambda: not bench.jobs())
    await planning.up_to_date()
    await bench.until(lambda: not bench.jobs())


async def test_a_post_that_is_deleted_at_once_takes_its_copy_along(one: Bench) -> None:
    one.start()
    path, planning = await copied_unseen(one)
    one.put(path, None)
    await quiet(one, planning)
    assert there(one) == []


async def test_a_post_that_is_hidden_at_once_takes_its_copy_along(one: Bench) -> None:
    one.start()
    path, planning = await copied_unseen(one)
    one.put(path, one.text(path).replace("Category: notes", "Category: notes\nStatus: draft"))
    await quiet(one, planning)
    assert there(one) == []


async def test_an_edit_at_once_reaches_the_copy(mastodon: Bench) -> None:
    mastodon.start()
    path, planning = await copied_unseen(mastodon)
    mastodon.edit(path, "Two")
    await quiet(mastodon, planning)
    assert mastodon.networks.toots == ["Two"]


async def test_a_file_saved_over_the_link_gets_it_back(one: Bench) -> None:
    """An editor had the file open since before the copy was made."""
    one.networks.fake.honours_keys = False
    one.start()
    path, planning = await copied_unseen(one)
    (copy,) = one.copies(path)
    stale = one.text(path).replace("One\n", "Two\n")
    line = next(each for each in stale.splitlines() if each.startswith("Mf2: "))
    asked = f'Mf2: {{"title":"synthetic","syndicate-to":["{one.targets[0].uid}"]}}'
    one.put(path, stale.replace(line, asked))
    await quiet(one, planning)
    assert len(there(one)) == 1
    assert one.copies(path) == [copy]
    assert not one.mf2(path).syndicate_to
    if one.targets[0].type == "mastodon":
        await one.until(lambda: there(one) == ["Two"])
    one.put(path, None)
    await one.until(lambda: there(one) == [] and not one.jobs())


async def test_a_link_that_is_undone_within_one_look_comes_back(one: Bench) -> None:
    """The versions before and after are the same: the difference shows nothing."""
    one.networks.fake.honours_keys = False
    one.start()
    path, planning = await copied_unseen(one)
    (copy,) = one.copies(path)
    cursor = one.syndicator.ledger.cursor() if one.syndicator else None
    assert cursor is not None
    before = one.store.read(path, cursor)
    assert before is not None
    one.put(path, before.data.decode())
    await quiet(one, planning)
    assert one.copies(path) == [copy]
    assert there(one) == ["One"]


async def test_a_link_that_the_owner_removes_at_once_stays_removed(one: Bench) -> None:
    one.start()
    path, planning = await copied_unseen(one)
    line = next(each for each in one.text(path).splitlines() if each.startswith("Mf2: "))
    one.put(path, one.text(path).replace(line, 'Mf2: {"type":["h-entry"]}'))
    await quiet(one, planning)
    assert one.copies(path) == []
    assert there(one) == ["One"]
    # It is the owner's now: what happens to the post does not concern it.
    one.put(path, None)
    await quiet(one, planning)
    assert there(one) == ["One"]


async def test_a_post_that_is_moved_at_once_keeps_its_copy(one: Bench) -> None:
    one.start()
    path, planning = await copied_unseen(one)
    moved = "content/notes/moved.md"
    commit(one, [(path, None), (moved, one.text(path))])
    await quiet(one, planning)
    assert there(one) == ["One"]
    assert len(one.copies(moved)) == 1
    one.put(moved, None)
    await quiet(one, planning)
    assert there(one) == []


async def test_a_post_that_is_moved_from_its_old_version_keeps_its_copy(one: Bench) -> None:
    """As when a folder is renamed in a clone that has not pulled the link."""
    one.networks.fake.honours_keys = False
    one.start()
    path, planning = await copied_unseen(one)
    (copy,) = one.copies(path)
    ledger = one.syndicator.ledger if one.syndicator else None
    assert ledger is not None
    cursor = ledger.cursor()
    assert cursor is not None
    before = one.store.read(path, cursor)
    assert before is not None
    moved = "content/notes/moved.md"
    commit(one, [(path, None), (moved, before.data.decode())])
    await quiet(one, planning)
    assert there(one) == ["One"]
    assert one.copies(moved) == [copy]


@pytest.mark.parametrize("commits", [2, 30])
async def test_many_commits_at_once_hide_nothing(one: Bench, commits: int) -> None:
    one.start()
    path, planning = await copied_unseen(one)
    text = one.text(path)
    for number in range(commits):
        one.put(path, text.replace("One\n", f"One {number}\n"))
        one.put(f"content/notes/other-{number}.md", f"Title: Other {number}\n\nOther\n")
        one.put(path, None)
        if number % 2:
            one.put(path, text)
    one.put(path, None)
    await quiet(one, planning)
    assert there(one) == []


async def test_a_move_while_the_copy_is_made_makes_no_second_one(one: Bench) -> None:
    one.networks.fake.honours_keys = False
    one.start()
    kind = one.targets[0].type
    method, at = {"mastodon": ("POST", "/api/v1/statuses"), "bluesky": ("POST", "putRecord")}[kind]
    fault = Fault(method, at, hold=asyncio.Event(), hang=asyncio.Event())
    one.networks.faults.append(fault)
    path = one.post("One")
    assert fault.hang is not None
    assert fault.hold is not None
    await asyncio.wait_for(fault.hang.wait(), 300)
    moved = "content/notes/moved.md"
    commit(one, [(path, None), (moved, one.text(path))])
    ledger = one.syndicator.ledger if one.syndicator else None
    assert ledger is not None
    await one.until(lambda: ledger.cursor() == one.store.head())
    fault.hold.set()
    await one.done(moved)
    assert there(one) == ["One"]
    assert len(one.copies(moved)) == 1


async def test_a_copy_of_two_files_stays_while_one_of_them_does(one: Bench) -> None:
    """A file is copied in one commit, and its first place is removed in the next."""
    one.start()
    path = one.post("One")
    await one.done(path)
    twin = "content/notes/twin.md"
    text = one.text(path)
    planning = Planning(one)
    await planning.up_to_date()
    one.put(twin, text.replace("Slug: a\n", "Slug: twin\n"))
    await planning.up_to_date()
    one.put(path, None)
    await quiet(one, planning)
    assert there(one) == ["One"]
    one.put(twin, None)
    await quiet(one, planning)
    assert there(one) == []


async def test_a_kill_before_the_planner_has_seen_the_link_hides_nothing(one: Bench) -> None:
    one.start()
    path, _ = await copied_unseen(one)
    await one.stop()
    one.put(path, None)
    one.start()
    await one.until(lambda: there(one) == [] and not one.jobs())


async def test_a_link_that_never_came_into_the_branch_is_written_again(one: Bench) -> None:
    """The write-back was lost, as in a rebase in which the owner's version won."""
    one.networks.fake.honours_keys = False
    one.start()
    path = one.post("One")
    await one.done(path)
    (copy,) = one.copies(path)
    text = one.text(path)
    line = next(each for each in text.splitlines() if each.startswith("Mf2: "))
    asked = f'Mf2: {{"title":"synthetic","syndicate-to":["{one.targets[0].uid}"]}}'
    one.put(path, text.replace(line, asked))
    await one.until(lambda: one.copies(path) == [copy] and not one.jobs())
    assert there(one) == ["One"]
    assert copies_of(one.mf2(path)) == [copy]


async def test_records_of_earlier_versions_learn_which_file_each_copy_is_of(
    mastodon: Bench,
) -> None:
    """Before a file that was made from the post's meanwhile is taken for the post."""
    mastodon.start()
    path = mastodon.post("One")
    await mastodon.done(path)
    await Planning(mastodon).up_to_date()
    (copy,) = mastodon.copies(path)
    await mastodon.stop()
    (record,) = (mastodon.folder / "state/keep/syndication/copies").iterdir()
    earlier = json.loads(record.read_text())
    assert earlier.pop("paths") == [path]
    record.write_text(json.dumps(earlier))
    twin = "content/notes/twin.md"
    words = mastodon.text(path).replace("Slug: a\n", "Slug: twin\n").replace("One", "Another")
    mastodon.put(twin, words)
    mastodon.start()
    planning = Planning(mastodon)
    await quiet(mastodon, planning)
    assert json.loads(record.read_text())["paths"] == [path, twin]
    mastodon.edit(twin, "Another post")
    await quiet(mastodon, planning)
    assert mastodon.networks.toots == ["One"]
    mastodon.edit(path, "Two")
    await quiet(mastodon, planning)
    assert mastodon.networks.toots == ["Two"]
    assert mastodon.copies(path) == [copy]


async def test_a_file_made_from_a_posts_file_does_not_change_its_copy(mastodon: Bench) -> None:
    """As where the owner begins a new post with the file of another one."""
    mastodon.start()
    path = mastodon.post("One")
    await mastodon.done(path)
    planning = Planning(mastodon)
    await planning.up_to_date()
    twin = "content/notes/twin.md"
    mastodon.put(twin, mastodon.text(path).replace("Slug: a\n", "Slug: twin\n"))
    await quiet(mastodon, planning)
    mastodon.edit(twin, "Another post")
    await quiet(mastodon, planning)
    assert mastodon.networks.toots == ["One"]
    mastodon.put(twin, None)
    await quiet(mastodon, planning)
    assert mastodon.networks.toots == ["One"]
    mastodon.edit(path, "Two")
    await quiet(mastodon, planning)
    assert mastodon.networks.toots == ["Two"]
