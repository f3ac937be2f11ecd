"""Framing of messages on a pipe: a header with length, number and kind, then MessagePack."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

_HEADER = struct.Struct("!IIBI")
#: The answer to the first message, and what is told without having been asked.
UNASKED = 0
#: A question that is answered at once, one about a text, and one about many files.
QUICK, TEXT, MANY = 0, 1, 2
_LONGEST = 1 << 28


class Frame(NamedTuple):
    """One message. ``milliseconds`` is how much processor time the answer may take."""

    number: int
    kind: int
    milliseconds: int
    body: bytes

    def pack(self) -> bytes:
        """The bytes on the pipe."""
        return _HEADER.pack(len(self.body), self.number, self.kind, self.milliseconds) + self.body


class Frames:
    """What has come out of a pipe so far, taken apart into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """The messages that are complete with these bytes. Raises ``ValueError`` for no message."""
        self._buffer += data
        found: list[Frame] = []
        while len(self._buffer) >= _HEADER.size:
            length, number, kind, milliseconds = _HEADER.unpack_from(self._buffer)
            if length > _LONGEST:
                raise ValueError("this is not a message")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            found.append(Frame(number, kind, milliseconds, bytes(self._buffer[_HEADER.size : end])))
            del self._buffer[:end]
        return found


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a pipe that may take less than everything at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
