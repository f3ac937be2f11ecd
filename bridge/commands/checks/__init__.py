"""``micropub-bridge check``: finds what does not work before an app does, with a remedy for
each finding.
"""

from __future__ import annotations

from msgspec import Struct

from bridge.runtime.terminal import visible
from bridge.settings import Settings


class Finding(Struct, frozen=True):
    """One line of ``micropub-bridge check``.

    ``remedy`` is empty where all is well. ``broken`` is false for mere advice.
    """

    subject: str
    fact: str
    remedy: str = ""
    broken: bool = True

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to fix."""
        return not self.remedy

    def __str__(self) -> str:
        mark = "ok  " if self.is_good else "BAD " if self.broken else "note"
        line = f"{mark} {self.subject}: {visible(self.fact, indent='     ')}"
        return line if self.is_good else f"{line}\n     -> {self.remedy}"


def address_of(settings: Settings) -> str:
    """The public URL of the bridge, with a slash at its end."""
    local = f"http://127.0.0.1:{settings.server.port}/"
    return (settings.server.public_url or local).rstrip("/") + "/"
