"""Reads dates in the forms that clients send."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo
from email.utils import parsedate_to_datetime

from bridge.errors import InvalidRequest
from bridge.micropub.post import Json

_ISO = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2}|\d{8})"
    r"(?:[Tt ]\s*(?P<time>\d{1,2}:\d{2}(?::\d{2})?|\d{4}(?:\d{2})?)(?:[.,]\d+)?"
    r"(?:\s*(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)|\s(?P<plus>\d{2}:?\d{2}))?)?"
)
_UNIX = re.compile(r"-?\d{9,11}(?:\.\d+)?")
_UNIX_MILLISECONDS = re.compile(r"\d{12,14}")
_EARLIEST, _LATEST = 1000, 9998


def parse_date(value: Json, zone: tzinfo) -> datetime:
    """A date with its zone; the site's ``zone`` if it has none of its own.

    Accepts ISO 8601 in the forms that clients send, Unix seconds and mail dates. Raises
    :class:`InvalidRequest` for anything else: a wrong date must never silently become "now".
    """
    text = "" if isinstance(value, bool) else str(value).strip()
    moment = _moment(text, zone)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def event_date(text: str) -> str:
    """When an event begins or ends, as pages read it: unchanged if it is ISO 8601.

    Raises :class:`InvalidRequest` as :func:`parse_date`.
    """
    text = text.strip()
    for read_as in (date.fromisoformat, datetime.fromisoformat):
        try:
            read_as(text)
        except ValueError:
            continue
        return text
    return _moment(text, UTC).isoformat()


def _moment(text: str, zone: tzinfo) -> datetime:
    """The date; Unix seconds in the ``zone``, others without one if they have none."""
    try:
        moment = _unix_date(text, zone) or _iso_date(text) or parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError, OSError) as error:
        raise _no_date(text) from error
    # datetime overflows in offset arithmetic near its limits, where no real post is.
    if not _EARLIEST <= moment.year <= _LATEST:
        raise _no_date(text)
    return moment


def _no_date(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"{text[:60]!r} is not a date. Send ISO 8601, like 2026-11-21T18:37:00+01:00."
    )


def _unix_date(text: str, zone: tzinfo) -> datetime | None:
    if _UNIX.fullmatch(text):
        return datetime.fromtimestamp(float(text), zone)
    if _UNIX_MILLISECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text) / 1000, zone)
    return None


def _iso_date(text: str) -> datetime | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    date, time, zone = match["date"], match["time"] or "00:00", match["zone"] or ""
    if time[1:2] == ":":
        time = f"0{time}"
    if match["plus"]:
        # A "+" that was not encoded in a form arrives as a space.
        zone = f"+{match['plus']}"
    zone = "+00:00" if zone.upper() in {"Z", "UTC", "GMT"} else zone
    return datetime.fromisoformat(f"{date}T{time}{zone}")
