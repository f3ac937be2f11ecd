"""The desk's icon on a home screen."""

from __future__ import annotations

from io import BytesIO

import pytest
from bridge_kit import picture
from PIL import Image

from bridge.desk.icon import OwnersPhoto, drawn
from bridge.net.fetch import Fetched, FetchError

URL = "https://example.com/me.jpg"


class Site:
    """Answers every URL with the same response."""

    def __init__(self, answer: bytes | None, status: int = 200) -> None:
        self.answer, self.status, self.asked = answer, status, 0

    async def fetch(self, url: str, *, max_bytes: int, accept: str) -> Fetched:
        assert (url, accept, max_bytes > 0) == (URL, "image/*", True)
        self.asked += 1
        if self.answer is None:
            raise FetchError("refused")
        return Fetched(url, self.status, {}, self.answer)


def shown(icon: bytes) -> Image.Image:
    return Image.open(BytesIO(icon)).convert("RGBA")


@pytest.mark.parametrize("maskable", [False, True])
async def test_the_owners_photo_fills_the_icon(maskable: bool) -> None:
    photo = await OwnersPhoto(Site(picture("#c02010"))).of(URL)
    icon = shown(drawn("A", 192, maskable=maskable, photo=photo))
    assert icon.size == (192, 192)
    red, green, blue, alpha = icon.getpixel((96, 20))  # type: ignore[misc]
    assert (red > 170, green < 60, blue < 60, alpha) == (True, True, True, 255)
    corner = icon.getpixel((0, 0))
    assert isinstance(corner, tuple)
    assert (corner[3] == 255) == maskable


@pytest.mark.parametrize("site", [Site(None), Site(b"no picture"), Site(picture("red"), 404)])
async def test_without_an_available_photo_the_icon_is_a_letter(site: Site) -> None:
    photos = OwnersPhoto(site)
    assert await photos.of(URL) == b""
    assert await photos.of(URL) == b""
    # Repeated requests for the icon do not fetch the photo again.
    assert site.asked == 1
    assert shown(drawn("A", 192, maskable=False)).getpixel((96, 5)) == (14, 97, 99, 255)


async def test_an_invalid_url_is_not_fetched() -> None:
    site = Site(None)
    assert await OwnersPhoto(site).of("") == b""
    assert await OwnersPhoto(site).of("javascript:x") == b""
    assert site.asked == 0
