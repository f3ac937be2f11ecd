"""What the desk's handlers share, put together once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, tzinfo
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web
from msgspec import Struct

from bridge.auth.token import Token
from bridge.desk.compose.context import Contexts
from bridge.desk.used_files import UsedFiles
from bridge.errors import SiteBroken
from bridge.media.library import MediaLibrary
from bridge.posts.attachments import MediaCommitter
from bridge.posts.catalogue import Catalogue
from bridge.posts.post_files import PostReader
from bridge.publisher import Publisher
from bridge.rebuild import Rebuilder
from bridge.settings import Settings
from bridge.store import ContentStore
from bridge.web.previews import Previews
from bridge.web.queries import Queries

#: The owner's permissions at the desk: every scope that an app can have.
_SCOPES = frozenset({"create", "update", "delete", "media"})


class Desk(Struct, frozen=True):
    """What the desk reads from, and the publisher, through which alone it writes.

    ``max_bytes`` limits one form.
    """

    store: ContentStore
    catalogue: Catalogue
    posts: PostReader
    publisher: Publisher
    queries: Queries
    media: MediaLibrary
    rebuilder: Rebuilder
    previews: Previews | None
    contexts: Contexts
    used_files: UsedFiles
    committer: MediaCommitter
    settings: Settings
    public_url: str
    max_bytes: int
    now: Callable[[], float] = time.time

    @property
    def has_own_origin(self) -> bool:
        """Whether the desk has an origin of its own, so that no script of the site can read what a
        browser stores for it."""
        return urlsplit(self.settings.site.me).netloc != urlsplit(self.public_url).netloc

    @property
    def token(self) -> Token:
        """The token for the publisher: the signed-in owner has every scope."""
        return Token(self.settings.site.me, scopes=_SCOPES, client_id=self.public_url)

    @property
    def zone(self) -> tzinfo:
        """The zone of the site's clock."""
        with suppress(SiteBroken, ZoneInfoNotFoundError):
            return ZoneInfo(self.catalogue.site.facts.timezone)
        return UTC

    @property
    def clock(self) -> str:
        """The name of that zone in the site's settings."""
        return str(self.zone)

    def new_name(self) -> str:
        """A name (``once``) for a new form: if it is submitted twice, it is carried out once.

        It is not a secret.
        """
        return uuid.uuid4().hex


DESK = web.AppKey("desk", Desk)
