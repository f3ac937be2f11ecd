"""Routes of an application that is made once the server listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from bridge.errors import Unavailable
from bridge.http.connection import waiting


class Later(web.DynamicResource):
    """The routes of an application that ``make`` returns, mounted at ``/`` behind all others.

    It is made when the application that it is mounted in starts. Requests for its routes, and for
    what no other route has, wait until then. Where ``make`` fails, they raise :class:`Unavailable`,
    and :meth:`made` raises its error, with which ``serve`` ends.
    """

    def __init__(self, make: Callable[[], Awaitable[web.Application]]) -> None:
        # aiohttp tries it last: nothing of its path is fixed.
        super().__init__("/{later:.*}")
        self._make = make
        self._making: asyncio.Task[web.Application] | None = None

    def mount(self, app: web.Application) -> None:
        """Add the routes to ``app``, and have them made when it starts."""
        app.router.register_resource(self)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)

    async def made(self) -> web.Application:
        """The application, once it has been made. Raises what ``make`` raises."""
        return await asyncio.shield(self._started())

    async def made_or_none(self) -> web.Application | None:
        """The application, once it has been made; ``None`` if it could not be."""
        making = self._started()
        await asyncio.wait({making})
        failed = making.cancelled() or making.exception() is not None
        return None if failed else making.result()

    def _started(self) -> asyncio.Task[web.Application]:
        if self._making is None:
            raise RuntimeError("the application that this one is mounted in has not started")
        return self._making

    async def _start(self, app: web.Application) -> None:
        del app
        self._making = asyncio.create_task(self._made(), name="later")

    async def _made(self) -> web.Application:
        app = await self._make()
        app.freeze()
        return app

    async def _stop(self, app: web.Application) -> None:
        del app
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait({self._making})

    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """The route of a request; or ``None``, and the methods that its path allows."""
        with waiting(request):
            app = await self.made_or_none()
        if app is None:
            return web.UrlMappingMatchInfo({}, web.ResourceRoute("*", _refuse, self)), set()
        found = await app.router.resolve(request)
        match found.http_exception:
            case None:
                found.add_app(app)
                return found, set()
            case web.HTTPMethodNotAllowed() as refused:
                return None, refused.allowed_methods
            case _:
                return None, set()


async def _refuse(request: web.Request) -> web.StreamResponse:
    del request
    raise Unavailable("The bridge is shutting down. Try again in a moment.", retry_after=5)


LATER = web.AppKey("later", Later)
