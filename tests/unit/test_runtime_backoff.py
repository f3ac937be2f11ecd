"""The delays before retries."""

from __future__ import annotations

from bridge.runtime.backoff import doubled, jittered, next_pause, seconds_until


def test_pauses_are_used_in_order_and_end() -> None:
    pauses = [next_pause((1.0, 60.0), tries, jitter=0.0) for tries in range(3)]
    assert pauses == [1.0, 60.0, None]


def test_jitter_makes_a_pause_a_little_shorter_or_longer() -> None:
    found = {jittered(100.0, 0.2) for _ in range(100)}
    assert len(found) > 1
    assert all(80.0 <= each <= 120.0 for each in found)


def test_a_pause_is_doubled_up_to_the_longest_however_many_failures_there_were() -> None:
    assert [doubled(30.0, failures, 100.0) for failures in range(3)] == [30.0, 60.0, 100.0]
    # A week of them, ten minutes apart.
    assert doubled(30.0, 1024, 600.0) == 600.0


def test_a_clock_that_was_ahead_makes_no_pause_longer_than_the_longest() -> None:
    assert [seconds_until(due, 1000.0, 60.0) for due in (0.0, 1000.0, 1030.0)] == [0.0, 0.0, 30.0]
    assert seconds_until(1e9, 1000.0, 60.0) == 0.0
