"""What ``check`` advises where git cannot fetch or push."""

from __future__ import annotations

import pytest

from bridge.store.sync.refusals import remedy


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("git@github.com: Permission denied (publickey).; fatal: Could not read from", "a key"),
        ("fatal: could not read Username for 'https://h.example': prompts disabled", "token"),
        ("remote: Repository not found.; fatal: repository 'https://x/' not found", "a key"),
        ("! [remote rejected] main -> main (pre-receive hook declined)", "hook or a rule"),
        ("remote: error: GH006: Protected branch update failed for refs/heads/main.", "rule"),
        ("remote: error: GH001: Large files detected; pre-receive hook declined", "that large"),
        (
            "ERROR: The key you are authenticating with has been marked as read only.",
            "write access",
        ),
        ("remote: Permission to a/b.git denied to c.; error: 403", "write access"),
        ("ERROR: This repository was archived so it is read-only.", "archived"),
        ("Host key verification failed.; fatal: Could not read from remote repository.", "ssh -T"),
        ("ssh: Could not resolve hostname h.example: Name or service not known", "network"),
        ("fatal: unable to access 'https://h/': Failed to connect to h port 443", "network"),
        ("fatal: unable to access: SSL certificate problem: unable to get local issuer", "clock"),
        ("error: insufficient permission for adding an object to repository database", "all of"),
        ("error: insufficient permission; error: remote unpack failed: x", "write access to all"),
        ("unpack failed: unable to create temporary object directory", "write access to all"),
        ("remote: fatal: Unable to create '/x.lock': Read-only file system", "write access to all"),
        ("fatal: write error: No space left on device; unpack failed: index-pack failed", "space"),
        ("error: unpack failed: eof before pack header", "space"),
        ("fatal: unable to access 'https://h/': returned error: 502", "problem of its own"),
        ("/home/me/site belongs to another user. Run the bridge as me", "Once that is done"),
        ("fatal: '/x.git' does not appear to be a git repository", "git -C /b/site.git remote -v"),
        ("fatal: '/archived/quotations.git' does not appear to be a git repository", "path or URL"),
        ("/srv/hassle does not appear to be a git repository", "path or URL"),
        ("ssh: Could not resolve hostname protected.example: Name not known", "network"),
        ("fatal: unable to access 'https://h/quota.git/': returned error: 403", "write access"),
        (
            "error: cannot update ref 'refs/remotes/origin/main': couldn't write '/b/x.lock'",
            "its own repo: make space",
        ),
        ("/home/me/site has changes that are not committed. Commit them there", "by itself"),
    ],
)
def test_each_kind_of_refusal_has_its_own_remedy(said: str, helps: str) -> None:
    assert helps in remedy(said, "/b/site.git")
