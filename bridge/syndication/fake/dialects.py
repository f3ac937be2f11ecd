"""Differences between servers with Mastodon's API."""

from __future__ import annotations

from msgspec import Struct


class Dialect(Struct, frozen=True):
    """The differences of a server from Mastodon.

    ``too_long`` and ``refusal`` are status and message for a text over the limit and an invalid
    token, ``page`` is the path of a status; ``edits``: statuses can be edited.
    """

    version: str = "4.5.0"
    honours_keys: bool = True
    counts_raw: bool = False
    too_long: tuple[int, str] = (422, "Validation failed: Text character limit of {} exceeded")
    refusal: tuple[int, str] = (401, "The access token is invalid")
    page: str = "/@you/{}"
    edits: bool = True


DIALECTS = {
    "mastodon": Dialect(),
    "takahe": Dialect(
        version="takahe/0.11.0",
        honours_keys=False,
        counts_raw=True,
        too_long=(400, "Status is too long"),
        refusal=(400, "bad token"),
    ),
    "gotosocial": Dialect(
        version="0.19.1+git-2c0c2a0",
        counts_raw=True,
        too_long=(422, "Unprocessable Entity: status too long, but limit is {}"),
        refusal=(401, "Unauthorized: token is not valid"),
        page="/@you/statuses/{}",
        edits=False,
    ),
    "pleroma": Dialect(
        version="2.7.2 (compatible; Pleroma 2.5.0)",
        counts_raw=True,
        too_long=(422, "The status is over the character limit"),
        refusal=(403, "Invalid credentials."),
        page="/notice/{}",
    ),
}
