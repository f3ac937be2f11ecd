"""What is done at length in `make soak`, and in few rounds everywhere else."""

from __future__ import annotations

import os

SOAK = "BRIDGE_SOAK" in os.environ


def rounds(few: int, many: int) -> int:
    """How many: of rounds, examples, requests."""
    return many if SOAK else few
