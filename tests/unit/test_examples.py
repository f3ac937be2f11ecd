"""Hypothesis' examples are the same in each run of the tests, whatever else has been imported."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak_kit import SOAK


def drawn() -> list[int]:
    found: list[int] = []

    @settings(derandomize=True, max_examples=300, database=None)
    @given(st.integers())
    def look(number: int) -> None:
        found.append(number)

    look()
    return found


@pytest.mark.skipif(SOAK, reason="draws new examples in each run")
def test_a_module_with_numbers_does_not_change_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn()
    numbers = [*range(1_000_000, 1_000_100)]
    (tmp_path / "with_numbers.py").write_text(f"NUMBERS = {numbers}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("with_numbers")
    assert drawn() == before
