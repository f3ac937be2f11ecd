"""Smaller copies of a photo are offered to browsers, in every theme's own way."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from PIL import Image
from plugin_site import SITE, THEMES, build, note, post

PHOTO = note({"photo": [{"value": "{static}/media/sea.jpg", "alt": "The sea"}]})


def picture(folder: Path, name: str, width: int) -> None:
    (folder / "content" / "media").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, width // 2), "navy").save(folder / "content" / "media" / name)


@pytest.mark.parametrize("theme", ["simple", "sample"])
def test_copies_beside_a_photo_become_its_srcset(tmp_path: Path, theme: str) -> None:
    for name, width in (("sea.jpg", 1200), ("sea-800w.jpg", 800), ("sea-400w.jpg", 400)):
        picture(tmp_path, name, width)
    built = build(tmp_path, {"one": post("one", PHOTO)}, **THEMES[theme])
    image = BeautifulSoup(built.text("one.html"), "html5lib").select_one("img.u-photo[srcset]")
    assert image is not None
    media = f"{SITE}/media/sea"
    assert image["srcset"] == f"{media}-400w.jpg 400w, {media}-800w.jpg 800w, {media}.jpg 1200w"
    assert (image["width"], image["height"]) == ("1200", "600")
    found = built.entry("one.html")["photo"][0]
    assert (found["value"], found["alt"]) == (f"{media}.jpg", "The sea")


def test_a_query_and_a_fragment_stay_on_the_address_of_a_photo(tmp_path: Path) -> None:
    for name, width in (("sea.jpg", 1200), ("sea-800w.jpg", 800)):
        picture(tmp_path, name, width)
    own = "{static}/media/sea.jpg?v=1&w=2#xywh=0,0,9,9"
    body = f"[a part]({own})"
    built = build(tmp_path, {"one": post("one", note({"photo": [own]}), body)})
    shown = f"{SITE}/media/sea.jpg?v=1&w=2#xywh=0,0,9,9"
    assert built.entry("one.html")["photo"][0]["value"] == shown
    page = BeautifulSoup(built.text("one.html"), "html5lib")
    assert [each["href"] for each in page.select("a") if each.text == "a part"] == [shown]
    image = page.select_one("img.u-photo[srcset]")
    assert image is not None
    assert image["srcset"] == f"{SITE}/media/sea-800w.jpg 800w, {shown} 1200w"


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_photo_without_copies_or_pixels_is_unchanged(
    tmp_path: Path, content: bytes | None
) -> None:
    picture(tmp_path, "sea.jpg", 1200)
    if content is not None:
        picture(tmp_path, "sea-400w.jpg", 400)
        (tmp_path / "content" / "media" / "sea.jpg").write_bytes(content)
    built = build(tmp_path, {"one": post("one", PHOTO)})
    assert "srcset" not in built.text("one.html")
    assert built.entry("one.html")["photo"][0]["value"] == f"{SITE}/media/sea.jpg"
