"""Translations: the browser's preferred language from gettext catalogues, English otherwise.

The catalogues are ``locale/LANGUAGE/LC_MESSAGES/bridge.po``, and compiled beside them:
``make catalogues`` does that.
"""

from __future__ import annotations

import re
import struct
from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from string import Formatter

import jinja2

LOCALE = Path(__file__).parent / "locale"
#: The language that the templates are written in comes first.
LANGUAGES = ("en", "de", "es", "fr")
#: More language ranges than a browser sends.
_MOST_RANGES = 30

#: The language of the page being rendered: macros do not see the page's context.
_CURRENT: ContextVar[str] = ContextVar("language", default="en")


def preferred(accept_language: str) -> str:
    """The best of :data:`LANGUAGES` for a value of Accept-Language (RFC 9110 12.5.4).

    A range with a region (``de-AT``) matches its language. What is not a range is ignored.
    """
    best, most = "en", 0.0
    for each in accept_language.split(",")[:_MOST_RANGES]:
        tag, _, parameter = each.strip().partition(";")
        language = tag.strip().lower().split("-")[0]
        weight = _weight(parameter)
        if language in LANGUAGES and weight > most:
            best, most = language, weight
    return best


def _weight(parameter: str) -> float:
    """``q=0.8``, or 1 where there is none; 0 for an invalid one."""
    name, _, value = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if name.strip().lower() == "q" and 0 <= weight <= 1 else 0.0


def speak(language: str) -> None:
    """Set the language of this request to one of :data:`LANGUAGES`."""
    _CURRENT.set(language)


def current() -> str:
    """The language of the page being rendered."""
    return _CURRENT.get()


@cache
def _catalogue(language: str) -> NullTranslations:
    if language == LANGUAGES[0]:
        return NullTranslations()
    with _file(language).open("rb") as compiled:
        return GNUTranslations(compiled)


def _file(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "bridge.mo"


def translated(text: str) -> str:
    """A whole sentence of ours in the language of the page; unchanged if no catalogue has it.

    An error may name a file, a figure, or why another thing failed. It comes as English text, as
    apps get it, even from another process; its message in the catalogue has placeholders (``The
    photo ({type}) is damaged.``), which are filled in likewise in the translation.
    """
    catalogue = _catalogue(_CURRENT.get())
    translation = catalogue.gettext(text) if text else ""
    if translation == text and text and isinstance(catalogue, GNUTranslations):
        return _filled_in(text, _CURRENT.get()) or text
    return translation


#: The fewest letters of a message with placeholders: shorter ones would match other texts, too.
LEAST_WORDS = 12
_MOST_SEARCHED = 2000


def _filled_in(text: str, language: str) -> str:
    """The translation of a text that fits a message with placeholders; empty where none fits."""
    for message, pattern in _with_places(language):
        if len(text) <= _MOST_SEARCHED and (found := pattern.fullmatch(text)):
            values = {name: _value(value, language) for name, value in found.groupdict().items()}
            return _catalogue(language).gettext(message).format_map(values)
    return ""


def _value(value: str, language: str) -> str:
    """A placeholder's value: a number in the reader's notation, or words with a translation."""
    if re.fullmatch(r"\d{1,3}(,\d{3})+", value):
        return value.replace(",", _THOUSANDS.get(language, ","))
    translation = _catalogue(language).gettext(value) if value else ""
    return translation if translation != value else _filled_in(value, language) or value


_THOUSANDS = {"de": ".", "es": ".", "fr": "\u202f"}


@cache
def _with_places(language: str) -> list[tuple[str, re.Pattern[str]]]:
    """The messages of a catalogue with placeholders, those with most letters first."""
    if language == LANGUAGES[0]:
        return []
    found = dict[str, tuple[int, re.Pattern[str]]]()
    for message in _singular_messages(_file(language).read_bytes()):
        parts = list(Formatter().parse(message)) if "{" in message else []
        words = sum(map(str.isalpha, "".join(text for text, *_ in parts)))
        if words >= LEAST_WORDS and any(name for _, name, *_ in parts):
            shape = "".join(
                re.escape(text) + (f"(?P<{name}>.*?)" if name else "") for text, name, *_ in parts
            )
            found[message] = (words, re.compile(shape, re.DOTALL))
    ordered = sorted(found.items(), key=lambda each: -each[1][0])
    return [(message, pattern) for message, (_, pattern) in ordered]


def _singular_messages(compiled: bytes) -> list[str]:
    """The messages without a plural form in a ``.mo`` file (GNU gettext manual 10.3)."""
    count, table = struct.unpack_from("<II", compiled, 8)
    places = struct.iter_unpack("<II", compiled[table : table + 8 * count])
    messages = [compiled[start : start + length] for length, start in places]
    return [each.decode() for each in messages if each and b"\0" not in each]


def _words(text: str, **values: object) -> str:
    """A sentence for a template, in the language of the page: text, which is escaped like any."""
    translation = translated(text)
    return translation % values if values else translation


def counted(one: str, many: str, count: int) -> str:
    """A sentence with a number in it, ``{count}``, in the language of the page."""
    return _plural(one, many, count).format(count=figure(count))


def figure(number: int) -> str:
    """A number as the reader writes it: 12,345 or 12.345."""
    return f"{number:,}".replace(",", _THOUSANDS.get(_CURRENT.get(), ","))


def device(name: str) -> str:
    """The name of a browser, such as “Firefox on Linux”, in the reader's language."""
    browser, on, system = name.partition(" on ")
    if not on:
        return translated("Unknown browser") if name == "Unknown browser" else name
    return translated("{browser} on {system}").format(browser=browser, system=system)


def decimal(number: float) -> str:
    """A number with one decimal place, as the reader writes it: 0.5 or 0,5."""
    return f"{number:.1f}".replace(".", "." if _CURRENT.get() not in _THOUSANDS else ",")


def _plural(one: str, many: str, number: int) -> str:
    return _catalogue(_CURRENT.get()).ngettext(one, many, number)


def install(templates: jinja2.Environment) -> None:
    """Give templates ``_``, ``{% trans %}``, and a filter ``said`` for words from code."""
    templates.install_gettext_callables(  # type: ignore[attr-defined] # the extension's
        translated, _plural, newstyle=True
    )
    # Jinja's own treats whatever it gets as HTML, even words from a post's file.
    templates.globals["_"] = _words
    templates.filters["said"] = translated
    templates.filters["device"] = device
    templates.globals["language"] = current


def when(moment: float | None, zone: tzinfo = UTC) -> str:
    """A time in the reader's format and the site's zone; its ``<time>`` has it exactly."""
    if moment is None:
        return translated("never")
    at = datetime.fromtimestamp(moment, zone)
    # The order of a date, for a translator: 26 November 2026, 20:27 CET
    return translated("{day} {month} {year}, {time} {zone}").format(
        day=at.day,
        month=translated(_MONTHS[at.month - 1]),
        year=at.year,
        time=f"{at:%H:%M}",
        zone=translated(at.tzname() or ""),
    )


def month(moment: float) -> str:
    """The month of a time of which no more is known; empty if not even that is."""
    at = datetime.fromtimestamp(moment, UTC)
    if not moment:
        return ""
    named = translated(_MONTHS[at.month - 1])
    return translated("{month} {year}").format(month=named, year=at.year)


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


#: Abbreviations of time zones that some languages have words of their own for.
_ZONES = ("CET", "CEST", "EET", "EEST", "WET", "WEST")


def until(seconds: float) -> str:
    """The time until something, roughly."""
    days, hours, minutes = (int(seconds // size) for size in (86400, 3600, 60))
    if days > 0:
        return counted("in {count} day", "in {count} days", days)
    if hours > 0:
        return counted("in {count} hour", "in {count} hours", hours)
    return counted("in {count} minute", "in {count} minutes", max(1, minutes))


def ago(seconds: float) -> str:
    """How long ago something was, roughly."""
    days, hours, minutes = (int(seconds // size) for size in (86400, 3600, 60))
    if days > 0:
        return counted("{count} day ago", "{count} days ago", days)
    if hours > 0:
        return counted("{count} hour ago", "{count} hours ago", hours)
    if minutes > 0:
        return counted("{count} minute ago", "{count} minutes ago", minutes)
    return translated("just now")
