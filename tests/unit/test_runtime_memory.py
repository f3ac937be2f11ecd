"""Memory that is freed after a large task is returned to the operating system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from bridge.runtime.release_memory import release_memory

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

before = held()
parts = [bytes(1000) for _ in range(60_000)]
last = parts[-1]
full = held()
del parts
release_memory()
print((held() - before) / (full - before))
"""


def test_freed_memory_is_returned_also_below_memory_in_use() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.2
