"""The search for leaked secrets finds them everywhere."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import secrets_kit
from aiohttp import web
from aiohttp.test_utils import TestClient
from git_kit import git
from secrets_kit import Watch
from soak_kit import in_soak

from bridge.indieauth.login.password import hash_password


@pytest.fixture
def watch(watched: Watch) -> Iterator[Watch]:
    """A separate watch for this test, whose leaks are intended."""
    with pytest.MonkeyPatch.context() as patch:
        watch = Watch()
        watch.start(patch)
        yield watch
    watched.secrets -= watch.secrets


def found(watch: Watch, folder: Path) -> set[str]:
    """The secrets that have leaked."""
    return {leak.rpartition(": ")[2] for leak in watch.leaks(folder)}


LEAKY = """
import secrets

def test_one(tmp_path):
    (tmp_path / "notes").write_text(secrets.token_urlsafe(32))

def test_two():
    pass
"""


@pytest.mark.parametrize(
    "spread", [in_soak((), id="alone"), pytest.param(("-p", "xdist", "-n", "1"), id="spread")]
)
def test_a_run_in_which_a_secret_has_leaked_fails(tmp_path: Path, spread: tuple[str, ...]) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY)
    options = (
        "-p",
        "secrets_kit",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(tmp_path / "written"),
    )
    command = [sys.executable, "-m", "pytest", *options, *spread]
    kits = {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }

    def run(*tests: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *tests], cwd=tmp_path, env=os.environ | kits,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    leaked = run("test_leaky.py")
    assert leaked.returncode == 1
    assert "2 passed" in leaked.stdout
    assert "secrets that have leaked" in leaked.stdout
    assert re.search(r"/test_one0/notes: [\w-]{43}\n", leaked.stdout)
    if not spread:
        assert run("test_leaky.py::test_two").returncode == 0
    shutil.rmtree(tmp_path / "written")


def test_a_run_leaves_no_temporary_files(tmp_path: Path) -> None:
    """Except for what pytest keeps of tests that failed."""
    of_this_run = ("PYTEST_", "TMPDIR")
    outer = {name: text for name, text in os.environ.items() if not name.startswith(of_this_run)}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-pno:cacheprovider", "tests/unit/test_content_golden.py"],
        cwd=Path(__file__).parents[2], env=outer | {"TMPDIR": str(tmp_path)},
        capture_output=True, check=True,
    )  # fmt: skip
    assert [each.name.rpartition("-")[0] for each in tmp_path.iterdir()] == ["pytest-of"]


def test_in_a_file_and_in_the_middle_of_a_word(watch: Watch, tmp_path: Path) -> None:
    secret, other = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    (tmp_path / "notes").write_bytes(b"\0\xffabc" + secret.encode() + b"def")
    assert found(watch, tmp_path) == {secret} != {other}


@pytest.mark.parametrize("small", [0, secrets_kit._SMALL], ids=["read by git", "read here"])
def test_in_an_unreachable_commit_and_in_a_pack(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(secrets_kit, "_SMALL", small)
    git(tmp_path, "init", "-q")
    packed, loose = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", f"With {packed}")
    git(tmp_path, "repack", "-q", "-a", "-d")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", f"With {loose}")
    git(tmp_path, "update-ref", "-d", "HEAD")
    shutil.rmtree(tmp_path / ".git" / "logs")
    (tmp_path / ".git" / "COMMIT_EDITMSG").unlink()
    # As a pack that git deletes meanwhile, or that a test has made unreadable.
    (tmp_path / ".git" / "objects" / "pack" / "pack-0.pack").symlink_to("gone")
    assert found(watch, tmp_path) == {packed, loose}


def test_in_an_object_that_is_packed_as_a_difference(watch: Watch, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    secret = secrets.token_urlsafe(32)
    lines = "".join(f"This is line {n}.\n" for n in range(200))
    for text in (f"{secret}\n{lines}", f"{lines}More.\n"):
        (tmp_path / "notes").write_text(text)
        git(tmp_path, "add", "notes")
        git(tmp_path, "commit", "-q", "-m", "x")
    git(tmp_path, "repack", "-q", "-a", "-d", "-f")
    packs = map(str, tmp_path.rglob("*.idx"))
    assert "chain length = 1" in git(tmp_path, "verify-pack", "-v", *packs)
    assert found(watch, tmp_path) == {secret}


def test_in_a_database(watch: Watch, tmp_path: Path) -> None:
    secret = secrets.token_urlsafe(32)
    database = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE x (y)")
    database.execute("INSERT INTO x VALUES (?)", (f"token {secret}",))
    assert found(watch, tmp_path) == {secret}
    database.close()


def test_in_the_log(watch: Watch, tmp_path: Path) -> None:
    secret = secrets.token_urlsafe(32)
    logging.getLogger("bridge.web").warning("this is bad: %s", secret)
    assert found(watch, tmp_path) == {secret}


async def test_in_a_response(
    watch: Watch, tmp_path: Path, aiohttp_client: Callable[..., Awaitable[TestClient[Any, Any]]]
) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Authorization"], status=401)

    app = web.Application()
    app.router.add_get("/token", echo)
    client = await aiohttp_client(app)
    headers = {"Authorization": "Bearer it-was-pasted-by-hand"}
    await (await client.get("/token", headers=headers)).text()
    assert found(watch, tmp_path) == {"it-was-pasted-by-hand"}


@pytest.mark.parametrize("password", ["several words of mine", "several words\nof mine"])
def test_a_password(watch: Watch, tmp_path: Path, password: str) -> None:
    hash_password(password)
    (tmp_path / "notes").write_text(f"It is: {password}.")
    (tmp_path / "copy").write_text(f"1\nIt is: {password}.\n2")
    assert found(watch, tmp_path) == {password}


def test_one_generated_by_a_child_process(watch: Watch, tmp_path: Path) -> None:
    program = "import secrets; print(secrets.token_urlsafe(32))"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / "notes").write_text(printed)
    assert found(watch, tmp_path) == {printed}
