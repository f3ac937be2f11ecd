"""Returns memory to the system after large pieces of work, and has the C library reserve little."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable

_ARENA_MAX = -8


def release_memory() -> None:
    """Return freed memory, including what the C library keeps for later use.

    glibc itself only returns what is free at the end of its heap. Does nothing if the C library has
    no such call.
    """
    _found()()


def reserve_little() -> None:
    """Have all threads share two pools of memory. Does nothing if the C library has no such call.

    glibc reserves addresses for 64 MB or more for the pool of each thread, of which nothing is left
    for others where a service's limit counts them.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def _nothing() -> None:
    """Does nothing, where there is no such call."""


@functools.cache
def _found() -> Callable[[], object]:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return _nothing
    return functools.partial(trim, ctypes.c_size_t(0))
