"""Programs in forks of a process that has imported them already: ``python -m``, without the wait.

Each is a process with an environment, a folder and streams of its own. What a second of imports
would show is shown by the tests that start a real ``python``: of the wheel, of the demo, in a hook.
"""

from __future__ import annotations

import locale
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

PATIENCE = 600

WARM = multiprocessing.get_context("forkserver")
_IMPORTED = [
    "bridge.app", "bridge.commands.check", "bridge.commands.cli", "bridge.commands.demo",
    "bridge.commands.init", "bridge.commands.serve", "bridge.store.git", "docutils.core",
    "pelican", "pelican.readers",
]  # fmt: skip
WARM.set_forkserver_preload(_IMPORTED)

#: Where Python and what is installed are, without what the tests have added.
_INSTALLED = [
    place
    for place in sys.path
    if Path(place).is_relative_to(sys.base_prefix) or place.endswith("site-packages")
]


class Program:
    """A running one, with the methods of :class:`subprocess.Popen` that tests use."""

    def __init__(
        self, module: str, *arguments: str | Path, cwd: Path, env: Mapping[str, str],
        stdin: Path | None = None, stdout: Path, stderr: Path | None = None,
    ) -> None:  # fmt: skip
        """Start ``python -m module``; without ``stderr`` that goes where ``stdout`` goes."""
        for file in filter(None, (stdout, stderr)):
            file.write_bytes(b"")
        streams = (stdin or Path(os.devnull), stdout, stderr)
        self._process: ForkServerProcess = WARM.Process(
            target=_run, args=(module, [*map(str, arguments)], str(cwd), dict(env), streams)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """How it ended, or ``None`` while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = PATIENCE) -> int:
        """How it ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self._process.exitcode

    def kill(self) -> None:
        """End it by force."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def run_module(
    module: str, *arguments: str | Path, cwd: Path, env: Mapping[str, str], text: str | None = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module`` to its end; ``text`` is what it can read."""
    with tempfile.TemporaryDirectory() as folder:
        stdin, stdout, stderr = (Path(folder, name) for name in ("in", "out", "err"))
        stdin.write_text(text or "", "utf-8")
        program = Program(
            module, *arguments, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr
        )
        status = program.wait()
        told = (stdout.read_text("utf-8"), stderr.read_text("utf-8"))
        return subprocess.CompletedProcess([module, *map(str, arguments)], status, *told)


def _run(
    module: str, arguments: list[str], cwd: str, env: dict[str, str],
    streams: tuple[Path, Path, Path | None],
) -> None:  # fmt: skip
    assert sys.modules.keys() >= {*_IMPORTED}, "another list was preloaded in place of this one"
    writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    os.dup2(os.open(streams[0], os.O_RDONLY), 0)
    os.dup2(os.open(streams[1], writing, 0o644), 1)
    os.dup2(os.open(streams[2], writing, 0o644) if streams[2] else 1, 2)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 # open until the process ends
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    locale.setlocale(locale.LC_CTYPE, "")
    given = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [cwd, *given, *_INSTALLED]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
