"""Comparing profile URLs, and which URLs can be one."""

from __future__ import annotations

import pytest

from bridge.auth.token import is_me, profile_url
from bridge.net.web_url import BadURL, parse

ME = "https://mysite.example/"


@pytest.mark.parametrize(
    "claimed",
    [
        "https://mysite.example/",
        "https://mysite.example",
        "https://MySite.Example/",
        "HTTPS://mysite.example/",
        "https://mysite.example:443/",
        "https://mysite.example:443",
    ],
)
def test_case_of_the_host_an_empty_path_and_the_default_port_make_no_difference(
    claimed: str,
) -> None:
    assert is_me(claimed, ME)


@pytest.mark.parametrize(
    "claimed",
    [
        "https://mysite.example.evil.example/",
        "https://mysite.example.evil.example",
        "https://evil.example/?x=https://mysite.example/",
        "https://evil.example/#https://mysite.example/",
        "https://evil.example/https://mysite.example/",
        "https://mysite.example@evil.example/",
        "https://evil.example@mysite.example/",
        "https://www.mysite.example/",
        "https://mysite.example/about",
        "https://mysite.example//",
        "https://mysite.example/?",
        "https://mysite.example/?a",
        "https://mysite.example/#",
        "https://mysite.example/.",
        "https://mysite.example/a/../",
        "https://mysite.example/%2e%2e/",
        "https://mysite.example./",
        "https://mysite.exampl",
        "https://mysite.example:8443/",
        "http://mysite.example/",
        "//mysite.example/",
        "mysite.example",
        "https:/mysite.example/",
        "https://mysite.example\\@evil.example/",
        "https://mysite.example\t/",
        " https://mysite.example/",
        "https://mysite.example/\n",
        "https://mysite.example\u3002evil.example/",
        "",
    ],
)
def test_any_other_difference_is_another_profile(claimed: str) -> None:
    assert not is_me(claimed, ME)


def test_a_listed_alias_counts() -> None:
    assert is_me("http://mysite.example", ME, "http://mysite.example/")


def test_a_path_is_part_of_who_someone_is() -> None:
    assert is_me("https://people.example/anna", "https://people.example/anna")
    assert not is_me("https://people.example/Anna", "https://people.example/anna")
    assert not is_me("https://people.example/", "https://people.example/anna")


def test_a_name_in_its_own_script_equals_its_ascii_form() -> None:
    assert is_me("https://xn--bcher-kva.example/", "https://Bücher.example/")


@pytest.mark.parametrize(
    "url", ["https://a.example/", "http://a.example/x/y?z=1", "https://a.example"]
)
def test_profile_urls(url: str) -> None:
    assert profile_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example:8443/",
        "https://a.example:443/",
        "https://192.0.2.1/",
        "https://[2001:db8::1]/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://a.example/#me",
        "https://a.example/#",
        "https://user@a.example/",
        "https://user:pw@a.example/",
        "https://a.example/x/../y",
        "https://a.example/./",
        "ftp://a.example/",
        "mailto:a@a.example",
        "https:///",
        "https://",
        "https://a..example/",
        "https://-a.example/",
        "https://[::1",
        "https://a.example/\udcff",
        "https://a.example/?\udfff",
        "https://a.example:99999/",
    ],
)
def test_no_profile_urls(url: str) -> None:
    with pytest.raises(BadURL):
        profile_url(url)


def test_loopback_urls_can_be_profiles_for_the_demo() -> None:
    assert str(profile_url("http://127.0.0.1:8080/")) == "http://127.0.0.1:8080/"
    assert str(profile_url("http://localhost:8080")) == "http://localhost:8080/"


def test_taking_apart_keeps_path_and_query_as_they_are() -> None:
    assert str(parse("https://A.example:443/%7Ea//b?x=%41&y=+#".removesuffix("#"))) == (
        "https://a.example/%7Ea//b?x=%41&y=+"
    )
