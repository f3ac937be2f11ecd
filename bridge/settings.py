"""``bridge.toml`` and the environment, as one frozen object.

A setting comes from the file, is overridden by ``BRIDGE_SECTION__KEY`` in the environment, and that
by the contents of the file that ``BRIDGE_SECTION__KEY_FILE`` names (for secrets). Unknown keys and
wrong values are :class:`SettingsError`, which names file, key, value and remedy.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

Positive = Annotated[int, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every section is frozen and knows its keys."""


class Site(_Section):
    """``[site]``: whose site it is and where its files are."""

    me: str
    repo: Path
    aliases: tuple[str, ...] = ()
    branch: str = ""
    settings: str = "pelicanconf.py"


class Server(_Section):
    """``[server]``: where the bridge listens, and where the world reaches it."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    public_url: str = ""


class Auth(_Section):
    """``[auth]``: who is asked whether a token is good."""

    token_endpoint: str = ""
    introspection_endpoint: str = ""
    introspection_auth: str = "none"
    strict: bool = False
    cache_seconds: Annotated[int, msgspec.Meta(ge=0, le=60)] = 60


class IndieAuth(_Section):
    """``[indieauth]``: the built-in IndieAuth server."""

    enabled: bool = False
    database: Path = Path("indieauth.sqlite")


class Content(_Section):
    """``[content]``: how posts become files."""

    folder: str = "content"
    path: str = "{category}/{published:%Y}/{published:%m}/{slug}.md"
    html: Literal["sanitize", "trust"] = "sanitize"


class Media(_Section):
    """``[media]``: uploads. ``folder`` is inside the content folder."""

    folder: str = "media"
    max_bytes: Positive = 20_000_000


class Publish(_Section):
    """``[publish]``: where commits go, and whose they are."""

    remote: str = "origin"
    author: str = ""


class Rebuild(_Section):
    """``[rebuild]``: how pages come from commits."""

    mode: Literal["resident", "command", "webhook", "none"] = "command"
    output: str = ""
    command: tuple[str, ...] = ()
    webhook: str = ""


class Target(_Section):
    """One ``[[syndication.targets]]`` (Micropub 3.7.2)."""

    uid: str
    name: str


class Syndication(_Section):
    """``[syndication]``: what ``q=syndicate-to`` offers."""

    targets: tuple[Target, ...] = ()


class Settings(_Section):
    """The whole of ``bridge.toml``."""

    site: Site
    server: Server = Server()
    auth: Auth = Auth()
    indieauth: IndieAuth = IndieAuth()
    content: Content = Content()
    media: Media = Media()
    publish: Publish = Publish()
    rebuild: Rebuild = Rebuild()
    syndication: Syndication = Syndication()


class SettingsError(Exception):
    """A setting cannot be used. The text names file, key, value, and what to write instead."""

    def __init__(self, source: str, key: str, problem: str, remedy: str) -> None:
        super().__init__(f"{source}: {key}: {problem}. {remedy}")
        self.source = source
        self.key = key
