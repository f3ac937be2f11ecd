"""Memory that a large piece of work leaves behind, given back to the system."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Give back what was freed, and what the C library keeps for later.

    By itself glibc gives back only what is free at the end of its heap. Does nothing where the C
    library has no such call.
    """
    _found()()


def _nothing() -> None:
    """There is no such call."""


@functools.cache
def _found() -> Callable[[], object]:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return _nothing
    return functools.partial(trim, ctypes.c_size_t(0))
