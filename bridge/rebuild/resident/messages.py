"""What the bridge and the resident process say to each other: one JSON object a line."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Start(msgspec.Struct, frozen=True, tag=True):
    """The first thing said to the process: where everything is."""

    checkout: str
    settings: str
    content: str
    shadow: str
    output: str
    note: str


class Build(msgspec.Struct, frozen=True, tag=True):
    """Build what is in the checkout now."""


class Hasten(msgspec.Struct, frozen=True, tag=True):
    """Give up between two pages: something newer waits."""


class Shown(msgspec.Struct, frozen=True, tag=True):
    """These output files are in place."""

    pages: tuple[str, ...]


class Done(msgspec.Struct, frozen=True, tag=True):
    """The whole site is up to date. ``left_out``: files that Pelican passed over, with reasons."""

    files: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


class GaveUp(msgspec.Struct, frozen=True, tag=True):
    """Hastened: what is in place is good, the rest is not up to date."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """No build came of it. ``files`` are source files that may be at fault, likeliest first."""

    reason: str
    files: tuple[str, ...] = ()


class NotHere(msgspec.Struct, frozen=True, tag=True):
    """This site is not one to be kept warm; the process ends."""

    reason: str


Order: TypeAlias = Start | Build | Hasten
Report: TypeAlias = Shown | Done | GaveUp | Failed | NotHere
