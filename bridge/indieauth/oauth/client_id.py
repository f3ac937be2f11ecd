"""Client identifiers and redirect URIs: which are valid (IndieAuth 3.3, 5.2)."""

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

#: Schemes of apps that are known by them, though they have no dot: Micro.blog's, and Indigenous'.
_KNOWN_SCHEMES = frozenset({"microblog", "indigenous", "indigenous-android"})
#: RFC 8252 7.1: a domain name that the app's maker owns, turned around.
_DOTTED = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")

#: What an answer says (RFC 6749 4.1.2, RFC 9207, and what grew around them): an address that says
#: it already would have the app read the wrong one.
_ANSWERS = frozenset(
    {
        *("code", "state", "iss", "error", "error_description", "error_uri"),
        *("response", "id_token", "access_token", "token_type", "expires_in", "session_state"),
    }
)

#: Schemes that run in the browser, or read from its machine.
_NEVER = frozenset(
    {"javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem"}
)


def client_url(raw: str) -> WebURL:
    """A client identifier: like a profile URL, but with ports and the loopback addresses.

    Raises :class:`bridge.net.web_url.BadURL`.
    """
    url = parse(raw)
    # 3.3: "Host names MUST be domain names or a loopback interface".
    if url.is_address and url.host not in _LOOPBACK_ADDRESSES:
        raise BadURL("a client_id has a domain name, not an IP address")
    return url


def client_id(raw: str) -> str:
    """A client identifier in the one form in which two are compared, and in which it is shown.

    It is ASCII, so that it has no character that is invisible, or turns those after it around.
    Raises :class:`OAuthError` (``invalid_request``).
    """
    try:
        return quote(str(client_url(raw)), safe=string.punctuation)
    except BadURL as error:
        raise OAuthError("invalid_request", f"client_id cannot be used: {error}.") from error


def check_redirect(raw: str, known: KnownClient | None) -> None:
    """Refuse what no answer can be sent to, no matter who asks. Raises :class:`OAuthError`.

    ``known`` is what the settings say about the app.
    """
    match = _CUSTOM.fullmatch(raw)
    if match is None or _UNSAFE.search(raw):
        raise OAuthError("invalid_request", "redirect_uri is not a URL that can be redirected to.")
    scheme = match["scheme"].lower()
    if scheme in _NEVER:
        raise OAuthError("invalid_request", f"redirect_uri may not begin with '{scheme}:'.")
    if scheme in {"http", "https"}:
        try:
            parse(raw)
        except BadURL as error:
            raise OAuthError("invalid_request", f"redirect_uri cannot be used: {error}.") from error
    elif (known is None or raw not in known.redirect_uris) and not _is_an_apps(scheme):
        # What else begins without a dot is the system's: it opens settings, mail and installers.
        raise OAuthError(
            "invalid_request",
            f"redirect_uri may not begin with '{scheme}:'. An app's own scheme has a dot, such as"
            " 'com.example.app:'. The owner can let this address through by registering it under"
            " [[indieauth.clients]].",
        )
    # Only an old app finds "me" in its answer, too.
    answers = _ANSWERS if known is None or known.pkce is not False else _ANSWERS | {"me"}
    if said := sorted(answers & _names(raw)):
        raise OAuthError(
            "invalid_request",
            f"redirect_uri may not have {said[0]!r} in its own query: the answer says that.",
        )


def _is_an_apps(scheme: str) -> bool:
    return scheme in _KNOWN_SCHEMES or _DOTTED.fullmatch(scheme) is not None


def _names(address: str) -> set[str]:
    """The names in an address' query, as the laxest of programs would read them: PHP takes
    ``Code[0]``, `` code`` and ``error.description`` for names of an answer.
    """
    query = address.partition("?")[2].replace(";", "&").replace("?", "&")
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    return {
        re.sub(r"[. ]", "_", name.partition("[")[0].partition("\0")[0].strip().casefold())
        for name, _ in pairs
    }


def same_origin(client: str, redirect: str) -> bool:
    """Whether an address is on the client's own scheme, host and port (5.2.1)."""
    try:
        return parse(client).origin == parse(redirect).origin
    except BadURL:
        return False


def leads_to_this_machine(redirect: str) -> bool:
    """Whether an address opens a program where the browser runs: by a scheme of its own, or on
    loopback (RFC 8252, 7.1 and 7.3)."""
    try:
        return parse(redirect).is_loopback
    except BadURL:
        return not redirect.lower().startswith(("http:", "https:"))


def may_redirect(client: str, redirect: str, published: Collection[str]) -> bool:
    """Whether a client's answers may go there: its own origin, or exactly what it publishes."""
    return same_origin(client, redirect) or redirect in published
