"""A session at an account's PDS: found by its handle, stored, and refreshed."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from bridge.syndication.api import Api, ApiError, Caller, ServerState, object_of

PUBLIC_APPVIEW = "https://public.api.bsky.app"
_DIRECTORY = "https://plc.directory"
_APP_PASSWORD = re.compile(r"[a-zA-Z0-9]{4}(?:-[a-zA-Z0-9]{4}){3}")
_DID = re.compile(r"did:[a-z]+:[\w.:%-]+", re.ASCII)
_EARLY = 60.0
_LONGEST_DID = 2_048


class Sessions(Protocol):
    """Stores a session between runs; servers allow only 300 new ones a day."""

    def load(self) -> dict[str, str]:
        """The session stored last, or ``{}``."""
        ...

    def save(self, session: Mapping[str, str]) -> None:
        """Store a session, readable only by the bridge's user."""
        ...


class PdsSession:
    """One account at its PDS. Every method raises :class:`~bridge.syndication.api.ApiError`."""

    def __init__(
        self,
        own: Caller,
        guarded: Caller,
        *,
        server: str,
        appview: str,
        handle: str,
        password: str,
        sessions: Sessions,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``own`` may reach the servers chosen by the owner (``server``, ``appview``; ``""``
        for the default), ``guarded`` only public addresses, for what others' documents name.
        """
        self._own, self._guarded = own, guarded
        self._server, self._appview = server, appview
        self._handle, self._password = handle, password
        self._sessions = sessions
        self._now = now
        self._known: dict[str, str] = sessions.load()
        self._servers: dict[str, ServerState] = {}

    async def did(self) -> str:
        """The account's DID."""
        return (await self._session())["did"]

    async def _session(self, *, renew: str = "") -> dict[str, str]:
        """A session with a valid access token; ``renew`` is a token that was refused."""
        known = self._known
        fresh = known.get("accessJwt", "")
        if known.get("identifier") != self._handle or known.get("secret") != self._secret():
            known = {}
        if known and fresh != renew and _until(known) > self._now() + _EARLY:
            return known
        if known.get("refreshJwt"):
            try:
                api = self.api(known["pds"])
                path = "/xrpc/com.atproto.server.refreshSession"
                made = object_of(await api.send("POST", path, known["refreshJwt"]))
                return self._keep({**known, **self._tokens(made)})
            except ApiError as error:
                if error.is_temporary:
                    raise
        return await self._sign_in()

    async def _sign_in(self) -> dict[str, str]:
        if not _APP_PASSWORD.fullmatch(self._password):
            raise ApiError(
                "this is not an app password (xxxx-xxxx-xxxx-xxxx). Create one at"
                " https://bsky.app/settings/app-passwords",
                status=401,
            )
        server = self._server or await self._find_server()
        body = {"identifier": self._handle, "password": self._password}
        path = "/xrpc/com.atproto.server.createSession"
        made = object_of(await self.api(server).send("POST", path, body=body))
        pds = server
        if _is_blueskys(server):
            pds = _pds_of(made.get("didDoc")) or server
        did, handle = made.get("did"), made.get("handle")
        if not isinstance(did, str) or not _DID.fullmatch(did):
            raise ApiError(f"{server} named no account in its response")
        return self._keep(
            {
                **self._tokens(made),
                "did": did,
                "handle": str(handle or ""),
                "pds": pds,
                "identifier": self._handle,
                "secret": self._secret(),
            }
        )

    def _secret(self) -> str:
        """A hash of the app password, to detect that it has changed since the session was made."""
        return hashlib.sha256(self._password.encode()).hexdigest()[:16]

    def _keep(self, session: dict[str, str]) -> dict[str, str]:
        self._known = session
        self._sessions.save(session)
        return session

    def _tokens(self, made: Mapping[str, Any]) -> dict[str, str]:
        access, refresh = made.get("accessJwt"), made.get("refreshJwt")
        if not isinstance(access, str) or not access:
            raise ApiError("the server's response has no token")
        refresh = refresh if isinstance(refresh, str) else ""
        until = str(self._now() + _lifetime(access, self._now()))
        return {"accessJwt": access, "refreshJwt": refresh, "until": until}

    def api(self, server: str) -> Api:
        """The API client for a server."""
        known = self._servers.setdefault(server, ServerState())
        return Api(self._caller(server), server, known)

    def _caller(self, server: str) -> Caller:
        chosen = {self._server.rstrip("/"), self._appview.rstrip("/")}
        return self._own if server.rstrip("/") in chosen else self._guarded

    async def _find_server(self) -> str:
        """The PDS in the account's DID document; for Bluesky's own servers the common entryway."""
        did = self._handle if self._handle.startswith("did:") else await self._find_did()
        if did.startswith("did:web:"):
            host = did.removeprefix("did:web:").replace("%3A", ":")
            document = object_of(
                await Api(self._guarded, f"https://{host}").get("/.well-known/did.json")
            )
        else:
            document = object_of(await Api(self._guarded, _DIRECTORY).get(f"/{did}"))
        # "The handle must be listed in the DID document": without that anyone could claim it.
        names = document.get("alsoKnownAs")
        if did != self._handle and f"at://{self._handle}".lower() not in _lowered(names):
            raise ApiError(
                f"the DID document of {self._handle} does not list that handle", status=400
            )
        pds = _pds_of(document)
        if not pds:
            raise ApiError(f"the DID document of {self._handle} names no PDS", status=400)
        return "https://bsky.social" if _is_blueskys(pds) else pds

    async def _find_did(self) -> str:
        """The DID of the handle (atproto.com/specs/handle): resolved by Bluesky, which also uses
        DNS, and if that knows no such account, of the handle's host.
        """
        path = "/xrpc/com.atproto.identity.resolveHandle"
        try:
            found = object_of(await self.api(PUBLIC_APPVIEW).get(path, handle=self._handle))
            return str(found.get("did") or "")
        except ApiError as error:
            if error.status == 429:
                raise
        own = Api(self._guarded, f"https://{self._handle}")
        try:
            answer = await own.get("/.well-known/atproto-did")
        except ApiError as error:
            raise ApiError(
                f"there is no account with the handle {self._handle}", status=error.status
            ) from error
        did = answer.body[:_LONGEST_DID].decode("ascii", "replace").strip()
        if not _DID.fullmatch(did):
            raise ApiError(
                f"{self._handle} names no account at /.well-known/atproto-did", status=400
            )
        return did

    async def call(
        self,
        method: str,
        name: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        data: bytes | None = None,
        mime: str = "",
    ) -> dict[str, Any]:
        """Call a method with the account's session, which is refreshed once if it is refused."""
        renew = ""
        while True:
            session = await self._session(renew=renew)
            api = self.api(session["pds"])
            headers = {"Content-Type": mime} if mime else None
            try:
                answer = await api.send(
                    method,
                    f"/xrpc/{name}",
                    session["accessJwt"],
                    query=query,
                    body=body,
                    data=data,
                    headers=headers,
                )
                return object_of(answer) if answer.body.strip() else {}
            except ApiError as error:
                # An invalid token gives 400 InvalidToken, an expired one 400 ExpiredToken.
                if renew or not (
                    error.status == 401 or error.name in {"InvalidToken", "ExpiredToken"}
                ):
                    raise
                renew = session["accessJwt"]

    def appview(self) -> str:
        """The AppView to query; ``""`` means the account's PDS, which forwards the request."""
        if self._appview:
            return self._appview
        return PUBLIC_APPVIEW if not self._server or _is_blueskys(self._server) else ""


def _until(session: Mapping[str, str]) -> float:
    """When a session's access token expires, by the local clock."""
    try:
        return float(session.get("until", ""))
    except ValueError:
        return 0.0


def _lifetime(token: str, now: float) -> float:
    """The lifetime of a JWT in seconds, from its own claims (RFC 7519 4.1.4, 4.1.6), since
    the local clock may be wrong; infinite where it has none.
    """
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        seconds = float(claims["exp"]) - float(claims.get("iat", now))
        return float("inf") if math.isnan(seconds) else seconds
    except (IndexError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        # Whatever the server has put there.
        return float("inf")


def _lowered(names: object) -> list[str]:
    return [str(each).lower() for each in names] if isinstance(names, list) else []


def _is_blueskys(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    return host == "bsky.social" or host.endswith(".bsky.network")


def _pds_of(document: object) -> str:
    """The PDS that a DID document names (#atproto_pds). It is sent the password, so it must
    use https.
    """
    services = document.get("service") if isinstance(document, dict) else None
    for service in services if isinstance(services, list) else []:
        if isinstance(service, dict) and str(service.get("id", "")).endswith("#atproto_pds"):
            endpoint = service.get("serviceEndpoint")
            if isinstance(endpoint, str) and endpoint.startswith("https://"):
                return endpoint.rstrip("/")
    return ""
