"""Pages in the reader's language: every word of them is in each catalogue."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from babel.messages.catalog import Catalog

from bridge.pages import language
from tools import catalogues

LANGUAGES = sorted(set(language.LANGUAGES) - {"en"})


@pytest.fixture(scope="module")
def messages() -> Catalog:
    return catalogues.messages()


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_every_message_is_translated(spoken: str, messages: Catalog) -> None:
    assert catalogues.missing(catalogues.updated(spoken, messages)) == []


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_no_catalogue_holds_messages_that_are_gone_and_each_is_compiled(
    spoken: str, messages: Catalog
) -> None:
    catalogue = catalogues.updated(spoken, messages)
    folder = catalogues.LOCALE / spoken / "LC_MESSAGES"
    assert (folder / "bridge.po").read_bytes() == catalogues.written(catalogue)
    assert (folder / "bridge.mo").read_bytes() == catalogues.compiled(catalogue)


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
def test_the_language_is_the_readers(wanted: str, spoken: str) -> None:
    assert language.preferred(wanted) == spoken


def test_dates_are_written_as_the_reader_writes_them() -> None:
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


def test_no_template_has_a_sentence_that_cannot_be_translated() -> None:
    bare = {}
    for template in sorted(catalogues.PAGES.glob("templates/**/*.html")):
        text = template.read_text()
        text = re.sub(r"{% trans.*?endtrans %}|{#.*?#}|{%.*?%}|{{.*?}}", "", text, flags=re.DOTALL)
        text = re.sub(r"<[^>]*>|\S+=\"[^\"]*\"|\w\S*\.\S+/\S+", "\n", text)
        words = [line.strip() for line in text.split("\n") if re.search(r"[a-z]{2}", line)]
        if words:
            bare[template.name] = words
    assert bare == {}
