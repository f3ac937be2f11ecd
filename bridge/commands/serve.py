"""``micropub-bridge serve``: runs the bridge until it gets a signal to stop."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from aiohttp import web

from bridge.content.markup import note
from bridge.errors import Refused
from bridge.http.connection import MAX_REQUEST, Listener, accept_clients
from bridge.http.later import LATER
from bridge.runtime.command_name import command, doc, with_config
from bridge.runtime.private import InUse, held
from bridge.runtime.release_memory import reserve_little
from bridge.runtime.shutdown import LastResort
from bridge.runtime.terminal import tell
from bridge.runtime.threads import ThreadPool
from bridge.settings import Settings

log = logging.getLogger(__name__)

#: Longer than proxies keep idle connections, so that the bridge never closes one in use.
_IDLE_SECONDS = 300.0
_BACKLOG = 128

#: After a signal requests have this many seconds to end, and as many again to be cancelled.
_REQUEST_SECONDS = 2
#: Seconds for the whole shutdown, of which programs that were started have some. Service managers
#: wait for ten.
_END_SECONDS = 8.0
_CHILD_SECONDS = 5.0

#: A few more than Python's own pool has on a machine with two processors.
_THREADS = 8

_CLONE = Path(__file__).parents[2]


def serve(settings: Settings, config: Path) -> None:
    """Serve on the address of ``[server]`` until SIGINT or SIGTERM. ``settings`` are those of the
    file ``config``.

    Prints ``listening on URL`` once the bridge answers. Raises :class:`~bridge.errors.Refused`
    where it cannot listen there, and what :func:`~bridge.app.make_app` raises.
    """
    listener = listen(settings.server.host, settings.server.port)
    host, port = listener.getsockname()[:2]
    local = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    add_plugin_to_pythonpath()

    async def main() -> None:
        from bridge.app import make_app
        from bridge.auth.verifier import check_site

        check_site(settings)
        with only_bridge(settings.site.state):
            start_threads()
            app = await make_app(settings, public_url=settings.server.public_url or local)
            await run(app, listener, lambda: _announce(app, local, config))

    asyncio.run(main())


def start_threads() -> None:
    """Start the threads for what would block the event loop. Raises ``OSError``.

    All of them, while there is memory: Python waits for ever for a thread for which there is too
    little.
    """
    reserve_little()
    pool = ThreadPool(_THREADS, "work", first=_THREADS)
    asyncio.get_running_loop().set_default_executor(pool)


@contextmanager
def only_bridge(state: Path) -> Iterator[None]:
    """Be the only bridge with this state folder: two would send everything twice, and overwrite
    each other's pages. Waits for one that is ending. Raises :class:`Refused` if it goes on.
    """
    try:
        with held(state, _END_SECONDS + 2):
            yield
    except InUse as error:
        raise Refused(
            f"another bridge uses {state}. Stop it, or give this one another folder: [site] state"
        ) from error


async def _announce(app: web.Application, local: str, config: Path) -> None:
    from bridge.indieauth.login.password import is_set_up, owner_reset
    from bridge.indieauth.server import SERVER

    tell(f"listening on {local}")
    server = app.get(SERVER)
    if server is not None and not is_set_up(server.db):
        tell(f"Set up how you sign in: {server.url(owner_reset(server.db))}")
        reset = with_config(f"{command()} owner reset", config)
        tell(f"The link is valid once, for a day. `{reset}` prints another.")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on ``host`` and ``port`` (0: a free one). Raises :class:`Refused`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else "ports end at 65535"
        helps = _how_to_listen(host, error)
        raise Refused(f"cannot listen on {host}:{port}: {reason}. {helps}") from error
    return listener


def _how_to_listen(host: str, error: Exception) -> str:
    """What helps where the bridge cannot listen."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror) or number == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: set [server] host, usually to 127.0.0.1."
    if number == errno.EACCES:
        return (
            "This user may not use ports that low: choose another, such as 8080, and have your web"
            f" server forward requests to it ({doc('proxies.md')})."
        )
    known = "Perhaps a bridge is running already. " if number == errno.EADDRINUSE else ""
    return f"{known}Choose another port, or 0 for a free one."


def add_plugin_to_pythonpath() -> None:
    """In a clone, where nothing is installed, let builds import the plugin from it."""
    if (_CLONE / "pyproject.toml").is_file():
        search = [str(_CLONE), str(_CLONE / "namespace"), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, search))


async def run(
    app: web.Application, listener: socket.socket, ready: Callable[[], Awaitable[None]]
) -> None:
    """Serve ``app`` until SIGINT or SIGTERM; ``ready`` is called once it answers.

    After the signal the process ends within ten seconds, by force and with exit status 1 if
    something in this process hangs. Child processes that hang are killed before.
    """
    ended = _end_signal()
    # No access log: a request line may contain a secret in its query.
    runner = web.AppRunner(app, shutdown_timeout=_REQUEST_SECONDS)
    accepting: asyncio.Task[None] | None = None
    clients: Listener | None = None
    try:
        await runner.setup()
        clients = Listener(
            cast("web.Server", runner.server),
            max_bytes=2 * app[MAX_REQUEST],
            access_log=None,
            keepalive_timeout=_IDLE_SECONDS,
        )
        accepting = asyncio.create_task(accept_clients(clients, listener, _BACKLOG), name="accept")
        later = app.get(LATER)
        made = [] if later is None else [later.made()]
        # What is made later may fail while ``ready`` waits for it.
        await _unless(ended, asyncio.gather(ready(), *made))
        await asyncio.to_thread(note.prepare)
        # Long-lived objects are left out of garbage collections, which would delay requests. So
        # would a search for the few of them that are garbage: 2,000 of 64,000.
        gc.freeze()
        gc.enable()
        await ended.wait()
        log.info("shutting down")
    finally:
        if accepting is not None:
            accepting.cancel()
            await asyncio.wait({accepting})
        await runner.cleanup()
        if clients is not None:
            await clients.close()


async def _unless(ended: asyncio.Event, work: Awaitable[object]) -> None:
    """Wait for ``work``, or until the process is to end. Raises what ``work`` raises."""
    working, ending = asyncio.ensure_future(work), asyncio.create_task(ended.wait())
    await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if working.done():
        working.result()
    working.cancel()
    # Nothing is closed before the work has ended.
    await asyncio.gather(working, return_exceptions=True)


def _end_signal() -> asyncio.Event:
    """An event that SIGINT or SIGTERM sets."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    last_resort = LastResort(_END_SECONDS, children=_CHILD_SECONDS)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
        # The event loop gets the signal by its own pipe in addition; this handler runs even if it
        # hangs.
        signal.signal(number, last_resort.begin)
        signal.siginterrupt(number, False)
    return ended
