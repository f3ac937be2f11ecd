"""A deterministic order of a site's files, and so of posts with equal date and slug.

Pelican finds files as a set, whose order depends on string hashes and differs in each run. Posts
are then sorted by date and slug, which keeps the order of equal ones.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any


class _Sorted(set[str]):
    """A set that iterates in sorted order; so do its unions."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(super().__iter__()))

    def __or__(self, other: Any) -> Any:
        return _Sorted(super().__or__(other))

    def __ror__(self, other: Any) -> Any:
        return _Sorted(set.__or__(self, other))


def sort_files(generator: Any) -> None:
    """Make a generator find its files in the order of their paths."""
    found = generator.get_files

    @functools.wraps(found)
    def get_files(*args: Any, **options: Any) -> Any:
        files = found(*args, **options)
        return _Sorted(files) if isinstance(files, (set, frozenset)) else sorted(files)

    generator.get_files = get_files
