"""Git reads what our writers write: packs with deltas, ids in both hashes, the index file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random

import pytest

from bridge.store.git_index import Index
from bridge.store.objects import EMPTY, FILE, FOLDER, Entry, Format, Object
from bridge.store.packs import make_pack


def git(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run(
        ["git", *arguments], cwd=folder, input=data, check=True, capture_output=True
    ).stdout


@pytest.fixture(params=["sha1", "sha256"])
def fmt(request: pytest.FixtureRequest, tmp_path: Path) -> Format:
    git(tmp_path, "init", "-q", f"--object-format={request.param}")
    return Format(request.param)


def folders(fmt: Format, dice: Random) -> list[Object]:
    """A folder that grows, shrinks and changes, each state as the change of the one before."""
    listing, before, trees = EMPTY, None, []
    for number in range(200):
        oid = fmt.object("blob", b"%d" % number).oid
        if dice.random() < 0.2:
            for _ in range(dice.randrange(60)):
                listing = listing.replaced(b"post-%03d.md" % dice.randrange(200), None)
        name = b"%s-%03d.md" % (b"post" * dice.choice([1, 40]), dice.randrange(200))
        listing = listing.replaced(name, Entry(FILE, oid))
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


def test_a_growing_folder_takes_little_room(tmp_path: Path) -> None:
    fmt, listing, trees = Format(), EMPTY, []
    for number in range(1000):
        listing = listing.replaced(b"%d" % number, Entry(FILE, fmt.object("blob", b"").oid))
    before = None
    for number in range(64):
        listing = listing.replaced(b"new-%d" % number, Entry(FILE, fmt.object("blob", b"").oid))
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
        entry = Entry(FOLDER, empty.oid) if number % 2 == 0 else Entry(FILE, bytes.fromhex(blob))
        listing = listing.replaced(name, entry)
    lines = b""
    for name, entry in listing.items():
        kind = b"040000 tree" if entry.is_folder else b"100644 blob"
        lines += b"%s %s\t%s\0" % (kind, entry.oid.hex().encode(), name)
    assert git(tmp_path, "mktree", "-z", data=lines).decode().strip() == fmt.tree(listing).oid.hex()
    assert [*fmt.listing(listing.data()).items()] == [*listing.items()]


@pytest.mark.parametrize("version", ["2", "4"])
def test_the_index_is_what_git_would_have_made(fmt: Format, tmp_path: Path, version: str) -> None:
    dice = Random(2)
    blob = git(tmp_path, "hash-object", "-w", "--stdin", data=b"text").decode().strip()
    git(tmp_path, "update-index", "--index-version", version)
    file = tmp_path / ".git/index"
    known: set[str] = set()
    for _ in range(25):
        index = Index(file.read_bytes() if file.exists() else b"", fmt)
        for _ in range(6):
            path = "/".join(dice.choice(["a", "b", "c.md", "é", "x" * 130]) for _ in range(3))
            if path in known and dice.random() < 0.5:
                index.remove(path)
                known.discard(path)
            else:
                index.put(path, Entry(FILE, bytes.fromhex(blob)), None)
                known.add(path)
        file.write_bytes(index.dump())
        listed = git(tmp_path, "ls-files", "-s", "-z").decode().split("\0")[:-1]
        assert listed == [f"100644 {blob} 0\t{path}" for path in sorted(known, key=str.encode)]
        tree = git(tmp_path, "write-tree").decode().strip()
        git(tmp_path, "read-tree", tree)
        assert git(tmp_path, "write-tree").decode().strip() == tree
        if version == "4":
            git(tmp_path, "update-index", "--index-version", version)
