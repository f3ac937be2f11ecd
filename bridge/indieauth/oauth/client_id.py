"""Validation of client identifiers and redirect URIs (IndieAuth 3.3, 5.2)."""

from __future__ import annotations

import re
import string
from collections.abc import Collection
from urllib.parse import parse_qsl, quote

from bridge.errors import OAuthError
from bridge.net.web_url import BadURL, WebURL, parse
from bridge.settings import KnownClient

_LOOPBACK_ADDRESSES = frozenset({"127.0.0.1", "[::1]"})
_CUSTOM = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):[\x21-\x7e]*", re.IGNORECASE | re.ASCII)
_UNSAFE = re.compile(r"[\\<>\"`{}|^#]")

#: Custom schemes without a dot that are allowed: those of Micro.blog and Indigenous.
_KNOWN_SCHEMES = frozenset({"microblog", "indigenous", "indigenous-android"})
#: RFC 8252 7.1: a reversed domain name of the app's maker.
_DOTTED = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")

#: Parameters of a response (RFC 6749 4.1.2, RFC 9207 and extensions). A redirect URI that has one
#: already could make the app read the wrong value.
_ANSWERS = frozenset(
    {
        *("code", "state", "iss", "error", "error_description", "error_uri"),
        *("response", "id_token", "access_token", "token_type", "expires_in", "session_state"),
    }
)

#: Schemes that run code in the browser or read local files.
_NEVER = frozenset(
    {"javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem"}
)


def client_url(raw: str) -> WebURL:
    """Parse a client identifier: like a profile URL, but with ports and loopback addresses.

    Raises :class:`bridge.net.web_url.BadURL`.
    """
    url = parse(raw)
    # 3.3: "Host names MUST be domain names or a loopback interface".
    if url.is_address and url.host not in _LOOPBACK_ADDRESSES:
        raise BadURL("a client_id must have a domain name, not an IP address")
    return url


def client_id(raw: str) -> str:
    """The canonical form of a client identifier, for comparing and displaying.

    It is ASCII, so it has no invisible or bidirectional characters. Raises :class:`OAuthError`
    (``invalid_request``).
    """
    try:
        return quote(str(client_url(raw)), safe=string.punctuation)
    except BadURL as error:
        raise OAuthError("invalid_request", f"client_id cannot be used: {error}.") from error


def check_redirect(raw: str, known: KnownClient | None) -> None:
    """Reject redirect URIs that are never allowed. Raises :class:`OAuthError`.

    ``known`` is the settings for the app.
    """
    match = _CUSTOM.fullmatch(raw)
    if match is None or _UNSAFE.search(raw):
        raise OAuthError("invalid_request", "redirect_uri is not a valid absolute URL.")
    scheme = match["scheme"].lower()
    if scheme in _NEVER:
        raise OAuthError("invalid_request", f"redirect_uri may not begin with '{scheme}:'.")
    if scheme in {"http", "https"}:
        try:
            parse(raw)
        except BadURL as error:
            raise OAuthError("invalid_request", f"redirect_uri cannot be used: {error}.") from error
    elif (known is None or raw not in known.redirect_uris) and not _is_an_apps(scheme):
        # Other schemes without a dot belong to the system: they open settings, mail or installers.
        raise OAuthError(
            "invalid_request",
            f"redirect_uri may not begin with '{scheme}:'. An app's own scheme has a dot, such as"
            " 'com.example.app:'. The owner can let this address through by registering it under"
            " [[indieauth.clients]].",
        )
    # The responses to old apps have ``me``, too.
    answers = _ANSWERS if known is None or known.pkce is not False else _ANSWERS | {"me"}
    if reserved := sorted(answers & _names(raw)):
        raise OAuthError(
            "invalid_request",
            f"redirect_uri may not have {reserved[0]!r} in its query: the response adds it.",
        )


def _is_an_apps(scheme: str) -> bool:
    return scheme in _KNOWN_SCHEMES or _DOTTED.fullmatch(scheme) is not None


def _names(address: str) -> set[str]:
    """The parameter names in a URL's query, normalised as leniently as any program reads
    them: PHP takes ``Code[0]``, `` code`` and ``error.description`` for parameters of the
    response.
    """
    query = address.partition("?")[2].replace(";", "&").replace("?", "&")
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    return {
        re.sub(r"[. ]", "_", name.partition("[")[0].partition("\0")[0].strip().casefold())
        for name, _ in pairs
    }


def same_origin(client: str, redirect: str) -> bool:
    """Whether the redirect URI has the client's scheme, host and port (5.2.1)."""
    try:
        return parse(client).origin == parse(redirect).origin
    except BadURL:
        return False


def leads_to_this_machine(redirect: str) -> bool:
    """Whether the redirect URI opens a program on the browser's machine: by a custom scheme,
    or on loopback (RFC 8252 7.1 and 7.3).
    """
    try:
        return parse(redirect).is_loopback
    except BadURL:
        return not redirect.lower().startswith(("http:", "https:"))


def may_redirect(client: str, redirect: str, published: Collection[str]) -> bool:
    """Whether responses may go to ``redirect``: it has the client's origin, or the client
    publishes exactly it.
    """
    return same_origin(client, redirect) or redirect in published
