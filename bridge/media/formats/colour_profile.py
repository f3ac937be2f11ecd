"""Removes private data from colour profiles (ICC.1:2022).

The profile of a screen, which screenshots have, names the screen, its maker, its serial number and
the day on which it was made. Kept is what colours are computed from, by an allow-list.
"""

from __future__ import annotations

_HEADER, _ENTRY = 128, 12
#: Size, version, class, colour spaces, signature, flags, attributes, rendering intent, illuminant
#: (7.2): without dates, programs, devices and their makers.
_KEPT = (slice(0, 4), slice(8, 24), slice(36, 40), slice(44, 48), slice(56, 80))
_MOST_TAGS = 100

#: Tags that colours are computed from (9.2).
_NEEDED = frozenset(
    b"rXYZ gXYZ bXYZ rTRC gTRC bTRC kTRC wtpt bkpt chad chrm cicp gamt"
    b" A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 D2B0 D2B1 D2B2 D2B3 B2D0 B2D1 B2D2 B2D3".split()
)
#: Required texts, the name and the copyright, which are emptied: by the type of a text, what
#: follows its type and four reserved bytes (10.15, 10.24; ICC.1:2001 6.5.17).
_TEXTS = frozenset({b"desc", b"cprt"})
_EMPTY = {b"mluc": bytes(7) + b"\x0c", b"desc": bytes(3) + b"\1"}


def clean_profile(profile: bytes) -> bytes:
    """The profile without what says whose it is; of the same length. Anything that is not a profile
    becomes zeros.
    """
    clean = bytearray(len(profile))
    tags = int.from_bytes(profile[_HEADER : _HEADER + 4], "big")
    first = _HEADER + 4
    after = first + tags * _ENTRY
    if profile[36:40] != b"acsp" or tags > _MOST_TAGS or after > len(profile):
        return bytes(clean)
    for part in _KEPT:
        clean[part] = profile[part]
    table = list[bytes]()
    for position in range(first, after, _ENTRY):
        entry = profile[position : position + _ENTRY]
        name, start = entry[:4], int.from_bytes(entry[4:8], "big")
        content = profile[start : start + int.from_bytes(entry[8:], "big")]
        if name in _TEXTS:
            kind, size = content[:4], len(content)
            content = (kind + bytes(4) + _EMPTY.get(kind, b"")).ljust(size, b"\0")[:size]
        elif name not in _NEEDED:
            continue
        if start >= after:
            clean[start : start + len(content)] = content
            table.append(entry)
    clean[_HEADER:first] = len(table).to_bytes(4, "big")
    listed = b"".join(table)
    clean[first : first + len(listed)] = listed
    return bytes(clean)
