"""Reads what is untrusted in a subprocess, with limits of time and memory: pages, pictures."""

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
    output = await run_in_subprocess(str(program), url, *arguments, data=page, seconds=seconds)
    return None if output is None else json.loads(output)


async def run_in_subprocess(*arguments: str, data: bytes, seconds: float) -> bytes | None:
    """What a Python program prints that reads ``data``; ``None`` if it fails or takes too long.

    ``arguments`` are a path, or ``-m`` and a module, and the program's own. It limits its own
    memory and processor time. The one who cancels this ends it, too.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        # Nothing is imported from wherever the bridge was started.
        "-P",
        *("-W", "ignore"),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(data)
    except TimeoutError:
        log.info("%s took too long", " ".join(arguments))
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # What uses up what the process may use ends it.
    return output if process.returncode == 0 else None


def _environment() -> dict[str, str]:
    """Nothing secret; and the way to the bridge's own modules, wherever it is installed."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    search = [*filter(None, [ours.get("PYTHONPATH")]), str(_PROJECT)]
    return {**ours, "PYTHONPATH": os.pathsep.join(search)}
