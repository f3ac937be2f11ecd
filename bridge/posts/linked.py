"""Files at the paths at which Pelican finds them: their own in the content folder, and those of
symbolic links that lead to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bridge.settings import prefix_of
from bridge.store import BlobId, ContentStore, Difference, Version


def found_files(store: ContentStore, folder: str, at: Version) -> Iterator[tuple[str, BlobId]]:
    """Every file that Pelican finds in the content folder. Raises what the store does."""
    yield from store.files(folder, at)
    yield from _behind(store, at, store.links(folder, at))


def changed_links(store: ContentStore, folder: str, old: Version, new: Version) -> set[str]:
    """The symbolic links that differ between two versions. Raises what the store does."""
    return {link for link, _ in store.links(folder, old).items() ^ store.links(folder, new).items()}


def found_differences(
    store: ContentStore, folder: str, old: Version, new: Version
) -> Sequence[Difference]:
    """The differences between two versions as Pelican finds them: a file that several links lead to
    differs at each. Raises what the store does.
    """
    differences, changed = store.diff(old, new), changed_links(store, folder, old, new)
    before, linked = store.links(folder, old), store.links(folder, new)
    was, now = (
        dict(_behind(store, at, {link: links[link] for link in changed & links.keys()}))
        for at, links in ((old, before), (new, linked))
    )
    lasting = {link: target for link, target in linked.items() if link not in changed}
    for each in differences:
        for path in places_of(each.path, folder, lasting):
            # A link may have become a file, or a file a link.
            was |= {path: each.old} if each.old else {}
            now |= {path: each.new} if each.new else {}
    return [Difference(path, was.get(path), now.get(path)) for path in dict.fromkeys((*was, *now))]


def places_of(path: str, folder: str, linked: Mapping[str, str]) -> Iterator[str]:
    """Where Pelican finds a file of the repo. ``linked``: links in the content folder, and where
    they lead.
    """
    if path.startswith(prefix_of(folder)):
        yield path
    for link, target in linked.items():
        inside = path.startswith(f"{target}/") and not link.startswith(f"{target}/")
        if path == target or inside:
            yield link + path[len(target) :]


def _behind(
    store: ContentStore, at: Version, linked: Mapping[str, str]
) -> Iterator[tuple[str, BlobId]]:
    for link, target in linked.items():
        if one := store.read(target, at):
            yield link, one.id
        elif not link.startswith(f"{target}/"):  # a link to its own parent has no end
            for path, blob in store.files(target, at):
                yield link + path[len(target) :], blob
