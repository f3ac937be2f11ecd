"""Input from others cannot start a new line in the log, or send control codes to a terminal
that shows it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from msgspec.structs import replace
from publishing_kit import ALL, bench
from yarl import URL

from bridge.commands.checks import Finding
from bridge.context.fetcher import ContextFetcher
from bridge.errors import Unavailable
from bridge.micropub.action import Create, Delete, Undelete
from bridge.micropub.post import Post
from bridge.net.fetch import GuardedFetch
from bridge.runtime.terminal import LogFormat
from bridge.web.middleware import render_errors

HOSTILE = "\r\n12:00:00 ERROR bridge: all is lost \x1b[2J\x9b2J\u2028"


@pytest.fixture
async def fetch() -> AsyncIterator[GuardedFetch]:
    async with GuardedFetch() as fetch:
        yield fetch


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log's messages, each a single printable line."""
    messages = [record.getMessage() for record in caplog.records]
    assert all(message.isprintable() for message in messages), messages
    return messages


@pytest.mark.parametrize("error", [Unavailable("Not now."), ValueError("a defect")])
async def test_the_path_of_a_request_that_fails(
    aiohttp_client: Callable[..., Awaitable[TestClient[Any, Any]]],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    async def fail(_: web.Request) -> web.Response:
        raise error

    app = web.Application(middlewares=[render_errors])
    app.router.add_get("/{path:.*}", fail)
    client = await aiohttp_client(app)
    await client.get(URL("/media/%0Dfake%1B%5B2J?access_token=secret", encoded=True))
    (message,) = told(caplog)
    assert "GET /media/%0Dfake%1B%5B2J" in message
    assert "secret" not in message


async def test_the_address_of_a_page_that_cannot_be_quoted(
    fetch: GuardedFetch, caplog: pytest.LogCaptureFixture
) -> None:
    async def deliver(post: str, cites: Mapping[str, dict[str, Any]]) -> None:
        pytest.fail(f"nothing is known of {cites} for {post}")

    caplog.set_level(logging.INFO)
    contexts = ContextFetcher(fetch, deliver)
    contexts.start()
    contexts.request("https://example.org/a/", [f"https://x.example/{HOSTILE}"])
    await contexts.idle()
    await contexts.close()
    (message,) = told(caplog)
    assert "all is lost" in message


def test_a_record_of_several_lines_begins_only_one_of_them() -> None:
    """What a plugin prints or a build reports is logged with its lines."""
    record = logging.LogRecord("a", logging.ERROR, "", 1, "said: %s", (HOSTILE + "\nend",), None)
    lines = LogFormat("%(levelname)s %(message)s").format(record).split("\n")
    assert lines[0] == r"ERROR said: \r"
    assert lines[1].startswith("    12:00:00 ERROR bridge: all is lost \\x1b[2J\\x9b2J\\u2028")
    assert lines[2:] == ["    end"]


def test_a_finding_of_check_has_no_codes_for_the_terminal() -> None:
    told = str(Finding("build", f"it fails: {HOSTILE}", "Fix it.")).split("\n")
    assert all(line.isprintable() for line in told)
    assert [line[:5] for line in told] == ["BAD  ", "     ", "     "]


async def test_who_did_what_to_which_post(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bridge.publisher")
    async with bench(tmp_path, {"content/old.md": "Title: Old\nDate: 2020-01-01\n\nx"}, "") as site:
        post = Create(Post("h-entry", MappingProxyType({"content": ("Secret words",)})))
        app = replace(ALL, client_id=f"https://app.example/{HOSTILE}")
        await site.catalogue.refresh(patient=True)
        caplog.clear()  # on a system without Landlock there is a warning
        url = (await site.publisher.carry_out(post, app)).url
        await site.publisher.carry_out(Delete(url), replace(ALL, client_id=None))
        pasted = replace(app, name=f"My script{HOSTILE}")
        await site.publisher.carry_out(Undelete(url), pasted)
    created, deleted, restored = told(caplog)
    assert created.startswith(f"create: {url}, by https://app.example/")
    assert "Secret" not in created
    assert deleted == f"delete: {url}, by an unknown app"
    assert restored.startswith(f"undelete: {url}, by the token 'My script")
