"""Sites of the same posts in further languages, as the plugin ``i18n_subsites`` builds them."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from blinker import ANY
from pelican import signals
from pelican.contents import Content

_PLUGIN = "i18n_subsites"


@dataclass(frozen=True, slots=True)
class Subsite:
    """The site in one language: its address, without a slash at the end, and its folder in the
    output, with one.
    """

    settings: Mapping[str, Any]
    siteurl: str
    folder: str

    def native(self, content: Content) -> Content:
        """A content object in this language, as this site has it."""
        made = copy.copy(content)
        made.settings = self.settings
        made.in_default_lang = True
        return made


def subsites(settings: Mapping[str, Any], siteurl: str) -> dict[str, Subsite]:
    """These sites by language, where the plugin is loaded; not the site's own language."""
    if not any(_is_the_plugins(receiver) for receiver in signals.get_writer.receivers_for(ANY)):
        return {}
    found = {}
    for lang, overrides in dict(settings.get("I18N_SUBSITES") or {}).items():
        output = str(settings["OUTPUT_PATH"])
        folder = os.path.relpath(str(overrides.get("OUTPUT_PATH", f"{output}/{lang}")), output)
        own = str(overrides.get("SITEURL") or f"{siteurl}/{lang}")
        if lang != settings["DEFAULT_LANG"] and not folder.startswith(".."):
            its = {**settings, **overrides, "DEFAULT_LANG": lang}
            address = urljoin(f"{siteurl}/", own).rstrip("/")
            found[str(lang)] = Subsite(its, address, "" if folder == "." else f"{folder}/")
    return found


def _is_the_plugins(receiver: Any) -> bool:
    return str(getattr(receiver, "__module__", "")).rpartition(".")[2] == _PLUGIN
