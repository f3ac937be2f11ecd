"""What reads the bridge's output may stop reading, or be gone."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from bridge.runtime import terminal
from bridge.runtime.terminal import LogHandler, tell


class Pipe:
    """A pipe; whoever writes to it when it is full would wait for ever."""

    def __init__(self) -> None:
        self.reads, writes = os.pipe()
        self.stream: TextIO = os.fdopen(writes, "w")

    def fill(self) -> None:
        """Leave no room in it."""
        file = self.stream.fileno()
        os.set_blocking(file, False)
        for size in (4096, 1):
            while True:
                try:
                    os.write(file, b"x" * size)
                except BlockingIOError:
                    break
        os.set_blocking(file, True)

    def read(self) -> str:
        """All that is in it."""
        os.set_blocking(self.reads, False)
        return os.read(self.reads, 1 << 20).decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.stream.close()
    os.close(made.reads)


def _log(handler: LogHandler, text: str) -> None:
    handler.emit(logging.LogRecord("x", logging.INFO, "x.py", 1, text, None, None))


def test_a_log_that_is_not_read_stops_nothing(pipe: Pipe) -> None:
    handler = LogHandler(pipe.stream)
    _log(handler, "first")
    pipe.fill()
    for _ in range(1000):
        _log(handler, "lost")
    assert pipe.read().strip("x") == "first\n"
    _log(handler, "second")
    assert pipe.read() == "second\n"


def test_of_a_long_text_as_much_is_written_as_is_taken(pipe: Pipe) -> None:
    handler = LogHandler(pipe.stream)
    _log(handler, "y" * 10_000_000)
    assert 0 < len(pipe.read()) < 10_000_000


def test_a_long_text_is_written_whole(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        _log(LogHandler(stream), "é" * 100_000)
    assert (tmp_path / "log").read_text() == "é" * 100_000 + "\n"


def test_output_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as gone, Path("/dev/full").open("w") as full:
        for stream in (gone, full, None):
            monkeypatch.setattr(sys, "stdout", stream)
            tell("listening")
            if stream is not None:
                _log(LogHandler(stream), "text")
        monkeypatch.undo()


def test_output_that_is_no_file_takes_everything(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.tell("listening")
    assert capsys.readouterr().out == "listening\n"
