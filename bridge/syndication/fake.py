"""A fake network on this machine that behaves like Mastodon and Bluesky, for trying copies out.

It keeps nothing, and takes only what the real ones take: texts of the right length, facets and
records in the right shape. For ``demo --fake-network`` and for tests.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from yarl import URL

from bridge.syndication import bluesky, text

#: What opens it, for as long as this process runs.
MASTODON_TOKEN = secrets.token_urlsafe(16)
APP_PASSWORD = "-".join(secrets.token_hex(2) for _ in range(4))
HANDLE = "you.test"
DID = "did:plc:fakefakefakefakefakefake"
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_RKEY = re.compile(r"[2-7a-j][2-7a-z]{12}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server with Mastodon's API differs from Mastodon.

    ``too_long`` and ``refusal`` are the status and words for a long text and a bad token, ``page``
    is where a status is shown; ``edits``: it can be changed.
    """

    version: str = "4.5.0"
    honours_keys: bool = True
    counts_raw: bool = False
    too_long: tuple[int, str] = (422, "Validation failed: Text character limit of {} exceeded")
    refusal: tuple[int, str] = (401, "The access token is invalid")
    page: str = "/@you/{}"
    edits: bool = True


DIALECTS = {
    "mastodon": Dialect(),
    "takahe": Dialect(
        version="takahe/0.11.0",
        honours_keys=False,
        counts_raw=True,
        too_long=(400, "Status is too long"),
        refusal=(400, "bad token"),
    ),
    "gotosocial": Dialect(
        version="0.19.1+git-2c0c2a0",
        counts_raw=True,
        too_long=(422, "Unprocessable Entity: status too long, but limit is {}"),
        refusal=(401, "Unauthorized: token is not valid"),
        page="/@you/statuses/{}",
        edits=False,
    ),
    "pleroma": Dialect(
        version="2.7.2 (compatible; Pleroma 2.5.0)",
        counts_raw=True,
        too_long=(422, "The status is over the character limit"),
        refusal=(403, "Invalid credentials."),
        page="/notice/{}",
    ),
}


@dataclass
class FakeNetwork:
    """What is there: ``statuses`` and ``media`` of Mastodon, ``records`` and ``blobs`` of Bluesky.

    ``base`` is where it is reached, once it is. ``answers`` are replies, likes and reposts of
    others, by the id or the URI of what they answer. ``processing``: looks until a picture is
    ready.
    """

    base: str = ""
    processing: int = 0
    dialect: Dialect = DIALECTS["mastodon"]
    characters: int = 500
    privacy: str = "public"
    honours_keys: bool = True
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    media: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    favourites: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    reblogs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    strangers: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: list[tuple[str, str]] = field(default_factory=list)
    token: str = MASTODON_TOKEN
    password: str = APP_PASSWORD
    generation: int = 0
    apps: dict[str, str] = field(default_factory=dict)
    challenge: str = ""
    _last: int = 115_000_000_000_000_000

    # ---- Mastodon -------------------------------------------------------------------------

    def account(self) -> dict[str, Any]:
        """The account, as Mastodon tells it."""
        return {
            "id": "1",
            "username": "you",
            "acct": "you",
            "display_name": "You",
            "url": f"{self.base}/@you",
            "avatar": "",
            "note": "",
        }

    async def instance(self, request: web.Request) -> web.Response:
        """GET /api/v2/instance."""
        del request
        return web.json_response(
            {
                "domain": "fake.test",
                "version": self.dialect.version,
                "configuration": {
                    "statuses": {
                        "max_characters": self.characters,
                        "max_media_attachments": 4,
                        "characters_reserved_per_url": 23,
                    },
                    "media_attachments": {
                        "supported_mime_types": ["image/jpeg", "image/png", "image/webp"],
                        "image_size_limit": 16_777_216,
                        "image_matrix_limit": 33_177_600,
                        "description_limit": 1_500,
                    },
                },
            }
        )

    async def register(self, request: web.Request) -> web.Response:
        """POST /api/v1/apps."""
        form = await _form(request)
        self.apps[_first(form, "redirect_uris", "")] = _first(form, "scopes", "")
        return web.json_response({"client_id": "fake-client", "client_secret": "fake-secret"})

    async def authorize(self, request: web.Request) -> web.Response:
        """GET /oauth/authorize: everybody agrees at once."""
        query = request.query
        if query.get("redirect_uri") not in self.apps or not query.get("code_challenge"):
            raise _refusal(400, "invalid_request")
        self.challenge = query["code_challenge"]
        back = URL(query["redirect_uri"]).with_query(code="fake-code", state=query["state"])
        raise web.HTTPFound(back)

    async def grant(self, request: web.Request) -> web.Response:
        """POST /oauth/token."""
        form = await _form(request)
        verifier = _first(form, "code_verifier", "").encode()
        made = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).decode().rstrip("=")
        if _first(form, "code", "") != "fake-code" or made != self.challenge:
            raise _refusal(400, "invalid_grant")
        return web.json_response({"access_token": self.token, "token_type": "Bearer"})

    async def revoke(self, request: web.Request) -> web.Response:
        """POST /oauth/revoke."""
        form = await _form(request)
        self.done.append(("revoke", _first(form, "token", "")))
        return web.json_response({})

    async def verify(self, request: web.Request) -> web.Response:
        """GET /api/v1/accounts/verify_credentials."""
        self._admit(request)
        return web.json_response({**self.account(), "source": {"privacy": self.privacy}})

    async def create(self, request: web.Request) -> web.Response:
        """POST /api/v1/statuses."""
        self._admit(request)
        key = request.headers.get("Idempotency-Key", "")
        if self.honours_keys and self.dialect.honours_keys and key in self.keys:
            return web.json_response(self.statuses[self.keys[key]])
        form = await _form(request)
        made = self._status(form, self._next())
        self.statuses[made["id"]] = made
        self.keys[key] = made["id"]
        return web.json_response(made)

    async def edit(self, request: web.Request) -> web.Response:
        """PUT /api/v1/statuses/ID."""
        self._admit(request)
        old = self._find(request)
        if not self.dialect.edits:
            raise _refusal(404, "page not found")
        form = await _form(request)
        made = {**self._status(form, old["id"]), "created_at": old["created_at"]}
        made["edited_at"] = _now()
        self.statuses[old["id"]] = made
        return web.json_response(made)

    async def show(self, request: web.Request) -> web.Response:
        """GET /api/v1/statuses/ID."""
        return web.json_response(self._find(request))

    async def source(self, request: web.Request) -> web.Response:
        """GET /api/v1/statuses/ID/source."""
        self._admit(request)
        found = self._find(request)
        return web.json_response({"id": found["id"], "text": found["_text"], "spoiler_text": ""})

    async def remove(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/statuses/ID."""
        self._admit(request)
        found = self._find(request)
        del self.statuses[found["id"]]
        return web.json_response(found)

    async def own(self, request: web.Request) -> web.Response:
        """GET /api/v1/accounts/ID/statuses."""
        newest = sorted(self.statuses.values(), key=lambda each: int(each["id"]), reverse=True)
        return web.json_response(newest[: int(request.query.get("limit", "20"))])

    async def upload(self, request: web.Request) -> web.Response:
        """POST /api/v2/media."""
        self._admit(request)
        form = await request.post()
        file = form.get("file")
        if not isinstance(file, web.FileField):
            raise _refusal(422, "Validation failed: File can't be blank")
        data = file.file.read()
        made: dict[str, Any] = {
            "id": self._next(),
            "type": "image",
            "url": f"{self.base}/media/{hashlib.sha256(data).hexdigest()[:12]}",
            "description": str(form.get("description", "")),
            "_left": self.processing,
            "_size": len(data),
            "_mime": file.content_type,
        }
        self.media[made["id"]] = made
        if self.processing:
            return web.json_response({**made, "url": None}, status=202)
        return web.json_response(made)

    async def medium(self, request: web.Request) -> web.Response:
        """GET /api/v1/media/ID."""
        found = self.media.get(request.match_info["id"])
        if found is None:
            raise _refusal(404, "Record not found")
        if found["_left"] > 0:
            found["_left"] -= 1
            return web.json_response({**found, "url": None}, status=206)
        return web.json_response(found)

    async def search(self, request: web.Request) -> web.Response:
        """GET /api/v2/search."""
        self._admit(request)
        wanted = request.query.get("q", "")
        known = [*self.strangers.values(), *self.statuses.values()]
        found = [each for each in known if each.get("url") == wanted]
        return web.json_response({"accounts": [], "statuses": found, "hashtags": []})

    async def act(self, request: web.Request) -> web.Response:
        """POST /api/v1/statuses/ID/favourite and the like."""
        self._admit(request)
        found = self._find(request)
        action = request.match_info["action"]
        self.done.append((action, found["id"]))
        if action == "reblog":
            made = {**self._status({"status": ["…"]}, self._next()), "reblog": found}
            return web.json_response(made)
        return web.json_response(found)

    async def context(self, request: web.Request) -> web.Response:
        """GET /api/v1/statuses/ID/context."""
        found = self._find(request)
        return web.json_response(
            {"ancestors": [], "descendants": self.answers.get(found["id"], [])}
        )

    async def people(self, request: web.Request) -> web.Response:
        """GET /api/v1/statuses/ID/favourited_by and reblogged_by."""
        lists = {"favourited_by": self.favourites, "reblogged_by": self.reblogs}
        chosen = lists[request.match_info["what"]]
        return web.json_response(chosen.get(self._find(request)["id"], []))

    def _status(self, form: Mapping[str, Sequence[str]], status_id: str) -> dict[str, Any]:
        words = "".join(form.get("status", [""])[:1])
        media_ids = list(form.get("media_ids[]", form.get("media_ids", [])))
        unknown = [each for each in media_ids if each not in self.media]
        if unknown:
            raise _refusal(422, f"Media not found: {unknown[0]}")
        if any(self.media[each]["_left"] > 0 for each in media_ids):
            raise _refusal(422, "Cannot attach files that have not finished processing.")
        if not words.strip() and not media_ids:
            raise _refusal(422, "Validation failed: Text can't be blank")
        raw = self.dialect.counts_raw
        count = len(words) if raw else text.mastodon_length(words)
        if count > self.characters:
            code, told = self.dialect.too_long
            raise _refusal(code, told.format(self.characters))
        described = zip(
            form.get("media_attributes[][id]", ()),
            form.get("media_attributes[][description]", ()),
            strict=False,
        )
        for media_id, description in described:
            self.media[media_id]["description"] = description
        return {
            "id": status_id,
            "created_at": _now(),
            "edited_at": None,
            "visibility": _first(form, "visibility", "public"),
            "language": _first(form, "language", "en"),
            "sensitive": _first(form, "sensitive", "") == "true",
            "spoiler_text": _first(form, "spoiler_text", ""),
            "in_reply_to_id": _first(form, "in_reply_to_id", "") or None,
            "url": f"{self.base}{self.dialect.page.format(status_id)}",
            "uri": f"{self.base}/users/you/statuses/{status_id}",
            "content": as_html(words),
            "account": self.account(),
            "media_attachments": [self.media[each] for each in media_ids],
            "replies_count": 0,
            "reblogs_count": 0,
            "favourites_count": 0,
            "_text": words,
        }

    def _find(self, request: web.Request) -> dict[str, Any]:
        wanted = request.match_info["id"]
        found = self.statuses.get(wanted) or self.strangers.get(wanted)
        if found is None:
            raise _refusal(404, "Record not found")
        return found

    def _admit(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise _refusal(*self.dialect.refusal)

    def _next(self) -> str:
        self._last += 1
        return str(self._last)

    # ---- Bluesky --------------------------------------------------------------------------

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
        if len(uris) > bluesky.AT_ONCE:
            raise _xrpc(400, "InvalidRequest", "Error: uris must not have more than 25 elements")
        return web.json_response({"posts": [self.view(each) for each in uris if self.view(each)]})

    def view(self, uri: str) -> dict[str, Any] | None:
        """A post as an AppView tells it (app.bsky.feed.defs#postView)."""
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
            "quoteCount": 0,
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

    async def quotes(self, request: web.Request) -> web.Response:
        """app.bsky.feed.getQuotes."""
        return web.json_response({"uri": request.query.get("uri", ""), "posts": []})

    def _check(self, collection: str, record: Any) -> None:
        """What the lexicons say of a record."""
        if not isinstance(record, dict) or record.get("$type") != collection:
            raise _invalid("Record/$type must be the collection's")
        if not _DATE.fullmatch(str(record.get("createdAt", ""))):
            raise _invalid("Record/createdAt must be an valid atproto datetime")
        if collection != bluesky.POST:
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
        """More strictly than the real one, which takes offsets past the end."""
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
            if known["size"] > bluesky.IMAGE_BYTES:
                raise _xrpc(400, "BlobTooLarge", f"This file is too large: {known['size']}")

    # ---- for people -----------------------------------------------------------------------

    async def page(self, request: web.Request) -> web.Response:
        """All that has been copied here, the newest first."""
        del request
        toots = [
            f"<li>{each['content']}<p>Mastodon, {each['created_at']}</p></li>"
            for each in reversed(self.statuses.values())
        ]
        posts = [
            f"<li>{as_html(each['value'].get('text', ''))}"
            f"<p>Bluesky, {html.escape(each['value'].get('createdAt', ''))}</p></li>"
            for each in reversed(self.records.values())
        ]
        shown = "".join([*toots, *posts]) or "<li>Nothing yet: post something, and choose me.</li>"
        body = (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            "<title>A network that is not there</title>"
            f"<h1>A network that is not there</h1><ul>{shown}</ul></html>"
        )
        return web.Response(text=body, content_type="text/html")

    def app(self, *middlewares: Any) -> web.Application:
        """As an application to be served."""
        app = web.Application(middlewares=middlewares, client_max_size=60_000_000)
        add = app.router.add_route
        for method, path, handler in self._routes():
            add(method, path, handler)
        return app

    def _routes(self) -> list[tuple[str, str, Handler]]:
        xrpc = {
            ("POST", "com.atproto.server.createSession"): self.sign_in,
            ("POST", "com.atproto.server.refreshSession"): self.refresh,
            ("GET", "com.atproto.identity.resolveHandle"): self.resolve,
            ("POST", "com.atproto.repo.uploadBlob"): self.blob,
            ("POST", "com.atproto.repo.putRecord"): self.put,
            ("GET", "com.atproto.repo.getRecord"): self.get_record,
            ("POST", "com.atproto.repo.deleteRecord"): self.delete_record,
            ("GET", "app.bsky.feed.getPosts"): self.get_posts,
            ("GET", "app.bsky.feed.getPostThread"): self.thread,
            ("GET", "app.bsky.feed.getLikes"): self.likes,
            ("GET", "app.bsky.feed.getRepostedBy"): self.reposted,
            ("GET", "app.bsky.feed.getQuotes"): self.quotes,
        }
        status = "/api/v1/statuses/{id}"
        return [
            ("GET", "/api/v2/instance", self.instance),
            ("POST", "/api/v1/apps", self.register),
            ("GET", "/oauth/authorize", self.authorize),
            ("POST", "/oauth/token", self.grant),
            ("POST", "/oauth/revoke", self.revoke),
            ("GET", "/api/v1/accounts/verify_credentials", self.verify),
            ("GET", "/api/v1/accounts/{account}/statuses", self.own),
            ("POST", "/api/v1/statuses", self.create),
            ("GET", status, self.show),
            ("PUT", status, self.edit),
            ("DELETE", status, self.remove),
            ("GET", f"{status}/source", self.source),
            ("GET", f"{status}/context", self.context),
            ("GET", f"{status}/{{what:favourited_by|reblogged_by}}", self.people),
            ("POST", f"{status}/{{action:favourite|reblog|unfavourite|unreblog}}", self.act),
            ("POST", "/api/v2/media", self.upload),
            ("GET", "/api/v1/media/{id}", self.medium),
            ("GET", "/api/v2/search", self.search),
            *((method, f"/xrpc/{name}", handler) for (method, name), handler in xrpc.items()),
            ("GET", "/", self.page),
            ("GET", "/@you", self.page),
            ("GET", "/@you/{id}", self.page),
        ]


def as_html(words: str) -> str:
    """A text as Mastodon shows it: paragraphs, and links that are links."""
    parts, at = [], 0
    for span in text.urls(words):
        parts.append(html.escape(words[at : span.start]))
        url = html.escape(span.value)
        parts.append(f'<a href="{url}" rel="nofollow noopener">{url}</a>')
        at = span.end
    parts.append(html.escape(words[at:]))
    lines = "".join(parts).replace("\n\n", "</p><p>").replace("\n", "<br />")
    return f"<p>{lines}</p>"


async def _form(request: web.Request) -> dict[str, list[str]]:
    sent = await request.post()
    form: dict[str, list[str]] = {}
    for name, value in sent.items():
        form.setdefault(name, []).append(str(value))
    return form


def _first(form: Mapping[str, Sequence[str]], name: str, default: str) -> str:
    values = form.get(name, ())
    return values[0] if values else default


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cid(record: Any) -> str:
    return f"bafyrei{hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:52]}"


def _jwt(kind: str, number: int) -> str:
    claims = json.dumps({"scope": kind, "n": number, "exp": 4_000_000_000}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


def _refusal(status: int, words: str) -> web.HTTPException:
    return _error(status, {"error": words})


def _xrpc(status: int, name: str, words: str) -> web.HTTPException:
    return _error(status, {"error": name, "message": words})


def _invalid(words: str) -> web.HTTPException:
    return _xrpc(400, "InvalidRequest", f"Invalid app.bsky.feed.post record: {words}")


_KINDS: dict[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    403: web.HTTPForbidden,
    404: web.HTTPNotFound,
    422: web.HTTPUnprocessableEntity,
}


def _error(status: int, told: Mapping[str, str]) -> web.HTTPException:
    return _KINDS[status](text=json.dumps(dict(told)), content_type="application/json")
