"""Removes metadata from one upload. Run as a program: reads JSON and the file, writes JSON and the
result.

A small file can keep a picture decoder busy for long or make it use hundreds of megabytes, so this
runs in a subprocess with limits on memory and processor time that can be killed
(:mod:`bridge.media.worker`).
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
from bridge.media.formats.picture import REFUSALS, PhotoRules, Picture
from bridge.media.formats.sniff import KINDS, Kind

#: Memory per pixel that the rules allow, and for everything else, in bytes.
_FOR_EACH_PIXEL, _FOR_THE_REST = 24, 512 * 1024**2

#: What functions raise that read damaged or hostile files.
_DAMAGED = (ValueError, LookupError, ArithmeticError, RecursionError, struct.error)


def clean(data: bytes, kind: Kind, rules: PhotoRules) -> Picture:
    """A file without private metadata; a photo also upright and in the configured sizes.

    Raises :class:`InvalidRequest` for a damaged file, :class:`PayloadTooLarge` for a photo with too
    many pixels. The result for other files has no width and height.
    """
    if kind.family == "image":
        return images.prepare(data, kind, rules)
    if rules.keep_exif or kind.type not in STRIP:
        return Picture(data, 0, 0)
    try:
        return Picture(STRIP[kind.type](data), 0, 0)
    except _DAMAGED as error:
        raise InvalidRequest(f"The file ({kind.type}) is incomplete. Send it again.") from error


class _LargePhotoLock:
    """The lock on large photos, held by the parent process: asks it and waits."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests, self._answers = requests, answers

    def __enter__(self) -> None:
        write(self._answers, {"wait": True})
        read(self._requests)

    def __exit__(self, *_: object) -> Literal[False]:
        return False


def write(stream: BinaryIO, value: dict[str, object], *blobs: bytes) -> None:
    """Write a line of JSON, with the lengths of the ``blobs`` that follow it."""
    stream.write(json.dumps({**value, "sizes": [*map(len, blobs)]}).encode() + b"\n")
    stream.writelines(blobs)
    stream.flush()


def read(stream: BinaryIO) -> tuple[dict[str, Any], list[bytes]]:
    """Read what :func:`write` wrote."""
    value: dict[str, Any] = json.loads(stream.readline())
    return value, [stream.read(size) for size in value["sizes"]]


def main() -> None:
    """Read one file from standard input, write the result to standard output."""
    os.nice(5)
    # Standard output is the channel of the answer, so what libraries print goes elsewhere.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request, (data,) = read(sys.stdin.buffer)
    seconds, rules = request["seconds"], PhotoRules.of(request["rules"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    memory = _FOR_THE_REST + _FOR_EACH_PIXEL * rules.max_pixels + 10 * len(data)
    with contextlib.suppress(ValueError):  # macOS takes no limit on memory
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    images.ONE_LARGE = _LargePhotoLock(sys.stdin.buffer, answers)
    try:
        picture = clean(data, KINDS[request["kind"]], rules)
    except (InvalidRequest, PayloadTooLarge) as error:
        name = next(name for name, refusal in REFUSALS.items() if isinstance(error, refusal))
        write(answers, {"refused": name, "why": error.description})
        return
    facts = {"width": picture.width, "height": picture.height}
    widths = [width for width, _ in picture.copies]
    write(answers, {**facts, "copies": widths}, picture.data, *(data for _, data in picture.copies))


if __name__ == "__main__":
    main()
