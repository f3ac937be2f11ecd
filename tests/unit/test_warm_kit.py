"""Programs started as forks: their parent gets their exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import warm_kit

pytestmark = [
    pytest.mark.skipif(not warm_kit.POSSIBLE, reason="forks on x86-64 and ARM Linux only"),
    pytest.mark.cold,
]

#: A process that can start programs as forks, and is itself forked: what these forks see.
FORKING = """
import json, os, subprocess, sys
from warm_kit import warm

def run(word):
    program = "import sys, time; time.sleep(0.2); open(sys.argv[1], 'x'); sys.exit(7)"
    return subprocess.run([sys.executable, "-c", program, word]).returncode

def inheriting():
    os._exit(run("inherited"))

def asking_all_the_same():
    it._asker = os.getpid()
    try:
        run("asked")
    except ChildProcessError:
        os._exit(9)
    os._exit(0)

seen = {}
with warm() as it, it.used():
    for fork in (inheriting, asking_all_the_same):
        pid = os.fork()
        if pid == 0:
            fork()
        seen[fork.__name__] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        seen[f"after {fork.__name__}"] = run(f"after {fork.__name__}")
print(json.dumps(seen))
"""


@pytest.mark.soak
def test_a_fork_of_the_starting_process_gets_correct_exit_statuses(tmp_path: Path) -> None:
    """For a process that is not its child ``subprocess`` assumes success, since it cannot know."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=tmp_path,
        env={"PYTHONPATH": str(Path(warm_kit.__file__).parent)},
        capture_output=True, text=True, timeout=warm_kit.PATIENCE, check=True,
    )  # fmt: skip
    assert json.loads(ended.stdout) == {
        "inheriting": 7,
        "after inheriting": 7,
        "asking_all_the_same": 9,
        "after asking_all_the_same": 7,
    }
    assert "started for a process that is not its parent" in ended.stderr
    ran = {"inherited", "after inheriting", "after asking_all_the_same"}
    assert {file.name for file in tmp_path.iterdir()} == ran


#: What starts workers, a worker, and a program of that worker's: its parent, and what it knows.
GIVING = """
import subprocess, sys
from warm_kit import warm

WORKER = '''
import os, subprocess, sys
from warm_kit import warm

print(os.getpid(), "pelican" in sys.modules, flush=True)
with warm() as it, it.used():
    code = "import os, sys; print(os.getppid(), 'pelican' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    print("WARM_CONNECTION" in os.environ)
    sys.exit(7)
'''
with warm() as it, it.given_to_workers():
    print(subprocess.run([sys.executable, "-u", "-c", WORKER]).returncode)
"""


@pytest.mark.soak
def test_a_worker_has_imported_nothing_and_its_programs_everything(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-u", "-c", GIVING], cwd=tmp_path,
        env={"PYTHONPATH": str(Path(warm_kit.__file__).parent)},
        capture_output=True, text=True, timeout=warm_kit.PATIENCE, check=True,
    )  # fmt: skip
    worker, cold, parent, warm, *rest = ended.stdout.split()
    assert (parent, cold, warm) == (worker, "False", "True")
    assert rest == ["False", "7"]
    assert ended.stderr == ""
