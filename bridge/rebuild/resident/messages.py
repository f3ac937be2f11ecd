"""The messages between the bridge and the resident process: one JSON object a line."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class StartBuilder(msgspec.Struct, frozen=True, tag=True):
    """The first message to the process: where everything is.

    ``own`` are folders of the checkout whose files come and go with posts: uploads, mentions.
    ``most`` is by how many bytes a build may make the site larger. ``cache`` is a file for what
    readers make of posts, ``rest`` names everything in the site that is not a post. ``run_in`` is
    the current folder, a path in the checkout.
    """

    checkout: str
    settings: str
    content: str
    staged: str
    output: str
    note: str
    own: tuple[str, ...] = ()
    most: int | None = None
    cache: str = ""
    rest: str = ""
    run_in: str = ""


class Build(msgspec.Struct, frozen=True, tag=True):
    """Build what is in the checkout now.

    ``changed`` are the files that differ from the last attempted build. ``excused`` are those which
    may be at fault themselves if they cannot be read; ``None``: any may. ``first`` are those that
    no successful build has had, if clients may wait for them. ``left_out`` are posts to build the
    site without, as paths below the content folder. ``lacks``: the checkout lacks files that a
    clone would have.
    """

    changed: frozenset[str]
    excused: frozenset[str] | None
    first: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()
    lacks: bool = False


class Preempt(msgspec.Struct, frozen=True, tag=True):
    """Interrupt the build between two pages: a newer version waits."""


class Shown(msgspec.Struct, frozen=True, tag=True):
    """These output files are in place."""

    pages: tuple[str, ...]


class Previewed(msgspec.Struct, frozen=True, tag=True):
    """The previews of private drafts are in place, by the paths that pages in the output have."""

    pages: tuple[str, ...]


class Done(msgspec.Struct, frozen=True, tag=True):
    """The whole site is up to date. ``left_out``: files that Pelican passed over, with reasons.

    ``warnings`` are the other errors that were logged. ``counts`` is the name of what writing pages
    changes, so that all of them are rendered in each build; empty where there is nothing.
    """

    files: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = ()
    counts: str = ""


class Outdated(msgspec.Struct, frozen=True, tag=True):
    """Something changed that the process has cached for good: a new process must build this."""

    reason: str


class BuildAbandoned(msgspec.Struct, frozen=True, tag=True):
    """The build was preempted: what was published is good, the rest is not up to date."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The build failed. ``files`` are source files that may be at fault, likeliest first.

    ``final``: Pelican's own command would fail likewise.
    """

    reason: str
    files: tuple[str, ...] = ()
    final: bool = False


class RefusedFiles(msgspec.Struct, frozen=True, tag=True):
    """Files that the site's code was refused."""

    paths: tuple[str, ...]


class UnsupportedSite(msgspec.Struct, frozen=True, tag=True):
    """This site is not supported by the resident build; the process ends."""

    reason: str
    remedy: str


Order: TypeAlias = StartBuilder | Build | Preempt
Report: TypeAlias = (
    Shown | Previewed | Done | BuildAbandoned | Outdated | Failed | RefusedFiles | UnsupportedSite
)
