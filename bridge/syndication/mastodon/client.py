"""A client for the part of Mastodon's API that copies and their responses need.

https://docs.joinmastodon.org/methods/ ; the differences of other servers with this API are handled
here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
from msgspec import Struct

from bridge.micropub.post import unescape
from bridge.syndication.api import Api, ApiError, list_of, object_of, objects
from bridge.syndication.compose.images import Photo
from bridge.syndication.compose.measure import Counts
from bridge.webmention.mention import web_url

#: Pauses while the server processes a picture, in seconds: five minutes in all.
_PATIENCE = (1, 2, 4, 8, *(15,) * 19)
_NEWEST = 40
_WEB_URL = re.compile(r"https?://[^/@]+(/[^\s<>\"\\^`{|}]*)?")


class Instance(Struct, frozen=True):
    """A server's limits (``configuration`` of ``/api/v2/instance``)."""

    characters: int = 500
    url_length: int = 23
    photos: int = 4
    image_bytes: int = 16_777_216
    image_pixels: int = 33_177_600
    mimes: tuple[str, ...] = ("image/jpeg", "image/png", "image/gif", "image/webp")
    description: int = 1_500
    counts: Counts = "links"


class MastodonAccount(Struct, frozen=True):
    """The account of a token. ``privacy`` is its default visibility."""

    id: str
    acct: str
    url: str
    privacy: str = "public"


class Status(Struct, frozen=True):
    """The used fields of a status; ``text`` is plain text."""

    id: str
    url: str
    created: datetime | None
    content: str
    text: str
    account: str = ""
    media: tuple[str, ...] = ()

    def links_to(self, url: str) -> bool:
        """Whether the status links to ``url``."""
        bare = url.rstrip("/")
        links = re.findall(r'href="([^"]*)"', self.content)
        return any(unescape(each).rstrip("/") == bare for each in links) or url in self.text


class Mastodon:
    """One account at one server. Every method raises :class:`~bridge.syndication.api.ApiError`."""

    def __init__(
        self, api: Api, token: str, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._api = api
        self._token = token
        self._sleep = sleep

    def now(self) -> datetime | None:
        """The time by the server's clock; ``None`` while that is not known."""
        return self._api.server.now()

    async def instance(self) -> Instance:
        """The server's limits; Mastodon's defaults where it does not say."""
        for path in ("/api/v2/instance", "/api/v1/instance"):
            try:
                # Some servers require the token for this.
                return _instance(object_of(await self._get(path)))
            except ApiError as error:
                if error.is_temporary:
                    raise
        return Instance()

    async def account(self) -> MastodonAccount:
        """The account that the token belongs to.

        Raises :class:`ApiError`, with status 401 for an invalid token.
        """
        try:
            found = object_of(await self._get("/api/v1/accounts/verify_credentials"))
        except ApiError as error:
            if error.status in {400, 422}:
                # Some servers answer so for an invalid token.
                raise ApiError(str(error), status=401) from error
            raise
        source = found.get("source")
        privacy = source.get("privacy") if isinstance(source, dict) else None
        return MastodonAccount(
            str(found.get("id", "")),
            str(found.get("acct") or found.get("username") or ""),
            str(found.get("url") or ""),
            privacy if isinstance(privacy, str) else "public",
        )

    async def post(self, fields: Sequence[tuple[str, str]], key: str) -> Status:
        """Create a status. ``key`` is the Idempotency-Key: within an hour, servers that
        support it create no second one.
        """
        headers = {"Idempotency-Key": key}
        answer = await self._api.send(
            "POST", "/api/v1/statuses", self._token, form=fields, headers=headers
        )
        return self._made(object_of(answer))

    async def edit(self, status_id: str, fields: Sequence[tuple[str, str]]) -> Status | None:
        """Edit a status; all fields are sent again. ``None`` where the server cannot edit."""
        path = f"/api/v1/statuses/{status_id}"
        try:
            made = object_of(await self._api.send("PUT", path, self._token, form=fields))
            return self._made(made)
        except ApiError as error:
            if error.status in {404, 405, 501}:
                return None
            raise

    async def delete(self, status_id: str) -> None:
        """Delete a status; no error if it is gone already."""
        try:
            await self._api.send("DELETE", f"/api/v1/statuses/{status_id}", self._token)
        except ApiError as error:
            if error.status not in {404, 410}:
                raise

    async def status(self, status_id: str) -> Status | None:
        """A status; ``None`` where there is none."""
        try:
            return self._status(object_of(await self._get(f"/api/v1/statuses/{status_id}")))
        except ApiError as error:
            if error.status in {404, 410}:
                return None
            raise

    async def source(self, status_id: str) -> str | None:
        """The plain text of the account's own status; ``None`` where the server does not
        return it.
        """
        try:
            found = object_of(await self._get(f"/api/v1/statuses/{status_id}/source"))
        except ApiError as error:
            if error.is_temporary:
                raise
            return None
        text = found.get("text")
        return text if isinstance(text, str) else None

    async def newest(self, account: str) -> list[Status]:
        """The newest statuses of an account."""
        path = f"/api/v1/accounts/{account}/statuses"
        found = list_of(await self._get(path, limit=_NEWEST, exclude_reblogs="true"))
        return [self._status(each) for each in found]

    async def upload(self, photo: Photo, description: str) -> str:
        """Upload a picture and wait until it is processed; returns its id."""
        # A minute, and the time for a very slow connection.
        seconds = 60.0 + len(photo.data) / 20_000
        form = aiohttp.FormData()
        name = f"photo.{photo.mime.rpartition('/')[2]}"
        form.add_field("file", photo.data, filename=name, content_type=photo.mime)
        form.add_field("description", description)
        try:
            answer = await self._api.send(
                "POST", "/api/v2/media", self._token, data=form, seconds=seconds
            )
        except ApiError as error:
            if error.status not in {404, 405}:
                raise _lacks(error, "write:media") from error
            answer = await self._api.send(
                "POST", "/api/v1/media", self._token, data=form, seconds=seconds
            )
        made = object_of(answer)
        media_id = _id(made)
        # 202: accepted and still being processed.
        if answer.status == 202 or (answer.status == 200 and made.get("url", "") is None):
            await self._processed(media_id)
        return media_id

    async def find(self, url: str) -> Status | None:
        """The status at a URL of any server; ``None`` where this server cannot find it."""
        try:
            query = {"q": url, "resolve": "true", "type": "statuses", "limit": 5}
            found = object_of(await self._get("/api/v2/search", **query))
        except ApiError as error:
            if error.is_temporary or error.denied:
                raise _lacks(error, "read:search") from error
            return None
        statuses = objects(found.get("statuses"))
        return self._status(statuses[0]) if statuses else None

    async def do(self, status_id: str, action: str) -> dict[str, Any]:
        """``favourite`` or ``reblog`` a status, or undo that (``unfavourite``, ``unreblog``)."""
        path = f"/api/v1/statuses/{status_id}/{action}"
        scope = "write:favourites" if "favourite" in action else "write:statuses"
        try:
            return object_of(await self._api.send("POST", path, self._token))
        except ApiError as error:
            raise _lacks(error, scope) from error

    async def context(self, status_id: str) -> list[dict[str, Any]]:
        """All statuses below a status in its thread."""
        found = object_of(await self._get(f"/api/v1/statuses/{status_id}/context"))
        return objects(found.get("descendants"))

    async def raw(self, status_id: str) -> dict[str, Any] | None:
        """A status as JSON; ``None`` where there is none."""
        try:
            return object_of(await self._get(f"/api/v1/statuses/{status_id}"))
        except ApiError as error:
            if error.status in {404, 410}:
                return None
            raise

    async def people(self, status_id: str, what: str, pages: int = 5) -> list[dict[str, Any]]:
        """The accounts in ``favourited_by`` or ``reblogged_by`` of a status, at most
        ``pages`` pages.
        """
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 80}
        for _ in range(pages):
            answer = await self._get(f"/api/v1/statuses/{status_id}/{what}", **query)
            found += list_of(answer)
            link = re.search(
                r'[?&]max_id=([^&>]+)[^>]*>;\s*rel="next"', answer.headers.get("Link", "")
            )
            if link is None:
                break
            query["max_id"] = link[1]
        return found

    async def quotes(self, status_id: str) -> list[dict[str, Any]]:
        """The statuses that quote a status, where the server supports quotes (4.5)."""
        try:
            return list_of(await self._get(f"/api/v1/statuses/{status_id}/quotes"))
        except ApiError as error:
            if error.is_temporary or error.denied:
                raise
            return []

    async def _get(self, path: str, **query: Any) -> Any:
        return await self._api.get(path, self._token, **query)

    def _made(self, found: Mapping[str, Any]) -> Status:
        """The status in the response to a POST or PUT; it must have an id."""
        _id(found)
        return self._status(found)

    def _status(self, found: Mapping[str, Any]) -> Status:
        content = found.get("content") if isinstance(found.get("content"), str) else ""
        acct, status_id = str(_table(found, "account").get("acct") or ""), str(found.get("id", ""))
        # The copy exists, whatever address the server gives; that of its page is put on the site.
        page = f"{self._api.base}/@{quote(acct)}/{quote(status_id, safe='')}"
        return Status(
            id=status_id,
            url=_web_url(found.get("url")) or _web_url(found.get("uri")) or page,
            created=moment(found.get("created_at")),
            content=str(content),
            text=plain(str(content)),
            account=acct,
            media=tuple(str(each.get("id")) for each in objects(found.get("media_attachments"))),
        )

    async def _processed(self, media_id: str) -> None:
        for seconds in _PATIENCE:
            await self._sleep(seconds)
            # 206: still being processed. 422: failed for good.
            answer = await self._get(f"/api/v1/media/{media_id}")
            if answer.status == 200:
                return
        raise ApiError("the server did not process a photo within five minutes", status=503)


def _lacks(error: ApiError, scope: str) -> ApiError:
    """An error for a missing scope. It fails this job alone, since the token may do for others."""
    if error.status != 403:
        return error
    return ApiError(f"{error}: does the token have the scope {scope}?", status=400)


def _instance(found: Mapping[str, Any]) -> Instance:
    configuration = _table(found, "configuration")
    statuses, media = _table(configuration, "statuses"), _table(configuration, "media_attachments")
    usual = Instance()
    most = _number(found.get("max_toot_chars"), usual.characters)
    listed = media.get("supported_mime_types")
    mimes = [each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, str)]
    version = str(found.get("version", ""))
    return Instance(
        characters=_number(statuses.get("max_characters"), most),
        url_length=_number(statuses.get("characters_reserved_per_url"), usual.url_length),
        photos=_number(statuses.get("max_media_attachments"), usual.photos),
        image_bytes=_number(media.get("image_size_limit"), usual.image_bytes),
        image_pixels=_number(media.get("image_matrix_limit"), usual.image_pixels),
        mimes=tuple(mimes) or usual.mimes,
        description=_number(media.get("description_limit"), usual.description),
        counts="links" if _is_mastodon(version) else "larger",
    )


def _is_mastodon(version: str) -> bool:
    """Whether a version is Mastodon's: ``4.3.1``, ``4.4.0-beta.1+glitch``; not ``2.7.2
    (compatible; Pleroma 2.5)``, nor GoToSocial's ``0.19.1+git-2c0c2a0``.
    """
    return bool(re.fullmatch(r"[1-9]\d*\.\d+[\w.+-]*", version.strip()))


def _table(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: object, default: int) -> int:
    usable = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return int(value) if usable and isinstance(value, int) else default


def _id(found: Mapping[str, Any]) -> str:
    value = found.get("id")
    if not isinstance(value, str | int) or not str(value):
        raise ApiError("the server's response has no id")
    return str(value)


def _web_url(value: object) -> str:
    """The address of a web page, ``""`` for anything else: it becomes a link on the site."""
    found = web_url(value)
    return found if _WEB_URL.fullmatch(found) else ""


def moment(value: object) -> datetime | None:
    """Parse a time of an API; ``None`` where it is invalid."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None or found.tzinfo is None or not 1 < found.year < 9999:
        return None
    return found


def plain(content: str) -> str:
    """The text of a status's HTML, with line breaks between lines and paragraphs."""
    text = re.sub(r"<br\s*/?>", "\n", content)
    text = re.sub(r"</p>\s*<p[^<>]*>", "\n\n", text)
    # The pattern excludes "<", so that its time is linear in a text of nothing else.
    return unescape(re.sub(r"<[^<>]*>", "", text)).strip()
