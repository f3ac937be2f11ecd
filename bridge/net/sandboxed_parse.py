"""Parses an untrusted page in a subprocess, with limits of time and memory."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_PROJECT = Path(__file__).parents[2]


async def parse_in_subprocess(
    program: Path, url: str, *arguments: str, page: bytes, seconds: float
) -> Any:
    """What ``program`` prints, as JSON, about the page at ``url``; ``None`` if it fails.

    The program is run with the address and ``arguments``, and reads the page from its input. It
    limits its own memory and processor time. The one who cancels this ends it, too.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        # Nothing is imported from wherever the bridge was started.
        "-P",
        *("-W", "ignore"),
        str(program),
        url,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(page)
    except TimeoutError:
        log.info("reading %s took too long", url)
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # A page that uses up what the process may use ends it.
    return json.loads(output) if process.returncode == 0 else None


def _environment() -> dict[str, str]:
    """Nothing secret; and the way to the bridge's own modules, wherever it is installed."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    search = [*filter(None, [ours.get("PYTHONPATH")]), str(_PROJECT)]
    return {**ours, "PYTHONPATH": os.pathsep.join(search)}
