"""micropub-helper, a client from npm that is in use: creating, updating, deleting and
querying a post.
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bridge_kit import picture
from demo_kit import Demo

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def found(bridge: Demo, clients: Path) -> dict[str, Any]:
    """The result of each step of ``life_cycle.js``, run against a demo."""
    given = {
        "me": bridge.me,
        "token": bridge.token,
        "picture": base64.b64encode(picture(kind="PNG")).decode(),
    }
    run = subprocess.run(
        ["node", "life_cycle.js"],
        cwd=clients, input=json.dumps(given), capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    steps: dict[str, Any] = json.loads(run.stdout)
    return steps


def test_it_discovers_the_endpoints(found: dict[str, Any], bridge: Demo) -> None:
    assert found["endpoints"] == {
        "micropub": bridge.micropub,
        "auth": bridge.authorization,
        "token": bridge.token_endpoint,
    }
    asked = parse_qs(urlsplit(found["authUrl"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert found["verified"]


def test_it_uploads_and_creates(found: dict[str, Any], bridge: Demo) -> None:
    assert found["photo"].startswith(bridge.media)
    created = found["created"]
    assert created["type"] == ["h-entry"]
    properties = created["properties"]
    assert properties["name"] == ["A title"]
    assert properties["content"] == [{"html": "<p>Hi</p>", "value": "Hi"}]
    assert properties["category"] == ["a", "b"]
    assert [photo["alt"] for photo in properties["photo"]] == ["A sunset"]


def test_forms_and_files(found: dict[str, Any]) -> None:
    assert found["formSource"] == {
        "properties": {"content": ["é & + \r\nline 2"], "category": ["a", "b"]}
    }
    assert len(found["multipartSource"]["properties"]["photo"]) == 1


def test_it_updates_deletes_and_restores(found: dict[str, Any]) -> None:
    updated = found["updated"]["properties"]
    assert updated["content"] == ["new"]
    assert updated["category"] == ["b", "c"]
    assert "name" not in updated
    assert found["gone"] == 400
    assert found["restored"] == found["updated"]


def test_it_lists(found: dict[str, Any]) -> None:
    items = found["list"]["items"]
    assert len(items) == 2
    assert all(item["properties"]["url"] for item in items)
