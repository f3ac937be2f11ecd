"""Sites and posts for the tests of ``bridge.content``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridge.content.markup.links import MediaUrls
from bridge.content.rules import PathTemplate, SiteRules
from bridge.micropub.post import Json, Post
from bridge.site.pelican.loading import importing_from
from bridge.site.pelican.pelican_site import PelicanSite

WHEN = datetime(2026, 11, 21, 17, 37, tzinfo=UTC)
MEDIA = MediaUrls("media", ("https://bridge.example/media/", "https://example.com/media/"))
PATH = PathTemplate("content", "{category}/{published:%Y}/{published:%m}/{slug}.md")
SETTINGS: Mapping[str, Any] = MappingProxyType(
    {
        "PATH": "content",
        "SITEURL": "https://example.com",
        "SITENAME": "A test",
        "PLUGINS": [],
        "TIMEZONE": "Europe/Paris",
        "ARTICLE_URL": "{date:%Y}/{date:%m}/{slug}/",
        "ARTICLE_SAVE_AS": "{date:%Y}/{date:%m}/{slug}/index.html",
    }
)


#: Settings whose Markdown cannot read every text, and which print what no one has asked for.
CHOOSY_MARKDOWN = """
from markdown import Extension
from markdown.preprocessors import Preprocessor

print("this is not an answer")

class Step(Preprocessor):
    def run(self, lines):
        if any("indigestible" in line for line in lines):
            raise KeyError("indigestible")
        return lines

class Choosy(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Step(md), "choosy", 1)

MARKDOWN = {"extensions": [Choosy()]}
"""


def write_settings(folder: Path, **settings: Any) -> Path:
    """A ``pelicanconf.py`` with these settings on top of :data:`SETTINGS`."""
    merged = {**SETTINGS, **settings}
    file = folder / "pelicanconf.py"
    file.write_text("".join(f"{key} = {value!r}\n" for key, value in merged.items()))
    return file


def load_site(folder: Path, **settings: Any) -> PelicanSite:
    """The site of such a settings file."""
    return read_site(write_settings(folder, **settings))


def read_site(file: Path, **more: Any) -> PelicanSite:
    """The site of a settings file, read in this process."""
    (file.parent / "content").mkdir(exist_ok=True)
    with importing_from(file.parent):
        return PelicanSite.load(file, **more)


def load_rules(folder: Path, *, html: Any = "sanitize", **settings: Any) -> SiteRules:
    """The rules of such a site."""
    return SiteRules(load_site(folder, **settings), MEDIA, PATH, html=html)


def site_of(rules: SiteRules) -> PelicanSite:
    """The site that belongs to the rules of :func:`load_rules`, with everything that Pelican
    reports.
    """
    assert isinstance(rules.site, PelicanSite)
    return rules.site


def post(kind: str = "entry", /, **properties: Json | tuple[Json, ...]) -> Post:
    """A post; ``_`` in a name stands for ``-``, a single value for a tuple of one."""
    return Post(
        kind,
        MappingProxyType(
            {
                name.replace("_", "-"): value if isinstance(value, tuple) else (value,)
                for name, value in properties.items()
            }
        ),
    )


def properties_of(found: Post, *, without: str = "") -> dict[str, tuple[Json, ...]]:
    """The properties as a plain ``dict``, for comparing."""
    return {name: values for name, values in found.properties.items() if name != without}
