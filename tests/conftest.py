"""For all tests: what a machine may lack, and an eye on every secret that they use."""

from __future__ import annotations

import locale
import os
import shutil
from collections.abc import Iterator

import pytest
from secrets_kit import Watch

#: Marker to program, and where that comes from.
_PROGRAMS = {
    "browser": ("chromium", "Debian's package chromium"),
    "node": ("npm", "Node.js, with npm"),
    "nginx": ("nginx", "Debian's package nginx-light"),
    "caddy": ("caddy", "Debian's package caddy"),
    "apache": ("apache2", "Debian's package apache2"),
}


_WATCH = pytest.StashKey[Watch]()
_PATCH = pytest.StashKey[pytest.MonkeyPatch]()


def pytest_configure(config: pytest.Config) -> None:
    """From here on secrets are noted, and where they may not be (``test_secrets.py``)."""
    config.stash[_WATCH], config.stash[_PATCH] = Watch(), pytest.MonkeyPatch()
    config.stash[_WATCH].start(config.stash[_PATCH])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the process as it was."""
    config.stash[_PATCH].undo()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who looks back at all the others comes last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture
def watched(pytestconfig: pytest.Config) -> Watch:
    """What has been noted in this run."""
    return pytestconfig.stash[_WATCH]


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
