"""Who asks, and may they: the token of a request, turned into what it allows."""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.auth.bearer import bearer_token
from bridge.auth.me import is_me
from bridge.auth.scopes import require
from bridge.auth.token import Token, TokenVerifier
from bridge.errors import Forbidden, InsufficientScope
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
        deed: str | None = None,
        *,
        fresh: bool = False,
    ) -> Token:
        """The verified token of a request.

        ``in_body`` is the form's ``access_token``, ``deed`` what the request wants to do (``None``:
        only ask), ``fresh`` goes past the cache. Raises Unauthorized, InvalidRequest, InvalidToken,
        Forbidden, InsufficientScope, Unavailable.
        """
        headers = request.headers.getall(hdrs.AUTHORIZATION, [])
        secret = bearer_token(headers, in_body, strict=self._strict)
        token = await self._verifier.verify(secret, fresh=fresh)
        # Micropub 3.8: "forbidden - The authenticated user does not have permission".
        if not is_me(token.me, *self._me):
            raise Forbidden("This token is somebody else's: sign in as the owner of this site.")
        # IndieAuth 5.3: a token without scope says who somebody is, and allows nothing.
        if deed is not None:
            require(token, deed)
        elif not token.scopes:
            raise InsufficientScope("This token has no scope at all.", scope="create")
        return token
