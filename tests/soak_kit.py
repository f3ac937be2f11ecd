"""Tests that run for long in `make soak`, and for a few rounds otherwise; the texts they try."""

from __future__ import annotations

import os

import pytest
from _pytest.mark import ParameterSet
from hypothesis import strategies as st

SOAK = "BRIDGE_SOAK" in os.environ


def rounds(few: int, many: int) -> int:
    """The number of rounds, examples or requests."""
    return many if SOAK else few


def in_soak(*values: object, id: str | None = None) -> ParameterSet:  # noqa: A002 # as pytest
    """Values of parameters that only `make soak` tries: others show the same kind."""
    return pytest.param(*values, marks=pytest.mark.soak, id=id)


def any_text(most: int | None = None) -> st.SearchStrategy[str]:
    """What ``st.text`` gives: any characters that UTF-8 can encode.

    That finds out which these are by trying all of them, for ten seconds in a fresh clone.
    """
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=most)
