"""A deterministic order of a site's files, so that posts equal in date and slug have one as well.

Pelican finds its files as a set: their order is that of Python's string hashes, another in each
run. Posts are sorted by date and slug after that, which leaves equal ones as they came.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any


class _Sorted(set[str]):
    """A set that is gone through in order. What it is united with is, too."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(super().__iter__()))

    def __or__(self, other: Any) -> Any:
        return _Sorted(super().__or__(other))

    def __ror__(self, other: Any) -> Any:
        return _Sorted(set.__or__(self, other))


def sort_files(generator: Any) -> None:
    """Have a generator find its files in the order of their paths."""
    found = generator.get_files

    @functools.wraps(found)
    def get_files(*args: Any, **options: Any) -> Any:
        files = found(*args, **options)
        return _Sorted(files) if isinstance(files, (set, frozenset)) else sorted(files)

    generator.get_files = get_files
