"""What the plugin adds to Pelican's templates: its macros, and a ``striptags`` that is safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from markupsafe import Markup, escape

from pelican_indieauth.text import stripped

_TEMPLATES = FileSystemLoader(Path(__file__).parent / "templates")


def prepare(environment: Environment) -> None:
    """Adds both. A theme's own ``indieauth/entry.html`` goes before the plugin's."""
    loader = environment.loader
    environment.loader = ChoiceLoader([loader, _TEMPLATES]) if loader else _TEMPLATES
    environment.filters["striptags"] = striptags


def striptags(value: Any) -> Markup:
    """Text without its tags, still safe to print.

    Jinja's own filter unescapes what is left, so that a title written as ``&lt;script&gt;`` comes
    out as a script wherever a theme prints ``title|striptags`` (Pelican does not autoescape).
    """
    return escape(stripped(value.__html__() if hasattr(value, "__html__") else str(value)))
