"""Every test that a compliance table names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"


@pytest.mark.parametrize(
    ("table", "most"), [("indieauth-compliance.md", 100), ("webmention-compliance.md", 50)]
)
def test_every_test_that_a_table_names_exists(table: str, most: int) -> None:
    named = re.findall(r"`(\w+): (test_\w+)`", (DOCS / table).read_text(encoding="utf-8"))
    assert len(named) > most
    missing = [f"{file}: {test}" for file, test in named if test not in named_in(file)]
    assert missing == []


@cache
def named_in(name: str) -> set[str]:
    (file,) = TESTS.rglob(f"test_{'indieauth_browser' if name == 'browser' else name}.py")
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    module = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in module.body if isinstance(node, functions)}
