"""Bundle the JavaScript libraries of the owner's pages: ``make vendor`` (needs Node.js with npm).

``tools/vendor/package-lock.json`` has the versions and their hashes. The bundle is committed, with
the licences: neither installing nor running the bridge needs Node.js. ``make nightly`` checks that
bundling again gives the same file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "tools" / "vendor"
STATIC = ROOT / "bridge" / "pages" / "static"
BUNDLE = "vendor.js"
LICENCES = "vendor.txt"
_INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
#: Browsers of the last five years.
_BUNDLE = ("npx", "--no-install", "esbuild", BUNDLE, "--bundle", "--minify")
_FORM = ("--format=esm", "--target=es2020", "--legal-comments=none", "--charset=utf8")


def build(folder: Path) -> dict[str, bytes]:
    """The bundle and its licences, by file name, made in an empty folder.

    Raises :class:`subprocess.CalledProcessError` if npm or esbuild fails.
    """
    for file in SOURCE.iterdir():
        shutil.copy2(file, folder)
    subprocess.run(_INSTALL, cwd=folder, check=True, capture_output=True)
    named = [name for name in _dependencies(folder) if name != "esbuild"]
    banner = f"/*! {', '.join(_titled(folder, name) for name in named)}; see {LICENCES} */"
    command = [*_BUNDLE, *_FORM, f"--banner:js={banner}"]
    made = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    texts = [f"{_titled(folder, name)}\n\n{_licence(folder, name)}" for name in named]
    return {BUNDLE: made.stdout, LICENCES: "\n\n".join(texts).encode()}


def _dependencies(folder: Path) -> list[str]:
    told = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    return sorted(told["dependencies"])


def _titled(folder: Path, name: str) -> str:
    """A package with its version and the name of its licence."""
    file = folder / "node_modules" / name / "package.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    return f"{name} {told['version']} ({told['license']})"


def _licence(folder: Path, name: str) -> str:
    return (folder / "node_modules" / name / "LICENSE").read_text(encoding="utf-8")


def main() -> int:
    """Write the bundle and its licences."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in build(Path(folder)).items():
            (STATIC / name).write_bytes(content)
            print(f"{name}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
