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

#: The longest pause that a server's rate limit can impose, in seconds.
_LONGEST_WAIT = 86_400.0
_WORDS = 300
#: Requests of the server's rate limit that are left for the owner's other apps. Limits up to
#: ``_ENDPOINT_LIMIT`` are of single endpoints and are ignored.
_RESERVED = 20
_ENDPOINT_LIMIT = 100


class ApiError(Exception):
    """A request has failed; the text is the server's message where there is one.

    ``status`` is ``0`` where there was no response: then, as after any 5xx, the request may have
    been carried out (``uncertain``). ``name`` is the error's code, ``retry_after`` the pause in
    seconds that the server asks for.
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
        """Whether the request may have been carried out."""
        return self.status == 0 or self.status >= 500

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.uncertain or self.status in {408, 425, 429}

    @property
    def denied(self) -> bool:
        """Whether the token is invalid or lacks a scope."""
        return self.status == 403 or self.revoked

    @property
    def revoked(self) -> bool:
        """Whether the token is invalid."""
        tokens = {"InvalidToken", "ExpiredToken", "AuthMissing"}
        tokens |= {"AccountTakedown", "AccountSuspended", "AccountDeactivated"}
        return self.status == 401 or self.name in tokens


class Caller(Protocol):
    """An HTTP client, such as :class:`bridge.net.fetch.GuardedFetch`."""

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = ...,
        data: bytes | aiohttp.FormData | None = ...,
        timeout: float = ...,  # noqa: ASYNC109 - bounds the whole call, and is ended inside
    ) -> Fetched:
        """Make one request, limited in time. Raises :class:`bridge.net.fetch.FetchError`."""
        ...


class ServerState:
    """A server's clock and rate limit, as its responses report them."""

    def __init__(self) -> None:
        self._date: tuple[datetime, float] | None = None
        self._full_until = 0.0

    def now(self) -> datetime | None:
        """The server's present time; ``None`` while it is not known."""
        if self._date is None:
            return None
        date, read_headers = self._date
        return date + timedelta(seconds=time.monotonic() - read_headers)

    def pause(self) -> float:
        """Seconds to wait before the next request."""
        return max(0.0, self._full_until - time.monotonic())

    def read_headers(self, headers: Mapping[str, str]) -> None:
        """Take in the headers of a response."""
        with suppress(ValueError, TypeError):
            date = parsedate_to_datetime(headers.get("Date", ""))
            if date.tzinfo is not None:
                self._date = (date, time.monotonic())
        left, most = (_limit(headers, name) for name in ("Remaining", "Limit"))
        if left is None or left >= _RESERVED or (most is not None and most <= _ENDPOINT_LIMIT):
            # A small limit is that of one endpoint, such as uploads; exceeding it gives 429.
            return
        seconds = _seconds_until(_rate_header(headers, "Reset"))
        if seconds is not None:
            self._full_until = time.monotonic() + seconds


class Api:
    """One server. ``base`` is its URL without a slash at the end; ``server`` its known clock
    and rate limit.
    """

    def __init__(self, caller: Caller, base: str, server: ServerState | None = None) -> None:
        self.base = base
        self.server = server or ServerState()
        self._caller = caller

    async def get(self, path: str, token: str = "", **query: Any) -> Fetched:
        """GET with a query. Raises :class:`ApiError` unless the status is 2xx."""
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
        """Make a request; ``body`` is sent as JSON, ``form`` urlencoded, ``data`` as it is.

        Raises :class:`ApiError`, without a request while the server's rate limit is nearly used up.
        """
        if pause := self.server.pause():
            raise ApiError(
                f"{self.base} has nearly reached its rate limit", status=429, retry_after=pause
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
        encoded = urlencode(query or {}, doseq=True)
        url = f"{self.base}{path}{f'?{encoded}' if encoded else ''}"
        try:
            answer = await self._caller.call(method, url, headers=sent, data=data, timeout=seconds)
        except FetchError as error:
            raise ApiError(f"{self.base} does not answer: {error}") from error
        self.server.read_headers(answer.headers)
        if not 200 <= answer.status < 300:
            raise _failure(self.base, answer)
        return answer


def json_of(answer: Fetched) -> Any:
    """The JSON of a response.

    Raises :class:`ApiError` where it is not JSON, as with a proxy's error page or a truncated
    response; the request may have been carried out.
    """
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ApiError(f"{answer.url.partition('?')[0]} did not answer with JSON") from error


def object_of(answer: Fetched) -> dict[str, Any]:
    """The JSON object of a response. Raises :class:`ApiError`."""
    found = json_of(answer)
    if not isinstance(found, dict):
        raise ApiError(f"{answer.url.partition('?')[0]} did not answer with a JSON object")
    return found


def list_of(answer: Fetched) -> list[dict[str, Any]]:
    """The objects in the JSON list of a response. Raises :class:`ApiError`."""
    found = json_of(answer)
    if not isinstance(found, list):
        # Not an empty list: a copy that was made before would not be found, and made again.
        raise ApiError(f"{answer.url.partition('?')[0]} did not answer with a JSON list")
    return objects(found)


def objects(value: object) -> list[dict[str, Any]]:
    """The objects in a list; none where it is not one."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _failure(base: str, answer: Fetched) -> ApiError:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        body = {}
    body = body if isinstance(body, dict) else {}
    name = body.get("error") if isinstance(body.get("error"), str) else ""
    words = body.get("error_description") or body.get("message") or name
    words = words if isinstance(words, str) else ""
    if not words and "json" not in answer.headers.get("Content-Type", "html"):
        words = answer.body[:_WORDS].decode("utf-8", "replace")
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", words).strip()[:_WORDS]
    return ApiError(
        f"the server {base} answered {answer.status}: {shown}"
        if shown
        else f"the server {base} answered {answer.status}",
        status=answer.status,
        name=name if isinstance(name, str) else "",
        retry_after=_retry_after(answer),
    )


def _retry_after(answer: Fetched) -> float | None:
    """``Retry-After`` (RFC 9110 10.2.3), else the reset time of the rate limit, in seconds."""
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
    """The seconds until the time in a rate limit header; ``None`` for an invalid one."""
    if not value:
        return None
    now = datetime.now(UTC)
    try:
        if value.isdigit():
            # Some servers give seconds since 1970, others the seconds to wait.
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
    """A hash of these texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
