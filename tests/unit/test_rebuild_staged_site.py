"""What the resident build takes for written in this build, when the clock is set."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bridge.rebuild.local.output import Output
from bridge.rebuild.resident.pelican.reading import CachedFileChanged
from bridge.rebuild.resident.reuse.staged_site import StagedSite

#: Nanoseconds.
HOUR = 3600 * 10**9


class Clock:
    """A clock that can be set, for this process and for the times of its files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        #: When it was set, in the machine's time, and by how much.
        self._set: list[tuple[int, int]] = []
        self._real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: self._shown(self._real()))

        def written(site: StagedSite, name: str) -> int:
            return self._shown((site._folder / name).stat().st_ctime_ns)

        monkeypatch.setattr(StagedSite, "_time", written)

    def change(self, by: int) -> None:
        # A file that was written before must not have the time of the change.
        time.sleep(0.02)
        self._set.append((self._real(), by))
        time.sleep(0.02)

    def _shown(self, moment: int) -> int:
        return moment + sum(by for when, by in self._set if when <= moment)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Site:
    def __init__(self, folder: Path) -> None:
        (folder / "state").mkdir()
        self.output = folder / "output"
        self.staged_folder = folder / "staged"
        output = Output(self.output, folder / "state" / "output.json")
        self.staged = StagedSite(self.staged_folder, output)

    def write(self, *names: str) -> None:
        self.staged.expect(names)
        for name in names:
            (self.staged_folder / name).write_text("text")
            self.staged.publish(name)

    def build(self, *names: str) -> set[str]:
        """A build that writes these pages, whose names it returns."""
        self.staged.begin(kept=())
        self.write(*names)
        self.staged.finish(names)
        self.staged.settle()
        return {file.name for file in self.output.iterdir()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_page_whose_post_is_deleted_is_removed(site: Site) -> None:
    assert site.build("kept.html", "deleted.html") == {"kept.html", "deleted.html"}
    assert site.build("kept.html") == {"kept.html"}


def test_a_clock_that_was_set_back_between_builds_is_noticed(site: Site, clock: Clock) -> None:
    """Otherwise the page of a deleted post would look new, and would stay."""
    site.build("kept.html", "deleted.html")
    clock.change(-HOUR)
    with pytest.raises(CachedFileChanged, match="the clock was set back"):
        site.build("kept.html")


def test_a_clock_that_was_set_back_during_a_build_is_noticed(site: Site, clock: Clock) -> None:
    """Otherwise what a plugin has just written would look old, and would be removed."""
    site.staged.begin(kept=())
    site.write("page.html")
    clock.change(-HOUR)
    (site.staged_folder / "by-a-plugin.txt").write_text("text")
    with pytest.raises(CachedFileChanged, match="the clock was set back"):
        site.staged.finish(["page.html"])


def test_a_clock_that_was_set_forward_and_back_is_noticed(site: Site, clock: Clock) -> None:
    site.build("kept.html")
    clock.change(HOUR)
    site.build("kept.html", "deleted.html")
    clock.change(-HOUR)
    with pytest.raises(CachedFileChanged, match="the clock was set back"):
        site.build("kept.html")


def test_a_build_goes_on_where_the_clock_was_set_forward(site: Site, clock: Clock) -> None:
    site.build("kept.html", "deleted.html")
    clock.change(HOUR)
    assert site.build("kept.html") == {"kept.html"}


def test_a_build_does_not_wait_for_files_from_the_future(site: Site, clock: Clock) -> None:
    """What plugins have changed is put back before each build, which begins when that has
    another time than what it writes.
    """
    site.staged.unfinished = True
    site.staged.begin(kept=())
    site.write("page.html")
    site.staged.keep_as_written()
    site.staged.finish(["page.html"])
    (site.staged_folder / "page.html").write_text("changed by a plugin")
    put_back = site.staged._put_back

    def slowly() -> int:
        last = put_back()
        clock.change(-HOUR)
        return last

    site.staged._put_back = slowly  # type: ignore[method-assign] # the moment in question
    with pytest.raises(CachedFileChanged, match="the clock was set back"):
        site.staged.begin(kept=())
