"""Authorization requests (IndieAuth 5.2), parsed and validated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from bridge.errors import OAuthError
from bridge.http.form import Form
from bridge.indieauth.oauth.client_id import check_redirect, client_id
from bridge.indieauth.oauth.clients import Client
from bridge.settings import KnownClient

#: A SHA-256 hash in base64url (RFC 7636 4.2).
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
#: A scope token (RFC 6749 3.3).
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")
_MOST_SCOPES = 30


@dataclass(frozen=True, slots=True)
class RequestingApp:
    """Client and redirect URI of a request: known before the rest of it is validated, so that
    errors can be returned to the app.
    """

    client_id: str
    redirect_uri: str
    state: str | None


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A valid request. ``challenge`` is ``None`` for an app that needs no PKCE.

    ``old_way`` is true for such an app, which also expects ``me`` in the response.
    """

    sender: RequestingApp
    challenge: str | None
    scopes: tuple[str, ...]
    old_way: bool


@dataclass(slots=True)
class Pending:
    """A consent screen shown in one session.

    ``from_page``: a link or script on a page led to it. ``scopes`` are those that the owner has
    allowed last, and ``codes`` the codes issued for them, the newest last.
    """

    request: AuthorizationRequest
    client: Client
    session: int
    from_page: bool
    scopes: tuple[str, ...] = ()
    codes: list[str] = field(default_factory=list, repr=False)


def read_sender(form: Form, known: Callable[[str], KnownClient | None]) -> RequestingApp:
    """Parse client and redirect URI.

    Raises :class:`OAuthError` where the error cannot be returned to the app and needs a page.
    ``known`` looks up the settings for a client_id.
    """
    client = client_id(form.need("client_id"))
    redirect_uri = form.need("redirect_uri")
    check_redirect(redirect_uri, known(client))
    states = form.as_sent("state")
    return RequestingApp(client, redirect_uri, states[0] if len(states) == 1 else None)


def read_request(
    form: Form, sender: RequestingApp, known: KnownClient | None
) -> AuthorizationRequest:
    """Parse the rest of the request. Raises :class:`OAuthError`."""
    old_way = known is not None and known.pkce is False
    response_type = form.get("response_type")
    # Before 2020 apps sent ``response_type=id``, or none, to authenticate only.
    if response_type != "code" and not (old_way and response_type in {None, "id"}):
        if response_type is None:
            raise OAuthError("invalid_request", "'response_type' is missing.")
        raise OAuthError("unsupported_response_type", "'response_type' must be 'code'.")
    if not sender.state:
        raise OAuthError("invalid_request", "'state' is missing or repeated.")
    return AuthorizationRequest(
        sender=sender,
        challenge=_challenge(form, needed=not old_way),
        scopes=_scopes(form.get("scope") or ""),
        old_way=old_way,
    )


def _challenge(form: Form, *, needed: bool) -> str | None:
    challenge, method = form.get("code_challenge"), form.get("code_challenge_method")
    if challenge is None:
        if needed or method is not None:
            raise OAuthError("invalid_request", "'code_challenge' is missing (PKCE, RFC 7636).")
        return None
    # RFC 7636 4.3: a missing method means "plain", which protects nothing.
    if method != "S256":
        raise OAuthError("invalid_request", "'code_challenge_method' must be S256.")
    if not _CHALLENGE.fullmatch(challenge):
        raise OAuthError("invalid_request", "'code_challenge' is not a SHA-256 hash in base64url.")
    return challenge


def _scopes(scope: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(scope.split(" "))) if scope else ()
    words = tuple(word for word in words if word)
    if len(words) > _MOST_SCOPES or not all(_SCOPE.fullmatch(word) for word in words):
        raise OAuthError("invalid_scope", "'scope' must be scope names separated by spaces.")
    return words


def answer_url(redirect_uri: str, answer: Mapping[str, str | None]) -> str:
    """The URL to redirect back to the app: the redirect URI, its own query kept, with
    ``answer`` added.
    """
    pairs = "&".join(
        f"{key}={quote(value, safe='', errors='surrogateescape')}"
        for key, value in answer.items()
        if value is not None
    )
    if redirect_uri.endswith(("?", "&")):
        return redirect_uri + pairs
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{pairs}"
