"""Expected errors end in one line that says what to do, never in a traceback."""

from __future__ import annotations

import errno
import os
import pwd
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from cli_kit import commit, done, environment, git, quickstart, refused, run, served, set_port
from demo_kit import wait_until

from bridge.commands.cli import _explain, main


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site and a bridge that ``init`` has set up."""
    folder = tmp_path_factory.mktemp("stock")
    site = quickstart(folder / "site")
    commit(site)
    bridge = folder / "bridge"
    bridge.mkdir()
    done("init", site, "--yes", cwd=bridge)
    set_port(bridge / "bridge.toml")
    return folder


@pytest.fixture
def bridge(stock: Path, tmp_path: Path) -> Path:
    """A copy of it to break; its relative paths make it movable."""
    shutil.copytree(stock, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "bridge" / "bridge.toml"
    config.write_text(config.read_text().replace(str(stock), ".."))
    git("remote", "set-url", "origin", tmp_path / "site", cwd=tmp_path / "bridge" / "site.git")
    return tmp_path / "bridge"


def change(bridge: Path, old: str, new: str) -> None:
    config = bridge / "bridge.toml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


@pytest.mark.parametrize("command", [["serve"], ["check"], ["token", "list"], ["owner", "reset"]])
def test_without_a_settings_file_init_is_named(tmp_path: Path, command: list[str]) -> None:
    assert refused(*command, cwd=tmp_path).startswith("bridge.toml: there is no such file")
    assert "other.toml" in refused(*command, "-c", "other.toml", cwd=tmp_path)


def test_a_setting_that_does_not_exist_is_named(bridge: Path) -> None:
    change(bridge, "public_url", "public_ulr")
    told = refused("serve", cwd=bridge)
    assert "server.public_ulr: is not a setting" in told
    assert "Did you mean 'public_url'?" in told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[webmention]", "[webmentions]", "webmentions: is not a section. Did you mean 'web"),
        ("port = ", 'port = "x"  # ', "server.port: 'x' is not valid. Write a whole number, wi"),
        ("port = ", "port = 99999  # ", "99999 is not valid. Write a whole number, at most 65535"),
        ("enabled = true", 'enabled = "true"', "'true' is not valid. Write true or false, witho"),
        ("[rebuild]", '[rebuild]\ndeploy = "rsync -a"', "'rsync -a' is not valid. Write a list,"),
        ("[site]", "[site", "bridge.toml: invalid TOML: "),
    ],
)
def test_an_invalid_setting_is_explained_in_plain_words(
    bridge: Path, old: str, new: str, told: str
) -> None:
    change(bridge, old, new)
    assert told in refused("token", "list", cwd=bridge)


def test_an_import_of_a_missing_file(bridge: Path) -> None:
    told = refused("mentions", "import", "nothing.jf2", cwd=bridge)
    assert told == "nothing.jf2: No such file or directory"


def test_a_repo_that_is_not_there(bridge: Path) -> None:
    shutil.rmtree(bridge / "site.git")
    told = refused("serve", cwd=bridge)
    assert "there is no repo at" in told
    assert told.endswith("or have `micropub-bridge init CLONE` create it again")

    done("init", bridge.parent / "site", cwd=bridge)
    assert (bridge / "site.git" / "HEAD").is_file()


def test_a_folder_that_is_no_repo(bridge: Path) -> None:
    shutil.rmtree(bridge / "site.git" / "objects")
    assert "is not a git repo" in refused("serve", cwd=bridge)


async def test_unreadable_pelican_settings_are_reported_and_can_be_fixed(
    bridge: Path, http: aiohttp.ClientSession
) -> None:
    site = bridge.parent / "site"
    conf = site / "pelicanconf.py"
    before = conf.read_text()
    conf.write_text("import no_such_module\n")
    commit(site, "Broken")
    git("fetch", "--quiet", "origin", "main:main", cwd=bridge / "site.git")

    def is_fixed() -> bool:
        return git("log", "-1", "--format=%s", "main", cwd=bridge / "site.git") == "Fixed"

    with served(bridge) as running:
        headers = {"Authorization": f"Bearer {running.token()}"}
        form = {"h": "entry", "content": "Hello"}
        async with http.post(f"{running.url}micropub", data=form, headers=headers) as answer:
            assert answer.status == 500
            assert "no_such_module" in (await answer.json())["error_description"]
        conf.write_text(before)
        commit(site, "Fixed")
        wait_until(is_fixed)
        assert await running.post(http, "Hello") == "https://example.com/hello.html"
        log = running.log.read_text()
    assert "no_such_module" in log
    assert "Traceback" not in log


def test_a_machine_without_git(bridge: Path) -> None:
    told = refused("serve", cwd=bridge, env={"PATH": "/nowhere"})
    assert told.startswith("git is not installed")


def test_a_file_that_another_user_made_is_named_with_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert _explain(error) == f"{tmp_path}: Permission denied"
    me = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: me + 54_321)
    assert _explain(error) == (
        f"{tmp_path}: Permission denied. It belongs to {pwd.getpwuid(me).pw_name}, and this command"
        f" runs as {me + 54_321}. Run all commands as the user that runs the bridge, who has to own"
        " everything beside bridge.toml"
    )
    missing = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "new"))
    assert _explain(missing) == f"{tmp_path / 'new'}: Permission denied"


def test_root_leaves_another_users_bridge_alone(
    bridge: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bridge)
    me = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    owner = pwd.getpwnam("nobody") if me == 0 else pwd.getpwuid(me)
    if me == 0:
        os.chown(bridge, owner.pw_uid, -1)
        os.chown(bridge / "bridge.toml", owner.pw_uid, -1)
    before = {path: path.stat().st_mtime_ns for path in bridge.rglob("*")}
    for line in (["token", "create", "x"], ["owner", "reset"], ["init", "../site"], ["serve"]):
        monkeypatch.setattr("sys.argv", ["micropub-bridge", *line])
        assert main(line) == 1
        told = capsys.readouterr().err
        assert told.startswith(
            f"micropub-bridge: bridge.toml belongs to {owner.pw_name}, who could"
        )
        assert told.endswith(f"micropub-bridge {' '.join(line)}\n"), told
    assert {path: path.stat().st_mtime_ns for path in bridge.rglob("*")} == before
    # As in a container, where the owner of a mounted folder has no name.
    monkeypatch.setattr("pwd.getpwuid", lambda user: {}[user])
    assert main(["token", "list"]) == 0


def test_a_port_that_is_taken(bridge: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        set_port(bridge / "bridge.toml", port)
        told = refused("serve", cwd=bridge)
        assert told == (
            f"cannot listen on 127.0.0.1:{port}: Address already in use."
            " Perhaps a bridge is running already. Choose another port, or 0 for a free one."
        )
        assert told == refused("demo", "--port", str(port), "--dir", "demo", cwd=tmp_path)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "Cannot assign requested address"), ("bridge.invalid", "not known")],
)
def test_an_address_of_another_machine(bridge: Path, host: str, reason: str) -> None:
    change(bridge, 'host = "127.0.0.1"', f'host = "{host}"')
    told = refused("serve", cwd=bridge)
    assert f"{reason}. {host} is no address of this machine" in told
    assert "another port" not in told


def test_an_invalid_port(tmp_path: Path) -> None:
    assert "ports end at 65535" in refused("demo", "--port", "70000", cwd=tmp_path)


def test_a_url_that_cannot_be_a_profile(bridge: Path) -> None:
    change(bridge, 'me = "https://example.com/"', 'me = "https://example.com:8443/"')
    assert "site.me" in refused("serve", cwd=bridge)


def test_a_public_url_that_is_not_https_is_named_with_its_file(bridge: Path) -> None:
    file = bridge / "bridge.toml"
    file.write_text(
        re.sub("(?m)^public_url = .*$", 'public_url = "http://b.example/"', file.read_text())
    )
    assert refused("serve", cwd=bridge).startswith("bridge.toml: server.public_url: ")


def test_a_file_that_is_not_a_database(bridge: Path) -> None:
    (bridge / "indieauth.sqlite").write_text("Something else entirely, and long enough for that.")
    for command in (["serve"], ["token", "list"]):
        told = refused(*command, cwd=bridge)
        assert "indieauth.sqlite" in told
        assert "not a database" in told


def test_a_database_in_a_missing_folder(bridge: Path) -> None:
    change(bridge, "[indieauth]", '[indieauth]\ndatabase = "bridge.toml/indieauth.sqlite"')
    assert "cannot be opened" in refused("token", "list", cwd=bridge)


def test_a_database_that_is_locked(bridge: Path) -> None:
    done("token", "list", cwd=bridge)
    holder = sqlite3.connect(bridge / "indieauth.sqlite", isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        assert "database is locked" in refused("token", "create", "phone", cwd=bridge)
    finally:
        holder.close()


def test_a_database_of_a_newer_version(bridge: Path) -> None:
    done("token", "list", cwd=bridge)
    connection = sqlite3.connect(bridge / "indieauth.sqlite")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    for command in (["serve"], ["token", "list"]):
        assert "newer version" in refused(*command, cwd=bridge)


def test_a_folder_with_other_content_is_refused_for_a_demo(bridge: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("Long.")
    for folder in (tmp_path / "mine", bridge):
        before = sorted(folder.iterdir())
        assert "neither empty nor a demo" in refused("demo", "--dir", folder, cwd=tmp_path)
        assert sorted(folder.iterdir()) == before


def test_an_unknown_command_is_wrong_usage(tmp_path: Path) -> None:
    ended = run("publish", cwd=tmp_path)
    assert ended.returncode == 2
    assert "invalid choice: 'publish'" in ended.stderr


def test_the_version_is_printed_without_any_settings(tmp_path: Path) -> None:
    assert done("--version", cwd=tmp_path).strip().count(".") == 2


def test_output_that_nobody_reads_is_no_error(bridge: Path) -> None:
    """As with ``micropub-bridge check | head -1``."""
    done("token", "create", "laptop", cwd=bridge)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bridge", "token", "list"]
    ended = subprocess.run(
        command,
        cwd=bridge,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_the_log_has_no_secret(bridge: Path) -> None:
    with served(bridge) as running:
        secret = running.token()
        assert secret not in running.log.read_text()


@pytest.mark.cold
def test_token_commands_start_no_web_server(bridge: Path) -> None:
    """They are fast: they do not even import what a web server needs."""
    code = (
        "import sys; from bridge.commands.cli import main; main(['token', 'list']);"
        " sys.exit('aiohttp' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=bridge, env=environment(), check=False)
    assert ended.returncode == 0
