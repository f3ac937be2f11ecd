"""The questions of ``init``: what people type, and what becomes of it."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from bridge.commands import cli
from bridge.commands.init.interview import Interview
from bridge.errors import Refused


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> Interview:
    """An interview with somebody who types these lines, and then ends the input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return Interview(ask=True)


@pytest.mark.parametrize(
    ("answer", "url"),
    [
        ("you.example", "https://you.example/"),
        ("  You.Example/blog/ ", "https://you.example/blog/"),
        ("http://you.example", "http://you.example/"),
        ("'https://you.example/'", "https://you.example/"),
        ("bücher.example", "https://xn--bcher-kva.example/"),
        ("localhost", "http://localhost/"),
        ("localhost:8000/blog/", "http://localhost:8000/blog/"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("[::1]:8000", "http://[::1]:8000/"),
        ("https://nas/", "https://nas/"),
        ("", "https://example.com/"),
    ],
)
def test_urls_as_people_type_them(monkeypatch: pytest.MonkeyPatch, answer: str, url: str) -> None:
    assert typed(monkeypatch, answer).me(None, "https://example.com/") == url


@pytest.mark.parametrize(
    "answer",
    ["you", "https:/you.example", "http:you.example", "you example", "you@you.example", "[x",
     "https://you.example:8443/", "https://you.example/#me", "ftp://you.example"],
)  # fmt: skip
def test_an_invalid_url_is_refused_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    interview = typed(monkeypatch, answer, "you.example")
    assert interview.me(None, "https://example.com/") == "https://you.example/"
    assert f"{answer!r} cannot be your site's URL: " in capsys.readouterr().out


def test_a_wrong_answer_without_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="'you' cannot be your site's URL"):
        typed(monkeypatch, "you").me(None, "https://example.com/")


def test_a_siteurl_that_is_no_profile_url_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match=r"SITEURL, 'http://0.0.0.0:8000', cannot be .* --me"):
        typed(monkeypatch, "").me(None, "http://0.0.0.0:8000")


def test_it_does_not_ask_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="cannot be the bridge's URL"):
        typed(monkeypatch, *["http://bridge.you.example"] * 50).bridge(None)


def test_a_bridge_below_a_path_of_the_site_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interview = typed(monkeypatch, "https://you.example/blog/bridge", "https://you.example")
    assert interview.bridge(None) == "https://you.example/"
    assert "cannot be below a path" in capsys.readouterr().out


def test_the_bridge_of_a_site_on_this_machine_has_a_name_for_passkeys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interview = typed(monkeypatch, "http://127.0.0.1:8000", "", "")
    interview.me(None, "")
    assert interview.bridge(None) == "http://localhost:8080/"
    assert interview.bridge(None, "http://localhost:8000") == "http://localhost:8000/"


@pytest.mark.parametrize(
    ("named", "suggested"),
    [
        ("https://posts.example.com", "https://posts.example.com/"),
        ("http://127.0.0.1:8000/", "https://bridge.example.com/"),
        ("http://posts.example.com", "https://bridge.example.com/"),
    ],
)
def test_the_bridge_that_the_settings_name_is_suggested_if_it_can_be_that_of_the_site(
    monkeypatch: pytest.MonkeyPatch, named: str, suggested: str
) -> None:
    interview = typed(monkeypatch, "", "")
    interview.me(None, "https://example.com/")
    assert interview.bridge(None, named) == suggested


def test_ctrl_c_ends_a_command_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bridge.commands.init.init.init", interrupted)
    assert cli.main(["init"]) == 130
    assert capsys.readouterr().err == "\nmicropub-bridge: interrupted\n"


def test_a_user_without_a_home_folder_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    homes = list[Path]()
    monkeypatch.setattr(
        "bridge.commands.init.init.init", lambda *_, **__: homes.append(Path.home())
    )
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    monkeypatch.setenv("HOME", "")
    monkeypatch.delenv("HOME")
    assert cli.main(["init", "--skip-build"]) == 0
    assert homes == [Path("/nonexistent")]
