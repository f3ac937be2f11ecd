"""What an owner can do where git cannot fetch or push, by what it said."""

from __future__ import annotations

import re

from bridge.runtime.command_name import doc

#: The first that matches counts. GitHub, GitLab, Forgejo and plain git have words of their own.
_REMEDIES = {
    (
        r"not committed|under way in|does not track|delete that file|let its branch be moved"
        r"|does not allow it|See there|could not write a file|belongs to another user"
    ): ("Once that is done, the bridge pushes by itself."),
    r"has no branch": (
        "If you have renamed it: stop the bridge, rename it in the bridge's repo, too (git -C"
        " {repo} branch -m OLD NEW), and start the bridge again. If you have not, restore it in the"
        " remote."
    ),
    r"file size limit|GH001|exceeds .*size|pack exceeds maximum|entity too large|HTTP 413": (
        "The host does not accept a file that large: delete the post's upload, or host it"
        " elsewhere."
    ),
    r"(?<!remote: )error: cannot update ref": (
        "The bridge cannot write to its own repo: make space on its disk, and let its user write to"
        " all of it."
    ),
    r"No space left|quota|disk full": ("The remote could not store it: make space there."),
    (
        r"pre-receive hook declined|update hook declined|protected|GH006|GH013|rule violations"
        r"|not allowed to push|hook declined|prohibited"
    ): (
        "A hook or a rule of the remote's refuses it, whatever the key: allow this user to push to"
        " the branch there (GitHub: Settings, Rules; GitLab: Protected branches), or have the"
        " bridge use a branch that you merge: [site] branch."
    ),
    r"archived|read[- ]only(?! file)|deploy key|write access|denied to |HTTP 403|error: 403": (
        "This key or token may only read there: give it write access (a deploy key on GitHub has a"
        " box for that). An archived repo accepts no pushes."
    ),
    r"Host key verification failed|host key": (
        "As the user that runs the bridge, connect once by hand, and accept the host's key: ssh -T"
        " git@HOST."
    ),
    (
        r"Could not resolve|Connection (refused|timed out|reset)|unreachable|No route to host"
        r"|Couldn't connect|Failed to connect|does not answer"
    ): (
        "This machine cannot reach the host. If that lasts, check its network and firewall, and"
        " the URL: git -C {repo} remote -v."
    ),
    r"certificate|SSL|TLS": (
        "The connection cannot be trusted: check this machine's clock and its certificates"
        " (http.sslCAInfo for an authority of your own)."
    ),
    r"insufficient permission|Permission denied(?! \()|unable to create|Read-only file system": (
        "Give the user that runs the bridge write access to all of that repo."
    ),
    r"unpack failed|unpacker error": (
        "The remote could not store it: make space there, and let this user write to all of it."
    ),
    r"error: 5\d\d|HTTP 5\d\d": (
        "The host has a problem of its own. If that lasts, ask those who run it."
    ),
    r"does not appear to be a git repository|no repo at|does not exist": (
        "Check the remote's path or URL: git -C {repo} remote -v."
    ),
}


#: Names of repos, hosts and files may have any of these words in them.
_NAMES = re.compile(r"'[^'\s]*'|(?<!\S)/\S+|\S+://\S+|\S+@\S+:\S*|(?<=hostname )\S+")


def remedy(said: str, repo: object) -> str:
    """What helps, where git said this about the remote of ``repo``."""
    said = _NAMES.sub("it", said)
    for pattern, helps in _REMEDIES.items():
        if re.search(pattern, said, re.IGNORECASE):
            return helps.format(repo=repo)
    page = doc("git.md")
    return f"Give this user a key for it, or set [publish] token ({page})."
