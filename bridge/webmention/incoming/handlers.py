"""``/webmention``: receives webmentions, and reports their state."""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.errors import BridgeError, InvalidRequest, NotFound
from bridge.http.form import FORM, urlencoded
from bridge.http.limits import client_ip, receive_all
from bridge.pages.webmention import STATUS_TEXT, form_page, refusal_page, state_page, wants_page
from bridge.webmention.incoming.inbox import Record
from bridge.webmention.incoming.receiver import Receiver
from bridge.webmention.mention import web_url

_BYTES = 8 * 1024
_SECONDS = 30.0
_FIELDS = 20


class WebmentionHandlers:
    """Handlers of the endpoint. It uses no cookies and needs no token: anyone may send."""

    def __init__(self, receiver: Receiver, public_url: str) -> None:
        self._receiver = receiver
        self._endpoint = f"{public_url}webmention"

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer a form for people whose sites do not send webmentions."""
        return form_page(request, self._endpoint, web_url(request.query.get("target", "")))

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Accept a webmention: 201 with the URL of its status page in ``Location`` (Webmention
        3.2).

        Raises the errors of :mod:`bridge.errors`; a browser gets them as a page.
        """
        try:
            source, target = await _read(request)
            record = await self._receiver.receive(source, target, client_ip(request))
        except BridgeError as error:
            if not wants_page(request):
                raise
            retry = getattr(error, "retry_after", None)
            headers = {str(hdrs.RETRY_AFTER): str(retry)} if retry else {}
            return refusal_page(request, self._endpoint, error.description, error.status, headers)
        return self._state(request, record, status=201)

    async def state(self, request: web.Request) -> web.StreamResponse:
        """Answer the state of one webmention. Raises :class:`NotFound` for an unknown or expired
        id.
        """
        record = self._receiver.inbox.get(request.match_info["id"])
        if record is None:
            raise NotFound(
                "There is no webmention with this id. The state of one is kept for 30 days."
            )
        return self._state(request, record, status=200)

    def _state(self, request: web.Request, record: Record, *, status: int) -> web.Response:
        title, text = STATUS_TEXT[record.state]
        text = record.why or text
        location = f"{self._endpoint}/{record.id}"
        if wants_page(request):
            again = location if status == 201 else ""
            about = (record.source, record.target)
            return state_page(request, title, text, *about, status=status, location=again)
        answer = {
            "state": record.state,
            "message": text,
            "source": record.source,
            "target": record.target,
            "url": location,
        }
        # 3.2: "If the receiver creates a status page, it MUST reply with an HTTP 201 Created
        # response with a Location header".
        headers = {str(hdrs.CACHE_CONTROL): "no-store"}
        headers |= {str(hdrs.LOCATION): location} if status == 201 else {}
        return web.json_response(answer, status=status, headers=headers)


async def _read(request: web.Request) -> tuple[str, str]:
    """The ``source`` and ``target`` of a request. Raises :class:`InvalidRequest` and
    :class:`PayloadTooLarge`.
    """
    # 3.1.3: the parameters are "x-www-form-urlencoded".
    if request.content_type != FORM:
        raise InvalidRequest(f"Send 'source' and 'target' as {FORM}.")
    body = await receive_all(request, max_bytes=_BYTES, seconds=_SECONDS)
    pairs = urlencoded(body, _FIELDS)
    found = {name: [value for key, value in pairs if key == name] for name, _ in pairs}
    if "code" in found:
        # A private webmention must not be fetched and published.
        raise InvalidRequest(
            "Private webmentions ('code') are not supported: send one without 'code'."
        )
    for name in ("source", "target"):
        if len(found.get(name, [])) != 1 or not found[name][0].strip():
            raise InvalidRequest(f"Send one '{name}', an http(s) URL.")
    return found["source"][0].strip(), found["target"][0].strip()
