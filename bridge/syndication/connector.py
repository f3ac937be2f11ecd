"""Connects the owner's accounts: Mastodon by OAuth, Bluesky by an app password."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from bridge.net.fetch import GuardedFetch
from bridge.settings import Target
from bridge.syndication.accounts import make_bluesky
from bridge.syndication.api import Api, ApiError, object_of
from bridge.syndication.environment import Vault
from bridge.syndication.mastodon.client import Mastodon

#: The scopes that the bridge needs at Mastodon.
SCOPES = (
    "read:accounts read:statuses read:notifications read:search"
    " write:statuses write:media write:favourites"
)
_NAME = "Pelican bridge"
#: Seconds for which an authorization request is valid.
_PATIENCE = 1_800.0


class NotConnected(Exception):
    """The account could not be connected; the text is for the owner."""


class AccountConnector(Struct, frozen=True):
    """Connects and disconnects accounts. ``callback`` is the redirect URI for Mastodon."""

    own: GuardedFetch
    guarded: GuardedFetch
    vault: Vault
    callback: str

    def is_connected(self, target: Target) -> bool:
        """Whether the target has a stored token or a ``token_file``."""
        return bool(target.token_file or self.vault.get(target.uid, "token"))

    async def begin(self, target: Target) -> str:
        """Start to connect a Mastodon account; returns the authorization URL to redirect to.

        Raises :class:`NotConnected`.
        """
        client = await self._client(target)
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        pending = {"state": state, "verifier": verifier, "until": str(time.time() + _PATIENCE)}
        self.vault.put(target.uid, "pending", json.dumps(pending))
        # RFC 7636 4.2; servers that do not support it ignore it.
        hashed = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": self.callback,
            "scope": SCOPES,
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(hashed).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return f"{target.base}/oauth/authorize?{urlencode(query)}"

    def pending(self, target: Target, state: str) -> bool:
        """Whether ``state`` is that of the authorization request in progress for this target."""
        request = self._stored(target, "pending")
        in_time = float(request.get("until", "0")) > time.time()
        known, given = request.get("state", "").encode(), state.encode("utf-8", "replace")
        return in_time and secrets.compare_digest(known, given)

    async def end(self, target: Target, code: str) -> str:
        """Exchange the authorization code and store the token; returns the account's name.

        Raises :class:`NotConnected`.
        """
        client, request = self._stored(target, "client"), self._stored(target, "pending")
        self.vault.put(target.uid, "pending", "")
        api = Api(self.own, target.base)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": client.get("client_id", ""),
            "client_secret": client.get("client_secret", ""),
            "redirect_uri": self.callback,
            "code_verifier": request.get("verifier", ""),
            "scope": SCOPES,
        }
        try:
            made = object_of(await api.send("POST", "/oauth/token", form=[*form.items()]))
            token = made.get("access_token")
            if not isinstance(token, str) or not token:
                raise NotConnected(f"{target.base} did not issue a token. Try again.")
            account = await Mastodon(api, token).account()
        except ApiError as error:
            raise NotConnected(f"The account could not be connected: {error}.") from error
        handle = urlsplit(target.uid).path.strip("/").removeprefix("@")
        if target.uid.startswith(target.base) and handle.casefold() != account.acct.casefold():
            await self._revoke(target, token)
            raise NotConnected(
                f"You are signed in there as @{account.acct}, but this target is @{handle}."
                f" Sign in there as @{handle} and connect again."
            )
        self.vault.put(target.uid, "token", token)
        return f"@{account.acct}"

    async def by_password(self, target: Target, password: str) -> str:
        """Connect a Bluesky account with an app password; returns its DID. Raises
        :class:`NotConnected`.
        """
        password = password.strip()
        client = make_bluesky(target, self.vault, password, self.own, self.guarded)
        try:
            did = await client.did()
        except ApiError as error:
            raise NotConnected(f"The account could not be connected: {error}.") from error
        self.vault.put(target.uid, "token", password)
        return did

    async def disconnect(self, target: Target) -> None:
        """Delete the token, and revoke it at the server if possible."""
        token = self.vault.get(target.uid, "token")
        if token and target.type == "mastodon":
            await self._revoke(target, token)
        for name in ("token", "session", "pending"):
            self.vault.put(target.uid, name, "")

    async def _client(self, target: Target) -> dict[str, str]:
        """The bridge's client registration at a server; registers it the first time."""
        known = self._stored(target, "client")
        if known.get("redirect_uri") == self.callback and known.get("base") == target.base:
            return known
        form = {
            "client_name": _NAME,
            "redirect_uris": self.callback,
            "scopes": SCOPES,
            "website": self.callback.partition("/desk/")[0],
        }
        api = Api(self.own, target.base)
        try:
            made = object_of(await api.send("POST", "/api/v1/apps", form=[*form.items()]))
        except ApiError as error:
            raise NotConnected(f"The account could not be connected: {error}.") from error
        client = {
            "client_id": str(made.get("client_id", "")),
            "client_secret": str(made.get("client_secret", "")),
            "redirect_uri": self.callback,
            "base": target.base,
        }
        self.vault.put(target.uid, "client", json.dumps(client))
        return client

    async def _revoke(self, target: Target, token: str) -> None:
        client = self._stored(target, "client")
        form = {
            "client_id": client.get("client_id", ""),
            "client_secret": client.get("client_secret", ""),
            "token": token,
        }
        try:
            await Api(self.own, target.base).send("POST", "/oauth/revoke", form=[*form.items()])
        except ApiError:
            # The token is deleted here all the same; the owner can revoke it at the server.
            return

    def _stored(self, target: Target, name: str) -> dict[str, str]:
        try:
            found = json.loads(self.vault.get(target.uid, name) or "{}")
        except ValueError:
            return {}
        return {str(key): str(value) for key, value in found.items()}
