"""HTTP requests to the networks' APIs, and their errors."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp

from bridge.net.fetch import Fetched, FetchError

#: The longest that a server can have us wait.
_LONGEST_WAIT = 86_400.0
_WORDS = 300
#: Of the requests that a server takes in a time, so many are left to the owner's other apps.
_FEW = 20
_NARROW = 100


class ApiError(Exception):
    """A call has failed; the text says how, in the server's words where it has some.

    ``status`` is ``0`` where no answer came: then, as after any 5xx, the call may have been carried
    out all the same (``uncertain``). ``name`` is the error's own, ``retry_after`` are the seconds
    that the server asks for.
    """

    def __init__(
        self, words: str, *, status: int = 0, name: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(words)
        self.status = status
        self.name = name
        self.retry_after = retry_after

    @property
    def uncertain(self) -> bool:
        """Whether the call may have been carried out."""
        return self.status == 0 or self.status >= 500

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later."""
        return self.uncertain or self.status in {408, 425, 429}

    @property
    def denied(self) -> bool:
        """Whether the account's token is not good, or not good enough."""
        return self.status == 403 or self.revoked

    @property
    def revoked(self) -> bool:
        """Whether the account's token is good for nothing."""
        tokens = {"InvalidToken", "ExpiredToken", "AuthMissing"}
        tokens |= {"AccountTakedown", "AccountSuspended", "AccountDeactivated"}
        return self.status == 401 or self.name in tokens


class Caller(Protocol):
    """What makes a request (:class:`bridge.net.fetch.GuardedFetch`)."""

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = ...,
        data: bytes | aiohttp.FormData | None = ...,
        timeout: float = ...,  # noqa: ASYNC109 - bounds the whole call, and is ended inside
    ) -> Fetched:
        """One request, in bounded time. Raises :class:`bridge.net.fetch.FetchError`."""
        ...


class Server:
    """What a server has said of itself with its answers: its time, and how much it still takes."""

    def __init__(self) -> None:
        self._date: tuple[datetime, float] | None = None
        self._full_until = 0.0

    def now(self) -> datetime | None:
        """The time there, whatever clock is wrong; ``None`` where it has not said so."""
        if self._date is None:
            return None
        told, heard = self._date
        return told + timedelta(seconds=time.monotonic() - heard)

    def pause(self) -> float:
        """Seconds until it is to be asked again."""
        return max(0.0, self._full_until - time.monotonic())

    def heard(self, headers: Mapping[str, str]) -> None:
        """Remember what an answer's headers say."""
        with suppress(ValueError, TypeError):
            date = parsedate_to_datetime(headers.get("Date", ""))
            if date.tzinfo is not None:
                self._date = (date, time.monotonic())
        left, most = (_limit(headers, name) for name in ("Remaining", "Limit"))
        if left is None or left >= _FEW or (most is not None and most <= _NARROW):
            # Narrow limits are those of single calls, such as of uploads: they end in 429.
            return
        seconds = _seconds_until(_rate_header(headers, "Reset"))
        if seconds is not None:
            self._full_until = time.monotonic() + seconds


class Api:
    """One server. ``base`` has no slash at its end; ``server`` is what is known of it."""

    def __init__(self, caller: Caller, base: str, server: Server | None = None) -> None:
        self.base = base
        self.server = server or Server()
        self._caller = caller

    async def get(self, path: str, token: str = "", **query: Any) -> Fetched:
        """GET with a query. Raises :class:`ApiError` for anything but 2xx."""
        return await self.send("GET", path, token, query=query)

    async def send(
        self,
        method: str,
        path: str,
        token: str = "",
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        form: Sequence[tuple[str, str]] | None = None,
        data: bytes | aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 30.0,
    ) -> Fetched:
        """A request; ``body`` is sent as JSON, ``form`` as a form, ``data`` as it is.

        Raises :class:`ApiError`; at once, without a request, while the server has few left of
        those that it takes in a time.
        """
        if pause := self.server.pause():
            raise ApiError(
                f"{self.base} takes only a few more requests just now",
                status=429,
                retry_after=pause,
            )
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
            sent["Content-Type"] = "application/json"
        if form is not None:
            data = urlencode(form, errors="replace").encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        asked = urlencode(query or {}, doseq=True)
        url = f"{self.base}{path}{f'?{asked}' if asked else ''}"
        try:
            answer = await self._caller.call(method, url, headers=sent, data=data, timeout=seconds)
        except FetchError as error:
            raise ApiError(f"{self.base} does not answer: {error}") from error
        self.server.heard(answer.headers)
        if not 200 <= answer.status < 300:
            raise _failure(self.base, answer)
        return answer


def json_of(answer: Fetched) -> Any:
    """The JSON of an answer. Raises :class:`ApiError` where it is none: a proxy's page, half an
    answer; what was asked for may have been done."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ApiError(f"{answer.url.partition('?')[0]} answers with no JSON") from error


def object_of(answer: Fetched) -> dict[str, Any]:
    """The JSON object of an answer. Raises :class:`ApiError`."""
    found = json_of(answer)
    if not isinstance(found, dict):
        raise ApiError(f"{answer.url.partition('?')[0]} answers with no JSON object")
    return found


def list_of(answer: Fetched) -> list[dict[str, Any]]:
    """The objects in the JSON list of an answer. Raises :class:`ApiError`."""
    found = json_of(answer)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _failure(base: str, answer: Fetched) -> ApiError:
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        told = {}
    told = told if isinstance(told, dict) else {}
    name = told.get("error") if isinstance(told.get("error"), str) else ""
    words = told.get("error_description") or told.get("message") or name
    words = words if isinstance(words, str) else ""
    if not words and "json" not in answer.headers.get("Content-Type", "html"):
        words = answer.body[:_WORDS].decode("utf-8", "replace")
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", words).strip()[:_WORDS]
    return ApiError(
        f"{base} answers {answer.status}{f': {shown}' if shown else ''}",
        status=answer.status,
        name=name if isinstance(name, str) else "",
        retry_after=_retry_after(answer),
    )


def _retry_after(answer: Fetched) -> float | None:
    """``Retry-After`` (RFC 9110 10.2.3), else when a limit is lifted."""
    value = answer.headers.get("Retry-After", "").strip()
    if not value and answer.status == 429:
        value = _rate_header(answer.headers, "Reset")
    return _seconds_until(value)


def _rate_header(headers: Mapping[str, str], name: str) -> str:
    return headers.get(f"X-RateLimit-{name}", headers.get(f"RateLimit-{name}", "")).strip()


def _limit(headers: Mapping[str, str], name: str) -> int | None:
    value = _rate_header(headers, name)
    return int(value) if re.fullmatch(r"\d{1,9}", value) else None


def _seconds_until(value: str) -> float | None:
    """How long it is until a moment, as servers have it in headers; ``None`` for anything else."""
    if not value:
        return None
    now = datetime.now(UTC)
    try:
        if value.isdigit():
            # Some tell the moment as seconds since 1970, others how long.
            seconds = float(value)
            seconds = seconds - now.timestamp() if seconds > 1e9 else seconds
        elif re.match(r"\d{4}-", value):
            seconds = (datetime.fromisoformat(value) - now).total_seconds()
        else:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def digest(*parts: str) -> str:
    """A name for these texts together."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
