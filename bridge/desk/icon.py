"""The desk's icon on a home screen: the owner's photo, or the first letter of their name, or a
pencil."""

from __future__ import annotations

import asyncio
import io
import logging
import unicodedata
from contextlib import suppress
from functools import lru_cache

from aiohttp import hdrs, web
from msgspec import Struct, field

from bridge.context.fetcher import Fetch
from bridge.desk.desk import DESK, Desk
from bridge.errors import SiteBroken
from bridge.micropub.urls import is_web
from bridge.net.fetch import FetchError
from bridge.pages.host import HOST
from bridge.runtime.expiring_map import ExpiringMap
from bridge.syndication.compose.images import NoImage, fit_in_subprocess

log = logging.getLogger(__name__)

_PAPER, _ACCENT = "#fbf9f4", "#0e6163"
#: The name of each, its width, and whether a phone cuts its own shape out of it: then it fills the
#: square, and what counts is in a circle of four fifths (W3C Web Application Manifest, 3.1).
ICONS = {"192": (192, False), "512": (512, False), "maskable": (512, True)}
#: The pencil of ``icon.svg``, in a square of 32.
_PENCIL = ((9, 23), (11, 17), (21, 7), (23, 7), (25, 9), (25, 11), (15, 21))
_SCALE = 4
_PHOTO_BYTES, _LARGEST = 5_000_000, 512


class OwnersPhoto(Struct, frozen=True):
    """Fetches the owner's photo, and caches the result for an hour."""

    fetch: Fetch
    known: ExpiringMap[bytes] = field(default_factory=lambda: ExpiringMap(seconds=3600, most=4))
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def of(self, url: str) -> bytes:
        """A PNG or JPEG of :data:`_LARGEST` pixels a side at most; empty where there is none."""
        async with self._turn:
            if (known := self.known.get(url)) is None:
                known = await self._fetched(url) if is_web(url) else b""
                self.known.put(url, known)
            return known

    async def _fetched(self, url: str) -> bytes:
        try:
            found = await self.fetch.fetch(url, max_bytes=_PHOTO_BYTES, accept="image/*")
            if found.status != 200:
                return b""
            fitted = await fit_in_subprocess(
                found.body,
                most_bytes=_PHOTO_BYTES,
                longest=_LARGEST,
                mimes=("image/png", "image/jpeg"),
            )
        except (FetchError, NoImage) as error:
            log.info("no photo for the icon from %r: %s", url, error)
            return b""
        return fitted.data


PHOTO = web.AppKey("photo", OwnersPhoto)


def _photo_of(desk: Desk) -> str:
    """The address of the owner's photo, from the bridge's settings, or else from the site's."""
    if desk.settings.indieauth.photo:
        return desk.settings.indieauth.photo
    with suppress(SiteBroken):
        facts = desk.catalogue.site.facts
        photo = facts.values.get("INDIEAUTH_PHOTO")
        if isinstance(photo, str):
            root = facts.siteurl or desk.settings.site.me.rstrip("/")
            return root + photo if photo.startswith("/") else photo
    return ""


async def icon(request: web.Request) -> web.Response:
    """GET ``/desk/icon-NAME.png``: one of :data:`ICONS`."""
    found = ICONS.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    host = request.app[HOST]
    size, maskable = found
    photo = await request.app[PHOTO].of(_photo_of(request.app[DESK]))
    letter = (host.name or host.me.partition("://")[2])[:1].upper()
    body = drawn(letter, size, maskable=maskable, photo=photo)
    headers = {hdrs.CACHE_CONTROL: "public, max-age=86400"}
    return web.Response(body=body, content_type="image/png", headers=headers)


def described() -> list[dict[str, str]]:
    """The icons, as the manifest has them."""
    return [
        {
            "src": f"/desk/icon-{name}.png",
            "sizes": f"{size}x{size}",
            "type": "image/png",
            "purpose": "maskable" if maskable else "any",
        }
        for name, (size, maskable) in ICONS.items()
    ]


@lru_cache(maxsize=12)
def drawn(letter: str, size: int, *, maskable: bool, photo: bytes = b"") -> bytes:
    """An icon as PNG, with a photo (PNG or JPEG) or else a letter on it."""
    # Nothing else of the desk needs it, and an icon is hardly requested twice.
    from PIL import Image, ImageDraw, ImageFont, ImageOps, features  # noqa: PLC0415

    # Drawn larger and scaled down, for smooth edges.
    wide = size * (_SCALE if not photo else 2)
    shape = Image.new("L", (wide, wide))
    radius = 0 if maskable else wide * 7 // 32
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, wide - 1, wide - 1), radius, fill=255)
    image = Image.new("RGBA", (wide, wide), _PAPER if photo else _ACCENT)
    draw = ImageDraw.Draw(image)
    # The font that Pillow includes has only these letters.
    plain = unicodedata.normalize("NFKD", letter)[:1]
    if photo:
        with Image.open(io.BytesIO(photo), formats=("PNG", "JPEG")) as seen:
            image.alpha_composite(ImageOps.fit(seen.convert("RGBA"), image.size))
    elif plain.isascii() and plain.isalnum() and features.check("freetype2"):
        font = ImageFont.load_default(wide * (9 if maskable else 11) // 20)
        draw.text((wide / 2, wide / 2), plain, fill=_PAPER, font=font, anchor="mm")
    else:
        each, shift = (wide / 40, wide / 10) if maskable else (wide / 32, 0)
        draw.polygon([(x * each + shift, y * each + shift) for x, y in _PENCIL], fill=_PAPER)
    image.putalpha(shape)
    out = io.BytesIO()
    image.resize((size, size)).save(out, "PNG", optimize=True)
    return out.getvalue()
