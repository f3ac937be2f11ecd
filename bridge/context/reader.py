"""A page read where it can do no harm: in a process of its own, for a limited time."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from email.message import Message
from pathlib import Path
from typing import Any

from bridge.fetch import Fetched

log = logging.getLogger(__name__)

#: Run, never imported here: a parser of HTML is a third of what else the bridge needs in memory.
_PROGRAM = Path(__file__).with_name("cite.py")
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_SECONDS = 40.0


async def read_cite(page: Fetched) -> dict[str, Any] | None:
    """What a page says of itself, as an h-cite; ``None`` where it says nothing, or is no page.

    Whoever cancels this ends the process, too.
    """
    kind = Message()
    kind["Content-Type"] = page.headers.get("Content-Type", "")
    if kind.get_content_type() not in _HTML:
        return None
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        # Nothing is imported from wherever the bridge was started.
        "-P",
        *("-W", "ignore"),
        str(_PROGRAM),
        page.url,
        kind.get_content_charset() or "",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")},
    )
    try:
        async with asyncio.timeout(_SECONDS):
            output, _ = await process.communicate(page.body)
    except TimeoutError:
        log.info("reading %s took too long", page.url)
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # A page that uses up what the process may use ends it.
    return json.loads(output) if process.returncode == 0 else None
