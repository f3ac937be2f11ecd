"""What an upload is, by its bytes alone."""

from __future__ import annotations

import pytest
from media_samples import OTHER_KINDS, REFUSED, encoded, film, jpeg, moving, picture

from bridge.errors import InvalidRequest, UnsupportedMediaType
from bridge.media.sniff import KINDS, identify, sniff


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_photos_are_known_by_their_bytes(form: str) -> None:
    assert sniff(encoded(picture(), form)).type == f"image/{form.lower()}"


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_moving_pictures_are_pictures(form: str) -> None:
    assert sniff(moving(form)).family == "image"


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_sound_film_and_paper_are_known(name: str) -> None:
    data, expected = OTHER_KINDS[name]
    assert sniff(data).type == expected


def test_a_phones_film_is_a_film() -> None:
    assert sniff(film()).type == "video/mp4"


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_run_or_is_unknown_is_refused(name: str) -> None:
    assert identify(REFUSED[name]) is None
    with pytest.raises(UnsupportedMediaType, match="is not accepted here"):
        sniff(REFUSED[name])


def test_the_refusal_names_what_came() -> None:
    with pytest.raises(UnsupportedMediaType, match="SVG"):
        sniff(REFUSED["svg"])
    with pytest.raises(UnsupportedMediaType, match="HEIC"):
        sniff(REFUSED["heic"])
    with pytest.raises(UnsupportedMediaType, match="image/tiff"):
        sniff(REFUSED["tiff"])


def test_an_empty_file_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        sniff(b"")


def test_the_first_bytes_suffice() -> None:
    assert identify(jpeg()[:16]) is not None


def test_every_kind_has_an_extension_of_its_own() -> None:
    assert len({kind.type for kind in KINDS.values()}) == len(KINDS)
