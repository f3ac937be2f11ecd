"""All benchmarks, at sizes that take minutes: ``make bench``."""

from __future__ import annotations

import subprocess
import sys

_RUNS = (
    ("store", "100", "10000"),
    ("requests", "100", "10000"),
    ("queries", "100", "10000"),
    ("rebuild", "100", "1000"),
    ("plugin", "1000"),
    ("mentions", "1000", "2000"),
)


def main() -> int:
    """Run each in a process. Returns the number of failures."""
    failed = 0
    for name, *sizes in _RUNS:
        print(f"\n== {name} ==", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *sizes]
        failed += subprocess.run(command, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
