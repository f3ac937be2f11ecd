"""Which differences between the output and a clean build count, and how they are handled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from rebuild_site import files

from bridge.rebuild.build import Task
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.pelican_log import LogSummary
from bridge.rebuild.resident.verify import BuildVerifier
from bridge.store import Version

#: A page that tells the time: other in each build.
CLEAN = {"index.html": b"home", "theme/main.css": b"css", "now.html": None}


class Clean:
    """Clean builds of a site of these files."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = count()

    async def make(self, task: Task, folder: Path) -> LogSummary:
        del task
        now = str(next(self._numbers)).encode()
        write(folder, {name: now if data is None else data for name, data in CLEAN.items()})
        return LogSummary.of([])


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda pages: None, []),
        (lambda pages: (pages / "theme" / "main.css").unlink(), ["theme/main.css"]),
        (lambda pages: (pages / "index.html").write_bytes(b"stale"), ["index.html"]),
        (lambda pages: (pages / "now.html").write_bytes(b"later"), []),
        (lambda pages: (pages / "now.html").unlink(), ["now.html"]),
        (lambda pages: (pages / "gone.html").write_bytes(b"no one's"), ["gone.html"]),
        (lambda pages: (pages / "CNAME").write_bytes(b"the owner's"), []),
    ],
    ids=["same", "missing", "stale", "tells the time", "missing clock", "should go", "not ours"],
)
async def test_a_difference_is_found_and_replaced_by_the_clean_build(
    tmp_path: Path, spoil: Spoil, told: list[str]
) -> None:
    pages = tmp_path / "output"
    output = Output(pages, tmp_path / "note.json")
    # What was never written is remembered, too: a build that was interrupted had announced it.
    output.expect(["gone.html"])
    write(pages, {name: data or b"then" for name, data in CLEAN.items()})
    output.expect(CLEAN)
    spoil(pages)
    before = files(pages)
    task = Task(Version("v1"), tmp_path / "checkout", frozenset())
    assert await BuildVerifier(Clean(), output, tmp_path / "verify").verify(task) == told
    after = files(pages)
    if told:
        assert after == {name: data or b"1" for name, data in CLEAN.items()}
    else:
        assert after == before
