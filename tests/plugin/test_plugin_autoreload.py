"""``pelican -r``, as used while writing: it rebuilds after any change."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from plugin_site import BRIDGE, SITE, Built, note, post, write, write_settings

import pelican_indieauth

ROOT = Path(pelican_indieauth.__file__).parents[1]
CITED = "https://example.org/post"
PATIENCE = 300
OTHER = "https://other.example/"


@contextmanager
def autoreload(folder: Path) -> Iterator[Built]:
    """Run ``pelican -r`` in the block."""
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "pelican", "-r", "-s", "pelicanconf.py"],
            cwd=folder,
            # Python recognises compiled settings by modification second and size; two versions can
            # share both.
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Built(folder / "output")
        finally:
            running.kill()
            running.wait()


def until(seen: Callable[[], bool], change: Callable[[], Any] = lambda: None) -> None:
    """Make a change and check, until it has an effect. It may take several changes: Pelican
    does not notice those during a build.
    """
    deadline = time.monotonic() + PATIENCE
    again = 0.0
    while not seen():
        if time.monotonic() > deadline:
            pytest.fail(f"not seen within {PATIENCE} s")
        if time.monotonic() > again:
            change()
            again = time.monotonic() + 5
        time.sleep(0.05)


def is_whole(built: Built, path: str, bridge: str, of: str) -> bool:
    """Whether a page is complete, with one entry and each link once. It may be partially
    written.
    """
    if not (built.output / path).exists():
        return False
    page = built.text(path)
    entries = [entry["properties"] for entry in built.entries(path)]
    return (
        page.count('rel="micropub"') == page.count(f'href="{bridge}micropub"') == 1
        and [entry.get("like-of") for entry in entries] == [[of]]
        and [entry.get("url") for entry in entries] == [[f"{SITE}/{path}"]]
    )


def are_headers_whole(headers: str) -> bool:
    """Whether the headers name the other bridge only, and once. They may be partially written."""
    once = headers.count(f"<{OTHER}micropub>") == headers.count('rel="micropub"') == 1
    return once and BRIDGE not in headers


def test_changed_files_are_rebuilt_with_links_and_entries(tmp_path: Path) -> None:
    def like(slug: str, of: str, **more: str) -> dict[str, str]:
        return {f"content/{slug}.md": post(slug, note({"like-of": [of], **more}))}

    write(tmp_path, like("first", CITED))
    write_settings(tmp_path)
    with autoreload(tmp_path) as built:
        until(lambda: is_whole(built, "first.html", BRIDGE, CITED))

        until(
            lambda: is_whole(built, "first.html", BRIDGE, f"{CITED}/2"),
            lambda: write(tmp_path, like("first", f"{CITED}/2")),
        )
        until(
            lambda: is_whole(built, "second.html", BRIDGE, CITED),
            lambda: write(tmp_path, like("second", CITED)),
        )
        until(
            lambda: is_whole(built, "first.html", OTHER, f"{CITED}/2"),
            lambda: write_settings(tmp_path, INDIEAUTH_BRIDGE=OTHER),
        )
        until(lambda: is_whole(built, "second.html", OTHER, CITED))
        until(lambda: are_headers_whole(built.text("_headers")))


def test_the_first_upload_is_copied_from_its_new_folder(tmp_path: Path) -> None:
    def photograph() -> None:
        shown = note({"photo": [{"value": "{static}/media/sea.jpg", "alt": "The sea"}]})
        photo = {"content/media/sea.jpg": "jpeg", "content/photo.md": post("photo", shown)}
        write(tmp_path, photo)

    write(tmp_path, {"content/first.md": post("first")})
    write_settings(tmp_path)
    with autoreload(tmp_path) as built:
        until((built.output / "first.html").exists)
        until((built.output / "media" / "sea.jpg").exists, photograph)


def test_an_invalid_setting_is_reported_and_its_correction_is_used(tmp_path: Path) -> None:
    write(tmp_path, {"content/first.md": post("first", note({"like-of": [CITED]}))})
    write_settings(tmp_path)
    with autoreload(tmp_path) as built:
        until(lambda: is_whole(built, "first.html", BRIDGE, CITED))
        until(
            lambda: "is not an absolute URL" in " ".join((tmp_path / "log").read_text().split()),
            lambda: write_settings(tmp_path, INDIEAUTH_BRIDGE="bridge.example"),
        )
        # The page may just be written again, with the settings that were valid.
        until(lambda: is_whole(built, "first.html", BRIDGE, CITED))
        until(
            lambda: is_whole(built, "first.html", OTHER, CITED),
            lambda: write_settings(tmp_path, INDIEAUTH_BRIDGE=OTHER),
        )
