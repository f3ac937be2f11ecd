"""A bridge with its own host name, for which the desk stores data in the browser."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from git_kit import bare_copy, commit_all, git, new_repo
from indieauth_kit import PASSWORD, hashed, listening
from site_kit import CONF, lay_out

from bridge.app import make_app
from bridge.indieauth.database import Database
from bridge.indieauth.login.password import owner_reset, store_password
from bridge.settings import IndieAuth, Publish, Rebuild, Settings, Site

_NO_FILES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class OwnHost:
    """A bridge with its own host name; ``desk`` is its URL, ``set_up`` the link for choosing
    how to sign in.
    """

    desk: str
    bare: Path
    set_up: str

    def commits(self) -> int:
        return int(git(self.bare, "rev-list", "--count", "main"))


@asynccontextmanager
async def bridge_in(
    folder: Path, host: str, *, by_passkey: bool = False, files: Mapping[str, str] = _NO_FILES
) -> AsyncIterator[OwnHost]:
    """A bridge whose host name is not the site's; the site has only these files, and the
    owner has a password.
    """
    clone = new_repo(lay_out(folder / "clone", files, CONF))
    commit_all(clone)
    bare = bare_copy(clone, folder / "site.git")
    settings = Settings(
        site=Site(me="https://example.com/", repo=bare, state=folder / "state"),
        publish=Publish(author="Ada <ada@example.com>", remote=""),
        indieauth=IndieAuth(enabled=True, database=folder / "indieauth.sqlite"),
        rebuild=Rebuild(mode="none"),
    )
    database = Database(settings.indieauth.database)
    with database.transaction() as connection:
        store_password(connection, hashed(PASSWORD))
    set_up = owner_reset(database) if by_passkey else ""
    database.close()
    bound = socket.create_server(("127.0.0.1", 0))
    base = f"http://{host}:{bound.getsockname()[1]}"
    async with listening(await make_app(settings, public_url=base), bound):
        yield OwnHost(f"{base}/desk/", bare, base + set_up)
