"""Malformed requests, made at random from requests of real clients, with a seed.
``FUZZ_SEED=N`` repeats a run.
"""

# ruff: noqa: E501 - tables of odd values are read best as tables
from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

Header = tuple[str, str]


@dataclass(frozen=True)
class Request:
    """One request; ``whole`` while its framing is valid, so that it must be answered."""

    method: str
    target: str
    headers: tuple[Header, ...]
    body: bytes = b""
    chunks: tuple[int, ...] = ()
    whole: bool = True
    raw: bytes = b""

    def encoded(self) -> bytes:
        """The bytes on the wire: ``raw`` if the request is no longer made of its parts."""
        if self.raw:
            return self.raw
        named = {name.lower() for name, _ in self.headers}
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        body = self.body
        if self.chunks:
            lines.append("Transfer-Encoding: chunked")
            body = _chunked(body, self.chunks)
        elif "content-length" not in named and (body or self.method not in {"GET", "HEAD"}):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""])
        return head.encode("utf-8", "surrogateescape") + body


def _chunked(body: bytes, sizes: tuple[int, ...]) -> bytes:
    found, start, number = bytearray(), 0, 0
    while start < len(body):
        size = sizes[number % len(sizes)]
        piece = body[start : start + size]
        extension = b";a=b" if size % 3 == 0 else b""
        found += b"%x%b\r\n%b\r\n" % (len(piece), extension, piece)
        start, number = start + size, number + 1
    return bytes(found) + b"0\r\n\r\n"


FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
#: All URLs of the bridge, and some that do not exist.
PATHS = (
    "/", "/micropub", "/micropub/", "/micropub?q=config", "/micropub?q=source",
    "/micropub?q=syndicate-to", "/micropub?q=category", "/micropub?q=post-types",
    "/micropub?q=source&limit=2&offset=1", "/micropub?q=source&url={post:quoted}",
    "/micropub?q=source&properties[]=content&url={post:quoted}", "/micropub/media",
    "/media", "/media?q=source", "/media?q=last", "/media?q=source&limit=1", "/media/x.png",
    "/status", "/healthz", "/preview/x/index.html", "/hook/git",
    "/.well-known/oauth-authorization-server", "/auth", "/token", "/introspect", "/revoke",
    "/userinfo", "/tokens", "/tokens/revoke", "/auth/consent", "/auth/sign-in",
    "/auth/sign-in/passkey/options", "/auth/sign-in/passkey", "/auth/sign-in/link",
    "/auth/sign-in/link/open", "/auth/set-up", "/auth/set-up?link=x", "/auth/sessions",
    "/auth/sessions/end", "/auth/password", "/auth/passkeys", "/auth/passkeys/options",
    "/auth/passkeys/remove", "/auth/static/pages.css", "/auth/static/../../app.py", "/account/signin",
    "/account/verify", "/index.html", "/feeds/all.atom.xml", "/nothing", "/auth/confirm",
    "/webmention", "/webmention/", "/webmention/x", "/webmention?target={post:quoted}",
    "/status/webmentions", "/desk", "/desk/", "/desk/?search=x&kind=note&show=drafts", "/desk/new",
    "/desk/new?kind=photo&url={post:quoted}&text=x", "/desk/edit?url={post:quoted}",
    "/desk/edit?url={post:quoted}&from=x", "/desk/history?url={post:quoted}", "/desk/preview",
    "/desk/look?url={post:quoted}", "/desk/publish", "/desk/files", "/desk/files/change",
    "/desk/mentions", "/desk/syndication", "/desk/syndication/callback?code=x&state=y",
    "/desk/share?title=x&text=y&url={post:quoted}", "/desk/delete", "/desk/restore", "/desk/once",
    "/desk/outbox",
)  # fmt: skip
METHODS = (
    "GET",
    "POST",
    "HEAD",
    "OPTIONS",
    "PUT",
    "DELETE",
    "PATCH",
    "TRACE",
    "CONNECT",
    "QUERY",
    "get",
    "P\u00d6ST",
)
NAMES = (
    "action", "url", "h", "type", "content", "content[html]", "content[value]", "name", "category",
    "category[]", "photo", "photo[]", "photo[0][value]", "photo[0][alt]", "mp-photo-alt[]", "mp-slug",
    "slug", "post-status", "visibility", "published", "updated", "in-reply-to", "like-of",
    "repost-of", "bookmark-of", "rsvp", "location", "checkin", "start", "end", "audio", "video",
    "featured", "summary", "syndication", "mp-syndicate-to[]", "mp-channel", "mp-destination",
    "mp-type", "access_token", "q", "filter", "limit", "offset", "order", "properties[]", "replace",
    "add", "delete", "replace[content]", "add[category][]", "delete[category]", "alt", "file", "author",
    "grant_type", "code", "client_id", "redirect_uri", "state", "scope", "code_challenge",
    "code_challenge_method", "code_verifier", "response_type", "me", "token", "csrf", "then", "password",
    "link", "email", "label", "id", "request", "do", "kind", "once", "was", "source", "target", "uid",
    "key", "show", "search", "others", "again", "days", "current", "decision", "username", "from",
    "mp-channel", "text", "title",
)  # fmt: skip
VALUES = (
    "", " ", "0", "-1", "1", "99999999999999999999", "1e400", "NaN", "null", "true", "[]", "{}", "x",
    "entry", "event", "create", "update", "delete", "undelete", "draft", "published", "private",
    "unlisted", "yes", "maybe", "{post}", "{media}", "http://127.0.0.1:9/", "https://a.invalid/x?y=1#z",
    "http://[::1", "http://user:pw@127.0.0.1:9/", "//a.invalid", "javascript:alert(1)", "data:,x",
    "geo:52.5,13.4;u=10", "geo:999,x", "2026-11-21T18:37:00+01:00", "2026-13-41", "0001-01-01",
    "9999-12-31T23:59:59Z", "2026-11-21 18:37", "1795289510", "../../etc/passwd", "a/../b", "%00", "\x00",
    "\u0085", "\u2028", "\ud800", "\ufeff", "\ufffe", "\u202e", "e\u0301", "\U0001f600", "\r\nX: y",
    "<b>x</b>", "<script>x</script>", "<p>" * 60, "# x\n\ny", "Title: x\nSave_as: y", "[x]({static}/x)",
    "{attach}/x", "```py\nx\n```", "[[1]]", "a" * 300, "a" * 5000, "\u00e9" * 2000, "_" * 400, "*" * 400,
    "[" * 300, "> " * 200, "|a" * 200, "&amp;" * 100, ";", ",", "a;b,c", "con", "nul.", ".git", "-", "--",
    "h-entry", "h-card", "S256", "authorization_code", "refresh_token", "code", "create update media",
)  # fmt: skip
TREES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**19, 1e300, [], {}, [[]], [None], {"": ""}, {"html": "x"},
    {"html": ["x"]}, {"value": "x", "alt": "y"}, {"value": {"value": {}}}, {"type": ["h-cite"]},
    {"type": ["h-card"], "properties": {"name": ["x"], "url": ["http://127.0.0.1:9/"]}},
    {"type": ["h-geo"], "properties": {"latitude": ["x"], "longitude": [1]}}, ["x"] * 400,
    {"type": "h-entry", "properties": []}, {"type": [], "properties": {"content": None}}, [[["x"]]],
)  # fmt: skip
TYPES = (
    FORM, JSON, "multipart/form-data; boundary=B", "multipart/form-data", "text/plain", "", "application/mf2+json",
    f"{FORM}; charset=latin-1", "multipart/form-data; boundary=\"B\"", "multipart/mixed; boundary=B",
    "text/html", "application/json; charset=utf-16", "multipart/form-data; boundary=" + "b" * 71,
)  # fmt: skip
ODD_HEADERS: tuple[Header, ...] = (
    ("Accept", "text/html"), ("Accept", "application/json"), ("Accept", "*/*;q=nonsense"),
    ("Accept-Language", "de, xx;q=9"), ("Origin", "https://a.invalid"), ("Origin", "null"),
    ("Access-Control-Request-Method", "POST"), ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Site", "same-origin"), ("Range", "bytes=0-0"), ("Range", "bytes=-1"),
    ("Range", "bytes=9-1,2-3"), ("Range", "bytes=" + "1" * 40 + "-"), ("If-None-Match", "*"),
    ("If-None-Match", 'W/"x", "y"'), ("If-Modified-Since", "nonsense"),
    ("If-Modified-Since", "Sat, 21 Nov 9999 18:37:00 GMT"), ("If-Range", '"x"'),
    ("If-Unmodified-Since", "Sat, 21 Nov 1970 18:37:00 GMT"), ("If-Match", '"x"'),
    ("Expect", "100-continue"), ("Expect", "nonsense"), ("X-Forwarded-For", "1.2.3.4, nonsense"),
    ("X-Forwarded-For", "::ffff:1.2.3.4%lo"), ("X-Forwarded-Host", "a.invalid"), ("Forwarded", 'for="_x'),
    ("Cookie", "indieauth=" + "a" * 43), ("Cookie", 'indieauth="\\303\\251"; ;=;x'), ("Cookie", "a=b" * 900),
    ("Authorization", "Bearer"), ("Authorization", "Bearer x"), ("Authorization", "Basic eDp5"),
    ("Authorization", "Bearer {token}"), ("Authorization", "Bearer {create-only}"),
    ("Authorization", "Bearer {token} "), ("Authorization", "bearer \u00e9"), ("Upgrade", "websocket"),
    ("Connection", "Upgrade"), ("Connection", "close"), ("Transfer-Encoding", "gzip"),
    ("Content-Encoding", "gzip"), ("Content-Encoding", "deflate"), ("Content-Encoding", "br"),
    ("Content-Encoding", "zstd"), ("Content-Encoding", "nonsense"), ("Content-Length", "-1"),
    ("Content-Length", "99999999999"), ("Content-Length", "1"), ("Content-Length", "x"), ("Host", ""),
    ("Host", "a.invalid"), ("Host", "[::1"), ("X-Hub-Signature-256", "sha256=x"),
    ("X-Gitlab-Token", "\u00e9"), ("X-HTTP-Method-Override", "DELETE"), ("Max-Forwards", "0"),
    ("Content-Range", "bytes 0-1/2"), ("Content-Disposition", "x"), ("TE", "trailers"), ("DPoP", "x"),
)  # fmt: skip
#: With these a server may wait for more data, or disconnect.
FRAMING = {"content-length", "transfer-encoding", "upgrade", "connection", "content-encoding"}
PIECES = (
    b"--B", b"--B--", b"\r\n--B\r\n", b"\r\n\r\n", b"\r\n", b"\n", b"\r", b"\x00", b"\xff", b"\xed\xa0\x80",
    b"&", b"=", b"%", b"%00", b"%ff", b"+", b"[", b"]", b"[]", b"{", b"}", b'"', b":", b",", b"\\u0000",
    b"\\ud800", b"\\", b"null", b"1e999", b"-", b'Content-Disposition: form-data; name="photo"; filename="a.png"',
    b"Content-Type: image/png\r\n", b"Content-Transfer-Encoding: base64\r\n", b"filename*=UTF-8''%ff", b"GIF89a",
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\xff\xff\xff\xffWEBP", b"%PDF-", b"<svg", b"\x00\x00\x00\x1cftypavif",
)  # fmt: skip


def corpus(folder: Path, files: Mapping[bytes, bytes]) -> list[Request]:
    """Valid requests: those in ``folder``, and at least one for each endpoint."""
    found = [_read(file.read_text(encoding="utf-8"), files) for file in folder.glob("*.http")]
    bearer: Header = ("Authorization", "Bearer {token}")
    for path in PATHS:
        found.append(Request("GET", path, (bearer, ("Accept", "text/html"))))
        found.append(Request("GET", path, (("Cookie", "{cookie}"),)))
    app = {
        "client_id": "http://127.0.0.1:9/", "redirect_uri": "http://127.0.0.1:9/back", "state": "s",
        "response_type": "code", "code_challenge": "a" * 43, "code_challenge_method": "S256",
        "scope": "create update media", "me": "{site}",
    }  # fmt: skip
    found.append(Request("GET", "/auth?" + urlencode(app), (("Cookie", "{cookie}"),)))
    forms: list[tuple[str, dict[str, str]]] = [
        ("/auth", {**app, "code": "x", "grant_type": "authorization_code", "code_verifier": "a" * 43}),
        ("/token", {**app, "code": "x", "grant_type": "authorization_code", "code_verifier": "a" * 43}),
        ("/token", {"grant_type": "refresh_token", "refresh_token": "x", "client_id": app["client_id"]}),
        ("/introspect", {"token": "{other}"}), ("/revoke", {"token": "{other}"}),
        ("/auth/consent", {"csrf": "{csrf}", "request": "x", "scope": "create", "decision": "allow"}),
        ("/auth/sign-in", {"csrf": "{csrf}", "password": "wrong", "then": "/tokens"}),
        ("/auth/sign-in/link", {"csrf": "{csrf}", "email": "a@a.invalid"}),
        ("/auth/sign-in/link/open", {"csrf": "{csrf}", "link": "x"}),
        ("/auth/set-up", {"csrf": "{csrf}", "link": "x", "password": "x" * 12}),
        ("/auth/password", {"csrf": "{csrf}", "password": "x", "new": "y" * 12}),
        ("/auth/passkeys/remove", {"csrf": "{csrf}", "id": "x"}),
        ("/auth/sessions/end", {"csrf": "{csrf}", "id": "x"}),
        ("/tokens", {"csrf": "{csrf}", "label": "x", "scope": "create"}),
        ("/tokens/revoke", {"csrf": "{csrf}", "id": "999"}), ("/hook/git", {"payload": "{}"}),
        ("/account/signin", {"email": "a@a.invalid"}), ("/account/verify", {"token": "x"}),
        ("/media", {"action": "delete", "url": "{media}"}),
        ("/micropub", {"h": "entry", "content": "x", "mp-slug": "y", "category[]": "z"}),
        ("/micropub", {"action": "delete", "url": "{post}"}),
        ("/micropub", {"action": "undelete", "url": "{post}"}),
        ("/webmention", {"source": "http://127.0.0.1:9/x", "target": "{post}"}),
        ("/desk/new", {"csrf": "{csrf}", "do": "publish", "kind": "note", "content": "x"}),
        ("/desk/new", {"csrf": "{csrf}", "do": "draft", "kind": "article", "name": "x", "content": "y"}),
        ("/desk/edit", {"csrf": "{csrf}", "do": "save", "url": "{post}", "content": "x", "was": "y"}),
        ("/desk/preview", {"csrf": "{csrf}", "kind": "note", "content": "x"}),
        ("/desk/publish", {"csrf": "{csrf}", "url": "{post}"}),
        ("/desk/delete", {"csrf": "{csrf}", "url": "{post}"}),
        ("/desk/restore", {"csrf": "{csrf}", "url": "{post}"}),
        ("/desk/files/change", {"csrf": "{csrf}", "url": "{media}", "alt": "x", "do": "save"}),
        ("/desk/files", {"csrf": "{csrf}", "file": "x"}), ("/desk/share", {"text": "{post}", "title": "x"}),
        ("/desk/mentions", {"csrf": "{csrf}", "action": "approve", "id": "x"}),
        ("/desk/syndication", {"csrf": "{csrf}", "action": "retry", "uid": "x"}),
        ("/desk/outbox", {"csrf": "{csrf}", "kind": "note", "content": "x", "once": "y"}),
        ("/status/webmentions", {"csrf": "{csrf}", "action": "release"}),
    ]  # fmt: skip
    kinds = (
        bearer,
        ("Cookie", "{cookie}"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", FORM),
    )
    for path, form in forms:
        found.append(Request("POST", path, kinds, urlencode(form, safe="{}:").encode()))
    for path in (
        "/auth/sign-in/passkey",
        "/auth/sign-in/passkey/options",
        "/auth/passkeys",
        "/auth/passkeys/options",
    ):
        value = {
            "csrf": "{csrf}", "challenge": "x", "then": "/", "name": "y",
            "credential": {"id": "eA", "rawId": "eA", "type": "public-key",
                           "response": {"clientDataJSON": "e30", "attestationObject": "oA",
                                        "authenticatorData": "AA", "signature": "AA"}},
        }  # fmt: skip
        headers = (("Cookie", "{cookie}"), ("Content-Type", JSON))
        found.append(Request("POST", path, headers, json.dumps(value).encode()))
    return found


def _read(text: str, files: Mapping[bytes, bytes]) -> Request:
    request, _, _ = text.partition("\n>>>\n")
    head, _, body = request.partition("\n\n")
    line, *fields = head.split("\n")
    method, target, *_ = line.split(" ")
    data = (body.replace("\n", "\r\n") if "multipart" in head else body).encode()
    for word, content in files.items():
        data = data.replace(word, content)
    headers = [(name, value.strip()) for name, _, value in (each.partition(":") for each in fields)]
    # Resources on other hosts would make requests wait.
    data = re.sub(rb"https?://(?!127)[\w.-]+", b"http://127.0.0.1:9", data)
    kept = tuple(each for each in headers if each[0].lower() not in {"content-length", "host"})
    return Request(method, target, kept, data)


#: Content that may be published.
_PUBLISHING = re.compile(r"/+(micropub|media|webmention|desk)")
#: Placeholders that must not be published.
SECRETS = ("token", "create-only", "other", "csrf", "cookie")


class Fuzzer:
    """Makes requests by changing others."""

    def __init__(self, seed: int, requests: list[Request], words: Mapping[str, str]) -> None:
        self._random = random.Random(seed)
        self._requests = requests
        self._words = words
        self._known = [words["post"]]

    def learn(self, url: str) -> None:
        """Add the URL of an existing post, for later requests."""
        self._known = [*self._known[-30:], url]

    def next(self) -> Request:
        """The next request."""
        draw = self._random
        request = draw.choice(self._requests)
        for _ in range(draw.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            request = draw.choice(_MUTATIONS)(draw, request, self._requests)
        request = self._filled(request)
        match draw.randrange(20):
            case 0:
                # A complete request is answered, whatever follows it.
                follows = self._filled(draw.choice(self._requests))
                return replace(request, raw=request.encoded() + follows.encoded())
            case 1:
                noisy = replace(request, body=request.encoded())
                for _ in range(draw.choice((1, 1, 3))):
                    noisy = _bytes(draw, noisy, self._requests)
                head, blank, body = noisy.body.partition(b"\r\n\r\n")
                body = self._without_secrets(body)
                return replace(request, raw=head + blank + body, whole=False)
        return request

    def _filled(self, request: Request) -> Request:
        words = {**self._words, "post": self._random.choice(self._known)}
        words["post:quoted"], words["post:escaped"] = quote(words["post"], safe=""), words["post"]

        def fill(text: str) -> str:
            return re.sub(r"\{([a-z:-]+)\}", lambda found: words.get(found[1], found[0]), text)

        body = re.sub(
            rb"\{([a-z:-]+)\}",
            lambda found: (
                words[found[1].decode()].encode() if found[1].decode() in words else found[0]
            ),
            request.body,
        )
        headers = [(name, fill(value)) for name, value in request.headers]
        if not any(name.lower() == "host" for name, _ in headers):
            headers.append(("Host", self._words["host"]))
        target = fill(request.target)
        clean = re.sub(r"[\x00-\x20\x7f]", "", target) or "/"
        headers = [(name, re.sub(r"[\r\n\x00]", " ", value)) for name, value in headers]
        if _PUBLISHING.search(target):
            body = self._without_secrets(body, allowed=_fields_with_secrets(body, headers))
        return replace(request, target=clean, headers=tuple(headers), body=body)

    def _without_secrets(self, body: bytes, allowed: Sequence[re.Match[bytes]] = ()) -> bytes:
        """Replace what looks like a secret: what a client publishes itself is not leaked."""
        kept = [found.span() for found in allowed]
        for word in SECRETS:
            secret = self._words[word].encode()

            def stand_in(found: re.Match[bytes]) -> bytes:
                is_kept = any(begin <= found.start() < end for begin, end in kept)
                return found[0] if is_kept else b"x" * len(found[0])

            body = re.sub(re.escape(secret), stand_in, body)
        return body


def _fields_with_secrets(body: bytes, headers: list[Header]) -> list[re.Match[bytes]]:
    """Put the token or CSRF token into its own field, which is never published.

    Only one field, since a second one could be published as text.
    """
    has_header = any(name.lower() == "authorization" for name, _ in headers)
    name = rb"csrf" if has_header else rb"(?:csrf|access_token)"
    part = rb"name=\"?%b\"?\r\n(?:[^\r\n]+\r\n)*\r\n[^\r]*" % name
    found = re.search(rb"(?:^|&)%b=[^&]*|%b" % (name, part), body)
    return [found] if found else []


def _text(draw: random.Random) -> str:
    value = draw.choice(VALUES)
    return value + draw.choice(VALUES) if draw.random() < 0.2 else value


def _method(draw: random.Random, request: Request, __: list[Request]) -> Request:
    return replace(request, method=draw.choice(METHODS))


def _target(draw: random.Random, request: Request, __: list[Request]) -> Request:
    return replace(request, target=draw.choice(PATHS))


def _bend_target(draw: random.Random, request: Request, __: list[Request]) -> Request:
    path, mark, query = request.target.partition("?")
    added = draw.choice(
        (
            "/",
            "//",
            "/..",
            "/%2e%2e/",
            "%00",
            "%ff",
            ";x",
            "/.git/config",
            "\u00e9",
            "a" * 7000,
            "%",
        )
    )
    match draw.randrange(5):
        case 0:
            path += added
        case 1:
            path = added + path
        case 2:
            path = "http://127.0.0.1:9" + path
        case 3:
            path = path.replace("/", draw.choice(("//", "/./", "%2f")), 1)
        case _:
            pairs = [(draw.choice(NAMES), _text(draw)) for _ in range(draw.randrange(1, 4))]
            query = "&".join([query, urlencode(pairs, errors="surrogatepass")]).strip("&")
            mark = "?"
    return replace(request, target=path + mark + query)


def _header(draw: random.Random, request: Request, __: list[Request]) -> Request:
    added = draw.choice(ODD_HEADERS)
    headers = list(request.headers)
    if draw.random() < 0.5:
        headers = [each for each in headers if each[0].lower() != added[0].lower()]
    headers.insert(draw.randrange(len(headers) + 1), added)
    whole = request.whole and added[0].lower() not in FRAMING
    return replace(request, headers=tuple(headers), whole=whole)


def _drop_header(draw: random.Random, request: Request, __: list[Request]) -> Request:
    if not request.headers:
        return request
    gone = draw.randrange(len(request.headers))
    return replace(request, headers=request.headers[:gone] + request.headers[gone + 1 :])


def _type(draw: random.Random, request: Request, __: list[Request]) -> Request:
    kept = tuple(each for each in request.headers if each[0].lower() != "content-type")
    return replace(request, headers=(*kept, ("Content-Type", draw.choice(TYPES))))


def _bytes(draw: random.Random, request: Request, __: list[Request]) -> Request:
    body = bytearray(request.body)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        at = draw.randrange(len(body) + 1)
        match draw.randrange(5):
            case 0:
                body[at:at] = draw.choice(PIECES)
            case 1:
                body[at : at + draw.randrange(9)] = b""
            case 2:
                body[at : at + 1] = bytes([draw.randrange(256)])
            case 3:
                body[at:at] = body[at : at + draw.randrange(200)]
            case _:
                body[at : at + 4] = _text(draw).encode("utf-8", "surrogatepass")
    return replace(request, body=bytes(body))


def _cut(draw: random.Random, request: Request, __: list[Request]) -> Request:
    return replace(request, body=request.body[: draw.randrange(len(request.body) + 1)])


def _splice(draw: random.Random, request: Request, others: list[Request]) -> Request:
    other = draw.choice(others)
    return replace(request, body=other.body, headers=draw.choice((request, other)).headers)


def _form(draw: random.Random, request: Request, __: list[Request]) -> Request:
    pairs = [(draw.choice(NAMES), _text(draw)) for _ in range(draw.choice((1, 2, 3, 6, 30)))]
    body = urlencode(pairs, errors="surrogatepass", safe="{}:/").encode()
    added = request.body + b"&" + body if draw.random() < 0.5 else body
    return _with_type(replace(request, body=added), FORM)


def _multipart(draw: random.Random, request: Request, others: list[Request]) -> Request:
    body = b""
    for _ in range(draw.choice((1, 2, 3, 8))):
        name = draw.choice(NAMES).encode()
        file = draw.choice(
            (b"", b"", b'; filename="a.png"', b'; filename=""', b"; filename*=UTF-8''%C3%A9")
        )
        kind = draw.choice((b"", b"Content-Type: image/png\r\n", b"Content-Type: text/html\r\n"))
        data = _text(draw).encode("utf-8", "surrogatepass")
        if file or kind:
            data = draw.choice((data, draw.choice(PIECES), draw.choice(others).body))
        body += b'--B\r\nContent-Disposition: form-data; name="%b"%b\r\n%b\r\n%b\r\n' % (
            name,
            file,
            kind,
            data,
        )
    return _with_type(replace(request, body=body + b"--B--\r\n"), "multipart/form-data; boundary=B")


def _tree(draw: random.Random, request: Request, __: list[Request]) -> Request:
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        properties = {draw.choice(NAMES): [draw.choice(TREES)] for _ in range(draw.randrange(1, 5))}
        value = {"type": ["h-entry"], "properties": properties}
        if draw.random() < 0.4:
            value = {
                "action": "update",
                "url": "{post}",
                draw.choice(("replace", "add", "delete")): properties,
            }
    for _ in range(draw.choice((1, 1, 2, 4))):
        value = _changed(draw, value)
    return _with_type(replace(request, body=json.dumps(value).encode()), JSON)


def _changed(draw: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        match draw.randrange(8):
            case 0:
                return {**value, draw.choice(NAMES): draw.choice((*TREES, [_text(draw)]))}
            case 1:
                return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: _changed(draw, value[key])}
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        return [*value[:at], _changed(draw, value[at]), *value[at + 1 :]]
    return draw.choice((draw.choice(TREES), _text(draw), [value], {"value": value}))


def _with_type(request: Request, kind: str) -> Request:
    kept = tuple(each for each in request.headers if each[0].lower() != "content-type")
    return replace(request, headers=(*kept, ("Content-Type", kind)))


def _chunks(draw: random.Random, request: Request, __: list[Request]) -> Request:
    kept = tuple(each for each in request.headers if each[0].lower() != "content-length")
    sizes = draw.choice(((1,), (3, 1), (7,), (100,), (5000,)))
    return replace(request, headers=kept, chunks=sizes)


def _gzip(draw: random.Random, request: Request, __: list[Request]) -> Request:
    packed = gzip.compress(request.body * draw.choice((1, 1, 50)), mtime=0)
    return replace(request, body=packed, headers=(*request.headers, ("Content-Encoding", "gzip")))


_Mutation = Callable[[random.Random, Request, list[Request]], Request]
_MUTATIONS: tuple[_Mutation, ...] = (
    _method, _target, _bend_target, _bend_target, _header, _header, _drop_header, _type, _bytes, _bytes,
    _cut, _splice, _form, _form, _multipart, _multipart, _tree, _tree, _tree, _chunks, _gzip,
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """A status (0 for none), the response time, and the URL of a new post."""

    status: int
    seconds: float
    location: str = ""
    text: bytes = field(default=b"", repr=False)


async def ask(host: str, port: int, data: bytes, patience: float) -> Answer:
    """Send exactly these bytes on a connection of their own; returns the response."""
    began = time.monotonic()
    text = b""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(data)
                text = await _whole_answer(reader, data)
            finally:
                writer.transport.abort()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    except TimeoutError:
        return Answer(0, time.monotonic() - began)
    seconds = time.monotonic() - began
    if not text.startswith(b"HTTP/1."):
        return Answer(0, seconds, text=text)
    location = re.search(rb"(?mi)^location: (\S*)", text)
    return Answer(int(text[9:12]), seconds, location[1].decode() if location else "", text)


async def _whole_answer(reader: asyncio.StreamReader, data: bytes) -> bytes:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 100"):
            break
    length = re.search(rb"(?mi)^content-length: (\d+)", head)
    if data.startswith(b"HEAD ") or not length:
        return head
    return head + await reader.readexactly(int(length[1]))
