"""The HTML elements of which the parts of an entry consist. What is not HTML is escaped here."""

from __future__ import annotations

from html import escape as e

from pelican_indieauth.entry.entry import Place

#: A picture that is not wider than the page.
FITTING = 'style="max-width: 100%; height: auto"'
#: The same for one that is no part of a line.
SHOWN = 'style="display: block; max-width: 100%; height: auto"'
#: A longer label without a space is a URL, and wider than a phone.
_WIDE = 30


def invisible(name: str, value: str) -> str:
    """An invisible value: a ``data`` element."""
    return f'<data class="{name}" value="{e(value)}"></data>'


def paragraph(html: str, name: str = "context") -> str:
    """A paragraph. The line break separates words where a theme strips the tags."""
    return f'<p class="indieauth-{name}">{html}</p>\n'


def hidden(html: str, name: str) -> str:
    """A paragraph for parsers only, of what the page shows elsewhere."""
    return f'<p class="indieauth-{name}" hidden>{html}</p>\n'


def linked_name(name: str, url: str | None) -> str:
    """A name, linked if there is a URL."""
    if url is None:
        return f'<span class="p-name">{e(name)}</span>'
    return f'<a class="p-name u-url" href="{e(url)}">{e(name)}</a>'


def class_attribute(prefix: str, name: str, *roots: str) -> str:
    """The class attribute for a property's value, with a space before it; of an object with its
    root classes. Empty where there is no class.
    """
    classes = [f"{prefix}-{name}", *roots] if name else roots
    return f' class="{" ".join(classes)}"' if classes else ""


def timed(attribute: str, written: str, readable: str) -> str:
    """A moment as ``written`` for parsers and ``readable`` for people."""
    return f'<time{attribute} datetime="{e(written)}">{e(readable)}</time>'


def anchor(attribute: str, url: str, label: str) -> str:
    """A link with an ``attribute`` of its own. A long URL may be broken, to fit on a phone."""
    style = ' style="overflow-wrap: anywhere"' if len(label) > _WIDE and " " not in label else ""
    return f'<a{attribute} href="{e(url)}"{style}>{e(label)}</a>'


def with_breaks(text: str) -> str:
    """A text with the ends of its lines."""
    return e(text).replace("\n", "<br>\n")


def placed(place: Place, classes: str) -> str:
    """A place, with everything that is known of it."""
    shown = []
    if place.name:
        shown.append(linked_name(place.name, place.url))
    elif place.url:
        shown.append(anchor(' class="u-url"', place.url, place.label))
    point, said = "", set[str]()
    for name, text in place.address:
        # Vienna is in the region Vienna.
        if text in said:
            point += invisible(f"p-{name}", text)
        else:
            shown.append(f'<span class="p-{name}">{e(text)}</span>')
        said.add(text)
    if place.geo and place.latitude and place.longitude:
        if not shown:
            words = e(f"{place.latitude}, {place.longitude}")
            shown.append(f'<a href="{e(place.geo)}">{words}</a>')
        point += invisible("p-latitude", place.latitude) + invisible("p-longitude", place.longitude)
        point += invisible("p-altitude", place.altitude) if place.altitude else ""
        point += invisible("p-accuracy", place.accuracy) if place.accuracy else ""
    return f'<span class="{classes}">{", ".join(shown)}{point}</span>'
