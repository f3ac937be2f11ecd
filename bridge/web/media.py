"""``/media``: uploads (Micropub 3.6), queries about them, and the files themselves."""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.auth.token import Token, require
from bridge.errors import InsufficientScope, InvalidRequest, NotFound
from bridge.http.stored_file import send_file
from bridge.media.library import MediaLibrary
from bridge.media.stored_file import MediaFile
from bridge.micropub.body import RequestBody
from bridge.micropub.parse import media_file
from bridge.micropub.post import Json
from bridge.micropub.query import MEDIA_QUERIES, Query, parse_query
from bridge.posts.attachments import MediaCommitter
from bridge.posts.commits import commit_message
from bridge.runtime.threads import APP
from bridge.web.request import WRAPPING, Gate


class MediaHandlers:
    """Handlers of the media endpoint.

    ``max_bytes`` limits a file, and so a body.
    """

    def __init__(
        self,
        library: MediaLibrary,
        gate: Gate,
        committer: MediaCommitter,
        *,
        max_bytes: int,
    ) -> None:
        self._library = library
        self._gate = gate
        self._committer = committer
        self._max_bytes = max_bytes

    async def post(self, request: web.Request) -> web.Response:
        """POST to the media endpoint: an upload, or ``action=delete``."""
        # Without a body, everything is in the query, whatever type the client declares.
        if request.can_read_body:
            limit = self._max_bytes + WRAPPING
            body, token = await self._gate.receive(request, max_bytes=limit)
        else:
            body, token = RequestBody("empty"), await self._gate.admit(request, None)
        action = _parameter(request, body, "action")
        if action is None:
            return await self.upload(body, token)
        token = await self._gate.admit(request, body.access_token, fresh=True)
        if action != "delete":
            raise InvalidRequest(f"The media endpoint knows the action “delete”, not {action!r}.")
        return await self._delete(_parameter(request, body, "url"), token)

    async def upload(self, body: RequestBody, token: Token) -> web.Response:
        """Store the one file of a body, sent to this endpoint or to the Micropub one."""
        require(token, "media")
        upload = media_file(body)
        alt = body.first("alt") or body.first("mp-photo-alt") or ""
        APP.set(token.app)
        file = await self._library.accept(upload.data, upload.filename, alt=alt)
        # Micropub 3.6.3: "The Media Endpoint processes the file upload [...] and returns the URL
        # [...] in the HTTP Location header."
        url = self._library.url_of(file)
        return web.json_response({"url": url}, status=201, headers={hdrs.LOCATION: url})

    async def get(self, request: web.Request) -> web.Response:
        """A query about uploads; without ``q``, the list of queries.

        Any of the owner's tokens may query, because that changes nothing.
        """
        await self._gate.admit(request, None)
        query = parse_query(request.query.items(), MEDIA_QUERIES)
        match query.q:
            case "source":
                found = await (self._one(query.url) if query.url else self._list(query))
                return web.json_response(found)
            case "last":
                last = await self._library.last()
                return web.json_response(self._item(last) if last else {})
        return web.json_response({"q": [*MEDIA_QUERIES]})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """GET or HEAD of a file, available as soon as it is uploaded."""
        opened = await self._library.open(request.match_info["path"])
        if opened is None:
            raise NotFound("There is no such file.")
        return await send_file(request, opened)

    async def _one(self, url: str) -> dict[str, Json]:
        """One file; as a list of one as well, for clients that only know lists."""
        file = await self._library.find(url)
        if file is None:
            raise InvalidRequest(f"{url[:200]!r} is not a file of this media endpoint.")
        item = self._item(file)
        return {**item, "items": [item]}

    async def _list(self, query: Query) -> dict[str, Json]:
        files = await self._library.list()
        if query.filter:
            files = [file for file in files if query.matches(self._item(file))]
        shown = files[query.offset : query.offset + query.page_size]
        return {"items": [self._item(file) for file in shown]}

    def _item(self, file: MediaFile) -> dict[str, Json]:
        return {
            "url": self._library.url_of(file),
            "published": file.published.isoformat(timespec="seconds"),
            "mime_type": file.type,
            "alt": file.alt,
        }

    async def _delete(self, url: str | None, token: Token) -> web.Response:
        if not token.scopes & {"delete", "media"}:
            raise InsufficientScope("This needs a token with the scope “delete”.", scope="delete")
        if url is None:
            raise InvalidRequest("Say which file to delete: url=.")
        await delete_file(self._library, self._committer, url, token)
        return web.json_response({})


async def delete_file(
    library: MediaLibrary, committer: MediaCommitter, url: str, token: Token
) -> None:
    """Delete a file from the library, and from the repo if it is committed.

    Raises :class:`InvalidRequest` if there is no such file.
    """
    changes = await library.delete(url)
    if changes:
        subject = f"Delete {library.path_of(url)}"
        message = commit_message("delete", subject, url=url, client_id=token.client_id)
        await committer.commit_media(changes, message)


def _parameter(request: web.Request, body: RequestBody, name: str) -> str | None:
    """A parameter of the request: from the form, the JSON, or the query."""
    in_json = body.json.get(name) if isinstance(body.json, dict) else None
    given = body.first(name) or in_json or request.query.get(name)
    return given if isinstance(given, str) else None
