"""A failed build leaves the output folder unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.rebuild.local.output import Output


@pytest.fixture
def output(tmp_path: Path) -> Output:
    output = Output(tmp_path / "output", tmp_path / "state" / "output.json")
    (tmp_path / "state").mkdir()
    output.expect(["index.html", "a/old.html"])
    output.put("index.html", b"one")
    output.put("a/old.html", b"old")
    output.settle()
    return output


def held(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_written_and_removed_files_are_restored(output: Output, tmp_path: Path) -> None:
    before = held(tmp_path / "output")
    output.expect(["new/page.html"])
    for text in (b"two", b"three"):
        output.put("index.html", text)
        output.put("new/page.html", text)
    output.keep_only(["index.html", "new/page.html"])
    assert not output.is_settled()
    another = Output(tmp_path / "output", tmp_path / "state" / "output.json")
    another.restore()
    assert held(tmp_path / "output") == before
    assert not (tmp_path / "output" / "new").exists()
    assert another.ours == {"index.html", "a/old.html"}
    assert another.is_settled()
    assert not another.missing()


@pytest.mark.parametrize(
    "path", [f"{'x' * 300}/index.html", f"x/{'é' * 128}", "x/\ud800/index.html"]
)
def test_a_file_that_could_not_be_written_stops_no_later_build(
    output: Output, tmp_path: Path, path: str
) -> None:
    output.expect([path])
    with pytest.raises((OSError, UnicodeEncodeError), match=r"too long|can't encode"):
        output.put(path, b"two")
    another = Output(tmp_path / "output", tmp_path / "state" / "output.json")
    another.restore()
    another.put("index.html", b"three")
    another.keep_only(["index.html"])
    another.settle()
    assert held(tmp_path / "output") == {"index.html": b"three"}


def test_completed_changes_are_kept(output: Output, tmp_path: Path) -> None:
    output.put("index.html", b"two")
    output.settle()
    output.restore()
    assert (tmp_path / "output" / "index.html").read_bytes() == b"two"


def test_a_link_in_the_journal_is_not_followed(output: Output, tmp_path: Path) -> None:
    """The site's code can write there, so only files inside of that folder are restored."""
    secret = tmp_path / "secret"
    secret.write_text("a token")
    output.put("index.html", b"two")
    (kept,) = [
        file for file in (tmp_path / "state" / "output-before").iterdir() if file.name != "index"
    ]
    kept.unlink()
    kept.symlink_to(secret)
    output.restore()
    assert (tmp_path / "output" / "index.html").read_bytes() == b"two"
    assert secret.read_text() == "a token"


def test_a_truncated_line_is_skipped(output: Output, tmp_path: Path) -> None:
    output.put("index.html", b"two")
    with (tmp_path / "state" / "output-before" / "index").open("ab") as index:
        index.write(b'{"path":"a/ol')
    output.restore()
    assert (tmp_path / "output" / "index.html").read_bytes() == b"one"
