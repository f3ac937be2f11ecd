"""Names of stored files."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from soak_kit import any_text

from bridge.media.names import MOST_ALIKE, UploadUrls, candidates, is_scaled, scaled, stem

DIGEST = "0123456789abcdef" * 4
ADDRESSES = UploadUrls("media", "https://bridge.example")


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("sea.jpg", "sea"),
        ("IMG_1234.JPG", "img-1234"),
        ("sun set é.jpg", "sun-set-e"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\Photo of us.jpeg", "photo-of-us"),
        ("a.b.c.tar.gz", "a-b-c-tar"),
        ("shell $(rm -rf) `x` 'q\".jpg", "shell-rm-rf-x-q"),
        (".htaccess", "htaccess"),
        ("evil.php.jpg", "evil-php"),
        ("sea-800w.jpg", "sea-800w"),
        ("x" * 500 + ".png", "x" * 60),
        ("2026-11-21 sea.jpg", "2026-11-21-sea"),
        ("20261121_183705.jpg", "20261121-183705"),
        ("0800-12-34.pdf", "file-0800-12-34"),
        ("20261341.jpg", "file-20261341"),
        ("50 years.jpg", "file-50-years"),
    ],
)
def test_a_name_stays_readable_and_is_hard_to_guess(filename: str, name: str) -> None:
    assert stem(filename, DIGEST) == f"{name}-{DIGEST[:12]}"


@pytest.mark.parametrize(
    "filename", ["", "blob", "file", "image.jpg", "海.jpg", "...", "con.jpg", "LPT1", "-.png", "/"]
)
def test_a_name_that_says_nothing_is_replaced_by_the_digest(filename: str) -> None:
    assert stem(filename, DIGEST[::-1]) == DIGEST[::-1][:12]
    assert stem(filename, DIGEST) == f"file-{DIGEST[:12]}"


@given(any_text())
def test_any_name_becomes_a_safe_one(filename: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,76}[a-z0-9])?", stem(filename, DIGEST))
    assert not is_scaled(stem(filename, DIGEST) + ".jpg")


def test_names_are_numbered_until_one_is_free() -> None:
    when = datetime(2026, 3, 1, tzinfo=UTC)
    names = list(candidates("media", "sea.jpg", DIGEST, "jpg", when))
    assert names[:3] == [
        f"media/2026/03/sea-0123456789ab{suffix}.jpg" for suffix in ("", "-2", "-3")
    ]
    assert len(set(names)) == len(names) == MOST_ALIKE


def test_a_scaled_copy_is_recognised_by_its_name() -> None:
    assert scaled("media/2026/03/sea.jpg", 800) == "media/2026/03/sea-800w.jpg"
    assert is_scaled("media/2026/03/sea-800w.jpg")
    assert not is_scaled("media/2026/03/sea-800.jpg")


@pytest.mark.parametrize("path", ["media/2026/11/sea.jpg", "media/old picture (é).JPG"])
def test_a_path_becomes_a_url_and_comes_back(path: str) -> None:
    assert ADDRESSES.path_of(ADDRESSES.url_of(path)) == path


def test_the_url_does_not_show_how_the_folder_is_called() -> None:
    other = UploadUrls("images/uploads", "http://127.0.0.1:8080/")
    url = "http://127.0.0.1:8080/media/2026/11/sea.jpg"
    assert other.url_of("images/uploads/2026/11/sea.jpg") == url
    assert other.path_of(url) == "images/uploads/2026/11/sea.jpg"


@pytest.mark.parametrize(
    "url",
    [
        "https://bridge.example/media/",
        "https://bridge.example/media/../posts/a.md",
        "https://bridge.example/media/%2e%2e/posts/a.md",
        "https://bridge.example/media/a/..%2f..%2f..%2fetc/passwd",
        "https://bridge.example/media/%2Fetc/passwd",
        "https://bridge.example/media/a//b.jpg",
        "https://bridge.example/media/.git/config",
        "https://bridge.example/media/a%00.jpg",
        "https://bridge.example/media/a%5c..%5cb.jpg",
        "https://bridge.example/other/a.jpg",
        "https://bridge.example.evil.example/media/a.jpg",
        "https://me@bridge.example/media/a.jpg",
        "http://bridge.example/media/a.jpg",
        "//bridge.example/media/a.jpg",
        "media/a.jpg",
        "https://[broken/media/a.jpg",
        "",
    ],
)
def test_a_strangers_url_is_no_ones_file(url: str) -> None:
    assert ADDRESSES.path_of(url) is None


def test_the_host_is_compared_without_case() -> None:
    assert ADDRESSES.path_of("HTTPS://Bridge.Example/media/a.jpg") == "media/a.jpg"


@pytest.mark.parametrize("more", ["?x=1", "#t=10", "?x#t=10"])
def test_a_query_or_a_fragment_does_not_make_it_another_file(more: str) -> None:
    assert ADDRESSES.path_of(f"https://bridge.example/media/a.jpg{more}") == "media/a.jpg"
