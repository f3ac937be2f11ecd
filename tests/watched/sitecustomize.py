"""Records the secrets generated in processes that tests start, for ``secrets_kit``."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_make = secrets.token_urlsafe


def _noted(nbytes: int | None = None) -> str:
    secret = _make(nbytes)
    # A process of the site's is forked from one that is watched, and given less to see.
    if "WATCHED_SECRETS" in os.environ:
        with Path(os.environ["WATCHED_SECRETS"]).open("a", encoding="ascii") as file:
            file.write(f"{secret}\n")
    return secret


if "WATCHED_SECRETS" in os.environ:
    secrets.token_urlsafe = _noted
