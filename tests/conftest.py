"""For all tests: what a machine may lack, and what then becomes of the tests that need it."""

from __future__ import annotations

import locale
import os
import shutil
from collections.abc import Iterator

import pytest

#: Marker to program, and where that comes from.
_PROGRAMS = {
    "browser": ("chromium", "Debian's package chromium"),
    "node": ("npm", "Node.js, with npm"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without its program a test is left out, and said so; where CI runs, it fails."""
    for marker, (program, source) in _PROGRAMS.items():
        if item.get_closest_marker(marker) and shutil.which(program) is None:
            missing = f"needs {program}: {source}"
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)


@pytest.fixture(autouse=True)
def _same_locale() -> Iterator[None]:
    """Pelican sets the locale of its process to that of the site: no test is to inherit it."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)
