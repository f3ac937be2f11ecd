"""The type of an upload, by its bytes alone."""

from __future__ import annotations

import pytest
from media_samples import OTHER_KINDS, REFUSED, encoded, film, jpeg, moving, picture

from bridge.errors import InvalidRequest, UnsupportedMediaType
from bridge.media.formats.sniff import KINDS, identify, sniff


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
    with pytest.raises(UnsupportedMediaType, match="TIFF"):
        sniff(REFUSED["tiff"])


def test_an_empty_file_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        sniff(b"")


def test_the_first_bytes_suffice() -> None:
    assert identify(jpeg()[:16]) is not None


def test_every_kind_has_an_extension_of_its_own() -> None:
    assert len({kind.type for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(99), "JPEG 2000"),
        (b"\xff\x4f\xff\x51" + bytes(99), "JPEG 2000"),
        (b"\xff\x0a" + bytes(99), "JPEG XL"),
        (b"#!AMR\n" + bytes(99), "AMR"),
        (b"#!AMR-WB\n" + bytes(99), "AMR"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(99), "HEIC"),
        (b"BM\x46\x00\x00\x00\x00\x00\x00\x00" + bytes(99), "BMP"),
        (b"8BPS\x00\x01" + bytes(99), "Photoshop"),
        (b"FORM\x00\x00\x10\x00AIFF" + bytes(99), "AIFF"),
        (b"RIFF\x00\x00\x10\x00AVI LIST" + bytes(99), "AVI"),
        (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska" + bytes(99), "Matroska"),
        (b"PK\x03\x04" + bytes(26) + b"word/document.xml", "office"),
        (b"PK\x03\x04" + bytes(26) + b"photo.jpg", "archive"),
        (b"#!/bin/sh\n", "program"),
        (b"\x7fELF" + bytes(99), "program"),
    ],
)
def test_a_refused_file_is_called_by_its_right_name(data: bytes, words: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="is not accepted here") as refused:
        sniff(data)
    subject = refused.value.description.partition("is not accepted")[0]
    assert words in subject
    assert "A program" not in subject or words == "program"
    assert "image/jpeg" not in subject
