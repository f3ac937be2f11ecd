"""Blanks user data in H.264 and H.265 video (their Annex D, ``user_data_unregistered``), where
programs write their name and settings, and cars' cameras where they were.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from msgspec import Struct

_USER_DATA = 5
_NUMBER = re.compile(rb"\xff*[^\xff]?")
_ESCAPE = re.compile(rb"\x00\x00\x03")
#: What bytes become: zeros stay.
_BLANK = b"\0" + b"\xff" * 255
#: The most messages in a unit. Programs write a few.
_MOST = 10_000


class NalFormat(Struct, frozen=True):
    """How a track's samples contain NAL units (ISO/IEC 14496-15): each after its size, in
    ``size_bytes``; ``wide``: with headers of two bytes (H.265).
    """

    size_bytes: int
    wide: bool

    def is_message(self, first: int) -> bool:
        """Whether a unit that begins with this byte has supplemental information (SEI)."""
        return first >> 1 & 63 in {39, 40} if self.wide else first & 31 == 6


def format_of(name: bytes, configuration: bytes) -> NalFormat | None:
    """The format by a decoder configuration box (14496-15 5.3.3.1, 8.3.3.1); ``None`` for other
    boxes.
    """
    if name == b"avcC" and len(configuration) > 4:
        return NalFormat((configuration[4] & 3) + 1, wide=False)
    if name == b"hvcC" and len(configuration) > 21:
        return NalFormat((configuration[21] & 3) + 1, wide=True)
    return None


def blank_user_data(data: bytearray, start: int, end: int, units: NalFormat) -> None:
    """Blank the user data of all units in a range of samples. No byte moves."""
    position = start
    while position + units.size_bytes < end:
        inside = position + units.size_bytes
        position = inside + int.from_bytes(data[position:inside], "big")
        if inside < position <= end and units.is_message(data[inside]):
            _blank_messages(data, inside + 1 + units.wide, position)


def blank_in_configuration(data: bytearray, start: int, end: int) -> None:
    """The same for the units in an ``hvcC`` box."""
    units = NalFormat(2, wide=True)
    position = start + 23
    for _ in range(data[start + 22] if start + 22 < end else 0):
        count = int.from_bytes(data[position + 1 : position + 3], "big")
        position += 3
        for _ in range(count):
            after = position + 2 + int.from_bytes(data[position : position + 2], "big")
            if after > end:
                return
            blank_user_data(data, position, after, units)
            position = after


def _blank_messages(data: bytearray, start: int, end: int) -> None:
    """Blank the user data among the messages of a unit (H.264 7.3.2.3.1)."""
    unit = data[start:end]
    # A further byte, 03, prevents a start code at these places in the messages (7.4.1.1).
    escapes = [match.end() - 1 - number for number, match in enumerate(_ESCAPE.finditer(unit))]
    messages = unit.replace(b"\0\0\3", b"\0\0")
    at = 0
    for _ in range(_MOST):
        if at + 2 >= len(messages):
            return
        kind, at = _number(messages, at)
        size, at = _number(messages, at)
        last = min(at + size, len(messages))
        if kind == _USER_DATA and at < last:
            before, after = bisect_right(escapes, at), bisect_left(escapes, last)
            prevented = [start + escapes[number] + number + 1 for number in range(before, after)]
            prevented += [start + at + before] if at in escapes[before - 1 : before] else []
            _blank(data, start + at + before, start + last + after, prevented)
        at = last
    raise ValueError("the video has too many messages between its pictures")


def _number(messages: bytearray, at: int) -> tuple[int, int]:
    """The type or size of a message: bytes that are added up, until one that is not 255."""
    match = _NUMBER.match(messages, at)
    return (sum(match[0]), match.end()) if match else (0, at)


def _blank(data: bytearray, start: int, end: int, prevented: Iterable[int]) -> None:
    """Blank a range, but its zeros and 03 between them and the ``prevented`` bytes, which follow
    such a one and stay so small that it is needed."""
    data[start:end] = data[start:end].translate(_BLANK)
    for place in prevented:
        if place > start:
            data[place - 1] = 3
        if data[place]:
            data[place] = 1
