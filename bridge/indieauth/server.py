"""The built-in server's parts and names, put together once for all its handlers."""

from __future__ import annotations

from aiohttp import web

from bridge.auth.me import parse, profile_url
from bridge.fetch import GuardedFetch
from bridge.indieauth.database import Database
from bridge.indieauth.tokens import SCOPES, BuiltinVerifier
from bridge.settings import Settings


class IndieAuthServer:
    """Who the owner is, what the server calls itself, and where it keeps what it knows.

    ``public_url`` is where the world reaches it: from the configuration, never from a request.
    ``fetch`` reads what apps publish about themselves.
    """

    def __init__(
        self, settings: Settings, *, public_url: str, database: Database, fetch: GuardedFetch
    ) -> None:
        self.config = settings.indieauth
        self.me = str(profile_url(settings.site.me))
        self.public = parse(public_url.rstrip("/") + "/")
        self.issuer = str(self.public)
        self.db = database
        self.fetch = fetch
        self.verifier = BuiltinVerifier(database, self.me)

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https; otherwise it is on this machine only."""
        return self.public.scheme == "https"

    def url(self, path: str) -> str:
        """An address of the server's own, absolute."""
        return self.issuer + path.lstrip("/")

    def metadata(self) -> dict[str, object]:
        """What the server can do, and where (IndieAuth 4.1.1, RFC 8414)."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self.url("auth"),
            "token_endpoint": self.url("token"),
            "introspection_endpoint": self.url("introspect"),
            "introspection_endpoint_auth_methods_supported": ["Bearer"],
            "revocation_endpoint": self.url("revoke"),
            "revocation_endpoint_auth_methods_supported": ["none"],
            "userinfo_endpoint": self.url("userinfo"),
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
            "service_documentation": "https://indieauth.spec.indieweb.org/",
        }


SERVER = web.AppKey("indieauth_server", IndieAuthServer)
