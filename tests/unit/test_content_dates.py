"""Dates as sent by existing clients."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pelican.utils import get_date
from soak_kit import any_text

from bridge.content.keys import date_as_pelican_reads, date_form, date_on_the_clock
from bridge.errors import InvalidRequest
from bridge.micropub.dates import parse_date

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("2026-11-21T18:37:00+01:00", "2026-11-21T18:37:00+01:00"),
        ("2026-11-21T18:37:00Z", "2026-11-21T18:37:00+00:00"),
        ("2026-11-21t18:37:00z", "2026-11-21T18:37:00+00:00"),
        ("2026-11-21T18:37:00+0200", "2026-11-21T18:37:00+02:00"),
        ("2026-11-21T18:37:00+02", "2026-11-21T18:37:00+02:00"),
        ("2026-11-21 18:37:00 +0200", "2026-11-21T18:37:00+02:00"),
        ("2026-11-21T18:37:00 01:00", "2026-11-21T18:37:00+01:00"),
        ("2026-11-21T18:37:00.123456789Z", "2026-11-21T18:37:00+00:00"),
        ("2026-11-21 18:37", "2026-11-21T18:37:00+01:00"),
        ("2026-07-21 8:05", "2026-07-21T08:05:00+02:00"),
        ("2026-11-21", "2026-11-21T00:00:00+01:00"),
        ("20261121T183700Z", "2026-11-21T18:37:00+00:00"),
        ("1795289496", "2026-11-21T20:31:36+01:00"),
        (1795289496, "2026-11-21T20:31:36+01:00"),
        ("1795289496.5", "2026-11-21T20:31:36+01:00"),
        (1795289496000, "2026-11-21T20:31:36+01:00"),
        ("Sat, 21 Nov 2026 18:37:00 +0100", "2026-11-21T18:37:00+01:00"),
        ("1969-07-20T20:17:40Z", "1969-07-20T20:17:40+00:00"),
    ],
)
def test_dates_are_parsed(sent: Any, meant: str) -> None:
    assert date_form(parse_date(sent, PARIS)) == meant


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2026-10-31T23:30:00Z", "2026-11-01T00:30:00+01:00"),
        ("2026-10-31T23:30:00+00:00", "2026-11-01T00:30:00+01:00"),
        ("2026-06-30T22:30:00 GMT", "2026-07-01T00:30:00+02:00"),
        # An offset that is not UTC's says where the author was.
        ("2026-10-31T23:30:00-05:00", "2026-10-31T23:30:00-05:00"),
        ("2026-10-31 23:30", "2026-10-31T23:30:00+01:00"),
    ],
)
def test_utc_is_converted_to_the_sites_time_zone(sent: str, shown: str) -> None:
    moment = date_on_the_clock(sent, PARIS)
    assert date_form(moment) == shown
    assert moment == parse_date(sent, PARIS)


@pytest.mark.parametrize(
    "sent",
    ["tomorrow", "", " ", "2026-13-01", "2026-11-21T25:00", "10", "Nov 5", "0001-01-01", True,
     None, {}, [], "9999-12-31", "99999999999999999", "²0261121", "2026-11-21T18:37:00+99:99"],
)  # fmt: skip
def test_invalid_dates_are_refused_and_never_mean_now(sent: Any) -> None:
    with pytest.raises(InvalidRequest, match="is not a date"):
        parse_date(sent, PARIS)


@given(any_text(30))
def test_any_text_is_parsed_as_a_date_or_refused(text: str) -> None:
    try:
        moment = parse_date(text, PARIS)
    except InvalidRequest:
        return
    assert moment.tzinfo is not None


@given(st.datetimes(datetime(1000, 1, 1), datetime(9998, 12, 31)))  # noqa: DTZ001
def test_a_written_date_is_read_as_pelican_reads_it(naive: datetime) -> None:
    written = date_form(naive.replace(tzinfo=UTC))
    assert date_as_pelican_reads(written) == get_date(written)


@pytest.mark.parametrize(
    "value", ["2010-12-03 10:20", "2010-12-03", "03 Dec 2010", "2010-12-03_10:20"]
)
def test_hand_written_dates_are_read_as_pelican_reads_them(value: str) -> None:
    assert date_as_pelican_reads(value) == get_date(value.replace("_", " "))


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Africa/Monrovia", "UTC"])
@pytest.mark.parametrize("sent", ["1000-01-01", "1850-06-30T18:37:00", "1900-05-05 10:00"])
def test_a_date_before_standard_time_can_be_read_by_pelican(sent: str, zone: str) -> None:
    written = date_form(parse_date(sent, ZoneInfo(zone)))
    assert written.startswith(sent[:10])
    assert date_as_pelican_reads(written).isoformat() == written
