"""Constructs the receiver of webmentions and its parts."""

from __future__ import annotations

from urllib.parse import urlsplit

from bridge.net.fetch import GuardedFetch
from bridge.posts.addresses import canonical, hosts
from bridge.posts.catalogue import Catalogue
from bridge.posts.commits import Committer
from bridge.posts.post_files import PostReader
from bridge.settings import Settings
from bridge.settings_file import LOOPBACK
from bridge.store.git import GitStore
from bridge.webmention.files import MentionFiles
from bridge.webmention.incoming.commits import MentionCommits
from bridge.webmention.incoming.faces import Faces
from bridge.webmention.incoming.inbox import Inbox
from bridge.webmention.incoming.receiver import Receiver
from bridge.webmention.incoming.request_checks import OwnerUrls
from bridge.webmention.incoming.verification import Verifier
from bridge.webmention.targets import Targets


def make_receiver(
    settings: Settings,
    store: GitStore,
    catalogue: Catalogue,
    posts: PostReader,
    committer: Committer,
    fetch: GuardedFetch,
    *,
    public_url: str,
) -> Receiver:
    """The receiver with everything it needs; it is not started."""
    ours = settings.webmention
    content = settings.content.folder
    files = MentionFiles(store, content, ours.folder)
    targets = Targets(catalogue, settings.site.me)
    faces = Faces(
        fetch, files, content=content, media=settings.media.folder, store=ours.faces == "store"
    )
    commits = MentionCommits(files, targets, faces, committer, catalogue)
    return Receiver(
        Inbox(settings.site.state / "keep" / "mentions"),
        files,
        targets,
        Verifier(fetch),
        commits,
        posts,
        owner=OwnerUrls(
            frozenset(canonical(each, frozenset()) for each in _accounts(settings)),
            hosts(public_url),
            on_loopback=urlsplit(public_url).hostname in LOOPBACK,
        ),
        approve=ours.approve,
        batch_seconds=ours.batch_seconds,
    )


def _accounts(settings: Settings) -> list[str]:
    """The URLs of the owner's accounts elsewhere, from the settings."""
    found = [settings.site.me, *settings.site.aliases]
    for target in settings.syndication.targets:
        found.append(target.uid)
        if target.user is not None and target.user.url:
            found.append(target.user.url)
    return found
