"""Builds the site as the bridge does, and checks the pages."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from bridge.commands.checks import Finding, address_of
from bridge.commands.checks.comparison import check_comparison
from bridge.commands.progress import step
from bridge.net.link_rels import html_links
from bridge.rebuild.build import BuildFailed, BuildOutcome, Task
from bridge.rebuild.local.checkout import BuilderCheckout
from bridge.rebuild.local.output import Output
from bridge.rebuild.local.pelican_log import NO_MODULE
from bridge.rebuild.rebuilder import importing_from, make_builder
from bridge.runtime.command_name import install
from bridge.settings import Settings
from bridge.site.messages import SiteFacts
from bridge.site.sandbox import SUBMODULES, Sandbox, make_sandbox
from bridge.store import Version
from bridge.store.git import GitStore

_THEME = re.compile(r"Could not find the theme (.*\S)")
#: What may be a program: a name without a folder or suffix.
_NO_PROGRAM = re.compile(r"No such file or directory: '([\w+-]+)'")
#: A file that the site's process may not read.
_DENIED = re.compile(r"Permission denied: '(/[^']+)'")
#: A missing plugin. Pelican builds without it; the bridge does not publish such a site.
_PLUGIN = re.compile(r"Cannot (?:load|import|register) plugin(?: `([^`]*)`)?")
#: How many files that are left out are named with their reasons.
_NAMED = 10
#: Where sites list the packages that they need.
_PACKAGES = "requirements.txt"
NO_LOCALE = "unsupported locale setting"
_ELSEWHERE = "The bridge builds in a checkout elsewhere"


async def check_build(
    store: GitStore,
    files: BuilderCheckout,
    head: Version,
    settings: Settings,
    facts: SiteFacts,
    denied: Sequence[str],
) -> AsyncIterator[Finding]:
    """Build the site, and compare the pages with those of ``pelican``. ``denied`` are the paths
    that the site's code may not read, as they become known."""
    output = files.folder.with_name("output")
    try:
        with step("Building the site as the bridge does"):
            outcome = await _build(store, files, output, head, settings)
    except BuildFailed as failure:
        # A module that is not installed fails whichever file comes first.
        blamed = failure.file and not NO_MODULE.search(failure.reason)
        where = f" because of {failure.file}" if blamed else ""
        yield Finding(
            "build",
            f"Pelican fails{where}: {failure.reason}",
            remedy_of(failure.reason, files.folder),
            broken=_builds_here(settings),
        )
        return
    for finding in _check_pages(output, outcome, files.folder):
        yield finding
    causes = [f"the site's code may not read {path}" for path in denied]
    causes += files.warnings
    if facts.values.get("DEFAULT_DATE") == "fs":
        causes.append("DEFAULT_DATE is 'fs', and file times differ in each checkout")
    named = _with_folder_of_path(settings, facts, files.folder)
    yield await check_comparison(store, head, output, named, causes)
    yield _check_advertised(output, facts, settings)


def _with_folder_of_path(settings: Settings, facts: SiteFacts, checkout: Path) -> Settings:
    """The settings with the content folder as PATH spells it: from a link to it, ``..`` leads to
    another place.
    """
    named = os.path.relpath(str(facts.values["PATH"]), checkout.resolve())
    site = replace(settings.site, run_in=settings.run_in)
    return replace(settings, site=site, content=replace(settings.content, folder=named))


async def _build(
    store: GitStore, files: BuilderCheckout, output: Path, head: Version, settings: Settings
) -> BuildOutcome:
    """Build the site as the bridge does, but publish nothing. A custom command may have other
    effects.
    """
    checkout = files.folder
    sandbox = sandbox_of(store, checkout, settings)
    beside = (checkout / settings.site.settings).parent
    builder = make_builder(
        replace(settings, rebuild=replace(settings.rebuild, command=())),
        checkout.with_name("rebuild"),
        Output(output, output.with_name("kept") / "output.json"),
        sandbox=replace(sandbox, confined=settings.rebuild.confined),
        environment=importing_from(beside, sandbox.environment()),
        listed=store.listed,
    )
    try:
        return await builder.build(Task(head, checkout, frozenset(), lacks=files.lacks))
    finally:
        await builder.close()


def _check_pages(output: Path, outcome: BuildOutcome, checkout: Path) -> Iterator[Finding]:
    pages = sum(1 for _ in output.rglob("*.html"))
    if not outcome.left_out:
        yield Finding("build", f"Pelican builds the site: {pages} pages")
    else:
        named = [f"{file} ({reason})" for file, reason in outcome.left_out[:_NAMED]]
        if more := outcome.left_out[_NAMED:]:
            named.append(f"{len(more)} more, for which see /status of a running bridge")
        files = "; ".join(named)
        yield Finding(
            "build",
            f"Pelican builds the site ({pages} pages), but without {files}",
            _remedy_of_left_out(reason for _, reason in outcome.left_out),
            broken=False,
        )
    if outcome.slow is not None:
        what = "needs a full run of Pelican" if outcome.slow.by_command else "renders all pages"
        yield Finding(
            "build",
            f"each change {what}, since {outcome.slow.reason}",
            f"{outcome.slow.remedy}; or ignore this, if that is fast enough.",
            broken=False,
        )
    for warning in outcome.warnings:
        yield Finding(
            "build",
            f"a plugin or Pelican logs an error: {warning}",
            remedy_of_logged(warning, checkout),
            broken=False,
        )


def _remedy_of_left_out(reasons: Iterable[str]) -> str:
    """What helps against errors of single posts: a reader may start a program that is not there."""
    missing = dict.fromkeys(name for reason in reasons for name in _NO_PROGRAM.findall(reason))
    if not missing:
        return "Fix these files."
    return (
        f"If {', '.join(missing)} is a program that a plugin starts, install it where the bridge"
        " runs; otherwise fix these files."
    )


def _check_advertised(output: Path, facts: SiteFacts, settings: Settings) -> Finding:
    """Whether the plugin is active: endpoints missing in these pages will be missing live, too."""
    base = address_of(settings)
    index = output / str(facts.values.get("INDEX_SAVE_AS") or "index.html")
    html = index.read_bytes() if index.is_file() else b""
    if f"{base}micropub" in html_links(html, settings.site.me, "micropub"):
        return Finding("plugin", "the pages that Pelican builds link to the bridge")
    return Finding(
        "plugin",
        "the home page that Pelican builds does not link to the bridge",
        f'Add INDIEAUTH_BRIDGE = "{base}" to your Pelican settings (and "pelican_indieauth" to'
        " PLUGINS, if you set that), and commit it.",
        broken=_builds_here(settings),
    )


def _builds_here(settings: Settings) -> bool:
    """Whether the site is to be built on this machine."""
    return settings.rebuild.mode in {"resident", "command"}


def sandbox_of(store: GitStore, checkout: Path, settings: Settings) -> Sandbox:
    """What the site's code may see in the checkout, with the history: settings and plugins may ask
    git, also in a submodule.
    """
    objects = store.bare_repo.common / "objects"
    sandbox = make_sandbox(settings, checkout.with_name("state"), objects=objects)
    return replace(sandbox, submodules=settings.site.state / SUBMODULES)


def remedy_of(reason: str, checkout: Path) -> str:
    """The remedy for a failure of Pelican in this checkout of the site."""
    if NO_LOCALE in reason:
        return (
            "Install the locales that LOCALE and DATE_FORMATS name (`locale -a` lists those that"
            " are there); then restart the bridge."
        )
    if "[content] folder" in reason:
        return "Write the folder that your posts are in."
    if "[site] folders" in reason:
        return f"{_ELSEWHERE}: add that folder to the repo, or name it in [site] folders."
    missing = NO_MODULE.search(reason)
    if missing or _PLUGIN.search(reason):
        module = missing["other_version"] if missing else None
        package = "'PACKAGE==VERSION'" if module else "PACKAGE"
        line = install(package)
        if (checkout / _PACKAGES).is_file():
            line += f"; in your clone, -r {_PACKAGES} in place of {package} installs all it lists"
        instead = ", or take it out of PLUGINS" if _PLUGIN.search(reason) else ""
        if module:
            return (
                f"The installed version of the package that has {module} is not one that the site"
                " works with. Install the one that you have where the site can be built (pip freeze"
                f" lists it there) in the bridge's environment, too ({line}){instead}."
            )
        return (
            f"Install the package that has it in the bridge's environment, too ({line}){instead}."
        )
    theme = _THEME.search(reason)
    if theme and not theme[1].startswith(("/", "../")):
        themes = Path(sys.executable).with_name("pelican-themes")
        return (
            "The repo has no such folder, and no theme of that name is installed. Add the folder"
            " to the repo (commit it, or git submodule add); or install the theme in the bridge's"
            f" environment, too: {install('PACKAGE')}, or {themes} --install"
            " FOLDER."
        )
    if theme and theme[1].startswith("."):
        return (
            f"{_ELSEWHERE}, and that folder is not in the repo. Add it to the repo (git submodule"
            " add, or a copy); or write its absolute path in the settings, and the same path in"
            " [site] folders."
        )
    denied = _DENIED.search(reason)
    place = Path(theme[1]) if theme else Path(denied[1]).parent if denied else None
    if place and Path.home().is_relative_to(place):
        # Keys and passwords are there as well.
        return (
            f"{_ELSEWHERE}, and may not read your home folder. Add the file to the repo; or put it"
            " into a folder of its own, and name that in [site] folders."
        )
    if place and place.is_dir():
        return (
            f"{_ELSEWHERE}, and may not read that folder. Add it to the repo, and write its"
            f' relative path; or in bridge.toml, below [site]: folders = ["{place}"].'
        )
    return "Build the site by hand with these settings, and fix the error."


def remedy_of_logged(warning: str, checkout: Path) -> str:
    """The remedy for what is logged by a run of Pelican that does not fail."""
    # Pelican names a plugin twice: it is not loaded, since it is not imported.
    if missing := set(_PLUGIN.findall(warning)):
        what = "that plugin" if len(missing) == 1 else "those plugins"
        return f"The site is built without {what}. {remedy_of(warning, checkout)}"
    return "The site is built all the same; check whether something is missing."
