"""What follows a try that has not worked: another one, when, or the owner's turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from bridge.runtime.backoff import next_pause
from bridge.syndication.accounts import Account
from bridge.syndication.api import ApiError
from bridge.syndication.jobs import Action, Job, Ledger

log = logging.getLogger(__name__)

#: Seconds between looks whether a page is live; then each minute for half an hour, then every ten.
LOOKS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, *(60.0,) * 30)
_LATER_LOOKS = 600.0
_DAY = 86_400.0
#: However often a server asks to wait: after this it is the owner's turn.
_LONGEST_TRY = 3 * _DAY
OFF_LOOK = 30.0
_LONGEST_WAIT = 1.25 * _DAY


class Outcomes:
    """Writes down in jobs when they are to be tried again.

    ``retries`` and ``looks`` are pauses in seconds: after failures, and while a page is not live.
    """

    def __init__(
        self,
        ledger: Ledger,
        seconds: Callable[[], float],
        retries: Sequence[float],
        looks: Sequence[float],
    ) -> None:
        """``seconds`` tells the time."""
        self._ledger = ledger
        self._seconds = seconds
        self._retries = retries
        self._looks = looks

    def failed(self, account: Account, job: Job, action: Action, error: ApiError) -> None:
        """A server has refused, or not answered."""
        name = account.target.name
        if error.denied:
            account.refuse(self._ledger, error, self._seconds())
            log.error("%s refuses its token: %s", name, error)
            job.error = str(error)
            self.later(job, OFF_LOOK)
        elif error.passing:
            log.warning("%s is not copied to %s yet: %s", job.url, name, error)
            self.again(job, action, str(error), error.retry_after)
        else:
            self.give_up(job, action, str(error))

    def again(self, job: Job, action: Action, error: str, retry_after: float | None) -> None:
        """Try again, when the server says or after a pause, as long as there is hope."""
        job.error = error
        if self._is_overtaken(job, action):
            return
        if retry_after is not None and self._seconds() - job.since < _LONGEST_TRY:
            self.later(job, max(retry_after, min(1.0, self._retries[0])))
            return
        pause = next_pause(self._retries, job.tries)
        if pause is None:
            self.give_up(job, action, error)
            return
        job.tries += 1
        self.later(job, pause)

    def give_up(self, job: Job, action: Action, error: str) -> None:
        """Nothing more happens by itself: it is the owner's turn."""
        log.error("%s is not copied: %s", job.url, error)
        job.error = error
        if self._is_overtaken(job, action):
            return
        job.state = "failed"
        self._write(job)

    def _is_overtaken(self, job: Job, action: Action) -> bool:
        """Whether something else is to be done by now, which has not been tried at all."""
        if job.action == action:
            return False
        self.later(job, 0.0)
        return True

    def not_live(self, job: Job) -> None:
        """The world does not see the post's page yet: look again, for a day."""
        if self._seconds() - job.since > _DAY:
            self.give_up(job, job.action, "its page has not become live in a day")
            return
        looks = self._looks
        pause = looks[job.looks] if job.looks < len(looks) else _LATER_LOOKS
        job.looks += 1
        self.later(job, pause)

    def wait(self, job: Job) -> float:
        """How many seconds there are until a job is to be tried."""
        seconds = job.next - self._seconds()
        # Nothing waits so long: when that was written down the clock was wrong.
        return 0.0 if seconds > _LONGEST_WAIT else max(0.0, seconds)

    def later(self, job: Job, seconds: float) -> None:
        """Try in so many seconds, or look again in a day."""
        job.next = self._seconds() + min(seconds, _LONGEST_WAIT)
        self._write(job)

    def _write(self, job: Job) -> None:
        """Save a job that may have been dropped, or become another, in the meantime."""
        if self._ledger.jobs.get(job.name) is job:
            try:
                self._ledger.save(job)
            except OSError:
                log.exception("what is to be copied cannot be written down")
