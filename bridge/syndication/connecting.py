"""Connects the owner's accounts: Mastodon by OAuth, Bluesky by an app password."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from bridge.net.fetch import GuardedFetch
from bridge.settings import Target
from bridge.syndication.api import Api, ApiError, object_of
from bridge.syndication.environment import Vault
from bridge.syndication.factory import make_bluesky
from bridge.syndication.mastodon.client import Mastodon

#: What the bridge does at Mastodon, and no more.
SCOPES = (
    "read:accounts read:statuses read:notifications read:search"
    " write:statuses write:media write:favourites"
)
_NAME = "Pelican bridge"
#: Seconds that the owner has to agree at their server.
_PATIENCE = 1_800.0


class NotConnected(Exception):
    """It has not worked; the text tells the owner why."""


@dataclass(frozen=True, slots=True)
class Connecting:
    """``callback`` is where Mastodon sends the owner back to."""

    own: GuardedFetch
    guarded: GuardedFetch
    vault: Vault
    callback: str

    def is_connected(self, target: Target) -> bool:
        """Whether there is a token here, or a file for it."""
        return bool(target.token_file or self.vault.get(target.uid, "token"))

    async def begin(self, target: Target) -> str:
        """Where the owner agrees that the bridge may post for them.

        Raises :class:`NotConnected`.
        """
        client = await self._client(target)
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        pending = {"state": state, "verifier": verifier, "until": str(time.time() + _PATIENCE)}
        self.vault.put(target.uid, "pending", json.dumps(pending))
        # RFC 7636 4.2; servers that do not know it pass it over.
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
        """Whether this is the target whose owner comes back with a ``state``."""
        kept = self._kept(target, "pending")
        in_time = float(kept.get("until", "0")) > time.time()
        known, given = kept.get("state", "").encode(), state.encode("utf-8", "replace")
        return in_time and secrets.compare_digest(known, given)

    async def end(self, target: Target, code: str) -> str:
        """The owner has agreed; the name of the account. Raises :class:`NotConnected`."""
        client, kept = self._kept(target, "client"), self._kept(target, "pending")
        self.vault.put(target.uid, "pending", "")
        api = Api(self.own, target.base)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": client.get("client_id", ""),
            "client_secret": client.get("client_secret", ""),
            "redirect_uri": self.callback,
            "code_verifier": kept.get("verifier", ""),
            "scope": SCOPES,
        }
        try:
            made = object_of(await api.send("POST", "/oauth/token", form=[*form.items()]))
            token = made.get("access_token")
            if not isinstance(token, str) or not token:
                raise NotConnected(f"{target.base} has given no token.")
            account = await Mastodon(api, token).account()
        except ApiError as error:
            raise NotConnected(f"It has not worked: {error}.") from error
        wanted = urlsplit(target.uid).path.strip("/").removeprefix("@")
        if target.uid.startswith(target.base) and wanted.casefold() != account.acct.casefold():
            await self._revoke(target, token)
            raise NotConnected(
                f"You are signed in there as @{account.acct}; this target is @{wanted}."
                " Sign in there as that one, and connect again."
            )
        self.vault.put(target.uid, "token", token)
        return f"@{account.acct}"

    async def by_password(self, target: Target, password: str) -> str:
        """Connect with an app password; the account's DID. Raises :class:`NotConnected`."""
        password = password.strip()
        client = make_bluesky(target, self.vault, password, self.own, self.guarded)
        try:
            did = await client.did()
        except ApiError as error:
            raise NotConnected(f"It has not worked: {error}.") from error
        self.vault.put(target.uid, "token", password)
        return did

    async def disconnect(self, target: Target) -> None:
        """Forget the token, and have it end where that can be done."""
        token = self.vault.get(target.uid, "token")
        if token and target.type == "mastodon":
            await self._revoke(target, token)
        for name in ("token", "session", "pending"):
            self.vault.put(target.uid, name, "")

    async def _client(self, target: Target) -> dict[str, str]:
        """The bridge's registration at a server, made once."""
        kept = self._kept(target, "client")
        if kept.get("redirect_uri") == self.callback and kept.get("base") == target.base:
            return kept
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
            raise NotConnected(f"It has not worked: {error}.") from error
        client = {
            "client_id": str(made.get("client_id", "")),
            "client_secret": str(made.get("client_secret", "")),
            "redirect_uri": self.callback,
            "base": target.base,
        }
        self.vault.put(target.uid, "client", json.dumps(client))
        return client

    async def _revoke(self, target: Target, token: str) -> None:
        client = self._kept(target, "client")
        form = {
            "client_id": client.get("client_id", ""),
            "client_secret": client.get("client_secret", ""),
            "token": token,
        }
        try:
            await Api(self.own, target.base).send("POST", "/oauth/revoke", form=[*form.items()])
        except ApiError:
            # The owner can end it there; here it is forgotten all the same.
            return

    def _kept(self, target: Target, name: str) -> dict[str, str]:
        try:
            found = json.loads(self.vault.get(target.uid, name) or "{}")
        except ValueError:
            return {}
        return {str(key): str(value) for key, value in found.items()}
