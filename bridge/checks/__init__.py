"""What would not work, found before an app finds it. Each check says how to mend what it finds."""

from __future__ import annotations

from dataclasses import dataclass


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
        """Whether there is nothing to mend."""
        return not self.remedy

    def __str__(self) -> str:
        mark = "ok  " if self.is_good else "BAD " if self.broken else "note"
        line = f"{mark} {self.subject}: {self.fact}"
        return line if self.is_good else f"{line}\n     -> {self.remedy}"
