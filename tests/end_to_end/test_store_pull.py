"""What others push reaches files, index and pages; a call of the git host's is enough."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import aiohttp
import pytest
from cli_kit import commit, done, git, publish, quickstart, served, set_port
from demo_kit import wait_until

SECRET = "shared with the git host"
POST = "Title: By pull request\nDate: 2026-01-03\n\nProposed by a friend.\n"


def merged_pull_request(remote: Path, laptop: Path) -> None:
    """A branch, and on it a post, that the host merges as its button does."""
    git("clone", "--quiet", remote, laptop, cwd=laptop.parent)
    git("checkout", "--quiet", "-b", "proposal", cwd=laptop)
    (laptop / "content/pull.md").write_text(POST)
    commit(laptop, "A post")
    git("checkout", "--quiet", "main", cwd=laptop)
    git("merge", "--quiet", "--no-ff", "-m", "Merge pull request #1", "proposal", cwd=laptop)
    git("push", "--quiet", "origin", "main", cwd=laptop)


@pytest.mark.parametrize("in_the_owners_clone", [False, True])
async def test_a_merged_pull_request_is_live_after_the_hosts_signed_call(
    tmp_path: Path, http: aiohttp.ClientSession, in_the_owners_clone: bool
) -> None:
    site, bridge = quickstart(tmp_path / "site"), tmp_path / "bridge"
    bridge.mkdir()
    commit(site)
    remote = publish(site, tmp_path / "remote.git")
    done("init", site, "--yes", cwd=bridge)
    set_port(bridge / "bridge.toml")
    repo = site if in_the_owners_clone else bridge / "site.git"
    output = bridge / "output"
    settings = {
        "BRIDGE_SITE__REPO": str(repo),
        "BRIDGE_REBUILD__OUTPUT": str(output),
        "BRIDGE_PUBLISH__POLL_SECONDS": "3600",
        "BRIDGE_PUBLISH__HOOK_SECRET": SECRET,
    }
    with served(bridge, **settings) as running:
        wait_until((output / "index.html").exists)
        merged_pull_request(remote, tmp_path / "laptop")
        body = b'{"ref": "refs/heads/main"}'

        async def call(signature: str) -> int:
            headers = {"X-Hub-Signature-256": f"sha256={signature}"}
            async with http.post(f"{running.url}hook/git", data=body, headers=headers) as answer:
                return answer.status

        assert await call(hmac.new(b"a guess", body, hashlib.sha256).hexdigest()) == 403
        assert not (output / "by-pull-request.html").exists()
        assert await call(hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()) == 202
        wait_until((output / "by-pull-request.html").exists)
        assert "By pull request" in (output / "index.html").read_text()
    merge = git("rev-parse", "main", cwd=remote)
    assert git("rev-parse", "main", cwd=repo) == merge, "as it is, and not made again"
    if in_the_owners_clone:
        assert (site / "content/pull.md").read_text() == POST
        assert git("ls-files", "content/pull.md", cwd=site) == "content/pull.md"
        assert git("status", "--porcelain", cwd=site) == ""
