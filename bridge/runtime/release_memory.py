"""Returns memory to the system after large pieces of work."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def release_memory() -> None:
    """Return freed memory, including what the C library keeps for later use.

    glibc itself only returns what is free at the end of its heap. Does nothing if the C library has
    no such call.
    """
    _found()()


def _nothing() -> None:
    """Does nothing, where there is no such call."""


@functools.cache
def _found() -> Callable[[], object]:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return _nothing
    return functools.partial(trim, ctypes.c_size_t(0))
