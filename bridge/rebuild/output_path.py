"""Where a site's own settings want its pages. Run as a program, since settings are a program.

``python -m bridge.rebuild.output_path SETTINGS CONTENT`` prints Pelican's ``OUTPUT_PATH``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_SECONDS = 60


def ask(settings: Path, content: Path, environment: Mapping[str, str]) -> Path:
    """Pelican's ``OUTPUT_PATH``, absolute; raises :class:`ValueError` with what went wrong."""
    module = __spec__.name
    asked = subprocess.run(
        [sys.executable, "-m", module, str(settings), str(content)],
        cwd=settings.parent,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if asked.returncode != 0:
        last = asked.stderr.strip().splitlines()[-1:] or ["no reason was given"]
        raise ValueError(f"{settings.name} cannot be read by Pelican: {last[0]}")
    # What the settings themselves print comes before. Pelican's own default is relative.
    return settings.parent / asked.stdout.splitlines()[-1]


def _main(settings: str, content: str) -> None:
    from pelican.settings import read_settings  # noqa: PLC0415 - only this process pays for it

    sys.path.insert(0, "")
    print(read_settings(settings, override={"PATH": content})["OUTPUT_PATH"])


if __name__ == "__main__":
    _main(*sys.argv[1:])
