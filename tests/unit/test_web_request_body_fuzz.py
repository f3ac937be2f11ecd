"""Any bytes are either parsed or refused with a 4xx."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import Mock

from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given, settings
from hypothesis import strategies as st
from soak_kit import any_text, rounds

from bridge.errors import BridgeError
from bridge.micropub.action import Create, Update
from bridge.micropub.body import RequestBody
from bridge.micropub.parse import is_media_upload, media_file, parse_action
from bridge.micropub.post import Json, Post, discover
from bridge.micropub.update import apply
from bridge.web.request import read_body

_WORDS = st.sampled_from(
    [
        "action",
        "url",
        "replace",
        "add",
        "delete",
        "update",
        "create",
        "undelete",
        "type",
        "h",
        "properties",
        "content",
        "html",
        "value",
        "photo",
        "alt",
        "category",
        "location",
        "checkin",
        "mp-slug",
        "mp-photo-alt",
        "post-status",
        "visibility",
        "draft",
        "access_token",
        "h-entry",
        "https://example.com/a",
        "geo:1,2",
    ]
)
_TEXT = st.one_of(_WORDS, any_text(8))
_JSON: st.SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=4)),
    max_leaves=12,
)
_NAMES = st.one_of(
    _WORDS, any_text(6), st.builds("{}[{}]".format, _WORDS, st.one_of(_TEXT, st.just("0")))
)
_DISPOSITION = b"--XX\r\nContent-Disposition: form-data; "
_PIECES = st.sampled_from(
    [
        b"--XX",
        b"--XX--",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b'"',
        b";",
        b"=",
        b"&",
        b"%",
        b"{",
        b"[",
        b'"a":',
        _DISPOSITION,
        b'name="photo"',
        b'; filename="a.jpg"',
        b"Content-Type: image/png",
        b"\xff\xd8",
        b"Content-Transfer-Encoding: base64",
        b"Content-Length: 3",
        b"filename*=UTF-8''%ff",
        b"content",
    ]
)
_BYTES = st.lists(st.one_of(_PIECES, st.binary(max_size=6)), max_size=25).map(b"".join)
_TYPES = st.sampled_from(
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "",
        "text/plain",
        "multipart/form-data; boundary=XX",
        "multipart/form-data",
        'multipart/form-data; boundary="é"',
    ]
)

OLD = Post(properties={"content": ("x",), "photo": ("a",), "category": ("b", "c")})


def understand(body: RequestBody) -> None:
    """Everything that is done with a body before anything is written."""
    for step in (media_file if is_media_upload(body) else act, act):
        with refusals():
            step(body)


@contextmanager
def refusals() -> Iterator[None]:
    """Allow refusals that say what was wrong with the request."""
    try:
        yield
    except BridgeError as error:
        refused = error.status, bool(error.description)
    else:
        refused = 400, True
    assert 400 <= refused[0] < 500
    assert refused[1]


def act(body: RequestBody) -> None:
    action = parse_action(body)
    post = OLD
    if isinstance(action, Create):
        post = action.post
        assert "access_token" not in post.properties
        assert not any(name.startswith("mp-") for name in post.properties)
    elif isinstance(action, Update):
        post = apply(OLD, action)
    assert all(isinstance(values, tuple) and values for values in post.properties.values())
    assert discover(post)


@settings(max_examples=rounds(100, 20_000))
@given(content_type=_TYPES, data=_BYTES)
@example(
    content_type="multipart/form-data; boundary=XX", data=_DISPOSITION + b"name\r\n\r\n\r\n--XX--"
)
def test_any_bytes(content_type: str, data: bytes) -> None:
    bodies: list[RequestBody] = []

    async def read() -> None:
        stream = StreamReader(Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
        stream.feed_data(data)
        stream.feed_eof()
        headers = {"Content-Type": content_type}
        request = make_mocked_request("POST", "/micropub", headers=headers, payload=stream)
        with refusals():
            bodies.append(await read_body(request, max_bytes=1000))

    asyncio.run(read())
    for body in bodies:
        understand(body)


@settings(max_examples=rounds(100, 20_000))
@given(_JSON)
def test_any_json(value: Json) -> None:
    understand(RequestBody("json", json=value))


_OPERATIONS = st.sampled_from(["replace", "add", "delete"])
_CHANGES = st.one_of(_JSON, st.dictionaries(_TEXT, _JSON, max_size=3))


@settings(max_examples=rounds(100, 20_000))
@given(st.dictionaries(_OPERATIONS, _CHANGES, min_size=1))
def test_any_update(operations: dict[str, Json]) -> None:
    action: dict[str, Json] = {"action": "update", "url": "https://example.com/a"}
    understand(RequestBody("json", json=action | operations))


@settings(max_examples=rounds(100, 20_000))
@given(st.lists(st.tuples(_NAMES, _TEXT), max_size=6))
def test_any_form(fields: list[tuple[str, str]]) -> None:
    understand(RequestBody("form", fields=tuple(fields)))
