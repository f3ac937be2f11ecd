"""Submodules are fetched from the URLs in .gitmodules; credentials are only sent to the
remote's own host.
"""

from __future__ import annotations

import json
import shlex
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from git_kit import git
from owner_kit import Owner

from bridge.store.checkout import submodules
from bridge.store.checkout.checkout import Checkout, SubmoduleMissing
from bridge.store.checkout.submodules import SiteRemote, SubmoduleCache, resolve

NOBODY = "0" * 39 + "1"


def public(address: str) -> bool:
    return not address.startswith("127.")


def cache(folder: Path, remote: str, **environment: str) -> SubmoduleCache:
    return SubmoduleCache(folder / "modules", lambda: SiteRemote(remote, environment), public)


@pytest.mark.parametrize(
    ("url", "base", "full"),
    [
        ("../t.git", "https://git.example/you/site.git", "https://git.example/you/t.git"),
        ("../../t.git", "https://git.example/you/site.git/", "https://git.example/t.git"),
        ("./t", "https://git.example/you/site", "https://git.example/you/site/t"),
        ("../t.git", "git@git.example:you/site.git", "git@git.example:you/t.git"),
        ("../t.git", "git@git.example:site.git", "git@git.example:t.git"),
        ("../t.git", "/srv/git/site.git", "/srv/git/t.git"),
        ("https://other.example/t", "/srv/git/site.git", "https://other.example/t"),
    ],
)
def test_a_relative_url_is_resolved_as_git_does(url: str, base: str, full: str) -> None:
    assert resolve(url, base) == full


def test_a_submodule_is_fetched_once_and_kept(tmp_path: Path) -> None:
    site, theme, fonts = (Owner(tmp_path / name) for name in ("site", "theme", "fonts"))
    fonts.write({"font.woff": "f"})
    theme.write({"base.html": "1"})
    theme.module("fonts", fonts.bare)
    version = site.module("theme", theme.bare)
    found = cache(tmp_path, str(site.bare))
    Checkout(site.objects, tmp_path / "a", submodules=found).bring_to(version)
    assert (tmp_path / "a" / "theme" / "fonts" / "font.woff").read_text() == "f"
    theme.bare.rename(tmp_path / "gone")
    again = cache(tmp_path, str(site.bare))
    checkout = Checkout(site.objects, tmp_path / "b", submodules=again)
    checkout.bring_to(version)
    assert checkout.warnings == ()
    assert (tmp_path / "b" / "theme" / "base.html").read_text() == "1"


def test_check_may_fetch_it_beside_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found that the repo is not there; one has made it before the other has."""
    theme = Owner(tmp_path / "theme")
    commit, url = theme.write({"base.html": "1"}), str(theme.bare)
    ours, other = (cache(tmp_path, url) for _ in range(2))
    found = list[Path]()
    make = submodules._make_repo

    def second(repo: Path, kind: str) -> None:
        monkeypatch.setattr(submodules, "_make_repo", make)
        found.append(other.fetch(url, commit, None))
        make(repo, kind)

    monkeypatch.setattr(submodules, "_make_repo", second)
    found.append(ours.fetch(url, commit, None))
    assert found[0] == found[1]
    assert [*found[0].parent.parent.iterdir()] == [found[0].parent]
    # An earlier version was killed while it made the repo.
    (found[0].parent / "HEAD").unlink()
    shutil.rmtree(found[0].parent / "refs")
    assert ours.fetch(url, commit, None) == found[0]


@pytest.mark.parametrize("separate", [False, True])
def test_what_the_owners_clone_has_needs_no_network(tmp_path: Path, *, separate: bool) -> None:
    """The submodule's host cannot be reached; the owner's clone has its commits."""
    site, theme = Owner(tmp_path / "site"), Owner(tmp_path / "theme")
    theme.write({"base.html": "1"})
    site.module("theme", theme.bare)

    def move(clone: Path) -> None:
        git(clone, "config", "-f", ".gitmodules", "submodule.theme.url", "../theme.git")
        git(clone, "remote", "add", "origin", "https://127.0.0.1:1/you/site.git")

    version = site.commit(move)
    if separate:
        # As in a clone that is itself a submodule: .git is a file that says where all is.
        git(site.clone, "init", "-q", "--separate-git-dir", str(tmp_path / "elsewhere"))
    checkout = Checkout(
        site.objects, tmp_path / "checkout", submodules=cache(tmp_path, str(site.clone))
    )
    checkout.bring_to(version)
    assert checkout.warnings == ()
    assert (tmp_path / "checkout" / "theme" / "base.html").read_text() == "1"


@pytest.mark.parametrize(
    "url",
    [
        "git://git.example/t.git",
        "ext::sh -c id",
        "--upload-pack=touch pwned",
        "ssh://-oProxyCommand=id/t",
        "-oProxyCommand=id:t",
        "fd::17",
        "/srv/git/t.git",
        "file:///srv/git/t.git",
        "http://other.example/t.git",
        "git://other.example/$(touch pwned)/t.git; touch pwned",
    ],
)
def test_other_url_schemes_are_not_fetched_for_a_remote_on_the_web(
    tmp_path: Path, url: str
) -> None:
    found = cache(tmp_path, "https://git.example/you/site.git")
    with pytest.raises(SubmoduleMissing, match="no URL that a submodule is fetched from") as raised:
        found.find("t", url, NOBODY)
    # Whatever it is, the owner may run the line.
    line = str(raised.value).partition("To fetch it by hand: ")[2]
    _, _, *fetch, place, commit = shlex.split(line)
    assert (fetch, commit) == (["fetch", "--"], NOBODY)
    assert place in url


@pytest.mark.parametrize("url", ["https://localhost/t.git", "https://127.0.0.1/t.git"])
def test_a_host_that_is_not_public_is_not_contacted(tmp_path: Path, url: str) -> None:
    found = cache(tmp_path, "https://git.example/you/site.git")
    with pytest.raises(SubmoduleMissing, match="is not a public server"):
        found.find("t", url, NOBODY)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[str, str]]]:
    """A git that records what it is asked to fetch, and the token it gets."""
    log, program = tmp_path / "asked", tmp_path / "bin" / "git"
    program.parent.mkdir()
    script = (
        "import json, os, sys\n"
        "if 'fetch' in sys.argv:\n"
        "    url = sys.argv[sys.argv.index('--') + 1]\n"
        "    told = json.dumps([url, os.environ.get('BRIDGE_GIT_TOKEN', '')])\n"
        f"    open({str(log)!r}, 'a').write(told + '\\n')\n"
        "sys.exit('init' not in sys.argv)\n"
    )
    command = shlex.join([sys.executable, "-c", script])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    def lines() -> list[tuple[str, str]]:
        found = [json.loads(line) for line in log.read_text().splitlines()]
        return list(dict.fromkeys((url, token) for url, token in found))

    return lines


@pytest.mark.parametrize(
    ("remote", "url", "wanted"),
    [
        (
            "https://git.example/you/site.git",
            "https://git.example/you/t.git",
            [("https://git.example/you/t.git", "T"), ("https://git.example/you/t.git", "")],
        ),
        (
            "https://git.example/you/site.git",
            "git@git.example:you/t.git",
            [("https://git.example/you/t.git", "T"), ("https://git.example/you/t.git", "")],
        ),
        (
            "git@git.example:you/site.git",
            "https://git.example/you/t.git",
            [("ssh://git@git.example/you/t.git", "T"), ("https://git.example/you/t.git", "")],
        ),
        (
            "http://127.0.0.1:8000/site.git",
            "http://127.0.0.1:8000/t.git",
            [("http://127.0.0.1:8000/t.git", "T")],
        ),
    ],
)
def test_credentials_are_sent_to_the_remotes_own_host_and_scheme(
    tmp_path: Path,
    asked: Callable[[], list[tuple[str, str]]],
    remote: str,
    url: str,
    wanted: list[tuple[str, str]],
) -> None:
    with pytest.raises(SubmoduleMissing):
        cache(tmp_path, remote, BRIDGE_GIT_TOKEN="T").find("t", url, NOBODY)
    assert asked() == wanted


def test_other_hosts_get_no_credentials(
    tmp_path: Path, asked: Callable[[], list[tuple[str, str]]]
) -> None:
    found = SubmoduleCache(
        tmp_path / "modules",
        lambda: SiteRemote("https://git.example/you/site.git", {"BRIDGE_GIT_TOKEN": "T"}),
        lambda _: True,
    )
    for url in ("https://localhost/a.git", "git@localhost:a.git", "https://you:pw@localhost/a.git"):
        with pytest.raises(SubmoduleMissing) as error:
            found.find("t", url, NOBODY)
        assert "pw" not in str(error.value)
    assert asked() == [("https://localhost/a.git", "")]


def test_failed_fetches_are_retried_after_a_while(
    tmp_path: Path, asked: Callable[[], list[tuple[str, str]]]
) -> None:
    now = [0.0]
    found = SubmoduleCache(
        tmp_path / "modules",
        lambda: SiteRemote("https://git.example/you/site.git", {}),
        public,
        clock=lambda: now[0],
    )
    with pytest.raises(SubmoduleMissing) as error:
        found.find("t", "../t.git", NOBODY)
    assert "To fetch it by hand: git --git-dir=" in str(error.value)
    (tmp_path / "asked").write_text("")
    with pytest.raises(SubmoduleMissing):
        found.find("t", "../t.git", NOBODY)
    assert asked() == []
    now[0] += 3600
    with pytest.raises(SubmoduleMissing):
        found.find("t", "../t.git", NOBODY)
    assert asked() == [("https://git.example/you/t.git", "")]


def test_no_submodule_is_fetched_from_a_folder_that_the_sites_code_writes_to(
    tmp_path: Path,
) -> None:
    """The configuration of a repo there is not the owner's, and git would read it."""
    site, theme = Owner(tmp_path / "site"), Owner(tmp_path / "state" / "rebuild" / "theme")
    theme.write({"base.html": "1"})
    version = site.module("theme", theme.bare)
    for never, files in ((None, 1), (tmp_path / "state", 0)):
        found = SubmoduleCache(
            tmp_path / f"modules{files}",
            lambda: SiteRemote(str(site.bare), {}),
            public,
            never=never,
        )
        checkout = Checkout(site.objects, tmp_path / f"checkout{files}", submodules=found)
        checkout.bring_to(version)
        assert len([*checkout.folder.glob("theme/base.html")]) == files
        assert len(checkout.warnings) == 1 - files
