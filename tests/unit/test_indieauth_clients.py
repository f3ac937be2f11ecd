"""Client information: what apps publish, and how much of it is trusted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from indieauth_kit import Pages, asking, client_site, rough_words, scene

from bridge.indieauth.oauth import clients
from bridge.indieauth.oauth.clients import Client, read_client
from bridge.net.fetch import GuardedFetch
from bridge.net.sandboxed_parse import parse_in_subprocess


def metadata(
    status: int = 200, kind: str = "application/json", **values: object
) -> Callable[[str], web.Response]:
    """The metadata of the app at ``/id``; ``{app}`` stands for its site."""

    def answer(base: str) -> web.Response:
        text = json.dumps({"client_id": "{app}/id", **values}).replace("{app}", base)
        return web.Response(text=text, status=status, content_type=kind)

    return answer


async def read(page: web.Response | str | Callable[[str], web.Response]) -> Client:
    async with client_site({"/id": page}) as app, GuardedFetch(allow_loopback=True) as fetch:
        client = await read_client(f"{app}/id", fetch, None)
        assert client.client_id == f"{app}/id"
        return client


@pytest.mark.parametrize("kind", ["application/json", "application/cid+json"])
async def test_json_metadata(kind: str) -> None:
    client = await read(
        metadata(
            kind=kind,
            client_name="Quillpen",
            client_uri="{app}/",
            redirect_uris=["quillpen://x", "https://elsewhere.example/", 7],
        )
    )
    assert client.name == "Quillpen"
    assert client.redirect_uris == {"quillpen://x", "https://elsewhere.example/"}


async def test_metadata_without_a_name() -> None:
    assert (await read(metadata(client_uri="{app}/"))).name is None


@pytest.mark.parametrize(
    "values",
    [
        {"client_id": "https://somebody-else.example/"},
        {"client_id": "{app}/"},
        {"client_id": "{app}/id/"},
        {"client_id": ["{app}/id"]},
        {"client_id": None},
        {"client_uri": "https://somebody-else.example/"},
        {"client_uri": "{app}.evil.example/"},
        {"client_uri": "{app}/id/below"},
        {"client_uri": 7},
        {"client_uri": "javascript:x"},
        {"status": 201},
        {"status": 404},
        {"status": 500},
        {"padding": "x" * 5200},
    ],
)
async def test_metadata_that_is_not_the_apps_own_is_not_believed(
    values: dict[str, object],
) -> None:
    client = await read(
        metadata(**{"client_name": "Trusty", "redirect_uris": ["evil://x"], **values})  # type: ignore[arg-type]
    )
    assert client.name is None
    assert client.redirect_uris == frozenset()


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"x"', "[" * 4000])
async def test_metadata_that_is_not_an_object_is_ignored(text: str) -> None:
    page = web.Response(text=text, content_type="application/json")
    assert (await read(page)).name is None


async def test_a_redirect_is_not_followed() -> None:
    pages: Pages = {
        "/id": web.Response(status=302, headers={"Location": "/real"}),
        "/real": metadata(client_name="Trusty", redirect_uris=["evil://x"]),
    }
    async with client_site(pages) as app, GuardedFetch(allow_loopback=True) as fetch:
        client = await read_client(f"{app}/id", fetch, None)
    assert client == Client(f"{app}/id", problem="its server answered with status 302")


@pytest.mark.parametrize("kind", ["h-app", "h-x-app"])
async def test_an_app_in_microformats(kind: str) -> None:
    page = (
        f'<div class="{kind}"><img class="u-logo" src="x"><b class="p-name"> Quill\npen </b></div>'
    )
    assert (await read(page)).name == "Quill pen"


async def test_a_page_that_is_a_trap_for_parsers_costs_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twelve kilobytes of which a browser-like parser makes a million elements."""

    async def for_a_moment(function: str, *given: str, page: bytes, seconds: float) -> object:
        return await parse_in_subprocess(function, *given, page=page, seconds=min(seconds, 1.0))

    monkeypatch.setattr(clients, "parse_in_subprocess", for_a_moment)
    trap = "<p class=h-app>" + "".join(f"<b a{number}>" for number in range(500)) + "<p>x" * 2000
    started = time.process_time()
    client = await read(trap)
    assert (client.name, client.problem) == (None, None)
    assert time.process_time() - started < 30


async def test_a_page_without_an_app_is_nameless() -> None:
    page = '<title>Trusty</title><div class="h-card"><b class="p-name">Trusty</b></div>'
    assert (await read(page)).name is None


async def test_a_long_name_is_cut() -> None:
    client = await read(metadata(client_name="x" * 1_000))
    assert client.name is not None
    assert len(client.name) == 80


@pytest.mark.parametrize("name", ["", "  ", "\u200b", 7, None, ["x"], {"en": "x"}])
async def test_an_invisible_name_is_ignored(name: object) -> None:
    assert (await read(metadata(client_name=name))).name is None


async def test_invisible_and_turning_characters_are_taken_out() -> None:
    client = await read(metadata(client_name="Tru\u202esty\u0000\u200b\nApp\ud800"))
    assert client.name == "Tru sty App"


async def test_an_app_inside_the_network_is_never_read(tmp_path: Path) -> None:
    """With the real address guard, an app on loopback is not fetched, and still served."""
    async with scene(tmp_path) as made:
        async with GuardedFetch() as strict:
            made.server.fetch = strict
            question = await made.owner.get(asking(made.app))
        assert "An app wants to sign you in" in rough_words(question.text)
        assert question.status == 200
