"""People who have opted out of having their posts shown elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Words in a profile that ask not to be taken elsewhere.
_OPT_OUTS = re.compile(r"#(?:nobridge|nobot|noindex|noarchive)\b", re.IGNORECASE)
#: Of an author who asks not to be shown to people who are not signed in.
_SIGNED_IN_ONLY = "!no-unauthenticated"


def may_show(account: Mapping[str, Any]) -> bool:
    """Whether an author at Mastodon has no wish against it."""
    if account.get("noindex") is True or account.get("suspended") is True:
        return False
    return not _OPT_OUTS.search(re.sub(r"<[^>]*>", "", str(account.get("note") or "")))


def may_be_shown(actor: Mapping[str, Any]) -> bool:
    """Whether an author at Bluesky has no wish against it."""
    labels = actor.get("labels")
    values = [each.get("val") for each in labels or () if isinstance(each, dict)]
    return _SIGNED_IN_ONLY not in values and not _OPT_OUTS.search(
        str(actor.get("description") or "")
    )
