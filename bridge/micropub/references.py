"""Numeric character references that no program can read."""

from __future__ import annotations

import re

#: Python refuses to read a number of more than 4,300 digits.
_ENDLESS = re.compile(r"&#[0-9]{1000,};?")


def without_endless_references(text: str) -> str:
    """The text with U+FFFD for each numeric reference of a thousand digits or more.

    "If the character reference code is greater than 0x10FFFF, then … set the character reference
    code to 0xFFFD" (HTML 13.2.5.80).
    """
    return _ENDLESS.sub("\ufffd", text)
