"""Pushed commits update files, index and pages; a webhook call of the git host is enough."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import aiohttp
from cli_kit import commit, git, publish, quickstart, run, served, set_port
from demo_kit import wait_until

SECRET = "shared with the git host"
POST = "Title: By pull request\nDate: 2026-01-03\n\nProposed by a friend.\n"


def merged_pull_request(remote: Path, laptop: Path) -> None:
    """A branch with a post that the host merges as with its button."""
    git("clone", "--quiet", remote, laptop, cwd=laptop.parent)
    git("checkout", "--quiet", "-b", "proposal", cwd=laptop)
    (laptop / "content/pull.md").write_text(POST)
    commit(laptop, "A post")
    git("checkout", "--quiet", "main", cwd=laptop)
    git("merge", "--quiet", "--no-ff", "-m", "Merge pull request #1", "proposal", cwd=laptop)
    git("push", "--quiet", "origin", "main", cwd=laptop)


async def test_a_merged_pull_request_is_live_after_the_hosts_signed_call(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    site, bridge = quickstart(tmp_path / "site"), tmp_path / "bridge"
    bridge.mkdir()
    commit(site)
    remote = publish(site, tmp_path / "remote.git")
    # A remote on the network: a path would be watched, and its commits fetched without a call.
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    settings = {
        "GIT_SSH_COMMAND": str(ssh),
        "BRIDGE_PUBLISH__POLL_SECONDS": "3600",
        "BRIDGE_PUBLISH__HOOK_SECRET": SECRET,
    }
    url = f"ssh://host.invalid{remote}"
    ended = run("init", site, "--remote", url, "--yes", cwd=bridge, env=settings)
    assert ended.returncode == 0, ended.stderr
    set_port(bridge / "bridge.toml")
    output = bridge / "output"
    with served(bridge, **settings) as running:
        wait_until((output / "index.html").exists)
        # The start fetches, too.
        wait_until((bridge / "site.git/refs/micropub-bridge/origin/main").exists)
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
        # The post's own page comes first, the lists that it is on after it.
        wait_until(lambda: "By pull request" in (output / "index.html").read_text())
    merge = git("rev-parse", "main", cwd=remote)
    repo = bridge / "site.git"
    assert git("rev-parse", "main", cwd=repo) == merge, "as it is, and not made again"
