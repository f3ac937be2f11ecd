"""``micropub-bridge check``: finds what would not work before an app does. Each check says how
to fix what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``micropub-bridge check``.

    ``remedy`` is empty where everything is well. ``broken`` is false for what only could be better.
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
        line = f"{mark} {self.subject}: {self.fact}"
        return line if self.is_good else f"{line}\n     -> {self.remedy}"


def address_of(settings: Settings) -> str:
    """Where the bridge of these settings is reached, with a slash at the end."""
    local = f"http://127.0.0.1:{settings.server.port}/"
    return (settings.server.public_url or local).rstrip("/") + "/"
