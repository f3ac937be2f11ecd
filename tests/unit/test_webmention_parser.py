"""Parsing a source: whether it links, and its h-entry."""

from __future__ import annotations

import json

import pytest
from hearing_kit import POST

from bridge.net.link_rels import charset_of
from bridge.webmention.incoming.verification.parser import read

SOURCE = "https://bob.example/reply"


MATCHES = [
    ("a fragment", f"{POST}#part", f'<a href="{POST}#part">x</a>', "text/html", True),
    ("another fragment", f"{POST}#part", f'<a href="{POST}">x</a>', "text/html", False),
    ("no last slash", POST, f'<a href="{POST.rstrip("/")}">x</a>', "text/html", False),
    ("the host's case", POST, '<a href="HTTPS://Example.com/2026/hello/">', "text/html", True),
    ("a comment", POST, f'<!-- <a href="{POST}">x</a> -->', "text/html", False),
    ("text", POST, f"<p>{POST}</p>", "text/html", False),
    ("escaped", POST, f"&lt;a href=\"{POST}\"&gt;x", "text/html", False),
    ("a template", POST, f'<template><a href="{POST}">x</a></template>', "text/html", False),
    ("a script", POST, f"<script>'<a href=\"{POST}\">'</script>", "text/html", False),
    ("plain text", POST, f"See {POST} there", "text/plain", True),
    ("JSON", POST, json.dumps({"a": [{"b": POST}]}), "application/json", True),
    ("JSON and more", POST, json.dumps({"a": f"see {POST}"}), "application/json", False),
    ("an image", POST, f'<img src="{POST}">', "text/html", True),
    ("a video", POST, f'<video src="{POST}"></video>', "text/html", True),
    ("a source", POST, f'<audio><source src="{POST}"></audio>', "text/html", True),
    ("an area", POST, f'<map><area href="{POST}"></map>', "text/html", True),
    ("a quotation", POST, f'<blockquote cite="{POST}">x</blockquote>', "text/html", True),
    ("another type", POST, f'<a href="{POST}">x</a>', "application/pdf", False),
    ("XHTML", POST, f'<a href="{POST}">x</a>', "application/xhtml+xml", True),
]  # fmt: skip


@pytest.mark.parametrize("case", MATCHES, ids=[each[0] for each in MATCHES])
def test_the_link_is_searched_for_by_media_type(case: tuple[str, str, str, str, bool]) -> None:
    _, target, body, kind, links = case
    assert read(body.encode(), SOURCE, SOURCE, target, kind, "")["linked"] is links


def test_links_are_resolved_as_browsers_do() -> None:
    page = b'<base href="https://example.com"><a href="">x</a>'
    assert read(page, SOURCE, SOURCE, "https://example.com/", "text/html", "")["linked"]
    page = '<a href="https://b\u00fccher.example:8443/caf\u00e9/">x</a>'.encode()
    target = "https://xn--bcher-kva.example:8443/caf%C3%A9/"
    assert read(page, SOURCE, SOURCE, target, "text/html", "")["linked"]


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        *[("utf8", "utf-8"), ("UTF-8", "utf-8"), ("latin1", "cp1252"), ("shift_jis", "cp932")],
        *[("idna", ""), ("unicode_escape", ""), ("x-user-defined", ""), ("no", ""), (None, "")],
    ],
)
def test_a_charset_is_what_the_web_means_by_it(label: str | None, codec: str) -> None:
    assert charset_of(label) == codec


def test_a_tombstone_is_distinguished_from_a_page() -> None:
    page = b'<META HTTP-EQUIV="STATUS" CONTENT="410 Gone">'
    assert read(page, SOURCE, SOURCE, POST, "text/html", "")["gone"]
    assert not read(b"<p>410 Gone", SOURCE, SOURCE, POST, "text/html", "")["gone"]


def test_of_several_entries_the_one_with_the_source_as_its_address_speaks() -> None:
    page = "".join(
        f'<article class="h-entry"><a class="u-url" href="{url}"></a>'
        f'<a class="u-like-of" href="{POST}"></a><p class="e-content">{url}</p></article>'
        for url in ("https://bob.example/1", SOURCE)
    )
    said = read(page.encode(), SOURCE, SOURCE, POST, "text/html", "")
    assert said["entry"]["text"] == SOURCE
    other = read(page.encode(), "https://bob.example/feed", "https://bob.example/feed", POST,
                 "text/html", "")  # fmt: skip
    assert other["linked"]
    assert other["entry"] is None


def test_the_author_comes_from_the_entry_then_the_page_then_rel_author() -> None:
    link = f'<a href="{POST}">x</a>'
    inside = f'<div class="h-entry"><b class="p-author h-card">In</b>{link}</div>'
    beside = f'<div class="h-entry">{link}</div><a class="h-card" href="/">Beside</a>'
    rel = f'<a rel="author" href="/me">me</a><div class="h-entry">{link}</div>'
    authors = [
        read(page.encode(), SOURCE, SOURCE, POST, "text/html", "")["entry"]["author"]
        for page in (inside, beside, rel)
    ]
    assert authors == [
        {"name": "In"},
        {"name": "Beside", "url": "https://bob.example/"},
        {"url": "https://bob.example/me"},
    ]


def test_a_text_keeps_its_paragraphs_and_loses_what_is_no_text() -> None:
    content = "<p>One <b>two</b></p>\n<p>three<br>four<ul><li>five<li>six</ul><script>x</script>"
    page = f'<div class="h-entry"><a href="{POST}"></a><div class="e-content">{content}</div></div>'
    said = read(page.encode(), SOURCE, SOURCE, POST, "text/html", "")
    assert said["entry"]["text"] == "One two\nthree\nfour\nfive\nsix"
