"""Pages in the reader's language: every catalogue has all messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import make_mocked_request
from babel.messages.catalog import Catalog

from bridge.content.file import refuse_other_formats
from bridge.desk.compose import edit_post
from bridge.errors import BridgeError
from bridge.http.multipart import MultipartForm
from bridge.media.formats.sniff import sniff
from bridge.micropub.dates import parse_date
from bridge.micropub.urls import link
from bridge.micropub.values import refuse_many_files
from bridge.pages import language
from bridge.pages.language import counted, device, speak, translated
from bridge.pages.webmention import STATUS_TEXT, form_page, refusal_page, state_page
from bridge.rebuild import worker
from bridge.webmention.incoming.request_checks import UNKNOWN_TARGET
from tools import catalogues

LANGUAGES = sorted(set(language.LANGUAGES) - {"en"})


@pytest.fixture(scope="module")
def messages() -> Catalog:
    return catalogues.messages()


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_every_message_is_translated(spoken: str, messages: Catalog) -> None:
    assert catalogues.missing(catalogues.updated(spoken, messages)) == []


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_catalogues_have_no_unused_messages_and_are_compiled(
    spoken: str, messages: Catalog
) -> None:
    catalogue = catalogues.updated(spoken, messages)
    folder = catalogues.LOCALE / spoken / "LC_MESSAGES"
    # Compared before, since pytest would look for the differences for minutes.
    is_written = (folder / "bridge.po").read_bytes() == catalogues.written(catalogue)
    is_compiled = (folder / "bridge.mo").read_bytes() == catalogues.compiled(catalogue)
    assert (is_written, is_compiled) == (True, True), "run python -m tools.catalogues"


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_a_translation_has_the_placeholders_and_tags_of_its_message(spoken: str) -> None:
    parts = re.compile(r"%\(\w+\)s|\{\w+\}|</?\w+[^>]*>")
    for message in catalogues.read(spoken):
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        for one, text in zip(ids, texts, strict=True):
            assert sorted(parts.findall(str(text))) == sorted(parts.findall(str(one))), one


@pytest.mark.parametrize(
    ("wanted", "spoken"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("pt-BR,pt;q=0.9,fr;q=0.8,en;q=0.7", "fr"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("en;q=0.2, ES ;q=0.7", "es"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("de;q=nan,fr;q=inf,es;q=-1", "en"),
        ("de;level=1", "en"),
        (";;,=,q=1,\x00", "en"),
        ("xx," * 10_000 + "de", "en"),
    ],
)
def test_pages_use_the_readers_language(wanted: str, spoken: str) -> None:
    assert language.preferred(wanted) == spoken


def test_dates_are_formatted_for_the_readers_language() -> None:
    moment = datetime(2026, 11, 26, 20, 27, tzinfo=UTC).timestamp()
    written = {}
    for spoken in language.LANGUAGES:
        language.speak(spoken)
        written[spoken] = language.when(moment), language.ago(7200), language.ago(60)
    language.speak("en")
    assert written == {
        "en": ("26 November 2026, 20:27 UTC", "2 hours ago", "1 minute ago"),
        "de": ("26. November 2026, 20:27 UTC", "vor 2 Stunden", "vor 1 Minute"),
        "es": ("26 de noviembre de 2026, 20:27 UTC", "hace 2 horas", "hace 1 minuto"),
        "fr": ("26 novembre 2026, 20:27 UTC", "il y a 2 heures", "il y a 1 minute"),
    }


def test_time_zones_have_the_names_that_the_reader_knows() -> None:
    for spoken, zone, named in (
        ("de", "Europe/Berlin", "MEZ"),
        ("de", "Europe/Lisbon", "WEZ"),
        ("de", "America/New_York", "EST"),
        ("fr", "Europe/Paris", "CET"),
        ("en", "Europe/Berlin", "CET"),
    ):
        language.speak(spoken)
        assert language.when(1_795_000_000, ZoneInfo(zone)).endswith(f" {named}")
    language.speak("en")


def test_a_browser_is_named_in_the_readers_language() -> None:
    for spoken, named in {
        "en": ["Chrome on Linux", "Unknown browser", "Test"],
        "de": ["Chrome auf Linux", "Unbekannter Browser", "Test"],
    }.items():
        speak(spoken)
        devices = ("Chrome on Linux", "Unknown browser", "Test")
        assert [device(each) for each in devices] == named
    speak("en")


def test_all_sentences_in_templates_are_translatable() -> None:
    bare = {}
    for template in sorted(catalogues.PAGES.glob("templates/**/*.html")):
        text = template.read_text()
        text = re.sub(r"{% trans.*?endtrans %}|{#.*?#}|{%.*?%}|{{.*?}}", "", text, flags=re.DOTALL)
        text = re.sub(r"<[^>]*>|\S+=\"[^\"]*\"|\w\S*\.\S+/\S+", "\n", text)
        # A colon is a part of the sentence, too: French has a space before it.
        words = [line.strip() for line in text.split("\n") if re.search(r"[a-z]{2}|^\s*:", line)]
        if words:
            bare[template.name] = words
    assert bare == {}


def errors() -> Iterator[str]:
    """The error messages of a few requests, as an app receives them."""
    form = MultipartForm("multipart/form-data; boundary=b", max_fields=2, max_text=9)
    long_text = b'--b\r\nContent-Disposition: form-data; name="summary"\r\n\r\n0123456789'
    fails: list[Callable[[], object]] = [
        lambda: parse_date("soon", UTC),
        lambda: sniff(b"II*\0 a photo"),
        lambda: link("in-reply-to", "two words"),
        lambda: refuse_many_files({"photo": 1234}),
        lambda: refuse_other_formats("content/a {name}.org"),
        lambda: form.feed(long_text),
    ]
    for fail in fails:
        with pytest.raises(BridgeError) as raised:
            fail()
        yield raised.value.description


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_an_error_with_placeholders_is_translated(spoken: str) -> None:
    named = ("soon", "TIFF", "two words", "100", "content/a {name}.org", "summary")
    for name, text in zip(named, errors(), strict=True):
        speak(spoken)
        said = translated(text)
        assert name in text
        assert name in said
        assert said != text
        # What is put in is translated, too, where it is a word of ours.
        assert "not accepted" not in said
        assert "camera" not in said
        assert translated(f"The repo cannot be used just now: {text}.").endswith(f"{said}.")
        speak("en")
        assert translated(text) == text


def test_numbers_and_plurals_are_localised() -> None:
    text = next(text for text in errors() if "1,234" in text)
    for spoken, figure in (("de", "1.234"), ("fr", "1\u202f234"), ("en", "1,234")):
        speak(spoken)
        assert figure in translated(text)
    speak("de")
    assert counted("{count} file added.", "{count} files added.", 1) == "1 Datei hinzugefügt."
    assert counted("{count} file added.", "{count} files added.", 2) == "2 Dateien hinzugefügt."


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_other_texts_are_not_messages(spoken: str) -> None:
    speak(spoken)
    for text in ("", "A post of mine", "3 November 2026, 12:00 CET", "photo.jpg: 5 kB", "{", "{}"):
        assert translated(text) == text
    assert translated("x" * 100_000) == "x" * 100_000
    speak("en")


@pytest.mark.parametrize(
    "text",
    [
        *(
            worker._FULL,
            "Undo",
            edit_post._CHANGED,
            "Fill this in.",
            "A password needs at least 10 characters.",
        ),
        *("Not found", "There is nothing at this address."),
    ],
)
@pytest.mark.parametrize("spoken", LANGUAGES)
def test_words_outside_of_templates_are_translated(spoken: str, text: str) -> None:
    speak(spoken)
    assert translated(text) != text


@pytest.mark.parametrize(
    "text",
    [
        "Could not process a.md: ValueError: 'x' is not a valid date",
        "Could not process a.md: UnicodeDecodeError: 'utf-8' codec can't decode: save the file in"
        " UTF-8",
        "Skipping content/a.md: could not find information about 'date'",
        "Skipping content/a.md: file '../x.html' would be written outside output path",
        "Unknown status 'x' for file content/a.md, skipping it. (Not in ('published', 'hidden'))",
        "Unknown status 'x' for file content/a.md, skipping it.",
        "index.html cannot be made: UndefinedError: 'x' is undefined",
        "two pages are to be written to a/index.html",
        "content/a.md and content/b.md are both to be written to a.html: change the slug of one",
        "and 7 more, which are in Pelican's own log",
        "Pelican would skip this post: it has no title.",
    ],
)
def test_why_a_post_is_left_out_is_in_the_language_of_its_reader(text: str) -> None:
    for spoken in LANGUAGES:
        speak(spoken)
        found = translated(text)
        assert found != text
        assert "save the file" not in found
    speak("en")


def test_the_form_for_webmentions_is_in_the_language_of_its_reader() -> None:
    request = make_mocked_request("GET", "/webmention", {"Accept-Language": "fr"})
    shown = form_page(request, "https://example.com/webmention", "https://example.com/a").text
    speak("en")
    assert shown is not None
    assert '<html lang="fr">' in shown
    assert "Prévenir ce site" in shown
    assert "Tell this site" not in shown


@pytest.mark.parametrize("state", STATUS_TEXT)
def test_the_state_of_a_webmention_is_in_the_language_of_its_reader(state: str) -> None:
    request = make_mocked_request("GET", "/webmention/1", {"Accept-Language": "de-AT, en;q=0.5"})
    title, text = STATUS_TEXT[state]
    about = ("https://a.example/?a&b", "https://example.com/a")
    shown = str(state_page(request, title, text, *about, location="https://example.com/1").text)
    speak("en")
    assert '<html lang="de">' in shown
    assert "Deine Seite" in shown
    assert 'href="https://a.example/?a&amp;b"' in shown
    for english in (title, text, "What has become", 'lang="en"'):
        assert english not in shown


@pytest.mark.parametrize(
    "reason",
    [
        UNKNOWN_TARGET,
        "'source' is longer than 2,000 characters.",
        "'source' cannot be used: its host is not a domain name.",
        "Too many webmentions from there. Try again in 30 seconds.",
        "The source could not be fetched: its URL cannot be used: its port is out of range.",
    ],
)
def test_why_a_webmention_is_refused_is_in_the_language_of_its_reader(reason: str) -> None:
    for spoken in LANGUAGES:
        request = make_mocked_request("POST", "/webmention", {"Accept-Language": spoken})
        page = refusal_page(request, "https://example.com/webmention", reason, 400, {})
        speak("en")
        assert 'lang="en"' not in str(page.text)
        assert not re.search(r"its|Try|characters", str(page.text).partition("<main>")[2])


def test_a_reason_without_a_translation_is_marked_as_english() -> None:
    request = make_mocked_request("POST", "/webmention", {"Accept-Language": "es"})
    words = "Nothing in a catalogue <says> this."
    page = refusal_page(request, "https://example.com/webmention", words, 400, {})
    speak("en")
    assert '<p lang="en">Nothing in a catalogue &lt;says&gt; this.</p>' in str(page.text)
    assert "Try again" not in str(page.text)
    plain = make_mocked_request("POST", "/webmention", {})
    page = refusal_page(plain, "https://example.com/webmention", words, 400, {})
    assert "<p>Nothing in a catalogue &lt;says&gt; this.</p>" in str(page.text)
    assert (page.status, "Try again" in str(page.text)) == (400, True)


def test_no_line_in_french_begins_with_a_question_mark() -> None:
    speak("fr")
    try:
        assert translated("What is it for?") == "À quoi sert-il\N{NO-BREAK SPACE}?"
        assert "\N{NO-BREAK SPACE}; de" in counted(
            "; of %(count)s more post as soon as it is live",
            "; of %(count)s more posts as soon as they are live",
            2,
        )
    finally:
        speak("en")
