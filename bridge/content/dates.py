"""Dates as clients send them and as Pelican reads them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime

import dateutil.parser

from bridge.errors import InvalidRequest
from bridge.micropub.post import Json

_ISO = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2}|\d{8})"
    r"(?:[Tt ]\s*(?P<time>\d{1,2}:\d{2}(?::\d{2})?|\d{4}(?:\d{2})?)(?:[.,]\d+)?"
    r"(?:\s*(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)|\s(?P<plus>\d{2}:?\d{2}))?)?"
)
_AS_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:[+-]\d{2}:\d{2})?)?")
_UNIX = re.compile(r"-?\d{9,11}(?:\.\d+)?")
_UNIX_MILLISECONDS = re.compile(r"\d{12,14}")
_EARLIEST, _LATEST = 1000, 9998


def parse(value: Json, zone: tzinfo) -> datetime:
    """A date with its zone; the site's ``zone`` if it has none of its own.

    Accepts ISO 8601 in the forms that clients send, Unix seconds and mail dates. Raises
    :class:`InvalidRequest` for anything else: a wrong date must never silently become "now".
    """
    text = "" if isinstance(value, bool) else str(value).strip()
    try:
        moment = _unix(text, zone) or _iso(text) or parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
    except (ValueError, TypeError, IndexError, OverflowError, OSError) as error:
        raise _wrong(text) from error
    # datetime itself bears no offset arithmetic at its ends; no real post is there.
    if not _EARLIEST <= moment.year <= _LATEST:
        raise _wrong(text)
    return moment


def on_the_clock(value: Json, zone: tzinfo) -> datetime:
    """The date in the site's zone if it came in UTC; any other offset stays.

    Apps send UTC because programs count in it, which says nothing about where the author was; any
    other offset does. Raises as :func:`parse`.
    """
    moment = parse(value, zone)
    return moment if moment.utcoffset() else moment.astimezone(zone)


def as_pelican_reads(value: str) -> datetime:
    """The date of a ``Date`` header, without a zone if it has none. Raises ``ValueError``.

    Pelican's ``get_date`` accepts whatever dateutil does, which is slow; the form that the bridge
    writes is parsed directly, with the same result.
    """
    if _AS_WRITTEN.fullmatch(value):
        return datetime.fromisoformat(value)
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ005 - as Pelican does
    text = re.sub(" +", " ", value.replace("_", " "))
    try:
        found: datetime = dateutil.parser.parse(text, default=midnight)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{value!r} is not a date") from error
    return found


def form(moment: datetime) -> str:
    """The one form in which the bridge writes dates: ISO 8601 with offset, in whole seconds.

    Local times from before time zones have offsets with seconds (Paris: +00:09:21), which neither
    ISO 8601 nor Pelican supports; then the local time is kept and the seconds of the offset are
    dropped.
    """
    offset = moment.utcoffset()
    if offset is not None and offset.seconds % 60:
        moment = moment.replace(tzinfo=timezone(offset - timedelta(seconds=offset.seconds % 60)))
    return moment.replace(microsecond=0).isoformat()


def _wrong(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"{text[:60]!r} is not a date. Send ISO 8601, like 2026-11-21T18:37:00+01:00."
    )


def _unix(text: str, zone: tzinfo) -> datetime | None:
    if _UNIX.fullmatch(text):
        return datetime.fromtimestamp(float(text), zone)
    if _UNIX_MILLISECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text) / 1000, zone)
    return None


def _iso(text: str) -> datetime | None:
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
