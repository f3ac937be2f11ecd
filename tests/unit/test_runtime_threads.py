"""What becomes of work for which the system starts no thread."""

from __future__ import annotations

import threading

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bridge.commands import cli
from bridge.runtime.threads import ThreadPool, is_scarce, start
from bridge.web.middleware import render_errors


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_what_was_refused_for_want_of_a_thread_is_not_done_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = list[str]()
    pool = ThreadPool(2, "test")
    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="no more threads") as caught:
            pool.submit(done.append, "refused")
    assert is_scarce(caught.value)
    pool.submit(done.append, "accepted").result()
    pool.shutdown()
    assert done == ["accepted"]


def test_a_pool_goes_on_with_the_threads_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPool(3, "test", first=1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    numbers = [pool.submit(int, text) for text in "123"]
    assert [each.result() for each in numbers] == [1, 2, 3]
    pool.shutdown()


def test_a_pool_without_its_first_threads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    really, left = threading.Thread.start, [1]

    def start_one(thread: threading.Thread) -> None:
        if not left:
            refuse(thread)
        left.pop()
        really(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    with pytest.raises(OSError, match="no more threads"):
        ThreadPool(3, "test", first=2)


def no_memory() -> None:
    raise MemoryError


def no_process() -> None:
    raise BlockingIOError(11, "Resource temporarily unavailable")


def no_thread() -> None:
    start(threading.Thread(target=no_memory))


def no_watcher() -> None:
    threading.Thread(target=no_memory).start()


@pytest.mark.parametrize("fails", [no_memory, no_process, no_thread, no_watcher])
async def test_a_request_for_which_there_is_no_memory_may_be_sent_again(
    fails: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(_: web.Request) -> web.Response:
        assert callable(fails)
        fails()
        raise AssertionError

    monkeypatch.setattr(threading.Thread, "start", refuse)
    answer = await render_errors(make_mocked_request("POST", "/micropub"), handler)
    assert isinstance(answer, web.Response)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    assert answer.text
    assert "out of memory" in answer.text


@pytest.mark.parametrize("fails", [no_memory, no_watcher])
def test_a_command_for_which_there_is_no_memory_says_so(
    fails: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> None:
        assert callable(fails)
        fails()

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(cli, "_COMMANDS", {"serve": run})
    assert cli.main(["serve"]) == 1
    assert "too little memory" in capsys.readouterr().err
