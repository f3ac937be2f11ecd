"""The media endpoint: tests 700-702 of the public suite."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import partial

import pytest
from bridge_kit import Client, picture
from PIL import Image


def large_gif() -> bytes:
    """A GIF of over two megabytes, more than aiohttp accepts by default."""
    frame = Image.frombytes("P", (1600, 1500), os.urandom(1600 * 1500))
    file = io.BytesIO()
    frame.save(file, "GIF")
    return file.getvalue()


@pytest.mark.parametrize(
    ("filename", "content_type", "data"),
    [
        pytest.param("sunset.jpg", "image/jpeg", partial(picture, "coral"), id="700_jpeg"),
        pytest.param("logo.png", "image/png", partial(picture, "teal", "PNG"), id="701_png"),
        pytest.param("dance.gif", "image/gif", large_gif, id="702_gif_over_two_megabytes"),
    ],
)
async def test_an_upload_is_served_at_once_with_its_exact_type(
    client: Client, filename: str, content_type: str, data: Callable[[], bytes]
) -> None:
    endpoint = (await client.query(q="config"))["media-endpoint"]
    part = ("file", data(), {"filename": filename, "content_type": content_type})
    answer = await client.multipart(part, status=201, url=endpoint)
    async with client.http.get(answer.location) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == content_type
        assert await response.read()


@pytest.mark.parametrize("more", ["#xywh=0,0,9,9", "?v=1"])
async def test_a_part_of_an_upload_is_committed_and_read_back(client: Client, more: str) -> None:
    part = (
        "file",
        picture("tan" if "#" in more else "plum"),
        {"filename": "part.jpg", "content_type": "image/jpeg"},
    )
    sent = (await client.multipart(part, status=201, url=client.bridge.media)).location
    post = await client.create(content=[f"See {sent}{more}"], photo=[f"{sent}{more}"])
    changed = client.bridge.git("show", "--format=", "main")
    assert f"b/content/{sent[sent.index('media/') :]}" in changed
    assert changed.count(f"{{static}}/{sent[sent.index('media/') :]}{more}") == 2
    assert (await client.source(post))["photo"] == [f"{sent}{more}"]
    assert (await client.source(post))["content"] == [f"See {sent}{more}"]
