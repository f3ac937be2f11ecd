"""Git can read the packs that the store writes: with deltas, and with both hash algorithms."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

import pytest

from bridge.store.objects import EMPTY, FILE, FOLDER, Format, Object, TreeEntry, make_pack
from bridge.store.transaction import Disk, Scratch


def git(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run(
        ["git", *arguments], cwd=folder, input=data, check=True, capture_output=True
    ).stdout


@pytest.fixture(params=["sha1", "sha256"])
def fmt(request: pytest.FixtureRequest, tmp_path: Path) -> Format:
    git(tmp_path, "init", "-q", f"--object-format={request.param}")
    return Format(request.param)


def folders(fmt: Format, dice: Random) -> list[Object]:
    """A folder that grows, shrinks and changes, each state as a change of the previous one."""
    listing, before, trees = EMPTY, None, []
    for number in range(200):
        oid = fmt.object("blob", b"%d" % number).oid
        if dice.random() < 0.2:
            for _ in range(dice.randrange(60)):
                listing = listing.replaced(b"post-%03d.md" % dice.randrange(200), None)
        name = b"%s-%03d.md" % (b"post" * dice.choice([1, 40]), dice.randrange(200))
        listing = listing.replaced(name, TreeEntry(FILE, oid))
        trees.append(fmt.tree(listing, before))
        before = trees[-1].oid
    return trees


def test_every_object_of_a_pack_is_read_back_by_git(fmt: Format, tmp_path: Path) -> None:
    dice = Random(1)
    objects = [
        *(fmt.object("blob", b"%d" % number) for number in range(200)),
        *folders(fmt, dice),
        fmt.object("blob", b""),
        fmt.object("blob", dice.randbytes(300_000)),
        fmt.object("blob", b"words " * 50_000),
    ]
    pack = make_pack(objects, fmt)
    (tmp_path / f".git/objects/pack/{pack.name}.pack").write_bytes(pack.pack)
    (tmp_path / f".git/objects/pack/{pack.name}.idx").write_bytes(pack.idx)
    git(tmp_path, "verify-pack", f".git/objects/pack/{pack.name}.idx")
    git(tmp_path, "fsck", "--strict", "--full")
    names = b"".join(item.oid.hex().encode() + b"\n" for item in objects)
    read = git(tmp_path, "cat-file", "--batch", data=names)
    assert read == b"".join(
        b"%s %s %d\n%s\n" % (item.oid.hex().encode(), item.kind.encode(), len(item.data), item.data)
        for item in objects
    )


def test_a_growing_folder_is_stored_compactly(tmp_path: Path) -> None:
    fmt, listing, trees = Format(), EMPTY, []
    for number in range(1000):
        listing = listing.replaced(b"%d" % number, TreeEntry(FILE, fmt.object("blob", b"").oid))
    before = None
    for number in range(64):
        listing = listing.replaced(b"new-%d" % number, TreeEntry(FILE, fmt.object("blob", b"").oid))
        trees.append(fmt.tree(listing, before))
        before = trees[-1].oid
    assert len(make_pack(trees, fmt).pack) < 3 * len(trees[0].data)


def test_folders_sort_as_git_sorts_them(fmt: Format, tmp_path: Path) -> None:
    listing = EMPTY
    empty = fmt.tree(EMPTY)
    git(tmp_path, "hash-object", "-w", "-t", "tree", "--stdin")
    blob = git(tmp_path, "hash-object", "-w", "--stdin").decode().strip()
    names = [b"a", b"a.b", b"a-b", b"a0", b"ab", b"\xc3\xa9", b"\xff"]
    for number, name in enumerate(names):
        entry = (
            TreeEntry(FOLDER, empty.oid)
            if number % 2 == 0
            else TreeEntry(FILE, bytes.fromhex(blob))
        )
        listing = listing.replaced(name, entry)
    lines = b""
    for name, mode, oid in listing.items():
        kind = b"040000 tree" if mode == FOLDER else b"100644 blob"
        lines += b"%s %s\t%s\0" % (kind, oid.hex().encode(), name)
    assert git(tmp_path, "mktree", "-z", data=lines).decode().strip() == fmt.tree(listing).oid.hex()
    assert [*fmt.listing(listing.data()).items()] == [*listing.items()]


def test_what_is_no_file_among_the_packs_is_left_alone(tmp_path: Path) -> None:
    """A named pipe would be read for ever, and a folder cannot be unlinked."""
    os.mkfifo(tmp_path / "pack-a.keep")
    (tmp_path / "bridge_tmp_folder").mkdir()
    (tmp_path / "bridge_tmp_pack").symlink_to(tmp_path)
    (tmp_path / "bridge_tmp_ref").touch()
    disk = Disk()
    scratch = Scratch(disk, tmp_path)
    assert len(scratch.left()) == 2
    scratch.clear()
    disk.close()
    assert {each.name for each in tmp_path.iterdir()} == {"pack-a.keep", "bridge_tmp_folder"}
