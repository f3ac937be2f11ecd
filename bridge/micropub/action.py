"""Micropub actions, parsed once into frozen values (Micropub 3.2-3.5)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from msgspec import Struct, field

from bridge.micropub.post import Json, Post, Properties

_NONE: Mapping[str, tuple[Json, ...]] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """A file in a multipart request.

    ``property`` is its field (``photo``, ``video``, ``audio``, ``file``); ``index`` is its position
    among that property's values, counting files and URLs together, so that the order of the request
    is kept. ``filename`` is the client's: untrusted, possibly empty. ``alt`` describes it for those
    who cannot see it. A picture within a text has a ``placeholder`` there, instead of its
    ``data:`` URL, the ``source``; its ``data`` are empty if that cannot be read.
    """

    property: str
    index: int
    filename: str
    data: bytes = dataclasses.field(repr=False)
    alt: str = ""
    placeholder: str = ""
    source: str = dataclasses.field(default="", repr=False)


class Create(Struct, frozen=True):
    """Create a post (3.3). ``commands`` are the ``mp-*`` values, by names without the prefix.

    ``once`` is the sender's name for the request: sending it again does nothing more.
    """

    post: Post
    commands: Properties = field(default_factory=lambda: _NONE)
    uploads: tuple[Upload, ...] = ()
    once: str = ""


class Update(Struct, frozen=True):
    """Update a post (3.4).

    ``delete_values`` removes single values, ``delete_properties`` whole properties. ``once`` is as
    for :class:`Create`. ``seen`` is the blob id of the file that the sender has seen, or ``""``: a
    file that has changed since is not overwritten. ``uploads`` are pictures within its texts.
    """

    url: str
    replace: Properties = field(default_factory=lambda: _NONE)
    add: Properties = field(default_factory=lambda: _NONE)
    delete_values: Properties = field(default_factory=lambda: _NONE)
    delete_properties: tuple[str, ...] = ()
    commands: Properties = field(default_factory=lambda: _NONE)
    once: str = ""
    seen: str = ""
    uploads: tuple[Upload, ...] = ()


class Delete(Struct, frozen=True):
    """Delete a post (3.5)."""

    url: str


class Undelete(Struct, frozen=True):
    """Undelete a post (3.5)."""

    url: str


Action: TypeAlias = Create | Update | Delete | Undelete
