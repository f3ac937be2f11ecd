"""A small Pelican site, built by Pelican, and its pages as a parser of microformats reads them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import mf2py
import pelican
import pytest
from pelican import Pelican
from pelican.settings import read_settings
from soak_kit import SOAK, in_soak
from warm_kit import compiling_once

COMPILE_ONCE = compiling_once()
PLUGIN = "pelican_indieauth"
BRIDGE = "https://bridge.example.com/"
SITE = "https://example.com"
ROOTS = {"h-entry", "h-event", "h-review"}
SAMPLE_THEME = Path(__file__).parents[2] / "sample_site" / "theme"


@dataclass(frozen=True)
class Built:
    """The output folder of a build."""

    output: Path

    def text(self, path: str) -> str:
        """The text of a file in the output."""
        return (self.output / path).read_text("utf-8")

    def pages(self) -> list[str]:
        """All HTML pages, by path."""
        return sorted(str(page.relative_to(self.output)) for page in self.output.rglob("*.html"))

    def parsed(self, path: str) -> dict[str, Any]:
        """The result of a microformats2 parser for a page."""
        return mf2py.parse(self.text(path), url=f"{SITE}/{path}")  # type: ignore[no-any-return]

    def entries(self, path: str) -> list[dict[str, Any]]:
        """The entries in a page, at any depth."""
        return [item for item in items(self.parsed(path)["items"]) if ROOTS & set(item["type"])]

    def entry(self, path: str) -> dict[str, Any]:
        """The properties of a page's only entry."""
        (entry,) = self.entries(path)
        return entry["properties"]  # type: ignore[no-any-return]


def items(found: Any) -> Iterator[dict[str, Any]]:
    """All microformats2 objects in a parser's result, including nested ones."""
    if isinstance(found, list):
        for one in found:
            yield from items(one)
    elif isinstance(found, dict) and "type" in found and "properties" in found:
        yield found
        for values in found["properties"].values():
            yield from items(values)
        yield from items(found.get("children", []))


def post(slug: str, mf2: Mapping[str, Any] | None = None, body: str = "", **keys: str) -> str:
    """A post's file, as the bridge writes it."""
    header = {
        "title": slug,
        "date": "2026-11-21T18:37:00+01:00",
        "slug": slug,
        "category": "notes",
        **keys,
    }
    lines = [f"{name.capitalize()}: {value}" for name, value in header.items()]
    if mf2 is not None:
        lines.append(f"Mf2: {json.dumps({'type': ['h-entry'], **mf2})}")
    return "\n".join(lines) + f"\n\n{body}\n"


def note(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The ``Mf2`` line of a post without a name."""
    return {"properties": properties, "title": "synthetic", **more}


def site_settings(folder: Path, **settings: Any) -> dict[str, Any]:
    """Settings of a typical site with the plugin and a bridge."""
    return {
        "PATH": str(folder / "content"),
        "OUTPUT_PATH": str(folder / "output"),
        "CACHE_PATH": str(folder / "cache"),
        "SITEURL": SITE,
        "SITENAME": "Ann's place",
        "AUTHOR": "Ann",
        "TIMEZONE": "Europe/Berlin",
        "LOCALE": "C",
        "FEED_ALL_ATOM": "feeds/all.atom.xml",
        "FEED_ALL_RSS": "feeds/all.rss.xml",
        "PLUGINS": [PLUGIN],
        "INDIEAUTH_BRIDGE": BRIDGE,
        **settings,
    }


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


def write_settings(folder: Path, **settings: Any) -> None:
    """The settings as a ``pelicanconf.py``, without those that are ``None``."""
    whole = {**site_settings(folder), **settings}
    lines = [f"{name} = {value!r}" for name, value in whole.items() if value is not None]
    write(folder, {"pelicanconf.py": "\n".join(lines)})


def build(folder: Path, posts: Mapping[str, str], **settings: Any) -> Built:
    """Have Pelican build a site of these posts (by slug).

    Themes have the same templates in each site: they are compiled once, in soak for each.
    """
    write(folder / "content", {f"{slug}.md": text for slug, text in posts.items()})
    (folder / "content").mkdir(exist_ok=True)
    site = Pelican(read_settings(override=site_settings(folder, **settings)))
    with pytest.MonkeyPatch.context() as patch:
        if not SOAK:
            patch.setattr(jinja2.Environment, "compile", COMPILE_ONCE)
        site.run()
    return Built(folder / "output")


def theme(folder: Path, **templates: str) -> str:
    """A theme with only these templates, and those of Pelican's simple theme that every theme
    inherits.
    """
    write(folder / "theme", {f"templates/{name}.html": text for name, text in templates.items()})
    (folder / "theme" / "static").mkdir(exist_ok=True)
    return str(folder / "theme")


def _installed(package: str, *below: str) -> str:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return str(Path(next(iter(spec.submodule_search_locations)), *below))


_PELICANS = Path(pelican.__file__).parent / "themes"

#: Themes of several kinds: the two that ship with Pelican, three from PyPI, and the sample site's.
THEMES: dict[str, dict[str, Any]] = {
    "simple": {"THEME": "simple"},
    "notmyidea": {"THEME": "notmyidea"},
    "reflex": {
        "THEME": str(_PELICANS / "reflex"),
        "JINJA_ENVIRONMENT": {"extensions": ["jinja2.ext.i18n"]},
        "PLUGINS": [PLUGIN, "i18n_subsites"],
        "CC_LICENSE": {},
    },
    "themeless": {"THEME": str(_PELICANS / "themeless")},
    "engineering": {"THEME": _installed("pelican_engineering_theme", "theme")},
    "sample": {"THEME": str(SAMPLE_THEME), "INDIEAUTH_MARKUP": False},
}

#: One of each kind in `make test`, all of them in `make soak`: Pelican's simplest theme, for which
#: the plugin marks up posts, and one with its own markup.
SPREAD = [name if name in {"simple", "sample"} else in_soak(name) for name in THEMES]
