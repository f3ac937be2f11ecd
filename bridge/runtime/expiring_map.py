"""A map whose values expire. In memory: a restart empties it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class ExpiringMap(Generic[T]):
    """Values by key, each kept for ``seconds``, at most ``most`` of them."""

    def __init__(
        self, *, seconds: float, most: int = 1000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def put(self, key: Hashable, value: T, *, seconds: float | None = None) -> None:
        """Store a value, for ``seconds`` if given; if there are too many values, the oldest are
        dropped.
        """
        self._kept.pop(key, None)
        lifetime = self._seconds if seconds is None else seconds
        self._kept[key] = (self._clock() + lifetime, value)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def get(self, key: Hashable) -> T | None:
        """The value, or ``None`` if it is absent or expired."""
        until, value = self._kept.get(key, (0.0, None))
        return value if value is not None and self._clock() < until else None

    def pop(self, key: Hashable) -> T | None:
        """Remove and return the value, or ``None``."""
        value = self.get(key)
        self._kept.pop(key, None)
        return value
