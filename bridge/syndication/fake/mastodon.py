"""The Mastodon half of the fake network."""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from yarl import URL

from bridge.syndication.compose import text
from bridge.syndication.compose.measure import mastodon_length
from bridge.syndication.fake.dialects import DIALECTS, Dialect
from bridge.syndication.fake.refusals import error

#: The access token, valid while this process runs.
MASTODON_TOKEN = secrets.token_urlsafe(16)


@dataclass
class FakeMastodon:
    """``statuses`` and ``media`` are its contents; ``processing`` is how many times a picture is
    reported as unfinished.

    ``answers`` are replies, ``favourites``, ``reblogs`` and ``quoted`` those by others, by the id
    or URI of the status they refer to; ``strangers`` are statuses of other accounts.
    """

    base: str = ""
    processing: int = 0
    dialect: Dialect = DIALECTS["mastodon"]
    characters: int = 500
    privacy: str = "public"
    honours_keys: bool = True
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    media: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    favourites: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    reblogs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    quoted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    strangers: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: list[tuple[str, str]] = field(default_factory=list)
    token: str = MASTODON_TOKEN
    apps: dict[str, str] = field(default_factory=dict)
    challenge: str = ""
    _last: int = 115_000_000_000_000_000

    def account(self) -> dict[str, Any]:
        """The account as JSON."""
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
        """GET /oauth/authorize; agrees without asking."""
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

    async def quotes_of_status(self, request: web.Request) -> web.Response:
        """GET /api/v1/statuses/ID/quotes."""
        return web.json_response(self.quoted.get(self._find(request)["id"], []))

    async def people(self, request: web.Request) -> web.Response:
        """GET /api/v1/statuses/ID/favourited_by and reblogged_by."""
        lists = {"favourited_by": self.favourites, "reblogged_by": self.reblogs}
        chosen = lists[request.match_info["what"]]
        return web.json_response(chosen.get(self._find(request)["id"], []))

    def _status(self, form: Mapping[str, Sequence[str]], status_id: str) -> dict[str, Any]:
        words = "".join(form.get("status", [""])[:1])
        media_ids = list(form.get("media_ids[]", form.get("media_ids", [])))
        self._check_status(words, media_ids)
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

    def _check_status(self, words: str, media_ids: Sequence[str]) -> None:
        """Refuse a status as the server does."""
        unknown = [each for each in media_ids if each not in self.media]
        if unknown:
            raise _refusal(422, f"Media not found: {unknown[0]}")
        if any(self.media[each]["_left"] > 0 for each in media_ids):
            raise _refusal(422, "Cannot attach files that have not finished processing.")
        if not words.strip() and not media_ids:
            raise _refusal(422, "Validation failed: Text can't be blank")
        raw = self.dialect.counts_raw
        count = len(words) if raw else mastodon_length(words)
        if count > self.characters:
            code, message = self.dialect.too_long
            raise _refusal(code, message.format(self.characters))

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


def as_html(words: str) -> str:
    """A text as Mastodon renders it: paragraphs, and links."""
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


def _refusal(status: int, words: str) -> web.HTTPException:
    return error(status, {"error": words})
