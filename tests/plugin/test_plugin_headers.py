"""The links as HTTP headers, in the files that static hosts use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from plugin_site import BRIDGE, build, post

from pelican_indieauth.discovery.endpoints import Link
from pelican_indieauth.discovery.headers import write

LINKS = (Link("micropub", "https://b.example/m%20p?a=$1"), Link("me", "https://ann.example/"))
ALL = ("_headers", ".htaccess", "nginx", "caddy")


def written(folder: Path, name: str) -> str:
    return (folder / name).read_text("utf-8")


def test_each_host_has_its_own_format(tmp_path: Path) -> None:
    write(tmp_path, ALL, LINKS)
    assert '  Link: <https://b.example/m%20p?a=$1>; rel="micropub"\n' in written(
        tmp_path, "_headers"
    )
    assert written(tmp_path, "_headers").splitlines()[1] == "/*"
    apache = written(tmp_path, ".htaccess")
    assert "<IfModule mod_headers.c>" in apache
    assert "Header always merge Link '<https://b.example/m%%20p?a=$1>; rel=\"micropub\"'" in apache
    nginx = written(tmp_path, "indieauth.nginx.conf")
    assert "add_header Link '<https://b.example/m%20p?a=%241>; rel=\"micropub\"' always;" in nginx
    caddy = written(tmp_path, "indieauth.caddyfile")
    assert 'header +Link `<https://b.example/m%20p?a=$1>; rel="micropub"`' in caddy


@pytest.mark.parametrize("name", ["_headers", ".htaccess"])
def test_existing_lines_are_kept(tmp_path: Path, name: str) -> None:
    own = "# mine\n/assets/*\n  Cache-Control: max-age=9\n"
    (tmp_path / name).write_text(own)
    write(tmp_path, [name], LINKS)
    assert written(tmp_path, name).startswith(own)
    assert 'rel="me"' in written(tmp_path, name)


@pytest.mark.parametrize("name", ["_headers", ".htaccess"])
@pytest.mark.parametrize(
    "own", [b"# caf\xe9\r\n/*\r\n  X-A: b\r\n", b"# \x0b\xe2\x80\xa8 odd\n/*", b"/* \n  X-A: b"]
)
def test_every_byte_of_the_sites_own_file_is_kept(tmp_path: Path, name: str, own: bytes) -> None:
    (tmp_path / name).write_bytes(own)
    for _ in range(2):
        write(tmp_path, [name], LINKS)
        made = (tmp_path / name).read_bytes()
        ours = made[made.index(b"# BEGIN indieauth") : made.index(b"# END indieauth") + 15]
        assert made.replace(ours, b"").split() == own.split()
        assert own.partition(b"/*")[0] in made
        assert made.count(b'rel="micropub"') == 1


def test_a_rule_for_every_path_gets_the_links(tmp_path: Path) -> None:
    own = "/*\n  X-Frame-Options: DENY\n/assets/*\n  Cache-Control: max-age=9\n"
    (tmp_path / "_headers").write_text(own)
    write(tmp_path, ["_headers"], LINKS)
    lines = written(tmp_path, "_headers").splitlines()
    assert lines.count("/*") == 1
    assert lines[2].startswith("  Link:")
    assert lines.index("  X-Frame-Options: DENY") < lines.index("/assets/*")


def test_another_build_replaces_its_own_lines_only(tmp_path: Path) -> None:
    for name, own in {"_headers": "/*\n  X-A: b\n", ".htaccess": "Options -Indexes"}.items():
        (tmp_path / name).write_text(own)
    write(tmp_path, ALL, LINKS[:1])
    write(tmp_path, ALL, LINKS)
    once = {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()}
    write(tmp_path, ALL, LINKS)
    assert {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()} == once
    assert len(once) == 4
    for text in once.values():
        assert text.count('rel="micropub"') == 1
        assert text.count("BEGIN indieauth") == 1


def test_a_link_to_a_source_file_is_not_followed_for_writing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("/*\n  X-A: b\n")
    os.link(source, tmp_path / "_headers")
    write(tmp_path, ["_headers"], LINKS)
    assert source.read_text("utf-8") == "/*\n  X-A: b\n"
    assert "Link:" in written(tmp_path, "_headers")


def test_a_build_adds_the_headers_to_the_sites_own_file(tmp_path: Path) -> None:
    (tmp_path / "content" / "extra").mkdir(parents=True)
    (tmp_path / "content" / "extra" / "_headers").write_text("/*\n  X-A: b\n")
    built = build(
        tmp_path,
        {"a": post("a")},
        STATIC_PATHS=["extra"],
        EXTRA_PATH_METADATA={"extra/_headers": {"path": "_headers"}},
    )
    assert f'Link: <{BRIDGE}micropub>; rel="micropub"' in built.text("_headers")
    assert "X-A: b" in built.text("_headers")
    assert f"Link '<{BRIDGE}micropub>" in built.text(".htaccess")


def test_header_files_can_be_turned_off(tmp_path: Path) -> None:
    built = build(tmp_path, {"a": post("a")}, INDIEAUTH_HEADERS=[])
    assert not (built.output / "_headers").exists()
    assert not (built.output / ".htaccess").exists()
