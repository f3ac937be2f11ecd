"""Builds write to a folder of their own; what is deployed takes no orders from the site's code."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bridge.rebuild.local.deploy import PublishedOutput, is_configuration
from bridge.rebuild.local.output import Output


@pytest.mark.parametrize(
    "name",
    [
        *(".git/config", "a/.git/config", ".GIT/config", "a/GIT~1/x", ".git. /config", ".git"),
        *(".gitattributes", "a/.gitmodules", ".hg/hgrc", ".netlify/state.json", "Makefile"),
        *("GNUmakefile", "package.json", "node_modules/.bin/x", "a/node_modules/x", "netlify.toml"),
        *(
            "wrangler.jsonc",
            ".env",
            ".env.local",
            ".rsync-filter",
            "x/.rsync-filter",
            "ghp_import.py",
        ),
        *("json/__init__.py", "tool/__main__.py", "x.so", "astro.config.mjs", ".npmrc"),
        *("-oProxyCommand=x", "-a/b", "a\nb", "a\x1b[2J", "..", "a//b"),
    ],
)
def test_what_programs_take_orders_from_is_held_back(name: str) -> None:
    assert is_configuration(name)


@pytest.mark.parametrize(
    "name",
    [
        *("index.html", ".well-known/security.txt", ".nojekyll", ".htaccess", "_headers", "CNAME"),
        *(
            "_redirects",
            "code/package.json",
            "code/Makefile",
            "downloads/x.py",
            "feeds/all.atom.xml",
        ),
        *(
            "a-b/-c.html",
            "git/index.html",
            "robots.txt",
            "site.webmanifest",
            "é/ü.html",
            "_worker.js",
        ),
        *("code/app/__init__.py", ".domains", "drafts/x.html", "makefile/index.html"),
    ],
)
def test_what_sites_publish_is_not_held_back(name: str) -> None:
    assert not is_configuration(name)


@pytest.fixture
def published(tmp_path: Path) -> PublishedOutput:
    (tmp_path / "pages").mkdir()
    return PublishedOutput(
        tmp_path / "pages", Output(tmp_path / "output", tmp_path / "published.json")
    )


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_files_are_brought_and_removed_and_the_owners_own_stay(
    published: PublishedOutput, tmp_path: Path
) -> None:
    pages, output = tmp_path / "pages", tmp_path / "output"
    write(output, **{".git/config": "mine", "netlify.toml": "mine", "CNAME": "mine"})
    write(pages, **{"a.html": "1", "b/c.html": "1", ".git/config": "evil", "netlify.toml": "evil"})
    names = published.every()
    assert published.bring(names) == ["a.html", "b/c.html"]
    assert (output / "a.html").read_text() == (output / "b" / "c.html").read_text() == "1"
    assert (output / ".git" / "config").read_text() == "mine"
    assert (output / "netlify.toml").read_text() == "mine"
    assert [warning.partition(" ")[0] for warning in published.warnings] == [
        "'.git/config'",
        "'netlify.toml'",
    ]
    (pages / "b" / "c.html").unlink()
    (pages / "netlify.toml").unlink()
    assert published.bring({"b/c.html", "netlify.toml", "CNAME"}) == ["CNAME", "b/c.html"]
    assert not (output / "b").exists()
    assert (output / "CNAME").read_text() == "mine"
    assert len(published.warnings) == 1


def test_an_order_from_before_is_removed(published: PublishedOutput, tmp_path: Path) -> None:
    write(tmp_path / "output", Makefile="evil")
    write(tmp_path / "pages", Makefile="evil")
    published.output.expect(["Makefile"])
    assert published.bring(published.every()) == []
    assert not (tmp_path / "output" / "Makefile").exists()


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe"])
def test_only_regular_files_are_brought(
    published: PublishedOutput, tmp_path: Path, kind: str
) -> None:
    write(tmp_path / "secrets", **{"bridge.toml": "the-token"})
    pages = tmp_path / "pages"
    if kind == "link":
        (pages / "bridge.toml").symlink_to(tmp_path / "secrets" / "bridge.toml")
    elif kind == "folder link":
        (pages / "secrets").symlink_to(tmp_path / "secrets")
    else:
        os.mkfifo(pages / "bridge.toml")
    published.bring({"bridge.toml", "secrets/bridge.toml"})
    assert not list((tmp_path / "output").glob("**/bridge.toml"))
    if kind == "pipe":
        (pages / "bridge.toml").unlink()  # no one can read it


def test_trouble_with_the_disk_takes_no_page_off_the_site(
    published: PublishedOutput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "pages", **{"a.html": "1", "b.html": "1"})
    published.bring(published.every())

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("bridge.rebuild.local.deploy.beneath.read", fail)
        with pytest.raises(OSError, match="Input/output"):
            published.bring({"a.html"})
    assert (tmp_path / "output" / "a.html").read_text() == "1"
