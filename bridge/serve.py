"""Runs the bridge until somebody asks it to end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from bridge.settings import Settings, SettingsError

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Listen as ``[server]`` says; ends on SIGINT and SIGTERM.

    The line ``listening on URL`` on standard output says that the bridge answers. Raises
    :class:`SettingsError` where it cannot listen there.
    """
    listener = listen(settings.server.host, settings.server.port)
    host, port = listener.getsockname()[:2]
    local = f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    async def main() -> None:
        from bridge.app import make_app

        app = await make_app(settings, public_url=settings.server.public_url or local)
        await run(app, listener, lambda: _announce(app, local))

    asyncio.run(main())


async def _announce(app: web.Application, local: str) -> None:
    from bridge.indieauth.owner import is_set_up, owner_reset
    from bridge.indieauth.server import SERVER

    print(f"listening on {local}", flush=True)
    server = app.get(SERVER)
    if server is not None and not is_set_up(server.db):
        print(f"Set up how you sign in: {server.url(owner_reset(server.db))}", flush=True)
        print("The link is good once, for a day. `owner reset` prints another.", flush=True)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 is a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            "settings",
            "server.port",
            f"cannot listen on {host}:{port}: {error.strerror}",
            "Choose another port, or 0 for a free one",
        ) from error
    return listener


async def run(
    app: web.Application, listener: socket.socket, ready: Callable[[], Awaitable[None]]
) -> None:
    """Serve ``app`` until SIGINT or SIGTERM; ``ready`` is called once it answers."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    # The access log stays off: a request line may carry a secret in its query.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await ready()
        await ended.wait()
        log.info("ending")
    finally:
        await runner.cleanup()
