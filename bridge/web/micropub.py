"""``/micropub``: from HTTP to the publisher and back (Micropub 3)."""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.micropub.action import Action, Create
from bridge.micropub.parse import is_media_upload, parse_action
from bridge.posts.urls import ascii_url
from bridge.publisher import PERMISSIONS, Published, Publisher
from bridge.web.media import MediaHandlers
from bridge.web.previews import Previews
from bridge.web.queries import Queries
from bridge.web.request import Gate, form_in_url


class MicropubHandlers:
    """Handlers of the Micropub endpoint."""

    def __init__(
        self,
        gate: Gate,
        publisher: Publisher,
        queries: Queries,
        media: MediaHandlers,
        previews: Previews | None,
        *,
        max_bytes: int,
    ) -> None:
        """``previews`` if drafts can be previewed; ``max_bytes`` limits a whole request."""
        self._gate = gate
        self._publisher = publisher
        self._queries = queries
        self._media = media
        self._previews = previews
        self._max_bytes = max_bytes

    async def get(self, request: web.Request) -> web.Response:
        """A query (3.7). Any of the owner's tokens may query, because that changes nothing."""
        await self._gate.admit(request, None)
        return web.json_response(await self._queries.answer(request.query.items()))

    async def post(self, request: web.Request) -> web.StreamResponse:
        """An action (3.3-3.5), or an upload from a client without support for media endpoints."""
        # Another process gets ready beside the reading of the request: most are posts.
        self._publisher.expect()
        body, token = await self._gate.receive(request, max_bytes=self._max_bytes)
        if body.kind == "empty" and "q" not in request.query:
            body = form_in_url(request)
        if is_media_upload(body):
            return await self._media.upload(body, token)
        action = parse_action(body)
        if not isinstance(action, Create):
            # Existing posts must not be changed by a token that has just been revoked.
            permission = PERMISSIONS[type(action)]
            token = await self._gate.admit(request, body.access_token, permission, fresh=True)
        return self._answer(action, await self._publisher.carry_out(action, token))

    def _answer(self, action: Action, done: Published) -> web.Response:
        """201 once a new page is live, else 202; 200 for a change, 201 if it changed the URL."""
        body = {"url": done.url}
        if done.draft and self._previews:
            body["preview"] = self._previews.url(done.draft)
        if isinstance(action, Create):
            status = 201 if done.live else 202
        else:
            # Micropub 3.4: "201 Created with a Location header if the update changed the URL".
            status = 201 if done.moved else 200
        headers = {} if status == 200 else {hdrs.LOCATION: ascii_url(done.url)}
        return web.json_response(body, status=status, headers=headers)
