"""What the plugin adds to Pelican's templates: links, macros, and a ``striptags`` that is safe."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from markupsafe import Markup, escape

from pelican_indieauth.entry.text import stripped
from pelican_indieauth.pages import PageTemplate

_TEMPLATES = FileSystemLoader(Path(__file__).parent / "templates")


class Stripped(Markup):
    """Text without tags, escaped: safe to print as it is, in a template that escapes or not."""


def prepare(environment: Environment) -> None:
    """Adds them. A theme's own ``indieauth/entry.html`` goes before the plugin's."""
    loader = environment.loader
    environment.loader = ChoiceLoader([loader, _TEMPLATES]) if loader else _TEMPLATES
    environment.template_class = PageTemplate
    environment.filters["striptags"] = striptags
    for name in ("forceescape", "urlencode"):
        environment.filters[name] = _bare(environment.filters[name])


def striptags(value: Any) -> Stripped:
    """Text without its tags, still safe to print.

    Jinja's own filter unescapes what is left, so that a title written as ``&lt;script&gt;`` comes
    out as a script wherever a theme prints ``title|striptags`` (Pelican does not autoescape).
    """
    return _stripped(str(value.__html__() if hasattr(value, "__html__") else value))


@lru_cache(maxsize=1024)
def _stripped(markup: str) -> Stripped:
    """Themes print the same title in several places of a page, and in lists."""
    return Stripped(escape(stripped(markup)))


def _bare(encode: Callable[[Any], str]) -> Callable[[Any], str]:
    """A filter that encodes for itself: what ``striptags`` has escaped, it gets as it was."""

    def encode_once(value: Any) -> str:
        return encode(value.unescape() if isinstance(value, Stripped) else value)

    return encode_once
