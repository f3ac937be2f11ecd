"""``/hook/git``: a git host's webhook about a push, with its signature verified."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from bridge.errors import Forbidden
from bridge.http.limits import receive

_MAX_BYTES = 5_000_000
_SECONDS = 60.0


class GitHook:
    """Fetches the remote at once when its host calls.

    The contents of the call are not trusted; it is only a reason to look.
    """

    def __init__(self, secret: str, fetch_now: Callable[[], Awaitable[None]]) -> None:
        self._secret = secret.encode()
        self._fetch_now = fetch_now

    async def post(self, request: web.Request) -> web.Response:
        """Answer 202 if the signature is valid.

        Raises Forbidden if it is not, and what :func:`~bridge.http.limits.receive` raises.
        """
        signature = hmac.new(self._secret, digestmod=hashlib.sha256)
        # Unauthenticated: nothing of the body is kept.
        await receive(request, signature.update, max_bytes=_MAX_BYTES, seconds=_SECONDS)
        if not self._is_genuine(request, signature.hexdigest()):
            raise Forbidden("The call is not signed with this bridge's hook_secret.")
        await self._fetch_now()
        return web.json_response({"status": "looking"}, status=202)

    def _is_genuine(self, request: web.Request, signature: str) -> bool:
        """Verify the call: GitHub, Gitea and Forgejo sign the body; GitLab sends the secret
        itself.
        """
        expected = {
            "X-Hub-Signature-256": f"sha256={signature}",
            "X-Gitea-Signature": signature,
            "X-Forgejo-Signature": signature,
            "X-Gitlab-Token": self._secret.decode(),
        }
        return any(
            hmac.compare_digest(
                request.headers.get(name, "").encode("utf-8", "surrogateescape"), value.encode()
            )
            for name, value in expected.items()
        )
