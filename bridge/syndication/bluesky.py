"""A client for the part of the AT protocol that copies and their responses need:
https://docs.bsky.app/docs/api/.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from bridge.syndication.api import Api, ApiError, Caller, Server, object_of
from bridge.syndication.images import Photo
from bridge.syndication.opt_outs import may_be_shown
from bridge.syndication.text import Facet

POST = "app.bsky.feed.post"
LIKE = "app.bsky.feed.like"
REPOST = "app.bsky.feed.repost"
PUBLIC_APPVIEW = "https://public.api.bsky.app"
_DIRECTORY = "https://plc.directory"
#: What the newest lexicon and the servers of today both take (app.bsky.embed.images).
IMAGE_BYTES = 1_000_000
IMAGE_SIDE = 2_000
#: ``getPosts`` takes no more.
AT_ONCE = 25
_APP_PASSWORD = re.compile(r"[a-zA-Z0-9]{4}(?:-[a-zA-Z0-9]{4}){3}")
_TID = "234567abcdefghijklmnopqrstuvwxyz"
_EARLY = 60.0
_LONGEST_DID = 2_048


@dataclass(frozen=True, slots=True)
class Ref:
    """A record: where it is, and which version of it (com.atproto.repo.strongRef)."""

    uri: str
    cid: str

    def as_json(self) -> dict[str, str]:
        """As records refer to it."""
        return {"uri": self.uri, "cid": self.cid}


class Sessions:
    """Where a session is kept between runs: 300 may be made a day, and no more."""

    def load(self) -> dict[str, str]:
        """What :meth:`save` was given last."""
        raise NotImplementedError

    def save(self, session: Mapping[str, str]) -> None:
        """Keep it, for the user alone who runs the bridge."""
        raise NotImplementedError


class Bluesky:
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
        """``own`` reaches what the owner has chosen (``server``, ``appview``, each ``""`` for the
        usual one), ``guarded`` what documents of others name."""
        self._own, self._guarded = own, guarded
        self._server, self._appview = server, appview
        self._handle, self._password = handle, password
        self._sessions = sessions
        self._now = now
        self._known: dict[str, str] = sessions.load()
        self._servers: dict[str, Server] = {}

    # ---- the session ----------------------------------------------------------------------

    async def did(self) -> str:
        """The account's DID."""
        return (await self._session())["did"]

    async def _session(self, *, renew: str = "") -> dict[str, str]:
        """A session whose access token is good; ``renew`` is one that has been refused."""
        known = self._known
        fresh = known.get("accessJwt", "")
        if known.get("identifier") != self._handle or known.get("secret") != self._secret():
            known = {}
        if known and fresh != renew and _until(known) > self._now() + _EARLY:
            return known
        if known.get("refreshJwt"):
            try:
                api = self._api(known["pds"])
                path = "/xrpc/com.atproto.server.refreshSession"
                made = object_of(await api.send("POST", path, known["refreshJwt"]))
                return self._keep({**known, **self._tokens(made)})
            except ApiError as error:
                if error.passing:
                    raise
        return await self._sign_in()

    async def _sign_in(self) -> dict[str, str]:
        if not _APP_PASSWORD.fullmatch(self._password):
            raise ApiError(
                "this is no app password (xxxx-xxxx-xxxx-xxxx): make one at"
                " https://bsky.app/settings/app-passwords",
                status=401,
            )
        server = self._server or await self._find_server()
        body = {"identifier": self._handle, "password": self._password}
        path = "/xrpc/com.atproto.server.createSession"
        made = object_of(await self._api(server).send("POST", path, body=body))
        pds = server
        if _is_blueskys(server):
            pds = _pds_of(made.get("didDoc")) or server
        did, handle = made.get("did"), made.get("handle")
        if not isinstance(did, str):
            raise ApiError(f"{server} does not say whose session it is")
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
        """Tells whether the password is still the one that a session was made with."""
        return hashlib.sha256(self._password.encode()).hexdigest()[:16]

    def _keep(self, session: dict[str, str]) -> dict[str, str]:
        self._known = session
        self._sessions.save(session)
        return session

    def _tokens(self, made: Mapping[str, Any]) -> dict[str, str]:
        access, refresh = made.get("accessJwt"), made.get("refreshJwt")
        if not isinstance(access, str) or not access:
            raise ApiError("the server's answer has no token")
        refresh = refresh if isinstance(refresh, str) else ""
        until = str(self._now() + _lifetime(access, self._now()))
        return {"accessJwt": access, "refreshJwt": refresh, "until": until}

    def _api(self, server: str) -> Api:
        known = self._servers.setdefault(server, Server())
        return Api(self._caller(server), server, known)

    def _caller(self, server: str) -> Caller:
        chosen = {self._server.rstrip("/"), self._appview.rstrip("/")}
        return self._own if server.rstrip("/") in chosen else self._guarded

    async def _find_server(self) -> str:
        """The PDS that the account's DID document names; Bluesky's own have one entrance."""
        did = self._handle if self._handle.startswith("did:") else await self._find_did()
        if did.startswith("did:web:"):
            host = did.removeprefix("did:web:").replace("%3A", ":")
            document = object_of(
                await Api(self._guarded, f"https://{host}").get("/.well-known/did.json")
            )
        else:
            document = object_of(await Api(self._guarded, _DIRECTORY).get(f"/{did}"))
        # "The handle must be listed in the DID document": else anyone could say whose it is.
        names = document.get("alsoKnownAs")
        if did != self._handle and f"at://{self._handle}".lower() not in _lowered(names):
            raise ApiError(f"the DID document of {self._handle} does not name it", status=400)
        pds = _pds_of(document)
        if not pds:
            raise ApiError(f"the DID document of {self._handle} names no server", status=400)
        return "https://bsky.social" if _is_blueskys(pds) else pds

    async def _find_did(self) -> str:
        """Whose the handle is (atproto.com/specs/handle): asked of Bluesky, which looks into DNS as
        well, and where that knows of no such account of the handle's own host."""
        path = "/xrpc/com.atproto.identity.resolveHandle"
        try:
            found = object_of(await self._api(PUBLIC_APPVIEW).get(path, handle=self._handle))
            return str(found.get("did") or "")
        except ApiError as error:
            if error.status == 429:
                raise
        own = Api(self._guarded, f"https://{self._handle}")
        try:
            answer = await own.get("/.well-known/atproto-did")
        except ApiError as error:
            raise ApiError(
                f"no account is known by the handle {self._handle}", status=error.status
            ) from error
        did = answer.body[:_LONGEST_DID].decode("ascii", "replace").strip()
        if not re.fullmatch(r"did:(?:plc|web):[\w.:%-]+", did):
            raise ApiError(
                f"{self._handle} names no account at /.well-known/atproto-did", status=400
            )
        return did

    async def _call(
        self,
        method: str,
        name: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        data: bytes | None = None,
        mime: str = "",
    ) -> dict[str, Any]:
        """A call with the account's session, which is renewed once where it is refused."""
        renew = ""
        while True:
            session = await self._session(renew=renew)
            api = self._api(session["pds"])
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
                # A bad token is 400 InvalidToken, an old one 400 ExpiredToken.
                if renew or not (
                    error.status == 401 or error.name in {"InvalidToken", "ExpiredToken"}
                ):
                    raise
                renew = session["accessJwt"]

    # ---- records --------------------------------------------------------------------------

    async def put(self, collection: str, rkey: str, record: Mapping[str, Any]) -> Ref | None:
        """Make a record with a key of its own: exactly one, however often this is called.

        ``None`` where another record has this key (com.atproto.repo.putRecord with a
        ``swapRecord`` of null is InvalidSwap then).
        """
        body = {
            "repo": await self.did(),
            "collection": collection,
            "rkey": rkey,
            "record": dict(record),
            "swapRecord": None,
        }
        try:
            return _ref(await self._call("POST", "com.atproto.repo.putRecord", body=body))
        except ApiError as error:
            if error.name == "InvalidSwap":
                return None
            raise

    async def get(self, collection: str, rkey: str) -> tuple[Ref, dict[str, Any]] | None:
        """An own record; ``None`` where there is none."""
        query = {"repo": await self.did(), "collection": collection, "rkey": rkey}
        try:
            found = await self._call("GET", "com.atproto.repo.getRecord", query=query)
        except ApiError as error:
            if error.name == "RecordNotFound" or error.status == 404:
                return None
            raise
        value = found.get("value")
        return _ref(found), value if isinstance(value, dict) else {}

    async def delete(self, collection: str, rkey: str) -> None:
        """Have a record gone; one that is not there is."""
        body = {"repo": await self.did(), "collection": collection, "rkey": rkey}
        await self._call("POST", "com.atproto.repo.deleteRecord", body=body)

    async def upload(self, photo: Photo) -> dict[str, Any]:
        """A picture as records refer to it (a blob)."""
        found = await self._call(
            "POST", "com.atproto.repo.uploadBlob", data=photo.data, mime=photo.mime
        )
        blob = found.get("blob")
        if not isinstance(blob, dict):
            raise ApiError("the server's answer names no blob")
        return blob

    async def resolve(self, handle: str) -> str | None:
        """The DID of a handle; ``None`` where no account has it."""
        try:
            query = {"handle": handle}
            found = await self._call("GET", "com.atproto.identity.resolveHandle", query=query)
        except ApiError as error:
            if error.passing or error.denied:
                raise
            return None
        did = found.get("did")
        return did if isinstance(did, str) and did.startswith("did:") else None

    # ---- what others see ------------------------------------------------------------------

    async def view(self, name: str, **query: Any) -> dict[str, Any]:
        """Ask what everybody may see (``app.bsky.*``)."""
        if base := self.appview():
            return object_of(await self._api(base).get(f"/xrpc/{name}", **query))
        return await self._call("GET", name, query=query)

    async def pages(self, name: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """All of a list that comes in pages, up to a thousand."""
        found: list[dict[str, Any]] = []
        for _ in range(10):
            answer = await self.view(name, **query, limit=100)
            listed = answer.get(key)
            found += [each for each in listed if isinstance(each, dict)] if listed else []
            if not isinstance(cursor := answer.get("cursor"), str) or not listed:
                break
            query["cursor"] = cursor
        return found

    async def who_minds(self, dids: Iterable[str]) -> frozenset[str]:
        """Those of some accounts whose profiles ask not to be taken elsewhere."""
        wanted, found = sorted(dids), list[dict[str, Any]]()
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            try:
                answer = await self.view("app.bsky.actor.getProfiles", actors=some)
            except ApiError as error:
                if error.passing or error.denied:
                    raise
                continue
            profiles = answer.get("profiles")
            found += [each for each in profiles or () if isinstance(each, dict)]
        return frozenset(str(each.get("did")) for each in found if not may_be_shown(each))

    def appview(self) -> str:
        """Whom to ask; ``""``: the account's own server, which passes it on."""
        if self._appview:
            return self._appview
        return PUBLIC_APPVIEW if not self._server or _is_blueskys(self._server) else ""

    async def find(self, url: str) -> tuple[Ref, Ref] | None:
        """The post that an address means, and the first post of its thread."""
        uri = await self.uri_of(url)
        if uri is None:
            return None
        found = (await self.view("app.bsky.feed.getPosts", uris=[uri])).get("posts")
        for post in found if isinstance(found, list) else []:
            parent, record = _ref(post), post.get("record")
            reply = record.get("reply") if isinstance(record, dict) else None
            root = reply.get("root") if isinstance(reply, dict) else None
            return parent, _ref(root) if isinstance(root, dict) else parent
        return None

    async def uri_of(self, url: str) -> str | None:
        """``at://DID/app.bsky.feed.post/RKEY`` of a post's page, or of itself."""
        named = post_at(url)
        if named is None:
            return None
        account, rkey = named
        did = account if account.startswith("did:") else await self.resolve(account)
        return f"at://{did}/{POST}/{rkey}" if did else None


def post_at(url: str) -> tuple[str, str] | None:
    """The account and the record key that the address of a post at Bluesky names."""
    if match := re.fullmatch(rf"at://([^/]+)/{re.escape(POST)}/([\w.~:-]+)", url):
        return match[1], match[2]
    parts = urlsplit(url)
    match = re.fullmatch(r"/profile/([^/]+)/post/([\w.~:-]+)/?", parts.path)
    return (match[1], match[2]) if match and parts.scheme in {"http", "https"} else None


def page_of(did: str, rkey: str) -> str:
    """Where people see a post; by its DID, so that a new handle does not break it."""
    return f"https://bsky.app/profile/{did}/post/{rkey}"


def tid(when: datetime, *parts: str) -> str:
    """A record key that the moment and these texts always make (atproto.com/specs/tid).

    Posts are dated to the second: what is below comes from the texts, so that two of one second
    have keys of their own.
    """
    seed = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")
    seconds = max(0, int(when.timestamp()))
    micros = seconds * 1_000_000 + (seed >> 10) % 1_000_000
    number = (micros & (1 << 53) - 1) << 10 | seed & 1023
    return "".join(_TID[number >> shift & 31] for shift in range(60, -1, -5))


def created_at(published: datetime, now: datetime) -> str:
    """When a copy says that it was made: its post's own date only within a day, since feeds are in
    this order."""
    own = abs((now - published).total_seconds()) < 86_400 and published <= now
    when = (published if own else now).astimezone(UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def post_record(
    text: str,
    facets: Iterable[Facet],
    *,
    created: str,
    language: str = "",
    embed: Mapping[str, Any] | None = None,
    reply: tuple[Ref, Ref] | None = None,
) -> dict[str, Any]:
    """``app.bsky.feed.post``; ``reply`` are parent and root."""
    record: dict[str, Any] = {"$type": POST, "text": text, "createdAt": created}
    if found := [each.as_json() for each in facets]:
        record["facets"] = found
    if language:
        record["langs"] = [language]
    if embed:
        record["embed"] = dict(embed)
    if reply is not None:
        record["reply"] = {"root": reply[1].as_json(), "parent": reply[0].as_json()}
    return record


def images_embed(images: Iterable[tuple[Mapping[str, Any], str, Photo]]) -> dict[str, Any]:
    """``app.bsky.embed.images``: blob, alt text, and the picture for its size."""
    return {
        "$type": "app.bsky.embed.images",
        "images": [
            {
                "image": dict(blob),
                "alt": alt,
                "aspectRatio": {"width": photo.width, "height": photo.height},
            }
            for blob, alt, photo in images
        ],
    }


def card_embed(
    url: str, title: str, description: str, thumb: Mapping[str, Any] | None
) -> dict[str, Any]:
    """``app.bsky.embed.external``: no server makes a card by itself."""
    external: dict[str, Any] = {"uri": url, "title": title, "description": description}
    if thumb is not None:
        external["thumb"] = dict(thumb)
    return {"$type": "app.bsky.embed.external", "external": external}


def _ref(found: Mapping[str, Any]) -> Ref:
    uri, cid = found.get("uri"), found.get("cid")
    if not isinstance(uri, str):
        raise ApiError("the server's answer names no record")
    return Ref(uri, cid if isinstance(cid, str) else "")


def _until(session: Mapping[str, str]) -> float:
    """When a session's access token ends, by our own clock."""
    try:
        return float(session.get("until", ""))
    except ValueError:
        return 0.0


def _lifetime(token: str, now: float) -> float:
    """How long a JWT is good, by its server's clock alone (RFC 7519 4.1.4, 4.1.6): ours may be
    wrong. For ever where it does not say."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"]) - float(claims.get("iat", now))
    except (IndexError, ValueError, KeyError, TypeError):
        return float("inf")


def _lowered(names: object) -> list[str]:
    return [str(each).lower() for each in names] if isinstance(names, list) else []


def _is_blueskys(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    return host == "bsky.social" or host.endswith(".bsky.network")


def _pds_of(document: object) -> str:
    """The server that a DID document names (#atproto_pds). It gets the password, and so has to be
    one that is spoken to by https."""
    services = document.get("service") if isinstance(document, dict) else None
    for service in services if isinstance(services, list) else []:
        if isinstance(service, dict) and str(service.get("id", "")).endswith("#atproto_pds"):
            endpoint = service.get("serviceEndpoint")
            if isinstance(endpoint, str) and endpoint.startswith("https://"):
                return endpoint.rstrip("/")
    return ""
