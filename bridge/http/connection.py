"""One client's connection: its bytes are parsed fairly among clients, and it is closed in time.

aiohttp parses everything that has arrived in one go, waits without limit for a client that does not
read its answer, and accepts chunk extensions of any length. The classes here stand between the
socket and aiohttp's handler.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import ContentEncodingError
from aiohttp.web_protocol import _ErrInfo

from bridge.http.limits import FairQueue, Share, fair_queue

log = logging.getLogger(__name__)

#: All that clients learn about the server program.
SERVER = "micropub-bridge"

#: The largest body that an application accepts.
MAX_REQUEST = web.AppKey("max_request", int)

#: How much is parsed in one step: some bytes take a thousand times as long as others.
_BUFFER = 8 * 1024
#: How long a client may leave its answer unread.
_UNREAD_SECONDS = 60.0
#: How long a client may go on sending a body that is not wanted.
_LINGER_SECONDS = 5.0
#: Beyond this number of connections, the one that was idle longest is closed for a new one.
_MOST = 500
#: A new client has this long to send its request before its connection is closed for another one.
_STAY_SECONDS = 1.0
#: The pause where the system has no files or memory for another connection.
_NO_FILES_SECONDS = 1.0
#: How many more open files everything else may need than half of those that are allowed.
_FILES = 12


def most_connections() -> int:
    """How many connections leave enough of the files that a process may open (usually 1,024) to
    everything else.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _MOST
    return max(4, min(_MOST, allowed // 2 - _FILES))


class Listener:
    """Makes a protocol for each connecting client, and limits their number."""

    def __init__(
        self,
        server: web.Server,
        *,
        max_bytes: int,
        most: int | None = None,
        unread_seconds: float = _UNREAD_SECONDS,
        linger_seconds: float = _LINGER_SECONDS,
        stay_seconds: float = _STAY_SECONDS,
        **handler_options: Any,
    ) -> None:
        """``max_bytes`` is what a client may send between two responses, counting all bytes; there
        are :func:`most_connections` unless ``most`` says otherwise.

        ``handler_options`` are passed to aiohttp's :class:`~aiohttp.web.RequestHandler`.
        """
        self.max_bytes = max_bytes
        self.unread_seconds = unread_seconds
        self.linger_seconds = linger_seconds
        self.stay_seconds = stay_seconds
        self._server = server
        self._most = most_connections() if most is None else most
        self._options = handler_options
        self._open = dict[Connection, None]()
        self._changed = asyncio.Event()

    def __call__(self) -> asyncio.BaseProtocol:
        """Create the protocol of one connection."""
        loop = asyncio.get_running_loop()
        # aiohttp would parse what is not wanted; linger() does not.
        handler = _Handler(self._server, loop=loop, lingering_time=0, **self._options)
        return Connection(self, handler, fair_queue())

    async def close(self) -> None:
        """Close the connections whose handlers have not ended."""
        for each in list(self._open):
            each.abort()
        await asyncio.sleep(0)

    async def room(self) -> None:
        """Wait until there may be one connection more.

        Above the limit, the one that was idle longest is closed. While all clients wait for their
        answers, or have only just come, further ones wait to be accepted.
        """
        while len(self._open) >= self._most:
            now = asyncio.get_running_loop().time()
            idle = [each for each in self._open if not each.works_on_answer]
            if found := next((each for each in idle if each.may_be_closed_at <= now), None):
                self.closed(found)
                found.abort()
                return
            self._changed.clear()
            first = min((each.may_be_closed_at for each in idle), default=now + self.stay_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), first - now)

    def opened(self, connection: Connection) -> None:
        """Register a connection."""
        self._open[connection] = None

    def active(self, connection: Connection) -> None:
        """Record activity, which keeps the connections sorted by how long they have been idle."""
        if self._open.pop(connection, 0) is None:
            self._open[connection] = None

    def closed(self, connection: Connection) -> None:
        """Unregister a connection."""
        self._open.pop(connection, None)
        self._changed.set()

    def answered(self) -> None:
        """Called when a request has been answered."""
        self._changed.set()


async def accept_clients(listener: Listener, bound: socket.socket, backlog: int) -> None:
    """Accept connections at a bound socket, which is closed when this is cancelled; ``backlog`` is
    how many may wait for it.

    asyncio's own server accepts as many at once as may wait, before the first one is counted: a
    burst would use up the files that the process may open, and then its log grows by thousands of
    lines a second.
    """
    loop = asyncio.get_running_loop()
    with bound:
        bound.setblocking(False)
        bound.listen(backlog)
        while True:
            await listener.room()
            try:
                accepted, _ = await loop.sock_accept(bound)
            except ConnectionError:
                continue  # the client has gone
            except OSError as error:
                log.warning("no further connection can be accepted: %s", error.strerror)
                await asyncio.sleep(_NO_FILES_SECONDS)
                continue
            try:
                await loop.connect_accepted_socket(listener, accepted)
            except Exception:
                log.exception("a connection could not be served")
                accepted.close()


class _Handler(web.RequestHandler):
    """aiohttp's handler; its error responses reveal no versions, and it logs no requests."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Parse these bytes. Where a body is malformed, its reader is told at once: aiohttp only
        queues an error for the next request, and the reader would wait for the rest.
        """
        queued = len(self._messages)
        super().data_received(data)
        if len(self._messages) <= queued or not isinstance(self._messages[-1][0], _ErrInfo):
            return
        if len(self._messages) > 1:
            body = self._messages[-2][1]
        elif self._current_request is not None:
            body = self._current_request.content
        else:
            return
        if not body.is_eof() and body.exception() is None:
            body.set_exception(web.RequestPayloadError("malformed"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to malformed HTTP, or to an error below the application."""
        # aiohttp quotes the Expect header (RFC 9110 10.1.1), whose bytes may not be text.
        if isinstance(exc, UnicodeEncodeError):
            status = 400
        why = "This is not a valid HTTP request."
        if isinstance(exc, ContentEncodingError):
            # RFC 9110 15.5.16: "The format problem might be due to [...] Content-Encoding".
            status = 415
            why = "The body's Content-Encoding cannot be read: send gzip, deflate, or none."
        # A client that has disconnected gets no answer, and is not an error.
        if status >= 500 and not isinstance(exc, ConnectionError):
            response = super().handle_error(request, status, exc, message)
        else:
            # The message quotes the request, which may contain a secret.
            answer = {
                "error": "invalid_request",
                "error_description": why,
            }
            response = web.json_response(answer, status=status)
            response.force_close()
        response.headers[hdrs.SERVER] = SERVER
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


async def prepare_answer(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """An ``on_response_prepare`` handler: removes version headers, and notes a body that was
    not read.
    """
    response.headers[hdrs.SERVER] = SERVER
    transport: object = request.transport
    if isinstance(transport, _Transport):
        transport.body_unread = not request.content.is_eof()


@web.middleware
async def note_request(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Middleware that handles a request when it is its turn, and marks the connection as active
    meanwhile.
    """
    transport: object = request.transport
    if not isinstance(transport, _Transport):
        return await handler(request)
    transport.request = request
    try:
        return await transport.handle(partial(handler, request))
    finally:
        transport.end_request()


@contextmanager
def waiting(request: web.Request) -> Iterator[None]:
    """Marks the connection as active while a request waits before the middlewares."""
    transport: object = request.transport
    if isinstance(transport, _Transport):
        transport.request = request
    try:
        yield
    finally:
        if isinstance(transport, _Transport):
            transport.request = None


class _Transport:
    """The transport as aiohttp sees it: reading resumes when both sides are ready."""

    def __init__(self, inner: asyncio.Transport, connection: Connection) -> None:
        self._inner = inner
        self._connection = connection
        self.wants_more = True
        self.body_unread = False
        self.request: web.BaseRequest | None = None

    def __getattr__(self, name: str) -> Any:
        # Files are written like everything else, because the kernel's sendfile would wait without
        # limit for a client that reads nothing. This tells aiohttp that the loop does not support
        # it.
        if name == "_sendfile_compatible":
            raise NotImplementedError
        return getattr(self._inner, name)

    async def handle(self, work: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Handle a request, fairly among clients."""
        return await self._connection.handle(work)

    def end_request(self) -> None:
        """The request is handled."""
        self.request = None
        self._connection.handled()

    def pause_reading(self) -> None:
        self.wants_more = False
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self.wants_more = True
        if not self._connection.has_unparsed:
            self._inner.resume_reading()

    def is_closing(self) -> bool:
        return self._connection.lingers or self._inner.is_closing()

    def close(self) -> None:
        if self.body_unread:
            self._connection.linger()
        else:
            self._inner.close()

    def write(self, data: bytes) -> None:
        self._connection.answering()
        self._inner.write(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        self._connection.answering()
        self._inner.writelines(lines)


class Connection(asyncio.BufferedProtocol):
    """Passes the socket's bytes to aiohttp's handler when it is their turn, and everything else
    at once.
    """

    def __init__(self, listener: Listener, handler: web.RequestHandler, queue: FairQueue) -> None:
        self.has_unparsed = False
        self.lingers = False
        self._listener = listener
        self._handler = handler
        self._turns = queue
        self._share = Share()
        #: From when on it may be closed for another client, unless a request is handled.
        self.may_be_closed_at = asyncio.get_running_loop().time() + listener.stay_seconds
        self._buffer = bytearray(_BUFFER)
        self._received = 0
        self._transport: asyncio.Transport | None = None
        self._facade: _Transport | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None

    @property
    def works_on_answer(self) -> bool:
        """Whether a complete request has no response yet."""
        request = self._facade.request if self._facade else None
        return request is not None and request.content.is_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start."""
        self._transport = cast("asyncio.Transport", transport)
        # Everything that the client has not read counts, including the last bytes.
        self._transport.set_write_buffer_limits(high=0)
        self._facade = _Transport(self._transport, self)
        self._listener.opened(self)
        self._handler.connection_made(cast("asyncio.Transport", self._facade))

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._stop_waiting()
        if self._lingering is not None:
            self._lingering.cancel()
        self._listener.closed(self)
        self._transport = None
        self._handler.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:
        """The buffer for the next bytes."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have arrived: queue them for parsing, and read on afterwards."""
        self._listener.active(self)
        self._received += nbytes
        if self._received > self._listener.max_bytes:
            self.abort()
        if self.lingers or self._transport is None or self._transport.is_closing():
            return
        data = bytes(memoryview(self._buffer)[:nbytes])
        self.has_unparsed = True
        self._transport.pause_reading()
        self._turns.soon(self._share, nbytes, lambda: self._parse(data))

    def _parse(self, data: bytes) -> None:
        self.has_unparsed = False
        if self.lingers or self._transport is None or self._facade is None:
            return
        try:
            self._handler.data_received(data)
        except BaseException:
            self.abort()
            raise
        if self._facade.wants_more:
            self._transport.resume_reading()

    async def handle(self, work: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Handle a request when it is the client's turn."""
        return await self._turns.handle(self._share, work)

    def eof_received(self) -> bool | None:
        """Called when the client has closed its side: aiohttp closes the connection."""
        self._handler.eof_received()
        return None

    def pause_writing(self) -> None:
        """The client reads more slowly than we write; it gets a limited time to catch up."""
        loop = asyncio.get_running_loop()
        self._unread = loop.call_later(self._listener.unread_seconds, self.abort)
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Called when the write buffer is empty again."""
        self._stop_waiting()
        self._listener.active(self)
        self._handler.resume_writing()
        if self.lingers:
            self._end_answer()

    def answering(self) -> None:
        """Called when a response is written: the client may send its next request."""
        self._received = 0
        self._listener.active(self)

    def handled(self) -> None:
        """Called when a request is handled; its answer is sent before anything else is done."""
        self.may_be_closed_at = 0.0
        self._listener.answered()

    def linger(self) -> None:
        """Wait for the client to close; what it still sends is discarded.

        A client that gets a reset may never see the answer that refuses its request (RFC 9112 9.6).
        """
        if self.lingers or self._transport is None or self._transport.is_closing():
            return
        self.lingers = True
        loop = asyncio.get_running_loop()
        self._lingering = loop.call_later(self._listener.linger_seconds, self.abort)
        self._transport.resume_reading()
        if self._unread is None:
            self._end_answer()

    def _end_answer(self) -> None:
        """Signal the end of the answer."""
        try:
            if self._transport is not None:
                self._transport.write_eof()
        except OSError:
            # The client has disconnected.
            self.abort()

    def abort(self) -> None:
        """Close at once, discarding unread data."""
        if self._transport is not None:
            self._transport.abort()

    def _stop_waiting(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
