"""Who asks, and may they: the token of a request, turned into what it allows."""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.auth.bearer import bearer_token
from bridge.auth.me import is_me
from bridge.auth.scopes import require
from bridge.auth.token import Token, TokenVerifier
from bridge.errors import Forbidden
from bridge.settings import Settings


class Gate:
    """Lets a request in, or raises what the client should be told."""

    def __init__(self, verifier: TokenVerifier, settings: Settings) -> None:
        self._verifier = verifier
        self._me = (settings.site.me, *settings.site.aliases)
        self._strict = settings.auth.strict

    async def admit(
        self,
        request: web.Request,
        in_body: str | None,
        scope: str | None = None,
        *,
        fresh: bool = False,
    ) -> Token:
        """The verified token of a request.

        ``in_body`` is the form's ``access_token``, ``scope`` what the request needs, ``fresh`` asks
        past the cache. Raises Unauthorized, InvalidRequest, InvalidToken, Forbidden,
        InsufficientScope, Unavailable.
        """
        headers = request.headers.getall(hdrs.AUTHORIZATION, [])
        secret = bearer_token(headers, in_body, strict=self._strict)
        token = await self._verifier.verify(secret, fresh=fresh)
        # Micropub 3.8: "forbidden - The authenticated user does not have permission".
        if not is_me(token.me, *self._me):
            raise Forbidden(
                "This token belongs to somebody else: sign in as the owner of this site."
            )
        if scope is not None:
            require(token, scope)
        return token
