"""The built-in server: its configuration, database and parts, shared by all handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from aiohttp import web

from bridge.auth.token import OFFERED, profile_url
from bridge.errors import OAuthError
from bridge.http.limits import Limiter
from bridge.indieauth.database import Database
from bridge.indieauth.oauth.app_tokens import BuiltinVerifier
from bridge.indieauth.oauth.client_id import client_id
from bridge.indieauth.oauth.clients import OLD_APPS
from bridge.indieauth.webauthn.passkeys import Challenges, RelyingParty
from bridge.net.fetch import GuardedFetch
from bridge.net.web_url import WebURL, parse
from bridge.runtime.command_name import doc
from bridge.runtime.expiring_map import ExpiringMap
from bridge.settings import IndieAuth, KnownClient, Settings, SettingsError

if TYPE_CHECKING:
    from bridge.indieauth.login.mail import Mail
    from bridge.indieauth.oauth.authorization import Pending


class IndieAuthServer:
    """The state of the built-in server.

    ``public_url`` is its public address, from the configuration and never from a request. ``fetch``
    is for the pages of apps. Raises :class:`bridge.settings.SettingsError`.
    """

    def __init__(
        self, settings: Settings, *, public_url: str, database: Database, fetch: GuardedFetch
    ) -> None:
        self.config = settings.indieauth
        self.me = str(profile_url(settings.site.me))
        self.public = _public(public_url)
        self.issuer = str(self.public)
        self.db = database
        self.fetch = fetch
        self.verifier = BuiltinVerifier(database, self.me)
        self.mail = _mail(self.config)
        self.party = RelyingParty(self.public.host, self.issuer.rstrip("/"))
        #: argon2id takes 64 MB and a core for a moment, so one password is hashed at a time.
        #: Browsers in which the owner has signed in before do not queue behind others.
        self.hashing = asyncio.Semaphore(1)
        self.owners_hashing = asyncio.Semaphore(1)
        self.attempts = Limiter(each=10, overall=100, seconds=600)
        #: Signatures cannot be guessed; this only limits the work that one address can cause.
        self.passkey_attempts = Limiter(each=30, overall=None, seconds=600)
        self.mails = Limiter(each=3, overall=10, seconds=3600)
        #: Counted for every e-mail address alike, so that the owner's is not revealed.
        self.app_sign_ins = Limiter(each=3, overall=None, seconds=3600)
        #: The mails that are sent. Separate from ``mails``, whose limit an attacker could observe.
        self.app_mails = Limiter(each=10, overall=10, seconds=3600)
        self.app_links: ExpiringMap[str] = ExpiringMap(seconds=600)
        self.pending: ExpiringMap[Pending] = ExpiringMap(seconds=600)
        self.challenges = Challenges()
        #: The site's time zone, once it is known.
        self.zone: Callable[[], tzinfo] = lambda: UTC
        #: SITENAME, once it is known.
        self.site_name: Callable[[], str] = lambda: ""
        self.just_made: ExpiringMap[str] = ExpiringMap(seconds=300)

    @property
    def can_use_passkeys(self) -> bool:
        """Whether passkeys are possible: they are bound to a domain name, not an IP address
        (WebAuthn 5.1.2).
        """
        return not self.public.is_address

    def known_client(self, canonical_id: str) -> KnownClient | None:
        """The settings for an app, merged with the built-in ones of apps that need
        exceptions; or ``None``.
        """
        configured = next(
            (known for known in self.config.clients if _canonical(known.id) == canonical_id), None
        )
        known = OLD_APPS.get(canonical_id)
        if configured is None or known is None:
            return configured or known
        return KnownClient(
            id=configured.id,
            pkce=known.pkce if configured.pkce is None else configured.pkce,
            redirect_uris=(*configured.redirect_uris, *known.redirect_uris),
        )

    async def close(self) -> None:
        """Send pending mails and close the database."""
        if self.mail is not None:
            await self.mail.close()
        self.db.close()

    @property
    def secure(self) -> bool:
        """Whether the server is reached by https; otherwise only from this machine."""
        return self.public.scheme == "https"

    def url(self, path: str) -> str:
        """The absolute URL of one of the server's paths."""
        return self.issuer + path.lstrip("/")

    def metadata(self) -> dict[str, object]:
        """The server's metadata (IndieAuth 4.1.1, RFC 8414)."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self.url("auth"),
            "token_endpoint": self.url("token"),
            "introspection_endpoint": self.url("introspect"),
            "introspection_endpoint_auth_methods_supported": ["Bearer"],
            "revocation_endpoint": self.url("revoke"),
            "revocation_endpoint_auth_methods_supported": ["none"],
            "userinfo_endpoint": self.url("userinfo"),
            "scopes_supported": list(OFFERED),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
            "service_documentation": "https://indieauth.spec.indieweb.org/",
        }


def _mail(config: IndieAuth) -> Mail | None:
    """The mailer, where the settings have one; imported only then."""
    if not config.smtp_host or not config.email:
        return None
    from bridge.indieauth.login.mail import Mail  # noqa: PLC0415

    return Mail(config)


def _public(url: str) -> WebURL:
    """Parse the server's public URL, which must be https unless it is on loopback."""
    public = parse(url.rstrip("/") + "/")
    if public.scheme != "https" and not public.is_loopback:
        raise SettingsError(
            "settings",
            "server.public_url",
            f"{url!r} is not https: passwords and tokens could be intercepted",
            f"Put a web server with TLS in front ({doc('proxies.md')}), and write its https URL",
        )
    return public


def _canonical(configured: str) -> str | None:
    try:
        return client_id(configured)
    except OAuthError:
        return None


SERVER = web.AppKey("indieauth_server", IndieAuthServer)
