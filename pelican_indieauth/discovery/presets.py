"""Hosted servers that a site can delegate to, by name (``INDIEAUTH_SERVER``)."""

from __future__ import annotations

from collections.abc import Mapping

_MICRO_BLOG = {
    "INDIEAUTH_AUTHORIZATION_ENDPOINT": "https://micro.blog/indieauth/auth",
    "INDIEAUTH_TOKEN_ENDPOINT": "https://micro.blog/indieauth/token",
    "INDIEAUTH_MICROPUB": "https://micro.blog/micropub",
    "INDIEAUTH_MICROSUB": "https://micro.blog/microsub",
}

#: A name to the settings that it stands for; each of them can still be set by itself.
PRESETS: Mapping[str, Mapping[str, str]] = {
    "indieauth.com": {
        "INDIEAUTH_AUTHORIZATION_ENDPOINT": "https://indieauth.com/auth",
        "INDIEAUTH_TOKEN_ENDPOINT": "https://tokens.indieauth.com/token",
    },
    "micro.blog": _MICRO_BLOG,
}
