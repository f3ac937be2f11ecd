"""The bundled JavaScript libraries are those of the lock file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.vendored import BUNDLE, LICENCES, SOURCE, STATIC, build


@pytest.mark.node
@pytest.mark.nightly
def test_bundling_again_gives_the_same_bytes(tmp_path: Path) -> None:
    kept = {name: (STATIC / name).read_bytes() for name in (BUNDLE, LICENCES)}
    assert build(tmp_path) == kept


def test_each_is_named_with_its_version_and_licence() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    wanted = json.loads((SOURCE / "package.json").read_text())["dependencies"]
    licences, bundle = (STATIC / LICENCES).read_text(), (STATIC / BUNDLE).read_text()
    for name in set(wanted) - {"esbuild"}:
        package = lock[f"node_modules/{name}"]
        titled = f"{name} {package['version']} ({package['license']})"
        assert package["version"] == wanted[name]
        assert titled in licences
        assert titled in bundle.splitlines()[0]
    # Packages may come from anywhere; their hashes say that they are these.
    assert all("integrity" in each for path, each in lock.items() if path)
    assert not any("resolved" in each for each in lock.values())
