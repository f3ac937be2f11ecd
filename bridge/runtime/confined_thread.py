"""Runs functions of the bridge's own under the confinement of the site's code.

The bridge moves checkouts, publishes pages and removes files in folders that the site's code may
write to at the same time. Between two steps that code may swap a folder for a symbolic link, and
have the bridge, or git on its behalf, write elsewhere. The kernel confines threads one by one:
what runs here, and each program that it starts, changes files in the granted folders only, whatever
leads out of them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from bridge.runtime.confinement import Grants, confine

_T = TypeVar("_T")

#: Runs a function in the thread that waits, which is not confined, and returns what it returns.
Outside: TypeAlias = Callable[[Callable[[], Any]], Any]


def run_confined(grants: Grants | None, function: Callable[[Outside], _T]) -> _T:
    """Run a function in a thread that is confined, and wait for its end.

    It gets a function that runs others outside. ``None``: nothing is confined. Raises what the
    function raises.
    """
    if grants is None:
        return function(_directly)
    asked = queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]()
    result = Future[_T]()

    def outside(wanted: Callable[[], Any]) -> Any:
        future = Future[Any]()
        asked.put((wanted, future))
        return future.result()

    def run() -> None:
        try:
            confine(grants)
            _settle(result, lambda: function(outside))
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
            result.set_exception(error)
        finally:
            asked.put(None)

    thread = threading.Thread(target=run, name="confined", daemon=True)
    thread.start()
    while (order := asked.get()) is not None:
        wanted, future = order
        _settle(future, wanted)
    thread.join()
    return result.result()


def _directly(wanted: Callable[[], Any]) -> Any:
    return wanted()


def _settle(future: Future[_T], function: Callable[[], _T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
        future.set_exception(error)
