"""Blanks user data in H.264 and H.265 video (their Annex D, ``user_data_unregistered``), where
programs write their name and settings, and cars' cameras where they were.
"""

from __future__ import annotations

from msgspec import Struct

_USER_DATA = 5
_MORE = 0xFF
_BLANK = 0xFF


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
    places = _places(data, start, end)
    at = 0
    while at + 2 < len(places):
        kind, at = _number(data, places, at)
        size, at = _number(data, places, at)
        if kind == _USER_DATA:
            for place in places[at : at + size]:
                _blank(data, place)
        at += size


def _number(data: bytearray, places: list[int], at: int) -> tuple[int, int]:
    """The type or size of a message: bytes that are added up, until one that is not 255."""
    number = 0
    while at < len(places):
        byte = data[places[at]]
        number, at = number + byte, at + 1
        if byte != _MORE:
            break
    return number, at


def _places(data: bytearray, start: int, end: int) -> list[int]:
    """The offsets of a unit's bytes, but those that prevent a start code (7.4.1.1): 00 00 03."""
    places, zeros = list[int](), 0
    for place in range(start, end):
        if zeros >= 2 and data[place] == 3:
            zeros = 0
            continue
        places.append(place)
        zeros = zeros + 1 if data[place] == 0 else 0
    return places


def _blank(data: bytearray, place: int) -> None:
    """Blank a byte, but zeros, so that those before 03 keep preventing a start code."""
    if data[place]:
        prevented = data[place - 3 : place] == b"\0\0\3"
        data[place] = 1 if prevented else _BLANK
