"""Authors who have opted out of having their posts shown elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Hashtags in a profile that opt out.
_OPT_OUTS = re.compile(r"#(?:nobridge|nobot|noindex|noarchive)\b", re.IGNORECASE)
#: Bluesky's label of an author whose posts are only for signed-in users.
_SIGNED_IN_ONLY = "!no-unauthenticated"


def allows_at_mastodon(account: Mapping[str, Any]) -> bool:
    """Whether a Mastodon account has not opted out."""
    if account.get("noindex") is True or account.get("suspended") is True:
        return False
    return not _OPT_OUTS.search(re.sub(r"<[^>]*>", "", str(account.get("note") or "")))


def allows_at_bluesky(actor: Mapping[str, Any]) -> bool:
    """Whether a Bluesky account has not opted out."""
    labels = actor.get("labels")
    values = [each.get("val") for each in labels or () if isinstance(each, dict)]
    return _SIGNED_IN_ONLY not in values and not _OPT_OUTS.search(
        str(actor.get("description") or "")
    )
