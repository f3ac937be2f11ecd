"""All tests named in the Micropub compliance tables exist, and each public test has a
counterpart.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "micropub-compliance.md").read_text(encoding="utf-8")
REQUESTS = ROOT / "tests" / "wire" / "requests"

PUBLIC = {
    *(100, 101, 104, 107, 200, 201, 202, 203, 204, 205, 206, 300, 301),
    *(400, 401, 402, 403, 404, 405, 500, 501, 502, 503),
    *(600, 601, 602, 603, 700, 701, 702, 800, 801, 802, 803, 804, 805),
}


def test_every_named_test_exists() -> None:
    missing = []
    for row in DOC.splitlines():
        source = ""
        for name in re.findall(r"`([^`]+)`", row) if row.startswith("|") else ():
            if name.startswith("tests/"):
                source = (ROOT / name).read_text(encoding="utf-8")
            elif not exists(name, source):
                missing.append(name)
    assert missing == []


def exists(name: str, source: str) -> bool:
    """Whether a test is in ``source``, or a request among the files; other words are not names."""
    if name.startswith("::"):
        return f"def {name[2:]}(" in source
    if re.fullmatch(r"[2-5]\d\d_\w+", name):
        return (REQUESTS / f"{name}.http").exists()
    return True


def test_every_public_test_has_a_counterpart() -> None:
    ours = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "protocol").glob("test_*.py")
    )
    heads = re.findall(r"(?:def test|id=\")_?((?:\d{3}_)+)", ours)
    assert {int(number) for head in heads for number in head.strip("_").split("_")} >= PUBLIC
    assert len(PUBLIC) == 36
