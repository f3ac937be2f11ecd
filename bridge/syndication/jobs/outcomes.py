"""Schedules the next attempt of a job after a failure, or leaves it to the owner."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from bridge.runtime.backoff import next_pause, seconds_until
from bridge.syndication.api import ApiError
from bridge.syndication.jobs.ledger import Action, Job, Ledger
from bridge.syndication.networks import Account

log = logging.getLogger(__name__)

#: Pauses between checks whether a page is live, in seconds; afterwards every ten minutes.
LOOKS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, *(60.0,) * 30)
_LATER_LOOKS = 600.0
_DAY = 86_400.0
#: The longest time for which a job is retried, however long the server asks to wait.
_LONGEST_TRY = 3 * _DAY
OFF_LOOK = 30.0
_LONGEST_WAIT = 1.25 * _DAY


class Outcomes:
    """Stores in jobs when to try them again.

    ``retries`` and ``looks`` are pauses in seconds: after failures, and while a page is not live.
    """

    def __init__(
        self,
        ledger: Ledger,
        seconds: Callable[[], float],
        retries: Sequence[float],
        looks: Sequence[float],
    ) -> None:
        """``seconds`` returns the present time."""
        self._ledger = ledger
        self._seconds = seconds
        self._retries = retries
        self._looks = looks

    def failed(self, account: Account, job: Job, action: Action, error: ApiError) -> None:
        """Handle a refusal of the server, or no response."""
        name = account.target.name
        if error.denied:
            account.refuse(self._ledger, error, self._seconds())
            log.error("%s refused its token: %s", name, error)
            job.error = str(error)
            self.postpone(job, OFF_LOOK)
        elif error.is_temporary:
            log.warning("%s could not be copied to %s, next try later: %s", job.url, name, error)
            self.retry(job, action, str(error), error.retry_after)
        else:
            self.give_up(job, action, str(error))

    def retry(self, job: Job, action: Action, error: str, retry_after: float | None) -> None:
        """Schedule a retry, after ``retry_after`` or the next pause; gives up after the last
        one.
        """
        job.error = error
        if self._is_overtaken(job, action):
            return
        if retry_after is not None and self._seconds() - job.since < _LONGEST_TRY:
            self.postpone(job, max(retry_after, min(1.0, self._retries[0])))
            return
        pause = next_pause(self._retries, job.tries)
        if pause is None:
            self.give_up(job, action, error)
            return
        job.tries += 1
        self.postpone(job, pause)

    def give_up(self, job: Job, action: Action, error: str) -> None:
        """Fail the job: only the owner can retry it."""
        log.error("%s could not be copied: %s", job.url, error)
        job.error = error
        if self._is_overtaken(job, action):
            return
        job.state = "failed"
        self._write(job)

    def _is_overtaken(self, job: Job, action: Action) -> bool:
        """Whether the job has become another action in the meantime, which was not tried yet."""
        if job.action == action:
            return False
        self.postpone(job, 0.0)
        return True

    def not_live(self, job: Job) -> None:
        """Schedule the next check for the post's page, for up to a day."""
        if self._seconds() - job.since > _DAY:
            self.give_up(job, job.action, "its page was not live within a day")
            return
        looks = self._looks
        pause = looks[job.looks] if job.looks < len(looks) else _LATER_LOOKS
        job.looks += 1
        self.postpone(job, pause)

    def wait(self, job: Job) -> float:
        """Seconds until a job is due."""
        return seconds_until(job.next, self._seconds(), _LONGEST_WAIT)

    def postpone(self, job: Job, seconds: float) -> None:
        """Try the job in ``seconds``, or in a day if that is sooner."""
        job.next = self._seconds() + min(seconds, _LONGEST_WAIT)
        self._write(job)

    def _write(self, job: Job) -> None:
        """Save a job unless it was dropped or became another action in the meantime."""
        if self._ledger.jobs.get(job.name) is job:
            try:
                self._ledger.save(job)
            except OSError:
                log.exception("a syndication job could not be stored")
