"""The desk's icon on a home screen: the first letter of its owner's name, or else a pencil."""

from __future__ import annotations

import io
import unicodedata
from functools import cache

from aiohttp import hdrs, web

from bridge.pages.render import HOST

_PAPER, _ACCENT = "#fbf9f4", "#0e6163"
#: The name of each, its width, and whether a phone cuts its own shape out of it: then it fills the
#: square, and what counts is in a circle of four fifths (W3C Web Application Manifest, 3.1).
ICONS = {"192": (192, False), "512": (512, False), "maskable": (512, True)}
#: The pencil of ``icon.svg``, in a square of 32.
_PENCIL = ((9, 23), (11, 17), (21, 7), (23, 7), (25, 9), (25, 11), (15, 21))
_SCALE = 4


async def icon(request: web.Request) -> web.Response:
    """GET ``/desk/icon-NAME.png``: one of :data:`ICONS`."""
    found = ICONS.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    host = request.app[HOST]
    size, maskable = found
    body = drawn((host.name or host.me.partition("://")[2])[:1].upper(), size, maskable=maskable)
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


@cache
def drawn(letter: str, size: int, *, maskable: bool) -> bytes:
    """An icon as PNG, with a letter on it."""
    # Nothing else of the desk needs it, and hardly anyone asks for an icon twice.
    from PIL import Image, ImageDraw, ImageFont, features  # noqa: PLC0415

    # Drawn larger and made smaller, so that its edges are smooth.
    wide = size * _SCALE
    image = Image.new("RGBA", (wide, wide))
    draw = ImageDraw.Draw(image)
    radius = 0 if maskable else wide * 7 // 32
    draw.rounded_rectangle((0, 0, wide - 1, wide - 1), radius, fill=_ACCENT)
    # The font that Pillow brings along has no letters but these.
    plain = unicodedata.normalize("NFKD", letter)[:1]
    if plain.isascii() and plain.isalnum() and features.check("freetype2"):
        font = ImageFont.load_default(wide * (9 if maskable else 11) // 20)
        draw.text((wide / 2, wide / 2), plain, fill=_PAPER, font=font, anchor="mm")
    else:
        each, shift = (wide / 40, wide / 10) if maskable else (wide / 32, 0)
        draw.polygon([(x * each + shift, y * each + shift) for x, y in _PENCIL], fill=_PAPER)
    out = io.BytesIO()
    image.resize((size, size)).save(out, "PNG", optimize=True)
    return out.getvalue()
