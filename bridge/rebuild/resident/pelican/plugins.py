"""Which plugins the resident build supports, and how.

Every signal is sent in every build, as in a clean one, except those about single files: these are
sent only for files that are really read or written. What is known about plugins that listen to them
is here. For others every page or feed is rendered in every build; what they do at the end of a
build is in :mod:`~bridge.rebuild.resident.pelican.late_plugins`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from blinker import ANY, NamedSignal, Signal
from pelican import Pelican
from pelican.plugins import signals

from bridge.rebuild.resident import UnsupportedSiteError
from bridge.rebuild.resident.reuse.trace import current
from bridge.rebuild.resident.reuse.trusted import Libraries, replaced

_INDIEAUTH = "pelican_indieauth.plugin"
_SITEMAP = "pelican.plugins.sitemap.sitemap.SitemapGenerator"
_IMAGES = "pelican.plugins.image_process.image_process"
_COPY_CODE = "pelican.plugins.copy_code.copy_code"

#: What these receivers do to a page depends on that page alone, and is part of it.
_OF_A_PAGE = {
    f"{_INDIEAUTH}.content_written",
    f"{_INDIEAUTH}.feed_generated",
    "pelican.plugins.seo.seo.run_html_enhancer",
    f"{_IMAGES}.harvest_images",
    f"{_IMAGES}.harvest_feed_images",
}
#: What these receivers make of a post or page depends on that and on settings alone.
_OF_AN_OBJECT = {f"{_COPY_CODE}.process_code_blocks"}
#: Where this project's plugin notes every page, to leave them alone with its redirects.
_INDIEAUTH_WRITTEN = "indieauth_written"
#: Where it has the drafts that get no page in the output, and writes their previews.
_INDIEAUTH_WITHHELD = "indieauth_withheld"
#: What this project's plugin keeps in the context.
PLUGINS_OWN = frozenset({_INDIEAUTH_WRITTEN, _INDIEAUTH_WITHHELD})
#: These want to know every page of the site, written or not.
_COUNTING = {f"{_SITEMAP}.queue_page"}
#: These write files of their own after everything else, in every build.
_AT_THE_END = {
    f"{_INDIEAUTH}.finalized",
    f"{_SITEMAP}.finalize",
    f"{_IMAGES}.dump_config",
    f"{_COPY_CODE}.copy_static_files",
}
#: What these keep while pages are written is in no page.
_KNOWN_WHILE_WRITING = (
    *("pelican_indieauth", "pelican.plugins.sitemap", "pelican.plugins.seo"),
    *("pelican.plugins.image_process", "pelican.plugins.copy_code"),
)
#: Generators of these write with Pelican's writer only.
_PLANNED = ("pelican.generators", "bridge", "pelican_indieauth", "pelican.plugins.sitemap")

#: A receiver of these may decide how every file is written.
_DECIDING = (
    signals.get_writer,
    signals.article_generator_write_article,
    signals.page_generator_write_page,
)
_WRITTEN_SIGNALS: Mapping[NamedSignal, Literal["page", "feed"]] = {
    signals.content_written: "page",
    signals.feed_generated: "feed",
    signals.feed_written: "feed",
}
_READING_SIGNALS = (
    signals.article_generator_preread,
    signals.article_generator_context,
    signals.page_generator_preread,
    signals.page_generator_context,
    signals.static_generator_preread,
    signals.static_generator_context,
    signals.content_object_init,
)
_SAFE_MODULES = ("pelican_indieauth", "jinja2", "markupsafe")


def check(site: Pelican, *, names_plugins: bool) -> None:
    """Raise :class:`UnsupportedSiteError` where a warm build could differ from a clean one.

    ``names_plugins``: whether the owner's settings have PLUGINS.
    """
    settings = site.settings
    _check_date_formats(settings)
    folders = (settings["THEME"], *settings["THEME_TEMPLATES_OVERRIDES"])
    if any(_is_among_posts(Path(folder).absolute(), settings) for folder in folders):
        # Posts are read in every build, templates when the process starts.
        raise UnsupportedSiteError(
            "there are templates in the content folder",
            "Move the theme, and the folders of THEME_TEMPLATES_OVERRIDES, out of that folder; or"
            " name the folders of posts in ARTICLE_PATHS, and those of pages in PAGE_PATHS",
        )
    if type(site) is not Pelican:
        raise UnsupportedSiteError("PELICAN_CLASS is set", "Take it out, if you can do without")
    if (method := replaced()) is not None:
        raise UnsupportedSiteError(
            f"a plugin has replaced Pelican's {method}", _remedy(names_plugins=names_plugins)
        )
    for signal in _DECIDING:
        for receiver in receivers(signal):
            if signal is signals.get_writer and is_of_subsites(receiver):
                continue
            raise UnsupportedSiteError(
                f"the plugin {receiver.__module__} may change how each file is written"
                f" ({name_of(receiver)} listens to {signal.name})",
                _remedy(names_plugins=names_plugins),
            )


def _check_date_formats(settings: Mapping[str, Any]) -> None:
    formats = [*settings["DATE_FORMATS"].values()]
    # Every post changes the locale of the posts after it.
    if any(isinstance(form, tuple) for form in formats):
        raise UnsupportedSiteError(
            "DATE_FORMATS names locales",
            "Name the site's locale in LOCALE, and let DATE_FORMATS hold formats alone",
        )
    if formats and isinstance(settings["DEFAULT_DATE_FORMAT"], tuple):
        raise UnsupportedSiteError(
            "DEFAULT_DATE_FORMAT names a locale, and DATE_FORMATS has others",
            "Name the site's locale in LOCALE, and let DEFAULT_DATE_FORMAT be a format alone",
        )


def is_of_subsites(receiver: Callable[..., Any]) -> bool:
    """Whether this builds the site again for each further language, before it is written itself."""
    return name_of(receiver).endswith("i18n_subsites.create_next_subsite")


def wants_each() -> frozenset[Literal["page", "feed"]]:
    """Which kinds of files unknown plugins see each time that one is written."""
    return frozenset(
        kind
        for signal, kind in _WRITTEN_SIGNALS.items()
        for receiver in receivers(signal)
        if name_of(receiver) not in _OF_A_PAGE | _COUNTING
    )


def is_known_at_the_end(receiver: Callable[..., Any]) -> bool:
    """Whether a receiver of ``finalized`` only writes files of its own."""
    return name_of(receiver) in _AT_THE_END


def is_known_while_writing(module: str) -> bool:
    """Whether what a plugin keeps while pages are written has no effect on other pages."""
    return _is_in(module, _KNOWN_WHILE_WRITING)


def is_known_while_reading(module: str) -> bool:
    """Whether a plugin keeps nothing of one post that has an effect on others."""
    return _is_in(module, ("pelican_indieauth",))


def _is_in(module: str, packages: Collection[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _is_among_posts(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether Pelican looks for posts or pages in this folder, or below it."""
    for sort in ("ARTICLE", "PAGE"):
        excluded = [Path(settings["PATH"], path) for path in settings[f"{sort}_EXCLUDES"]]
        for place in (Path(settings["PATH"], path) for path in settings[f"{sort}_PATHS"]):
            read = folder.is_relative_to(place) or place.is_relative_to(folder)
            if read and not any(folder.is_relative_to(each) for each in excluded):
                return True
    return False


def _remedy(*, names_plugins: bool) -> str:
    """What helps against a plugin that is not known here."""
    if not names_plugins:
        return (
            "Name the plugins that you use in PLUGINS: without it Pelican loads all that are"
            " installed, this one too"
        )
    return "Take that plugin out of PLUGINS, if you can do without it"


def sees_every_object() -> bool:
    """Whether a plugin listens to single files being read, so that objects cannot be reused.

    This project's own does so for what it holds back, which is read in every build anyway.
    """
    return any(
        not (name_of(receiver).startswith(f"{_INDIEAUTH}.") or name_of(receiver) in _OF_AN_OBJECT)
        for signal in _READING_SIGNALS
        for receiver in receivers(signal)
    )


def write_previews(settings: Mapping[str, Any], files: Collection[str]) -> list[str]:
    """Have this project's plugin write the pages of private drafts in these files.

    Returns the paths that they would have in the output.
    """
    withheld = settings.get(_INDIEAUTH_WITHHELD)
    return [] if withheld is None else [*withheld.write_early(files)]


def wants_all_pages(generator: object) -> bool:
    """Whether a generator is a plugin's: it may write files by itself, and look at those that
    exist.
    """
    module = type(generator).__module__
    return not _is_in(module, _PLANNED)


def is_known(function: Any) -> bool:
    """Whether what a template calls reads nothing but what the template has read."""
    module = getattr(function, "__module__", None) or ""
    return module.partition(".")[0] in _SAFE_MODULES


@dataclass(frozen=True, slots=True)
class Counting:
    """Plugins that count every page: disconnected from the signal, and called from here."""

    receivers: tuple[Callable[..., None], ...]

    @classmethod
    def detach(cls) -> Counting:
        """Disconnect them from ``content_written``."""
        found = tuple(
            receiver
            for receiver in receivers(signals.content_written)
            if name_of(receiver) in _COUNTING
        )
        counting = cls(found)
        counting.disconnect()
        return counting

    def connect(self) -> None:
        """Connect them again, while pages are written that no planner knows of."""
        for receiver in self.receivers:
            signals.content_written.connect(receiver)

    def disconnect(self) -> None:
        """Disconnect them again."""
        for receiver in self.receivers:
            signals.content_written.disconnect(receiver)

    def tell(self, path: str, local: dict[str, Any], context: dict[str, Any]) -> None:
        """Report a page of the site, whether it is written in this build or not."""
        for receiver in self.receivers:
            receiver(path, context=local)
        written = context.get(_INDIEAUTH_WRITTEN)
        if written is not None:
            written.add(local["output_file"])


class Pictures:
    """Pictures that a plugin derives from others while pages are read and written.

    They belong to the page that shows them, and the page depends on their sources.
    """

    def __init__(self) -> None:
        #: Those that were derived while posts were read.
        self.unclaimed: set[str] = set()
        module = sys.modules.get(_IMAGES)
        if module is not None:
            module.process_image = self._noting(module.process_image)  # type: ignore[attr-defined]
            # not typed

    def _noting(self, process: Callable[..., Any]) -> Callable[..., Any]:
        def noted(image: tuple[str, str, Any], settings: Any) -> Any:
            source, made, _ = image
            trace = current()
            if trace is None:
                self.unclaimed.add(unquote(made))
            else:
                trace.files.add(unquote(source))
                trace.derived.add(unquote(made))
            return process(image, settings)

        return noted


class Receivers:
    """What listens to Pelican's signals when a build begins.

    A module that is imported in each build connects its functions in each.
    """

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        listened = (each for each in vars(signals).values() if isinstance(each, Signal))
        self._before = {signal: list(receivers(signal)) for signal in listened}

    def restore(self) -> None:
        """Connect and disconnect what builds have changed."""
        for signal, before in self._before.items():
            now = list(receivers(signal))
            for receiver in now:
                if receiver not in before and not self._libraries.has_made(receiver):
                    signal.disconnect(receiver)
            for receiver in before:
                if receiver not in now:
                    signal.connect(receiver)


def receivers(signal: Signal) -> Iterator[Callable[..., Any]]:
    """What listens to a signal."""
    return iter(list(signal.receivers_for(ANY)))


def name_of(receiver: Callable[..., Any]) -> str:
    """A receiver's module and name."""
    return f"{receiver.__module__}.{receiver.__qualname__}"
