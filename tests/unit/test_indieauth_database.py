"""The database: its file, its migrations, and that it contains no secret."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import argon2
import pytest
from indieauth_kit import PASSWORD, allowed, exchange, scene

from bridge.errors import InsufficientStorage, Unavailable
from bridge.indieauth.database import Database, TooNew
from bridge.indieauth.login.password import owner_handle, owner_reset, setup_link_is_good
from bridge.indieauth.login.sessions import find_session, list_sessions, start_session
from bridge.indieauth.migrations import MIGRATIONS
from bridge.indieauth.oauth.app_tokens import create_token, find_token, list_tokens
from bridge.runtime.private import database_files


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "indieauth.sqlite"
    database = Database(path)
    create_token(database, "x", ["create"])
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    database.close()


def test_a_full_disk_is_said_and_is_over_once_there_is_room(tmp_path: Path) -> None:
    database = Database(tmp_path / "indieauth.sqlite")
    ((pages,),) = database.all("PRAGMA page_count")
    database.all(f"PRAGMA max_page_count = {pages}")
    kept = list[str]()

    def fill() -> None:
        for number in range(1000):
            kept.append(create_token(database, f"{number}", ["create"]))

    with pytest.raises(InsufficientStorage, match="disk is full"):
        fill()
    assert all(find_token(database, each) for each in kept)
    database.all(f"PRAGMA max_page_count = {pages + 100}")
    assert find_token(database, create_token(database, "after", ["create"]))
    database.close()


def test_a_process_that_holds_the_lock_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "indieauth.sqlite"
    monkeypatch.setattr("bridge.indieauth.database._BUSY_SECONDS", 0.05)
    database = Database(path)
    secret = create_token(database, "x", ["create"])
    other = sqlite3.connect(path, isolation_level=None)
    waits = list[int]()
    for step in ("BEGIN IMMEDIATE", None, "ROLLBACK"):
        waits += database.all("PRAGMA busy_timeout")[0]
        if step:
            other.execute(step)
        if step != "ROLLBACK":
            with pytest.raises(Unavailable):
                create_token(database, "y", ["create"])
            # Reading goes on, and so does what may be lost.
            assert find_token(database, secret) is not None
    create_token(database, "y", ["create"])
    waits += database.all("PRAGMA busy_timeout")[0]
    assert waits == [50, 0, 0, 50]
    other.close()
    database.close()


def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "indieauth.sqlite"
    first = Database(path)
    secret = create_token(first, "x", ["create"])
    first.close()
    second = Database(path)
    assert find_token(second, secret) is not None
    (version,) = second.all("PRAGMA user_version")[0]
    assert version == len(MIGRATIONS)
    # Else the first request that writes could stop all others for as long as opening may take.
    assert second.all("PRAGMA busy_timeout")[0]["timeout"] == 1000


def test_commands_that_read_open_it_while_another_program_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening changes nothing where nothing is new, and so needs no lock, and no room."""
    monkeypatch.setattr("bridge.indieauth.database._OPENING_SECONDS", 0.05)
    path = tmp_path / "indieauth.sqlite"
    first = Database(path)
    create_token(first, "x", ["create"])
    with first.transaction():
        command = Database(path)
        assert [each.name for each in list_tokens(command)] == ["x"]
        command.close()
    first.close()


def test_two_processes_may_have_it_open(tmp_path: Path) -> None:
    """Commands create tokens while the server runs."""
    path = tmp_path / "indieauth.sqlite"
    server, command = Database(path), Database(path)
    secret = create_token(command, "x", ["create"])
    assert find_token(server, secret) is not None


def test_two_processes_may_create_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ``serve`` and a command: SQLite itself would refuse one of them at once."""
    monkeypatch.setattr("bridge.indieauth.database._OPENING_SECONDS", 60.0)
    path = tmp_path / "indieauth.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    ending = threading.Timer(0.2, other.execute, ("ROLLBACK",))
    ending.start()
    database = Database(path)
    ending.join()
    assert database.all("PRAGMA journal_mode")[0]["journal_mode"] == "wal"
    database.close()
    other.close()


def test_a_use_is_found_though_another_program_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Updating the last use of a token or session does not wait for a lock."""
    monkeypatch.setattr("bridge.indieauth.database._BUSY_SECONDS", 120.0)
    here, there = Database(tmp_path / "x.sqlite"), Database(tmp_path / "x.sqlite")
    token = create_token(here, "Phone", ["create"])
    session = start_session(here, way="password", device="Test")
    with here.transaction() as connection:
        connection.execute("UPDATE sessions SET last_used = 0")
    with there.transaction():
        began = time.monotonic()
        assert find_token(here, token) is not None
        assert find_session(here, session) is not None
        assert time.monotonic() - began < 100
    assert list_tokens(here)[0].last_used is None
    find_token(here, token)
    find_session(here, session)
    assert list_tokens(here)[0].last_used is not None
    assert list_sessions(here)[0].last_used > 0


def test_a_newer_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "indieauth.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(TooNew):
        Database(path)


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "indieauth.sqlite")
    handle = b"0"
    insert = "INSERT INTO owner (id, handle) VALUES (?, ?)"
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as connection:
        connection.executemany(insert, [(1, handle), (2, handle)])
    assert database.all("SELECT * FROM owner") == []


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be opened"):
        Database(tmp_path / "file" / "indieauth.sqlite")


def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "indieauth.sqlite"
    path.write_text("This is a letter to my aunt. " * 100)
    with pytest.raises(Unavailable):
        Database(path)


async def test_no_secret_is_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After all operations, no issued secret is in the file or the log."""
    caplog.set_level("DEBUG")
    async with scene(tmp_path, sign_in=False) as made:
        await made.owner.sign_in()
        code = await allowed(made.owner, made.app)
        reply = await exchange(made.owner, made.app, code)
        given = json.loads(reply.text)
        app_token = create_token(made.db, "x", ["create"])
        key = owner_reset(made.db).partition("key=")[2]
        cookies = [item.value for item in made.owner.session.cookie_jar]
        secrets = [
            PASSWORD,
            code,
            given["access_token"],
            given["refresh_token"],
            app_token,
            key,
            *cookies,
        ]
        await made.owner.get("/token", headers={"Authorization": f"Bearer {app_token}"})
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("indieauth.sqlite*"))
    for secret in secrets:
        assert len(secret) >= 18
        assert secret.encode() not in stored
        assert secret not in caplog.text


def test_passwords_are_hashed_as_rfc_9106_recommends(
    hasher_in_use: argon2.PasswordHasher,
) -> None:
    """RFC 9106 4, the second recommended option: t=3 iterations, p=4 lanes, m=2^(16) (64 MiB of
    RAM), 128-bit salt, and 256-bit tag size.
    """
    used = argon2.extract_parameters(hasher_in_use.hash("a password"))
    assert used.type is argon2.Type.ID
    assert (used.time_cost, used.parallelism, used.memory_cost) == (3, 4, 2**16)
    assert (used.salt_len, used.hash_len) == (16, 32)


def backup(path: Path, to: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def overwrite(path: Path) -> None:
    with path.open("r+b") as opened:
        opened.write(b"garbage!" * (path.stat().st_size // 8))
    os.utime(path)


def replace_by_a_new_one(path: Path) -> None:
    for each in database_files(path):
        each.unlink(missing_ok=True)
    Database(path).close()


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, 4096)


@pytest.mark.parametrize("restored", ["in place", "as another file"])
@pytest.mark.parametrize("harm", [overwrite, empty, cut, Path.unlink, replace_by_a_new_one])
def test_a_database_that_is_lost_while_it_is_open_is_refused_until_it_is_restored(
    tmp_path: Path,
    harm: Callable[[Path], None],
    restored: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, copy = tmp_path / "indieauth.sqlite", tmp_path / "backup.sqlite"
    database = Database(path)
    secret = create_token(database, "x", ["create"])
    with database.transaction() as connection:
        handle = owner_handle(connection)
    database.all("PRAGMA wal_checkpoint(TRUNCATE)")
    assert find_token(database, secret) is not None
    assert not caplog.messages
    backup(path, copy)
    harm(path)
    here = path.read_bytes() if path.exists() else None
    for _ in range(3):
        with pytest.raises(Unavailable, match="Its owner can copy a backup"):
            find_token(database, secret)
        with pytest.raises(Unavailable), database.transaction():
            pytest.fail("nothing can be written")
        database.note("DELETE FROM tokens")
    # Said once, with what to do; and no new one has come in its place.
    (said,) = [text for text in caplog.messages if "until a backup of it is copied" in text]
    assert str(path) in said
    assert (path.read_bytes() if path.exists() else None) == here
    if restored == "in place":
        path.write_bytes(copy.read_bytes())
        os.utime(path)
    else:
        copy.replace(path)
    assert find_token(database, secret) is not None
    with database.transaction() as connection:
        assert owner_handle(connection) == handle
    create_token(database, "y", ["create"])
    database.close()
    again = Database(path)
    assert [each.name for each in list_tokens(again)] == ["y", "x"]
    again.close()


def as_a_file(path: Path, to: Path) -> None:
    shutil.copyfile(path, to)


@pytest.mark.parametrize("first", ["a token is looked up", "a token is made", "the program ends"])
@pytest.mark.parametrize("save", [backup, as_a_file])
def test_an_older_backup_that_is_copied_over_it_is_used(
    tmp_path: Path,
    save: Callable[[Path, Path], None],
    first: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing that was written since is mixed with it."""
    caplog.set_level("INFO", "bridge.indieauth.database")
    path, copy = tmp_path / "indieauth.sqlite", tmp_path / "backup.sqlite"
    database = Database(path)
    with database.transaction() as connection:
        owner_handle(connection)
    old = create_token(database, "old", ["create"])
    save(path, copy)
    # So many that they are on pages which the backup does not have.
    new = [create_token(database, f"new {number}", ["create"]) for number in range(300)]
    assert find_token(database, new[-1]) is not None
    assert not caplog.messages
    before = path.stat().st_mtime_ns
    path.write_bytes(copy.read_bytes())
    # File systems do not tell times apart that are only milliseconds apart.
    os.utime(path, ns=(before + 10**9, before + 10**9))
    expected = ["old"]
    if first == "a token is made":
        create_token(database, "newest", ["create"])
        expected.insert(0, "newest")
    if first != "the program ends":
        assert [find_token(database, each) for each in new] == [None] * len(new)
        assert find_token(database, old) is not None
        assert [each.name for each in list_tokens(database)] == expected
        (said,) = caplog.messages
        assert str(path) in said
    database.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again = Database(path)
    assert [each.name for each in list_tokens(again)] == expected
    again.close()


def test_a_backup_that_cannot_be_opened_yet_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program looks at it, or it still belongs to root: then the file itself is the same
    afterwards.
    """
    monkeypatch.setattr("bridge.indieauth.database._BUSY_SECONDS", 0.05)
    monkeypatch.setattr("bridge.indieauth.database._AGAIN_SECONDS", 0.0)
    path, copy = tmp_path / "indieauth.sqlite", tmp_path / "backup.sqlite"
    database = Database(path)
    secret = create_token(database, "x", ["create"])
    backup(path, copy)
    path.unlink()
    with pytest.raises(Unavailable, match="Its owner can copy a backup"):
        find_token(database, secret)
    copy.replace(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="Its owner can copy a backup"):
            find_token(database, secret)
    assert find_token(database, secret) is not None
    database.close()


def test_damage_that_only_a_statement_finds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "indieauth.sqlite"
    database = Database(path)
    secret = create_token(database, "x", ["create"])
    database.all("PRAGMA wal_checkpoint(TRUNCATE)")
    assert find_token(database, secret) is not None
    before = path.stat()
    overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    database.all("PRAGMA shrink_memory")
    for text in ("cannot be read", "is damaged"):
        with pytest.raises(Unavailable, match=text):
            find_token(database, secret)
    database.close()


def test_what_other_processes_write_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bridge.indieauth.database")
    path = tmp_path / "indieauth.sqlite"
    server, command = Database(path), Database(path)
    for number in range(3):
        secret = create_token(command, f"{number}", ["create"])
        command.all("PRAGMA wal_checkpoint(TRUNCATE)")
        assert find_token(server, secret) is not None
    command.close()
    assert len(list_tokens(server)) == 3
    server.close()
    opened = f"the IndieAuth database {path} was changed by another program, and was opened again"
    assert {(each.levelname, each.getMessage()) for each in caplog.records} == {("INFO", opened)}


def test_a_command_may_write_to_a_database_that_has_no_owner_yet(tmp_path: Path) -> None:
    """As ``owner reset`` does while the bridge runs for the first time."""
    path, new = tmp_path / "indieauth.sqlite", tmp_path / "new.sqlite"
    server, command = Database(path), Database(path)
    link = owner_reset(command)
    command.close()
    assert setup_link_is_good(server, link.partition("key=")[2])
    # From the first token on it is told apart from a new one.
    secret = create_token(server, "x", ["create"])
    Database(new).close()
    path.write_bytes(new.read_bytes())
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))
    with pytest.raises(Unavailable, match="not the former one"):
        find_token(server, secret)
    server.close()
