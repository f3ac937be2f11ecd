"""The Bluesky half of the fake network: a PDS and an AppView."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bridge.syndication.bluesky.client import AT_ONCE
from bridge.syndication.bluesky.records import IMAGE_BYTES, POST
from bridge.syndication.compose import text
from bridge.syndication.fake.refusals import error

APP_PASSWORD = "-".join(secrets.token_hex(2) for _ in range(4))
HANDLE = "you.test"
DID = "did:plc:fakefakefakefakefakefake"
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_RKEY = re.compile(r"[2-7a-j][2-7a-z]{12}")


@dataclass
class FakeBluesky:
    """``records`` and ``blobs`` are its contents; the rest is as in the Mastodon half."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    favourites: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    reblogs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    quoted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    strangers: dict[str, dict[str, Any]] = field(default_factory=dict)
    password: str = APP_PASSWORD
    generation: int = 0

    def _session(self) -> dict[str, Any]:
        self.generation += 1
        return {
            "did": DID,
            "handle": HANDLE,
            "accessJwt": _jwt("access", self.generation),
            "refreshJwt": _jwt("refresh", self.generation),
        }

    async def sign_in(self, request: web.Request) -> web.Response:
        """com.atproto.server.createSession."""
        sent = await request.json()
        if sent.get("identifier") not in {HANDLE, DID} or sent.get("password") != self.password:
            raise _xrpc(401, "AuthenticationRequired", "Invalid identifier or password")
        return web.json_response(self._session())

    async def refresh(self, request: web.Request) -> web.Response:
        """com.atproto.server.refreshSession."""
        if request.headers.get("Authorization") != f"Bearer {_jwt('refresh', self.generation)}":
            raise _xrpc(400, "ExpiredToken", "Token has been revoked")
        return web.json_response(self._session())

    def _signed_in(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {_jwt('access', self.generation)}":
            raise _xrpc(400, "InvalidToken", "Token could not be verified")

    async def resolve(self, request: web.Request) -> web.Response:
        """com.atproto.identity.resolveHandle."""
        if request.query.get("handle") == HANDLE:
            return web.json_response({"did": DID})
        if request.query.get("handle") == "alice.test":
            return web.json_response({"did": "did:plc:alicealicealicealicealice"})
        raise _xrpc(400, "InvalidRequest", "Unable to resolve handle")

    async def blob(self, request: web.Request) -> web.Response:
        """com.atproto.repo.uploadBlob."""
        self._signed_in(request)
        data = await request.read()
        made: dict[str, Any] = {
            "$type": "blob",
            "ref": {"$link": f"bafkrei{hashlib.sha256(data).hexdigest()[:52]}"},
            "mimeType": request.content_type,
            "size": len(data),
        }
        self.blobs[made["ref"]["$link"]] = made
        return web.json_response({"blob": made})

    async def put(self, request: web.Request) -> web.Response:
        """com.atproto.repo.putRecord."""
        self._signed_in(request)
        sent = await request.json()
        collection, rkey, record = sent["collection"], sent["rkey"], sent["record"]
        if sent.get("repo") not in {DID, HANDLE} or not _RKEY.fullmatch(rkey):
            raise _xrpc(400, "InvalidRequest", "Record key is not a valid TID")
        self._check(collection, record)
        uri = f"at://{DID}/{collection}/{rkey}"
        old = self.records.get(uri)
        cid = _cid(record)
        if old is not None and old["cid"] != cid and "swapRecord" in sent:
            raise _xrpc(400, "InvalidSwap", f"Record was at {old['cid']}")
        self.records[uri] = {"uri": uri, "cid": cid, "value": record}
        return web.json_response({"uri": uri, "cid": cid, "validationStatus": "valid"})

    async def get_record(self, request: web.Request) -> web.Response:
        """com.atproto.repo.getRecord."""
        query = request.query
        uri = f"at://{DID}/{query['collection']}/{query['rkey']}"
        if uri not in self.records:
            raise _xrpc(400, "RecordNotFound", f"Could not locate record: {uri}")
        return web.json_response(self.records[uri])

    async def delete_record(self, request: web.Request) -> web.Response:
        """com.atproto.repo.deleteRecord."""
        self._signed_in(request)
        sent = await request.json()
        self.records.pop(f"at://{DID}/{sent['collection']}/{sent['rkey']}", None)
        return web.json_response({})

    async def get_posts(self, request: web.Request) -> web.Response:
        """app.bsky.feed.getPosts."""
        uris = request.query.getall("uris", [])
        if len(uris) > AT_ONCE:
            raise _xrpc(400, "InvalidRequest", "Error: uris must not have more than 25 elements")
        return web.json_response({"posts": [self.view(each) for each in uris if self.view(each)]})

    def view(self, uri: str) -> dict[str, Any] | None:
        """A post as an AppView returns it (app.bsky.feed.defs#postView)."""
        if uri in self.strangers:
            return self.strangers[uri]
        found = self.records.get(uri)
        if found is None:
            return None
        return {
            "uri": uri,
            "cid": found["cid"],
            "author": {"did": DID, "handle": HANDLE, "displayName": "You"},
            "record": found["value"],
            "replyCount": len(self.answers.get(uri, [])),
            "likeCount": len(self.favourites.get(uri, [])),
            "repostCount": len(self.reblogs.get(uri, [])),
            "quoteCount": len(self.quoted.get(uri, [])),
            "indexedAt": found["value"].get("createdAt"),
        }

    async def thread(self, request: web.Request) -> web.Response:
        """app.bsky.feed.getPostThread."""
        uri = request.query.get("uri", "")
        post = self.view(uri)
        if post is None:
            raise _xrpc(400, "NotFound", f"Post not found: {uri}")
        return web.json_response({"thread": self._thread(post)})

    def _thread(self, post: dict[str, Any]) -> dict[str, Any]:
        replies = self.answers.get(post["uri"], [])
        return {
            "$type": "app.bsky.feed.defs#threadViewPost",
            "post": post,
            "replies": [each if "$type" in each else self._thread(each) for each in replies],
        }

    async def likes(self, request: web.Request) -> web.Response:
        """app.bsky.feed.getLikes."""
        uri = request.query.get("uri", "")
        return web.json_response({"uri": uri, "likes": self.favourites.get(uri, [])})

    async def reposted(self, request: web.Request) -> web.Response:
        """app.bsky.feed.getRepostedBy."""
        uri = request.query.get("uri", "")
        return web.json_response({"uri": uri, "repostedBy": self.reblogs.get(uri, [])})

    async def quotes_of_post(self, request: web.Request) -> web.Response:
        """app.bsky.feed.getQuotes."""
        uri = request.query.get("uri", "")
        return web.json_response({"uri": uri, "posts": self.quoted.get(uri, [])})

    def _check(self, collection: str, record: Any) -> None:
        """Check a record against the lexicons."""
        if not isinstance(record, dict) or record.get("$type") != collection:
            raise _invalid("Record/$type must be the collection's")
        if not _DATE.fullmatch(str(record.get("createdAt", ""))):
            raise _invalid("Record/createdAt must be an valid atproto datetime")
        if collection != POST:
            if not record.get("subject", {}).get("cid"):
                raise _invalid("Record/subject must have the property cid")
            return
        words = record.get("text")
        if not isinstance(words, str) or len(words.encode()) > 3_000:
            raise _invalid("Record/text must not be longer than 3000 characters")
        if len(text.graphemes(words)) > 300:
            raise _invalid("Record/text must not be longer than 300 graphemes")
        if len(record.get("langs", [])) > 3:
            raise _invalid("Record/langs must not have more than 3 elements")
        self._check_facets(words, record.get("facets", []))
        self._check_embed(record.get("embed"))

    def _check_facets(self, words: str, facets: Iterable[Mapping[str, Any]]) -> None:
        """Check facets; stricter than the real server, which accepts offsets past the end."""
        encoded, last = words.encode(), 0
        for facet in facets:
            start, end = facet["index"]["byteStart"], facet["index"]["byteEnd"]
            if not last <= start < end <= len(encoded):
                raise _invalid("Record/facets are not in order")
            encoded[start:end].decode()
            last = end
            for feature in facet["features"]:
                uri = feature.get("uri")
                if uri is not None and not re.match(r"[a-z]+:", uri):
                    raise _invalid("Record/facets/features/uri must be a uri")

    def _check_embed(self, embed: Any) -> None:
        if embed is None:
            return
        blobs = []
        if embed["$type"] == "app.bsky.embed.images":
            if not 1 <= len(embed["images"]) <= 4:
                raise _invalid("Record/embed/images must not have more than 4 elements")
            for image in embed["images"]:
                blobs.append(image["image"])
                size = image.get("aspectRatio", {"width": 1, "height": 1})
                if "alt" not in image or min(size["width"], size["height"]) < 1:
                    raise _invalid("Record/embed/images/0 must have the property alt")
        else:
            external = embed["external"]
            if not {"uri", "title", "description"} <= set(external):
                raise _invalid("Record/embed/external must have the property description")
            blobs += [external["thumb"]] if "thumb" in external else []
        for blob in blobs:
            known = self.blobs.get(blob["ref"]["$link"])
            if known is None:
                raise _xrpc(400, "BlobNotFound", "Could not find blob")
            if known["size"] > IMAGE_BYTES:
                raise _xrpc(400, "BlobTooLarge", f"This file is too large: {known['size']}")


def _cid(record: Any) -> str:
    return f"bafyrei{hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:52]}"


def _jwt(kind: str, number: int) -> str:
    claims = json.dumps({"scope": kind, "n": number, "exp": 4_000_000_000}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


def _xrpc(status: int, name: str, words: str) -> web.HTTPException:
    return error(status, {"error": name, "message": words})


def _invalid(words: str) -> web.HTTPException:
    return _xrpc(400, "InvalidRequest", f"Invalid app.bsky.feed.post record: {words}")
