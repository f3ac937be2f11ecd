"""Additions to Pelican's template environment: links, macros, and a safe ``striptags``."""

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
    """Text without tags, escaped: safe to print, with autoescaping or without."""


def prepare(environment: Environment) -> None:
    """Add them. A theme's own ``indieauth/entry.html`` takes precedence over the plugin's."""
    loader = environment.loader
    environment.loader = ChoiceLoader([loader, _TEMPLATES]) if loader else _TEMPLATES
    environment.template_class = PageTemplate
    environment.filters["striptags"] = striptags
    for name in ("forceescape", "urlencode"):
        environment.filters[name] = _bare(environment.filters[name])


def striptags(value: Any) -> Stripped:
    """The text without its tags, safe to print.

    Jinja's filter unescapes the result, so that a title written as ``&lt;script&gt;`` would become
    a script wherever a theme prints ``title|striptags`` (Pelican does not autoescape).
    """
    return _stripped(str(value.__html__() if hasattr(value, "__html__") else value))


@lru_cache(maxsize=1024)
def _stripped(markup: str) -> Stripped:
    """Cached, since themes print a title several times in a page and in lists."""
    return Stripped(escape(stripped(markup)))


def _bare(encode: Callable[[Any], str]) -> Callable[[Any], str]:
    """Wrap a filter that escapes by itself: it gets the result of ``striptags`` unescaped."""

    def encode_once(value: Any) -> str:
        return encode(value.unescape() if isinstance(value, Stripped) else value)

    return encode_once
