"""The processes of the bridge and of the site are isolated from each other."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from demo_kit import PATIENCE
from git_kit import git
from rebuild_site import CONF, commit, post, settled, small_site, worker_for
from soak_kit import SOAK, in_soak

from bridge.rebuild.worker import Worker
from bridge.runtime.confinement import landlock_version
from bridge.settings import IndieAuth, Rebuild, Settings, Site
from bridge.store.git import GitStore

#: What each process imports and may read is what is shown.
pytestmark = pytest.mark.cold

needs_landlock = pytest.mark.skipif(
    landlock_version() < 1 and not os.environ.get("CI"), reason="needs Linux 5.13 with Landlock"
)
ROOT = Path(__file__).parents[2]


async def test_a_running_bridge_imports_no_pelican(tmp_path: Path) -> None:
    """Python's own list of imported modules, for this process only."""
    folder, log = tmp_path / "demo", tmp_path / "imports"
    line = (sys.executable, "-X", "importtime", "-m", "bridge", "demo", "--dir", str(folder))
    # Webmentions, for which other programs parse pages, are sent in `make soak` only.
    env = {**os.environ, "BRIDGE_WEBMENTION__SEND": str(SOAK).lower()}
    with log.open("wb") as output:
        process = subprocess.Popen((*line, "--port", "0"), cwd=ROOT, env=env, stderr=output)
    try:
        facts = folder / "demo.json"
        async with asyncio.timeout(PATIENCE):
            while not facts.exists():
                assert process.poll() is None
                await asyncio.sleep(0.05)
        demo = json.loads(facts.read_text())
        body = {"type": ["h-entry"], "properties": {"name": ["A"], "content": ["*B*"]}}
        headers = {"Authorization": f"Bearer {demo['token']}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            async with http.post(demo["micropub"], json=body) as answer:
                assert answer.status in (201, 202)
                url = answer.headers["Location"]
            query = {"q": "source", "url": url}
            async with http.get(demo["micropub"], params=query) as answer:
                assert (await answer.json())["properties"]["content"] == ["*B*"]
            change = {"action": "update", "url": url, "replace": {"content": ["**C**"]}}
            async with http.post(demo["micropub"], json=change) as answer:
                assert answer.status == 200
    finally:
        process.terminate()
        process.wait(PATIENCE)
    imported = {text.rpartition("|")[2].strip() for text in log.read_text().splitlines()}
    assert "bridge.publisher" in imported
    tops = {name.partition(".")[0] for name in imported}
    assert tops.isdisjoint({"pelican", "markdown", "docutils"})


@asynccontextmanager
async def built(
    folder: Path, store: GitStore, mode: str, deploy: tuple[str, ...] = ()
) -> AsyncIterator[Worker]:
    settings = Settings(
        site=Site(me="https://example.com/", repo=folder / "site.git", state=folder / "state"),
        indieauth=IndieAuth(database=folder / "indieauth.sqlite"),
        rebuild=Rebuild(mode=mode, deploy=deploy),  # type: ignore[arg-type] # the test says what
    )
    worker = worker_for(settings, store, folder)
    await worker.start()
    yield worker
    await worker.close()


@needs_landlock
@pytest.mark.parametrize("mode", ["resident", in_soak("command")])
async def test_no_post_publishes_files_outside_of_the_site(
    mode: str, tmp_path: Path, bare_store: GitStore
) -> None:
    secrets = {
        tmp_path / "bridge.toml": "the-token",
        tmp_path / "indieauth.sqlite": "the-database",
        tmp_path / "state" / "keep" / "pending.json": "the-queue",
    }
    for file, text in secrets.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    files: dict[str, bytes | None] = {}
    up = "../" * 12
    for number, file in enumerate([*secrets, Path("/etc/hostname")]):
        away = f"{up}{str(file).lstrip('/')}"
        links = f"[a]({{attach}}{away}) [b]({{static}}{away}) [c]({{static}}{file})"
        files[f"content/m{number}.md"] = post(f"M {number}", number + 1, body=links)
        for name, directive in {
            "include": f".. include:: {file}\n   :literal:\n",
            "raw": f".. raw:: html\n   :file: {file}\n",
            "table": f".. csv-table::\n   :file: {file}\n",
            "figure": f".. figure:: {{attach}}{away}\n\n   x\n",
        }.items():
            head = f"{name} {number}\n############\n\n:date: 2026-11-0{number + 1}\n\n"
            files[f"content/{name}{number}.rst"] = f"{head}{directive}\nEnd.\n".encode()
    store = bare_store
    small_site(store)
    version = commit(store, files)
    async with built(tmp_path, store, mode) as worker:
        worker.changed(version)
        await settled(worker, version)
        status = worker.status()
        assert status.state == "idle", status
    for file in (*secrets, Path("/etc/hostname")):
        named = [text for text in status.warnings if text.startswith(f"{file} is not published")]
        assert len(named) == 1, status.warnings
    output = tmp_path / "output"
    pages = [file for file in output.rglob("*") if file.is_file()]
    assert output / "one.html" in pages
    hostname = Path("/etc/hostname").read_text().strip()
    for page in pages:
        text = page.read_bytes().decode(errors="replace")
        found = [secret for secret in secrets.values() if secret in text]
        assert not found, page
        assert page.name not in {"bridge.toml", "indieauth.sqlite", "hostname", "pending.json"}
        assert not hostname or f">{hostname}" not in text, page


#: Leaves a mark where only unconfined code can.
LEAVE_A_MARK = """
try:
    open({mark!r}, "w").close()
except OSError:
    pass
"""


@needs_landlock
@pytest.mark.parametrize("mode", ["resident", in_soak("command")])
async def test_no_module_of_the_site_is_imported_before_the_process_is_confined(
    mode: str, tmp_path: Path, bare_store: GitStore
) -> None:
    """Python imports some before a program begins, and finds them in many folders."""
    mark = tmp_path / "escaped"
    code = LEAVE_A_MARK.format(mark=str(mark)).encode()
    small_site(bare_store)
    version = commit(bare_store, {"sitecustomize.py": code, "msgspec.py": code, "ctypes.py": code})
    for place in ("rebuild", "rebuild/kept", "site/home", "site/checkout"):
        folder = tmp_path / "state" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "msgspec.py").write_bytes(code)
    deploy = (sys.executable, "-c", "import ctypes")
    async with built(tmp_path, bare_store, mode, deploy) as worker:
        worker.changed(version)
        await settled(worker, version)
        assert worker.status().state == "idle", worker.status()
    assert (tmp_path / "output" / "one.html").is_file()
    assert not mark.exists()


@needs_landlock
@pytest.mark.parametrize("mode", ["resident", in_soak("command")])
async def test_the_site_writes_to_none_of_the_folders_that_the_bridge_trusts(
    mode: str, tmp_path: Path, bare_store: GitStore
) -> None:
    state = tmp_path / "state"
    conf = f"""
import os
for folder in {[str(state / each) for each in (".", "rebuild", "git", "site", "keep")]!r}:
    try:
        open(os.path.join(folder, "written"), "w").close()
    except OSError:
        pass
try:
    os.rename(os.getcwd(), {str(state / "rebuild" / "elsewhere")!r})
except OSError:
    pass
"""
    small_site(bare_store)
    for each in ("git", "site", "keep"):
        (state / each).mkdir(parents=True)
    version = commit(bare_store, {"pelicanconf.py": CONF + conf.encode()})
    async with built(tmp_path, bare_store, mode) as worker:
        worker.changed(version)
        await settled(worker, version)
        assert worker.status().state == "idle", worker.status()
    assert not list(state.rglob("written"))
    assert not list(state.rglob("elsewhere"))


#: A plugin that leaves orders for git and make in a folder, and in the one that it is to write to.
LEAVE_ORDERS = """
import os
from pelican import signals

def leave(pelican):
    for folder in (pelican.output_path, {output!r}):
        try:
            os.makedirs(os.path.join(folder, ".git"), exist_ok=True)
            with open(os.path.join(folder, ".git", "config"), "a") as file:
                file.write("[core]\\n\\tfsmonitor = touch {mark}; false\\n")
            with open(os.path.join(folder, "Makefile"), "w") as file:
                file.write("all:\\n\\ttouch {mark}\\n")
        except OSError:
            pass

def register():
    signals.finalized.connect(leave)
"""


@needs_landlock
@pytest.mark.parametrize("mode", ["resident", in_soak("command")])
async def test_deploy_takes_no_orders_from_what_the_site_has_written(
    mode: str, tmp_path: Path, bare_store: GitStore
) -> None:
    """An owner has a working tree of git in the output, and pushes from there."""
    output, mark = tmp_path / "output", tmp_path / "escaped"
    output.mkdir()
    git(output, "init", "-q")
    small_site(bare_store)
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["orders"]\nPLUGIN_PATHS = ["plugins"]')
    plugin = LEAVE_ORDERS.format(output=str(output), mark=str(mark)).encode()
    version = commit(bare_store, {"pelicanconf.py": conf, "plugins/orders.py": plugin})
    names = tmp_path / "names"
    who = "-c user.name=A -c user.email=a@b.c"
    script = f"cat > {names} && make; git add -A && git {who} commit -qm x"
    async with built(tmp_path, bare_store, mode, ("sh", "-c", script)) as worker:
        worker.changed(version)
        await settled(worker, version)
        status = worker.status()
        assert status.state == "idle", status
    assert not mark.exists()
    assert "one.html" in git(output, "ls-tree", "--name-only", "HEAD").split()
    assert "one.html" in names.read_text().split()
    assert "Makefile" not in names.read_text()
    assert any(warning.startswith("'Makefile' is not deployed") for warning in status.warnings)


#: A plugin that writes to every pipe of its process.
BABBLING = """
import os, stat
from pelican import signals

def babble(pelican):
    for number in range(3, 30):
        try:
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, b"nonsense\\n")
        except OSError:
            pass

def register():
    signals.finalized.connect(babble)
"""


@pytest.mark.soak
async def test_a_build_process_with_invalid_reports_is_replaced_by_the_command(
    tmp_path: Path, bare_store: GitStore
) -> None:
    small_site(bare_store)
    conf = CONF.replace(b"PLUGINS = []", b'PLUGINS = ["babbling"]\nPLUGIN_PATHS = ["plugins"]')
    version = commit(bare_store, {"pelicanconf.py": conf, "plugins/babbling.py": BABBLING.encode()})
    async with built(tmp_path, bare_store, "resident") as worker:
        worker.changed(version)
        await settled(worker, version)
        assert worker.status().state == "idle", worker.status()
        assert worker.status().slow is not None
    assert (tmp_path / "output" / "one.html").is_file()


@needs_landlock
async def test_a_theme_outside_of_the_site_is_allowed_by_a_setting(
    tmp_path: Path, bare_store: GitStore
) -> None:
    theme = tmp_path / "themes" / "mine" / "templates"
    theme.mkdir(parents=True)
    (theme / "article.html").write_text("A page of mine: {{ article.title }}")
    store = bare_store
    small_site(store)
    outside = f"{CONF.decode()}THEME = {str(theme.parent)!r}\nTHEME_STATIC_PATHS = []\n"
    version = commit(store, {"pelicanconf.py": outside.encode()})
    settings = Settings(
        site=Site(
            me="https://example.com/",
            repo=tmp_path / "site.git",
            state=tmp_path / "state",
            folders=(theme.parent,),
        ),
        rebuild=Rebuild(mode="resident"),
    )
    worker = worker_for(settings, store, tmp_path)
    await worker.start()
    worker.changed(version)
    await settled(worker, version)
    await worker.close()
    assert (tmp_path / "output" / "one.html").read_text() == "A page of mine: One"


@pytest.mark.parametrize("mode", ["resident", in_soak("command")])
async def test_without_landlock_no_post_includes_a_file(
    mode: str, tmp_path: Path, bare_store: GitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.site.sandbox.landlock_version", lambda: 0)
    small_site(bare_store)
    # Inside of the repo, where the kernel of this machine would let it be read.
    secret = "../private/notes.txt"
    head = "Shown\n#####\n\n:date: 2026-11-03\n\n"
    files: dict[str, bytes | None] = {
        "content/plain.rst": f"{head}*Here*.\n".encode(),
        "private/notes.txt": b"hush-hush",
    }
    for name, directive in {
        "include": f".. include:: {secret}\n",
        "raw": f".. raw:: html\n   :file: {secret}\n",
        "table": f".. csv-table::\n   :file: {secret}\n",
    }.items():
        files[f"content/{name}.rst"] = f"{head}{directive}".replace("Shown", name).encode()
    version = commit(bare_store, files)
    async with built(tmp_path, bare_store, mode) as worker:
        worker.changed(version)
        await settled(worker, version)
        assert worker.status().state == "idle", worker.status()
    pages = [file for file in (tmp_path / "output").rglob("*") if file.is_file()]
    assert b"<em>Here</em>" in (tmp_path / "output" / "shown.html").read_bytes()
    assert not any(b"hush-hush" in page.read_bytes() for page in pages)
