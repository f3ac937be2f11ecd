"""Cleans one upload. Run as a program: JSON and bytes in, JSON and bytes out.

Decoders of pictures can be kept busy for long by a file of some kilobytes, and take hundreds of
megabytes for one of some more. So they run in a process of their own, which bounds its memory and
its processor time, and can be ended (:mod:`bridge.media.worker`).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import sys
from typing import Any, BinaryIO, Literal

from bridge.errors import InvalidRequest, PayloadTooLarge
from bridge.media.formats import images
from bridge.media.formats.metadata import STRIP
from bridge.media.formats.picture import REFUSALS, Picture, Rules
from bridge.media.formats.sniff import KINDS, Kind

#: Memory for each pixel that the rules allow, and for everything else.
_FOR_EACH_PIXEL, _FOR_THE_REST = 24, 512 * 1024**2


def clean(data: bytes, kind: Kind, rules: Rules) -> Picture:
    """A file without private metadata, and a photo upright and in the wanted sizes.

    Raises :class:`InvalidRequest` for one that is damaged, :class:`PayloadTooLarge` for a photo
    with too many pixels. A file that is not a photo has no width and no height.
    """
    if kind.family == "image":
        return images.prepare(data, kind, rules)
    if rules.keep_exif or kind.type not in STRIP:
        return Picture(data, 0, 0)
    try:
        return Picture(STRIP[kind.type](data), 0, 0)
    except (ValueError, LookupError, struct.error) as error:
        raise InvalidRequest(f"The file ({kind.type}) is incomplete. Send it again.") from error


class _LargePhotoLock:
    """Stands for the lock on large photos: the parent says whose turn it is."""

    def __init__(self, asked: BinaryIO, answers: BinaryIO) -> None:
        self._asked, self._answers = asked, answers

    def __enter__(self) -> None:
        write(self._answers, {"wait": True})
        read(self._asked)

    def __exit__(self, *_: object) -> Literal[False]:
        return False


def write(stream: BinaryIO, value: dict[str, object], *blobs: bytes) -> None:
    """A line of JSON, which says how long the bytes are that follow it."""
    stream.write(json.dumps({**value, "sizes": [*map(len, blobs)]}).encode() + b"\n")
    stream.writelines(blobs)
    stream.flush()


def read(stream: BinaryIO) -> tuple[dict[str, Any], list[bytes]]:
    """What :func:`write` has written."""
    value: dict[str, Any] = json.loads(stream.readline())
    return value, [stream.read(size) for size in value["sizes"]]


def main() -> None:
    """Serve one file."""
    os.nice(5)
    # What a library prints is not an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked, (data,) = read(sys.stdin.buffer)
    seconds, rules = asked["seconds"], Rules.of(asked["rules"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    memory = _FOR_THE_REST + _FOR_EACH_PIXEL * rules.max_pixels + 10 * len(data)
    with contextlib.suppress(ValueError):  # macOS takes no limit on memory
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    images.ONE_LARGE = _LargePhotoLock(sys.stdin.buffer, answers)
    try:
        picture = clean(data, KINDS[asked["kind"]], rules)
    except (InvalidRequest, PayloadTooLarge) as error:
        name = next(name for name, refusal in REFUSALS.items() if isinstance(error, refusal))
        write(answers, {"refused": name, "why": error.description})
        return
    told = {"width": picture.width, "height": picture.height}
    widths = [width for width, _ in picture.copies]
    write(answers, {**told, "copies": widths}, picture.data, *(data for _, data in picture.copies))


if __name__ == "__main__":
    main()
