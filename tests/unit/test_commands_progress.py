"""Slow commands print their progress, fast ones do not."""

from __future__ import annotations

import io
import threading
import time

from bridge.commands.progress import step


class Terminal(io.StringIO):
    """Takes what is printed, and says when the first of it is there."""

    def __init__(self, *, tty: bool) -> None:
        super().__init__()
        self.tty = tty
        self.begun = threading.Event()

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> int:
        count = super().write(text)
        self.begun.set()
        return count


def test_a_quick_step_prints_nothing() -> None:
    out = Terminal(tty=False)
    with step("Cloning the site", out=out, after=600) as tell:
        tell("half")
    assert out.getvalue() == ""


def test_without_a_terminal_few_plain_lines_are_printed() -> None:
    out = Terminal(tty=False)
    with step("Reading the posts", out=out, after=0, between=600) as tell:
        assert out.begun.wait(300)
        tell("500 of 9000")
        tell("1000 of 9000")
    assert out.getvalue() == "Reading the posts …\n"
    out = Terminal(tty=False)
    with step("Reading the posts", out=out, after=0, between=0) as tell:
        assert out.begun.wait(300)
        tell("500 of 9000")
    assert out.getvalue().splitlines() == [
        "Reading the posts …",
        "Reading the posts: 500 of 9000 …",
    ]


def test_a_long_step_without_details_says_how_long_it_takes() -> None:
    out = Terminal(tty=False)
    with step("Building the site", out=out, after=0, between=0, every=0.01):
        ends = time.monotonic() + 300
        while "for 0 seconds" not in out.getvalue() and time.monotonic() < ends:
            time.sleep(0.01)
    assert out.getvalue().startswith("Building the site …\nBuilding the site: for 0 seconds …\n")


def test_on_a_terminal_one_line_is_updated_and_cleared() -> None:
    out = Terminal(tty=True)
    with step("Reading [the] posts", out=out, after=0) as tell:
        assert out.begun.wait(300)
        tell("500 of 9000")
        ends = time.monotonic() + 300
        while "500 of 9000" not in out.getvalue() and time.monotonic() < ends:
            time.sleep(0.01)
    assert "Reading [the] posts" in out.getvalue()
    assert "500 of 9000" in out.getvalue()


def test_a_step_that_fails_ends_its_line() -> None:
    out = Terminal(tty=True)
    before = set(threading.enumerate())
    try:
        with step("Cloning the site", out=out, after=0):
            assert out.begun.wait(300)
            raise RuntimeError
    except RuntimeError:
        pass
    for thread in set(threading.enumerate()) - before:
        thread.join(300)
        assert not thread.is_alive()
