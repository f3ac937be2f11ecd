"""Compile what tests import, as Python and pytest do: ``make test`` calls it.

Otherwise all processes that run tests would do that at the same time. To collect the tests once
compiles them, too, but takes longer.
"""

from __future__ import annotations

import compileall
import gc
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

ROOT = Path(__file__).parents[1]
#: Loaded as plugins, whose assertions pytest rewrites as well.
_PLUGINS = {"conftest", "secrets_kit", "wheel_kit"}


class Compiling:
    """A plugin of pytest: instead of running tests it compiles them."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Compile, and end."""
        for folder in ("bridge", "pelican_indieauth"):
            compileall.compile_dir(ROOT / folder, quiet=1)
        for source in (ROOT / "tests").rglob("*.py"):
            if source.stem.startswith("test_") or source.stem in _PLUGINS:
                compile_with_assertions(source, config)
            else:
                compileall.compile_file(source, quiet=1)
        return 0


def compile_with_assertions(source: Path, config: pytest.Config) -> None:
    """Compile a file in which pytest rewrites assertions, to where pytest looks for it."""
    file = rewrite.get_cache_dir(source) / f"{source.stem}{rewrite.PYC_TAIL}"
    file.parent.mkdir(exist_ok=True)
    checked, code = rewrite._rewrite_test(source, config)
    rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, checked, file)


if __name__ == "__main__":
    gc.disable()  # trees of syntax have no cycles
    options = ["--noconftest", "-o", "addopts=", "-p", "no:xdist", "-p", "no:hypothesispytest"]
    raise SystemExit(pytest.main(options, plugins=[Compiling()]))
