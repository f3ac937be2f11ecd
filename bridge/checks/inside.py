"""What can be told on this machine: the repo, its remote, Pelican's settings, a build."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bridge.checks import Finding
from bridge.content.location import Site
from bridge.rebuild.checkout import Checkout
from bridge.settings import Settings, SettingsError
from bridge.store import StoreError
from bridge.store.git import GitStore
from bridge.store.setup import try_push

_BUILD_SECONDS = 600


def check_inside(settings: Settings) -> Iterator[Finding]:
    """The repo first: without it nothing else can be looked at."""
    try:
        store = GitStore(settings.site.repo, branch=settings.site.branch)
    except StoreError as error:
        yield Finding("repo", str(error), "See [site] repo in bridge.toml.")
        return
    try:
        yield from _check_site(store, settings)
    finally:
        store.close()


def _check_site(store: GitStore, settings: Settings) -> Iterator[Finding]:
    head = store.head()
    if head is None:
        yield Finding("repo", "its branch has no commit", "Commit your site there first.")
        return
    if os.access(store.state, os.W_OK):
        yield Finding("repo", f"{settings.site.repo} can be read and written")
    else:
        yield Finding(
            "repo",
            f"{store.state} cannot be written",
            "Give the user that runs the bridge write access to the whole repo.",
        )
    yield _check_remote(settings)
    with tempfile.TemporaryDirectory(prefix="bridge-check-") as folder:
        checkout = Path(folder, "site")
        Checkout(store, checkout).bring_to(head)
        yield from _check_pelican(checkout, Path(folder, "output"), settings)


def _check_remote(settings: Settings) -> Finding:
    name = settings.publish.remote
    if not name:
        return Finding("remote", "none is wanted ([publish] remote is empty)")
    reason = try_push(settings.site.repo, name, settings.site.branch)
    if reason is None:
        return Finding("remote", f"{name} can be read and pushed to")
    return Finding(
        "remote",
        f"{name} would refuse a push: {reason}",
        "See that this user has a key or a token for it (docs/git.md), or set [publish] remote.",
    )


def _check_pelican(checkout: Path, output: Path, settings: Settings) -> Iterator[Finding]:
    file = checkout / settings.site.settings
    try:
        site = Site.load(file, root=checkout)
    except SettingsError as error:
        yield Finding("Pelican settings", str(error), "Mend the file, and commit it.")
        return
    yield Finding("Pelican settings", f"{settings.site.settings} can be read")
    yield _check_siteurl(site, settings)
    yield _check_static(site, settings)
    yield _check_build(file, checkout / settings.content.folder, output)


def _check_siteurl(site: Site, settings: Settings) -> Finding:
    if site.siteurl:
        return Finding("SITEURL", f"apps are told addresses below {site.siteurl}")
    return Finding(
        "SITEURL",
        f"it is empty in {settings.site.settings}, so that no app can be told an address",
        "Set it there, or name your publishing settings in [site] settings.",
    )


def _check_static(site: Site, settings: Settings) -> Finding:
    folder = settings.media.folder
    paths = [str(path).strip("/") for path in site.settings["STATIC_PATHS"]]
    if any(folder == path or folder.startswith(f"{path}/") or path in {"", "."} for path in paths):
        return Finding("photos", f"the site copies {folder}/ to its pages")
    return Finding(
        "photos",
        f"STATIC_PATHS does not name {folder!r}: sites built without the plugin lack the photos",
        f"Add {folder!r} to STATIC_PATHS.",
        broken=False,
    )


def _check_build(settings_file: Path, content: Path, output: Path) -> Finding:
    argv = [sys.executable, "-m", "pelican", str(content), "-s", str(settings_file)]
    try:
        built = subprocess.run(
            [*argv, "-o", str(output), "--fatal", "errors"],
            cwd=settings_file.parent,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired:
        return Finding("build", "it takes more than ten minutes", "Find out what it waits for.")
    if built.returncode == 0:
        pages = sum(1 for _ in output.rglob("*.html"))
        return Finding("build", f"Pelican builds the site: {pages} pages")
    reason = (built.stderr or built.stdout).strip().splitlines()[-1:] or ["no reason given"]
    return Finding(
        "build", f"Pelican fails: {reason[0].strip()}", "Build it by hand and mend that."
    )
