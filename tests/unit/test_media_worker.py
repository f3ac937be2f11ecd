"""Limits of processing a file: in a subprocess, limited in time and memory, killed when
cancelled.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from media_samples import encoded, exif, jpeg, moving, picture
from PIL import Image

from bridge.errors import InvalidRequest, PayloadTooLarge, Unavailable
from bridge.media import worker
from bridge.media.formats.images import prepare
from bridge.media.formats.picture import PhotoRules
from bridge.media.formats.sniff import JPEG, PNG, sniff
from bridge.media.worker import Cleaner
from bridge.runtime.threads import APP

#: The worker program, with options to be slow, to use memory, and to report its pid.
STUBBORN = """
import os, sys, time
from bridge.media.formats import clean
clean_really = clean.clean
def stubborn(data, kind, rules):
    open(os.environ["PIDS"], "a").write(f"{os.getpid()}\\n")
    if b"sleep" in data:
        time.sleep(600)
    while b"busy" in data:
        pass
    if b"greedy" in data:
        bytearray(64 << 30)
    if b"mute" in data:
        os._exit(0)
    return clean_really(data, kind, rules)
clean.clean = stubborn
clean.main()
"""
PATIENT = 300.0
SMALL = encoded(picture(1, 1), "PNG")


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    monkeypatch.setattr(worker, "_PROGRAM", "stubborn")
    return tmp_path / "pids"


async def begun(pids: Path, count: int = 1) -> list[int]:
    """The running processes, once there are so many."""
    async with asyncio.timeout(PATIENT):
        while not pids.exists() or len(pids.read_text().split()) < count:
            await asyncio.sleep(0.01)
    return [int(pid) for pid in pids.read_text().split()]


def started(pids: Path) -> list[int]:
    """The processes that have reported their start; on a busy machine others may have been
    killed before.
    """
    return [int(pid) for pid in pids.read_text().split()] if pids.exists() else []


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_photo_is_cleaned_apart_as_it_would_be_here() -> None:
    rules = PhotoRules(sizes=(20,), max_side=50)
    data = jpeg(exif=exif(orientation=6))
    assert await Cleaner(rules).clean(data, JPEG) == prepare(data, JPEG, rules)


async def test_a_refusal_is_the_same_apart() -> None:
    with pytest.raises(InvalidRequest, match="damaged or incomplete"):
        await Cleaner(PhotoRules()).clean(jpeg()[:200], JPEG)
    with pytest.raises(PayloadTooLarge, match="more than 2,399 pixels"):
        await Cleaner(PhotoRules(max_pixels=2_399)).clean(jpeg(), JPEG)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_all_pictures_of_an_animation_count(form: str) -> None:
    data = moving(form)
    assert prepare(data, sniff(data), PhotoRules(max_pixels=3 * 60 * 40)).data
    with pytest.raises(PayloadTooLarge, match="pixels"):
        prepare(data, sniff(data), PhotoRules(max_pixels=3 * 60 * 40 - 1))


async def test_work_that_is_not_done_in_time_is_ended_and_may_be_sent_again(pids: Path) -> None:
    """It has not used up its processor time: the machine was busy."""
    with pytest.raises(Unavailable, match="not processed in time"):
        await Cleaner(PhotoRules(), seconds=3).clean(b"sleep", PNG)
    assert all(map(is_gone, started(pids)))


async def test_work_that_costs_too_much_is_ended(pids: Path) -> None:
    with pytest.raises(PayloadTooLarge, match="too long"):
        await Cleaner(PhotoRules(), processor_seconds=1).clean(b"busy", PNG)
    assert all(map(is_gone, started(pids)))


@pytest.mark.parametrize("data", [b"greedy", b"mute"])
async def test_work_that_takes_too_much_memory_or_breaks_off_is_refused(
    pids: Path, data: bytes
) -> None:
    with pytest.raises(PayloadTooLarge):
        await Cleaner(PhotoRules()).clean(data, PNG)
    assert all(map(is_gone, await begun(pids)))


async def test_work_that_no_one_waits_for_is_ended(pids: Path) -> None:
    task = asyncio.create_task(Cleaner(PhotoRules()).clean(b"sleep", PNG))
    (pid,) = await begun(pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(pid)


async def test_slow_uploads_do_not_keep_others_waiting(pids: Path) -> None:
    cleaner = Cleaner(PhotoRules(), patience=0.1, at_once=2, slow=2)
    slow = [asyncio.create_task(cleaner.clean(b"sleep", PNG)) for _ in range(2)]
    await begun(pids, 2)
    async with asyncio.timeout(PATIENT):
        assert (await cleaner.clean(SMALL, PNG)).width == 1
    # With two more the limit is reached: the next one would wait.
    slow += [asyncio.create_task(cleaner.clean(b"sleep", PNG)) for _ in range(2)]
    await begun(pids, 5)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert all(map(is_gone, await begun(pids)))
    async with asyncio.timeout(PATIENT):
        assert (await cleaner.clean(SMALL, PNG)).width == 1


async def test_no_file_waits_for_its_turn_without_end(pids: Path) -> None:
    """The clients that sent the earlier files may have disconnected."""
    cleaner = Cleaner(PhotoRules(), at_once=1, slow=0, waiting=0.1, most_waiting=2)
    slow = asyncio.create_task(cleaner.clean(b"sleep", PNG))
    await begun(pids)
    with pytest.raises(Unavailable, match="again in a minute"):
        await cleaner.clean(SMALL, PNG)
    slow.cancel()
    await asyncio.wait({slow})


async def test_the_files_of_one_app_leave_room_and_turns_to_those_of_others(pids: Path) -> None:
    cleaner, done = Cleaner(PhotoRules(), at_once=1, slow=0, most_waiting=6), list[int]()

    async def clean(app: int, data: bytes = SMALL) -> None:
        APP.set(app)
        await cleaner.clean(data, PNG)
        done.append(app)

    slow = asyncio.create_task(clean(1, b"sleep"))
    await begun(pids)
    many = [asyncio.create_task(clean(1)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="again in a minute"):
        await asyncio.create_task(clean(1))
    other = asyncio.create_task(clean(2))
    await asyncio.sleep(0)
    slow.cancel()
    await asyncio.gather(*many, other)
    assert done == [1, 2, 1, 1, 1]


async def test_only_so_many_files_wait_for_their_turn(pids: Path) -> None:
    cleaner = Cleaner(PhotoRules(), at_once=1, slow=0, most_waiting=1)
    slow = asyncio.create_task(cleaner.clean(b"sleep", PNG))
    await begun(pids)
    next_one = asyncio.create_task(cleaner.clean(SMALL, PNG))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="again in a minute"):
        await cleaner.clean(SMALL, PNG)
    slow.cancel()
    # The cancelled one frees its slot.
    assert (await next_one).width
    assert (await cleaner.clean(SMALL, PNG)).width


async def test_large_photos_take_turns_across_processes() -> None:
    cleaner = Cleaner(PhotoRules(), seconds=PATIENT)
    large = encoded(Image.new("L", (5000, 4001)), "JPEG", exif=exif(orientation=3))
    async with cleaner._one_large:
        waiting = asyncio.create_task(cleaner.clean(large, JPEG))
        assert (await cleaner.clean(jpeg(), JPEG)).width == 60
        assert not waiting.done()
    assert (await waiting).width == 5000
