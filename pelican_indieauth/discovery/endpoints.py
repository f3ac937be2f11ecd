"""The links to advertise, from the site's settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pelican_indieauth.errors import SettingError

_MICRO_BLOG = {
    "INDIEAUTH_AUTHORIZATION_ENDPOINT": "https://micro.blog/indieauth/auth",
    "INDIEAUTH_TOKEN_ENDPOINT": "https://micro.blog/indieauth/token",
    "INDIEAUTH_MICROPUB": "https://micro.blog/micropub",
    "INDIEAUTH_MICROSUB": "https://micro.blog/microsub",
}

#: Values of ``INDIEAUTH_SERVER``, and the settings each stands for; single ones can be overridden.
PRESETS: Mapping[str, Mapping[str, str]] = {
    "indieauth.com": {
        "INDIEAUTH_AUTHORIZATION_ENDPOINT": "https://indieauth.com/auth",
        "INDIEAUTH_TOKEN_ENDPOINT": "https://tokens.indieauth.com/token",
    },
    "micro.blog": _MICRO_BLOG,
}


PREFIX = "INDIEAUTH_"

#: The setting for each link relation, in the order in which the links are advertised.
_RELS = {
    "authorization_endpoint": "INDIEAUTH_AUTHORIZATION_ENDPOINT",
    "token_endpoint": "INDIEAUTH_TOKEN_ENDPOINT",
    "micropub": "INDIEAUTH_MICROPUB",
    "micropub_media": "INDIEAUTH_MICROPUB_MEDIA",
    "indieauth-metadata": "INDIEAUTH_METADATA",
    "microsub": "INDIEAUTH_MICROSUB",
    "webmention": "INDIEAUTH_WEBMENTION",
    "hub": "INDIEAUTH_HUB",
}
_ME = "INDIEAUTH_ME"
_ME_SCHEMES = frozenset({"http", "https", "mailto", "tel", "sms", "xmpp", "acct", "openpgp4fpr"})
SETTINGS = frozenset({*_RELS.values(), _ME, "INDIEAUTH_SERVER", "INDIEAUTH_BRIDGE"})
_UNSAFE = re.compile(r"[^\x21-\x7e]|[\"'<>\\^`{|}]")


@dataclass(frozen=True, slots=True)
class Link:
    """An advertised link. ``type`` is the media type of its target, where clients need it."""

    rel: str
    href: str
    type: str = field(default="", compare=False)


def configured(settings: Mapping[str, Any]) -> bool:
    """Whether any of the plugin's settings is set; if not, the plugin changes nothing."""
    return any(
        name.startswith(PREFIX) and value not in (None, "", (), [])
        for name, value in settings.items()
    )


def links(settings: Mapping[str, Any]) -> tuple[Link, ...]:
    """All links to advertise, in order. Raises :class:`SettingError`."""
    given = _given(settings)
    derived = {**_preset(settings), **_bridge(settings, given)}
    found = {**derived, **given}
    endpoints = [Link(rel, found[name]) for rel, name in _RELS.items() if name in found]
    return (*endpoints, *(Link("me", href) for href in _me(settings)))


def _given(settings: Mapping[str, Any]) -> dict[str, str]:
    """The URLs that are set one by one."""
    return {name: _address(name, settings[name]) for name in _RELS.values() if settings.get(name)}


def _preset(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """The URLs of a hosted server."""
    name = settings.get("INDIEAUTH_SERVER")
    if not name:
        return {}
    if name not in PRESETS:
        known = ", ".join(repr(preset) for preset in PRESETS)
        raise SettingError("INDIEAUTH_SERVER", name, "is not a server known here", f"Use {known}")
    return PRESETS[name]


def _bridge(settings: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """The URLs that follow from the bridge's URL."""
    value = settings.get("INDIEAUTH_BRIDGE")
    if not value:
        return {}
    base = _address("INDIEAUTH_BRIDGE", value)
    if urlsplit(base).query or urlsplit(base).fragment:
        remedy = 'Write the bridge\'s URL, such as "https://bridge.example.com/"'
        raise SettingError("INDIEAUTH_BRIDGE", value, "has a query or a fragment", remedy)
    base = base.rstrip("/") + "/"
    posting = {
        "INDIEAUTH_MICROPUB": base + "micropub",
        "INDIEAUTH_MICROPUB_MEDIA": base + "media",
    }
    # With an IndieAuth server elsewhere the bridge publishes no metadata. Clients that find a
    # metadata link use nothing else, and several fail if it leads nowhere.
    auth = {"INDIEAUTH_AUTHORIZATION_ENDPOINT", "INDIEAUTH_TOKEN_ENDPOINT"}
    if settings.get("INDIEAUTH_SERVER") or not auth.isdisjoint(given):
        return posting
    return posting | {
        "INDIEAUTH_AUTHORIZATION_ENDPOINT": base + "auth",
        "INDIEAUTH_TOKEN_ENDPOINT": base + "token",
        "INDIEAUTH_METADATA": base + ".well-known/oauth-authorization-server",
    }


def _me(settings: Mapping[str, Any]) -> Iterator[str]:
    """The owner's other profiles (``rel=me``): one URL or a list."""
    value = settings.get(_ME) or ()
    if not isinstance(value, (str, list, tuple)):
        remedy = 'Write ["https://social.example/@me", "mailto:me@example.com"]'
        raise SettingError(_ME, value, "is neither a URL nor a list of URLs", remedy)
    for address in (value,) if isinstance(value, str) else value:
        yield _address(_ME, address, _ME_SCHEMES)


def _address(
    setting: str, value: Any, schemes: frozenset[str] = frozenset({"http", "https"})
) -> str:
    """Validate an absolute URL; some clients do not resolve relative ones."""
    remedy = 'Write an absolute URL, such as "https://example.com/micropub"'
    if not isinstance(value, str):
        raise SettingError(setting, value, "is not a string", remedy)
    address = value.strip()
    if _UNSAFE.search(address):
        raise SettingError(
            setting, value, "contains a character that is not allowed in a URL", remedy
        )
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise SettingError(setting, value, f"is not a URL ({error})", remedy) from error
    web = parts.scheme in {"http", "https"}
    if parts.scheme not in schemes or (web and not parts.hostname):
        raise SettingError(setting, value, "is not an absolute URL", remedy)
    return address
