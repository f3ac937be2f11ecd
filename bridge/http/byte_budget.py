"""A memory budget that unauthenticated uploads share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from bridge.errors import Unavailable

#: Told of bytes that are about to be held. Raises where there is no room for them.
Take: TypeAlias = Callable[[int], None]


class ByteBudget:
    """A number of bytes that all shares together may hold."""

    def __init__(self, size: int) -> None:
        self._left = size

    @contextmanager
    def share(self) -> Iterator[Take]:
        """For one body: what it has taken is given back at the end.

        Taking raises :class:`Unavailable` where others hold the rest.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._left:
                raise Unavailable(
                    "Too many unauthenticated uploads at once. Send your token in the Authorization"
                    " header, or try again."
                )
            self._left -= count
            taken += count

        try:
            yield take
        finally:
            self._left += taken
