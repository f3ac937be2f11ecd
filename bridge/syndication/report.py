"""The state of syndication for the owner: paused targets, waiting and failed jobs."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from bridge.micropub.post import Json
from bridge.syndication.api import digest
from bridge.syndication.jobs.ledger import Job
from bridge.syndication.syndicator import Syndicator

#: Largest number of entries in each list; the newest are listed.
_SHOWN = 100
_ACTIONS = {"post": "copy", "edit": "edit", "delete": "delete"}


class TargetReport(Struct, frozen=True):
    """The state of one target. ``error`` is ``""`` unless it is paused."""

    uid: str
    name: str
    type: str
    error: str = ""
    since: float = 0.0


class JobReport(Struct, frozen=True):
    """A job that is waiting, or that needs the owner."""

    name: str
    url: str
    target: str
    uid: str
    action: str
    state: str
    error: str
    tries: int
    since: float
    next: float

    @property
    def needs_owner(self) -> bool:
        """Whether it is not retried automatically."""
        return self.state in {"failed", "held"}


class MissingCopy(Struct, frozen=True):
    """A copy that is not at its network any more, while the post still links to it."""

    name: str
    url: str
    post: str
    target: str
    since: float


class Report(Struct, frozen=True):
    """The state of all targets and jobs, and the copies that are missing."""

    targets: tuple[TargetReport, ...]
    jobs: tuple[JobReport, ...]
    missing: tuple[MissingCopy, ...] = ()

    @property
    def failed(self) -> tuple[JobReport, ...]:
        """The jobs that need the owner."""
        return tuple(each for each in self.jobs if each.needs_owner)

    @property
    def waiting(self) -> tuple[JobReport, ...]:
        """The jobs that are retried automatically."""
        return tuple(each for each in self.jobs if not each.needs_owner)

    @property
    def off(self) -> tuple[TargetReport, ...]:
        """The paused targets."""
        return tuple(each for each in self.targets if each.error)


def report_of(syndicator: Syndicator) -> Report:
    """The present state."""
    ledger, targets = syndicator.ledger, []
    for uid, account in syndicator.accounts.items():
        trouble = ledger.trouble(uid)
        target = account.target
        error, since = (trouble.error, trouble.since) if trouble else ("", 0.0)
        targets.append(TargetReport(uid, target.name, target.type, error, since))
    jobs = sorted(ledger.jobs.values(), key=lambda job: job.since, reverse=True)
    listed = tuple(_job(syndicator, job) for job in jobs[: 2 * _SHOWN])
    return Report(tuple(targets), listed, _missing(syndicator))


def facts_of(syndicator: Syndicator | None) -> dict[str, Json]:
    """The same as JSON, for ``/status``."""
    if syndicator is None:
        return {"targets": [], "waiting": [], "failed": [], "missing": []}
    report = report_of(syndicator)
    return {
        "targets": [
            {
                "uid": each.uid,
                "name": each.name,
                "type": each.type,
                "state": "off" if each.error else "ok",
                "error": each.error or None,
                "since": _time(each.since),
            }
            for each in report.targets
        ],
        "waiting": [_facts(each) for each in report.waiting[:_SHOWN]],
        "failed": [_facts(each) for each in report.failed[:_SHOWN]],
        "missing": [
            {
                "url": each.url,
                "post": each.post,
                "target": each.target,
                "since": _time(each.since),
            }
            for each in report.missing
        ],
    }


def _missing(syndicator: Syndicator) -> tuple[MissingCopy, ...]:
    found = []
    for each in syndicator.ledger.answers.values():
        account, copy = syndicator.accounts.get(each.uid), syndicator.ledger.copies.get(each.url)
        if each.missing and account is not None and not (copy and copy.deleted):
            name = digest(each.url)
            found.append(MissingCopy(name, each.url, each.post, account.target.name, each.missing))
    return tuple(sorted(found, key=lambda each: each.since, reverse=True)[:_SHOWN])


def _job(syndicator: Syndicator, job: Job) -> JobReport:
    account = syndicator.accounts.get(job.uid)
    return JobReport(
        name=job.name,
        url=job.url or job.old,
        target=account.target.name if account else job.uid,
        uid=job.uid,
        action=_ACTIONS[job.action],
        state=job.state,
        error=job.error,
        tries=job.tries,
        since=job.since,
        next=job.next,
    )


def _facts(job: JobReport) -> dict[str, Json]:
    return {
        "id": job.name,
        "url": job.url,
        "target": job.target,
        "uid": job.uid,
        "action": job.action,
        "state": job.state,
        "error": job.error or None,
        "tries": job.tries,
        "since": _time(job.since),
        "next": None if job.needs_owner else _time(job.next),
    }


def _time(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None
