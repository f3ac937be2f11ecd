"""The authorization request (IndieAuth 5.2), as data."""

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

#: What SHA-256 looks like in base64url (RFC 7636 4.2).
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
#: RFC 6749 3.3.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")
_MOST_SCOPES = 30


@dataclass(frozen=True, slots=True)
class Sender:
    """Where an answer would go: all that is known before the rest of a request is judged."""

    client_id: str
    redirect_uri: str
    state: str | None


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A sound request. ``challenge`` is ``None`` for an app that may do without PKCE;
    ``old_way`` is true for such an app: it finds ``me`` in its answer.
    """

    sender: Sender
    challenge: str | None
    scopes: tuple[str, ...]
    old_way: bool


@dataclass(slots=True)
class Pending:
    """A question on the screen of one session. ``from_elsewhere``: a page of another site's led
    there. ``answer`` is where the browser was sent then.
    """

    request: AuthorizationRequest
    client: Client
    session: int
    from_elsewhere: bool
    answer: str | None = field(default=None)


def read_sender(form: Form, known: Callable[[str], KnownClient | None]) -> Sender:
    """Whom to answer. Raises :class:`OAuthError` where no one can be answered: a page must do.

    ``known`` looks up what the settings say about a client_id.
    """
    client = client_id(form.need("client_id"))
    redirect_uri = form.need("redirect_uri")
    check_redirect(redirect_uri, known(client))
    states = form.as_sent("state")
    return Sender(client, redirect_uri, states[0] if len(states) == 1 else None)


def read_request(form: Form, sender: Sender, known: KnownClient | None) -> AuthorizationRequest:
    """The rest of the request. Raises :class:`OAuthError`."""
    old_way = known is not None and known.pkce is False
    response_type = form.get("response_type")
    # Before 2020 apps sent response_type=id, or none, to learn who someone is.
    if response_type != "code" and not (old_way and response_type in {None, "id"}):
        if response_type is None:
            raise OAuthError("invalid_request", "'response_type' is missing.")
        raise OAuthError("unsupported_response_type", "'response_type' has to be 'code'.")
    if not sender.state:
        raise OAuthError("invalid_request", "'state' is missing, or comes twice.")
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
    # RFC 7636 4.3: a missing method means "plain", and that protects nothing.
    if method != "S256":
        raise OAuthError("invalid_request", "'code_challenge_method' must be S256.")
    if not _CHALLENGE.fullmatch(challenge):
        raise OAuthError("invalid_request", "'code_challenge' is not the base64url of a SHA-256.")
    return challenge


def _scopes(scope: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(scope.split(" "))) if scope else ()
    words = tuple(word for word in words if word)
    if len(words) > _MOST_SCOPES or not all(_SCOPE.fullmatch(word) for word in words):
        raise OAuthError("invalid_scope", "'scope' is made of words separated by spaces.")
    return words


def answer_url(redirect_uri: str, answer: Mapping[str, str | None]) -> str:
    """The redirect back to the app: its own query kept, the answer's values byte for byte."""
    pairs = "&".join(
        f"{key}={quote(value, safe='', errors='surrogateescape')}"
        for key, value in answer.items()
        if value is not None
    )
    if redirect_uri.endswith(("?", "&")):
        return redirect_uri + pairs
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{pairs}"
