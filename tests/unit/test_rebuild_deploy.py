"""A deploy command gets the changed files, and those of failed runs again."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pytest

from bridge.pages import language
from bridge.rebuild.build import BuildFailed, BuildOutcome, Shown, Superseded, ignore
from bridge.rebuild.local.deploy import Deployed
from bridge.runtime import process
from bridge.store import Version

V = Version("v1")
#: Notes what it reads; fails while there is a file ``broken``.
PROGRAM = """
import pathlib, sys
if pathlib.Path("../broken").exists():
    sys.exit("the server is away")
with open("../deployed", "a") as file:
    file.write(sys.stdin.read() + ".")
"""


class Pages:
    """A job whose builds change given files."""

    next_due: datetime | None = None

    def __init__(self, *changes: tuple[str, ...]) -> None:
        self._changes = list(changes)
        self.ends: list[Exception] = []

    async def do(self, version: Version, shown: Shown, previewed: Shown = ignore) -> BuildOutcome:
        files = self._changes.pop(0)
        shown(files[:1])
        if self.ends:
            raise self.ends.pop(0)
        return BuildOutcome(files)

    def preempt(self) -> None:
        """Nothing to preempt."""

    async def run_when_idle(self) -> str | None:
        return None

    async def close(self) -> None:
        """Nothing to end."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "output").mkdir()
    return tmp_path


def deployed(folder: Path, *changes: tuple[str, ...], end: Exception | None = None) -> Deployed:
    pages = Pages(*changes)
    pages.ends = [end] if end else []
    return Deployed(
        pages,
        (sys.executable, "-c", PROGRAM),
        output=folder / "output",
        ours=lambda: {"a.html", "b.html", "c.html"},
        note=folder / "undeployed.json",
        environment=process.environment({}),
    )


def too_early(pages: Iterable[str]) -> None:
    raise AssertionError(f"{pages} are on disk, but not where the world sees them")


async def test_the_deploy_command_reads_the_changed_files(folder: Path) -> None:
    job = deployed(folder, ("b.html", "a.html"), (), ("c.html",))
    for _ in range(3):
        await job.do(V, too_early)
    assert (folder / "deployed").read_text() == "a.html\nb.html\n.c.html\n."


async def test_files_of_a_failed_deploy_are_passed_again(folder: Path) -> None:
    (folder / "broken").touch()
    with pytest.raises(BuildFailed, match="the server is away") as failure:
        await deployed(folder, ("a.html",)).do(V, too_early)
    assert failure.value.passing
    (folder / "broken").unlink()
    await deployed(folder, ("b.html",)).do(V, too_early)
    assert (folder / "deployed").read_text() == "a.html\nb.html\n."


@pytest.mark.parametrize(
    "argv",
    [
        (sys.executable, "-c", "import sys; print('x: y ' * 10_000); sys.exit(3)"),
        (sys.executable, "-c", "import sys; sys.exit(3)"),
        (sys.executable, "-c", "import time; time.sleep(600)"),
        ("no-such-program",),
    ],
    ids=["noisy", "silent", "endless", "missing"],
)
async def test_why_a_site_is_not_deployed_is_said_in_the_readers_language(
    folder: Path, argv: tuple[str, ...]
) -> None:
    job = Deployed(
        Pages(("a.html",)),
        argv,
        output=folder / "output",
        ours=set,
        note=folder / "undeployed.json",
        environment=process.environment({}),
        seconds=1 if "600" in argv[-1] else 600,
    )
    with pytest.raises(BuildFailed) as failure:
        await job.do(V, too_early)
    reason = failure.value.reason
    assert reason.startswith(f"The site could not be deployed: {argv[0]} ")
    for spoken, words in (
        ("de", "konnte nicht übertragen werden"),
        ("es", "No se pudo desplegar"),
        ("fr", "n’a pas pu être déployé"),
    ):
        language.speak(spoken)
        said = language.translated(reason)
        language.speak("en")
        assert words in said
        assert argv[0] in said
        assert not {"was", "and", "ended", "cannot"}.intersection(said.split())


async def test_pages_of_an_aborted_build_are_deployed_by_the_next(folder: Path) -> None:
    job = deployed(folder, ("a.html", "never.html"), ("b.html",), end=Superseded())
    with pytest.raises(Superseded):
        await job.do(V, too_early)
    await job.do(V, too_early)
    assert (folder / "deployed").read_text() == "a.html\nb.html\n."


async def test_after_a_failed_build_every_file_is_deployed(folder: Path) -> None:
    job = deployed(folder, ("a.html",), end=BuildFailed("killed"))
    with pytest.raises(BuildFailed):
        await job.do(V, too_early)
    await deployed(folder, ()).do(V, too_early)
    assert (folder / "deployed").read_text() == "a.html\nb.html\nc.html\n."
