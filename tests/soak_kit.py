"""Tests that run for long in `make soak`, and for a few rounds otherwise."""

from __future__ import annotations

import os

SOAK = "BRIDGE_SOAK" in os.environ


def rounds(few: int, many: int) -> int:
    """The number of rounds, examples or requests."""
    return many if SOAK else few
