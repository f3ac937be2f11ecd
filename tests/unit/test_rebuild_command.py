"""Builds by a command: its environment, the ways it can end, and how its pages are published."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep

import pytest
from msgspec.structs import replace
from rebuild_site import files

from bridge.rebuild.build import BuildFailed, Task
from bridge.rebuild.local.command import OUTPUT, CommandBuilder
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.pelican_log import SourcePaths, errors
from bridge.store import Version

Make = Callable[..., CommandBuilder]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A builder that runs a few lines of Python."""
    (tmp_path / "checkout").mkdir()

    def make(script: str, *words: str, seconds: float = 30) -> CommandBuilder:
        return CommandBuilder(
            argv=(sys.executable, "-c", script, *words),
            output=Output(tmp_path / "output", tmp_path / "output.json"),
            staging=tmp_path / "staging",
            content="content",
            environment={"SITE_URL": "https://example.com"},
            seconds=seconds,
        )

    return make


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(Version("v1"), tmp_path / "checkout", frozenset())


WRITE = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
for name in sys.argv[2:]:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(name)
"""


async def test_pages_are_added_and_removed_and_other_files_kept(
    make: Make, task: Task, tmp_path: Path
) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "CNAME").write_text("foreign")
    first = await make(WRITE, OUTPUT, "a.html", "b/c.html").build(task)
    assert sorted(first.files) == ["a.html", "b/c.html"]
    second = await make(WRITE, OUTPUT, "a.html", "d.html").build(task)
    assert sorted(second.files) == ["b/c.html", "d.html"]
    assert files(tmp_path / "output").keys() == {"CNAME", "a.html", "d.html"}


async def test_the_output_placeholder_may_be_part_of_a_word(
    make: Make, task: Task, tmp_path: Path
) -> None:
    script = "import sys; open(sys.argv[1].removeprefix('OUT=') + '/a.html', 'w').close()"
    assert (await make(script, "OUT={output}").build(task)).files == ("a.html",)


async def test_an_unchanged_page_is_not_written(make: Make, task: Task, tmp_path: Path) -> None:
    await make(WRITE, OUTPUT, "a.html").build(task)
    before = (tmp_path / "output" / "a.html").stat()
    await make(WRITE, OUTPUT, "a.html", "b.html").build(task)
    after = (tmp_path / "output" / "a.html").stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


async def test_a_failure_keeps_the_pages_and_has_the_end_of_the_output(
    make: Make, task: Task, tmp_path: Path
) -> None:
    await make(WRITE, OUTPUT, "a.html").build(task)
    script = WRITE + "print('x' * 10_000_000); print('no disk left'); sys.exit(3)"
    with pytest.raises(BuildFailed, match=r"ended with status 3: x+\nno disk left$") as failure:
        await make(script, OUTPUT, "b.html").build(task)
    assert len(failure.value.reason) < 3000
    assert files(tmp_path / "output").keys() == {"a.html"}


async def test_a_build_without_output_does_not_empty_the_site(
    make: Make, task: Task, tmp_path: Path
) -> None:
    await make(WRITE, OUTPUT, "a.html").build(task)
    with pytest.raises(BuildFailed, match="wrote no page"):
        await make("", OUTPUT).build(task)
    assert files(tmp_path / "output").keys() == {"a.html"}


async def test_a_command_that_times_out_is_killed_with_its_children(
    make: Make, task: Task, tmp_path: Path
) -> None:
    script = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("pid", "w").write(str(child.pid))
time.sleep(600)
"""
    written = task.checkout / "pid"
    for seconds in (1, 10, 100):  # a busy machine takes a while to start two programs
        with pytest.raises(BuildFailed, match="still running") as failure:
            await make(script, seconds=seconds).build(task)
        assert failure.value.passing
        if written.exists() and (pid := written.read_text()):
            break
    async with asyncio.timeout(300):
        while _runs(pid):
            await asyncio.sleep(0.01)


def _runs(pid: str) -> bool:
    status = Path("/proc", pid, "stat")
    return status.exists() and status.read_text().split(") ")[1][0] != "Z"


async def test_a_missing_command(task: Task, make: Make, tmp_path: Path) -> None:
    builder = make("")
    missing = CommandBuilder(
        ["no-such-program"], builder.output, builder.staging, "content", builder.environment
    )
    with pytest.raises(BuildFailed, match="no-such-program cannot be started"):
        await missing.build(task)


async def test_the_command_gets_the_environment_without_the_bridges_secrets(
    make: Make, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_AUTH__SECRET", "s3cr3t")
    monkeypatch.setenv("OTHER", "other")
    script = "import os, json; json.dump(dict(os.environ), open('seen', 'w'))"
    await make(script).build(task)
    seen = (task.checkout / "seen").read_text()
    assert "s3cr3t" not in seen
    for expected in ('"OTHER": "other"', '"SITE_URL": "https://example.com"', '"SITE_VERSION"'):
        assert expected in seen


async def test_arguments_are_never_interpreted_by_a_shell(
    make: Make, task: Task, tmp_path: Path
) -> None:
    script = "import sys; open('seen', 'w').write(sys.argv[1])"
    await make(script, "$(touch /tmp/x); `id` > y & *").build(task)
    assert (task.checkout / "seen").read_text() == "$(touch /tmp/x); `id` > y & *"


LOG = """\
[12:00:00] ERROR    Could not process ./bad date.md            generators.py:721
           ERROR    Skipping /co/content/d.md: could not find information about 'title'  c.py:1
           WARNING  Empty alt in ./fine.md                                            r.py:2
[12:00:01] CRITICAL RuntimeError: File tag/x.html is to be overwritten            __init__.py:683
           Traceback (most recent call last):
"""


def test_errors_in_pelicans_log_name_their_files(tmp_path: Path) -> None:
    checkout = tmp_path / "co"
    for name in ("bad date.md", "d.md", "fine.md"):
        file = checkout / "content" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    found = list(errors(LOG.replace("/co/", f"{checkout}/"), SourcePaths(checkout, "content")))
    assert [error.file for error in found] == ["content/bad date.md", "content/d.md", None]
    assert found[1].reason == "Skipping content/d.md: could not find information about 'title'"


def test_an_error_of_several_lines_is_whole(tmp_path: Path) -> None:
    log = """[12:00:00] ERROR    Could not process a.md: the reader says                r.py:1
                    second line

                      third
           WARNING  Another message
                    of two lines
           CRITICAL The theme fails
                    in a template
                    Traceback (most recent call last):
                      File "x.py", line 1
done
"""
    found = [each.reason for each in errors(log, SourcePaths(tmp_path, "content"))]
    assert found == [
        "Could not process a.md: the reader says\nsecond line\n\nthird",
        "The theme fails\nin a template",
    ]


def test_an_error_blames_the_file_that_it_names_first(tmp_path: Path) -> None:
    """pandoc-reader's errors name the post, and then the files that its command was given."""
    for name in ("blogs/a.md", "blogs/a.bib"):
        (tmp_path / "content" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "content" / name).touch()
    log = f"ERROR Could not process blogs/a.md: ['pandoc', '{tmp_path}/content/blogs/a.bib'] r.py:1"
    (found,) = errors(log, SourcePaths(tmp_path, "content"))
    assert found.file == "content/blogs/a.md"


LARGE = (
    WRITE
    + """
import time
(folder / "large.html").write_bytes(bytes(5_000))
time.sleep(float(sys.argv[2]))
"""
)


async def test_a_build_may_not_make_the_site_much_larger(
    make: Make, task: Task, tmp_path: Path
) -> None:
    builder = make(WRITE, OUTPUT, "a.html")
    builder.output.most = 4_000
    await builder.build(task)
    for seconds in ("0", "600"):  # whether it has ended by itself or not
        large = replace(make(LARGE, OUTPUT, seconds, seconds=500), output=builder.output)
        with pytest.raises(BuildFailed, match=r"larger by more than 4,000 bytes .*max_growth"):
            await large.build(task)
        assert [*builder.output.folder.iterdir()] == [builder.output.folder / "a.html"]
    builder.output.most = 6_000
    await replace(make(LARGE, OUTPUT, "0"), output=builder.output).build(task)
    # Only what is new counts: the same again is nothing.
    builder.output.most = 1
    await replace(make(LARGE, OUTPUT, "0"), output=builder.output).build(task)


class _SlowlyRead(Output):
    """A folder that takes longer to scan than to build."""

    def size(self) -> int | None:
        sleep(0.5)
        return super().size()


async def test_a_fast_build_may_not_make_the_site_much_larger(
    make: Make, task: Task, tmp_path: Path
) -> None:
    builder = make(WRITE, OUTPUT, "a.html")
    await builder.build(task)
    slow = _SlowlyRead(builder.output.folder, builder.output.note, most=4_000)
    with pytest.raises(BuildFailed, match=r"larger by more than 4,000 bytes"):
        await replace(make(LARGE, OUTPUT, "0"), output=slow).build(task)


async def test_a_first_build_may_have_any_size(make: Make, task: Task) -> None:
    builder = make(LARGE, OUTPUT, "0")
    builder.output.most = 1
    assert len((await builder.build(task)).files) == 2
