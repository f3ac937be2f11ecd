"""Authenticates and authorises requests."""

from __future__ import annotations

from aiohttp import hdrs, web

from bridge.auth.cache import CALLER
from bridge.auth.scopes import grants_any_access, require
from bridge.auth.token import Token, TokenVerifier, bearer_token, is_me
from bridge.errors import (
    Forbidden,
    InsufficientScope,
    PayloadTooLarge,
    Unauthorized,
)
from bridge.http.body_stream import ByteBudget
from bridge.http.rate_limit import address
from bridge.micropub.body import RequestBody
from bridge.settings import Settings
from bridge.web.body import UNAUTHENTICATED, WRAPPING, read_body

#: How many of the largest files all unauthenticated clients together may have in memory.
_UNAUTHENTICATED_FILES = 4


class Gate:
    """Admits a request, or raises the error for its client."""

    def __init__(self, verifier: TokenVerifier, settings: Settings) -> None:
        self._verifier = verifier
        self._me = (settings.site.me, *settings.site.aliases)
        self._strict = settings.auth.strict
        self._unauthenticated_max_bytes = settings.media.max_bytes + WRAPPING
        self._unauthenticated = ByteBudget(_UNAUTHENTICATED_FILES * self._unauthenticated_max_bytes)

    async def receive(self, request: web.Request, *, max_bytes: int) -> tuple[RequestBody, Token]:
        """Read the body of a POST, of at most ``max_bytes``, and verify its token.

        A token in the header is verified before the body is read, so that an unauthorised client
        cannot make us buffer one. Raises what :meth:`admit` and
        :func:`~bridge.web.body.read_body` raise.
        """
        try:
            await self.admit(request, None)
        except Unauthorized:
            return await self._receive_unauthenticated(request, max_bytes)
        body = await read_body(request, max_bytes=max_bytes)
        # Again, because the form may hold another token, and may have taken long to arrive.
        return body, await self.admit(request, body.access_token)

    async def _receive_unauthenticated(
        self, request: web.Request, max_bytes: int
    ) -> tuple[RequestBody, Token]:
        """The same if the token may be in the form: within the budget of unauthenticated
        uploads.
        """
        most = min(max_bytes, self._unauthenticated_max_bytes)
        with self._unauthenticated.share() as take:
            try:
                body = await read_body(request, max_bytes=most, limits=UNAUTHENTICATED, take=take)
            except PayloadTooLarge as error:
                raise Unauthorized(
                    "Send the access token in the header ('Authorization: Bearer …'): without it,"
                    f" no more than {most:,} bytes are read, of a form without files or JSON no"
                    f" more than {UNAUTHENTICATED.max_text:,}."
                ) from error
            return body, await self.admit(request, body.access_token)

    async def admit(
        self,
        request: web.Request,
        in_body: str | None,
        permission: str | None = None,
        *,
        fresh: bool = False,
    ) -> Token:
        """Verify and return the token of a request.

        ``in_body`` is the form's ``access_token``, ``permission`` what the request needs (``None``
        for a query), and ``fresh`` bypasses the cache. Raises Unauthorized, InvalidRequest,
        InvalidToken, Forbidden, InsufficientScope, Unavailable.
        """
        headers = request.headers.getall(hdrs.AUTHORIZATION, [])
        secret = bearer_token(headers, in_body, strict=self._strict)
        CALLER.set(address(request))
        token = await self._verifier.verify(secret, fresh=fresh)
        # Micropub 3.8: "forbidden - The authenticated user does not have permission".
        if not is_me(token.me, *self._me):
            raise Forbidden(
                "This token belongs to another site: sign in as the owner of this site."
            )
        if permission is not None:
            require(token, permission)
        elif not grants_any_access(token.scopes):
            raise InsufficientScope(
                "This token identifies you, and allows nothing.", scope="create"
            )
        return token
