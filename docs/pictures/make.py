"""The pictures of README.md, made from a running demo: ``make pictures``.

Needs Debian's chromium and the development packages. Screenshots are PNG, one for each colour
scheme; diagrams are SVG, whose style has both.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_BRIDGE = (sys.executable, "-m", "bridge")
_START_SECONDS = 120
_SIZE = {"width": 960, "height": 640}
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_COLOURS = 96
#: Both colour schemes of a diagram.
_STYLE = """\
<style>
:root { --paper: #fbfaf7; --ink: #22211f; --soft: #6b6862; --line: #d8d3c8; --accent: #8a3b12; }
@media (prefers-color-scheme: dark) {
:root { --paper: #1c1b19; --ink: #ece8e0; --soft: #a29d93; --line: #45423c; --accent: #e6a077; }
}
.paper { fill: var(--paper); stroke: var(--line); }
text { fill: var(--ink); font: 14px ui-sans-serif, system-ui, sans-serif; }
.mono { font: 13px ui-monospace, Menlo, Consolas, monospace; white-space: pre; }
.soft { fill: var(--soft); font-size: 12px; }
.accent { fill: var(--accent); }
.arrow { stroke: var(--accent); fill: none; stroke-width: 1.5; }
</style>
"""


@contextmanager
def demo(folder: Path) -> Iterator[dict[str, str]]:
    """Run a demo; yields the contents of its ``demo.json``."""
    command = (*_BRIDGE, "demo", "--dir", str(folder), "--port", "0")
    running = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL)
    try:
        facts = folder / "demo.json"
        end = time.monotonic() + _START_SECONDS
        while not facts.exists():
            if running.poll() is not None or time.monotonic() > end:
                raise SystemExit("The demo does not start: try `make demo`.")
            time.sleep(0.1)
        yield json.loads(facts.read_text())
    finally:
        running.terminate()
        running.wait(_START_SECONDS)


def save(page: Page, name: str) -> None:
    """Save a screenshot of a page as a small PNG."""
    shot = Image.open(io.BytesIO(page.screenshot()))
    small = shot.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    small.save(_HERE / f"{name}.png", optimize=True)


def photograph(browser: Browser, facts: dict[str, str], scheme: Literal["light", "dark"]) -> None:
    """Take screenshots of the site, the sign-in page and the desk."""
    context = browser.new_context(viewport=_SIZE, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(facts["site"])
    save(page, f"site-{scheme}")
    page.goto(f"{facts['desk']}new")
    save(page, f"sign-in-{scheme}")
    page.get_by_label("Password").fill(facts["password"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto(f"{facts['desk']}new")
    page.get_by_label("Text").fill("Frost on the workshop window, and the kettle is on.")
    page.set_viewport_size(_SIZE | {"height": 820})
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    save(page, f"desk-{scheme}")
    context.close()


def terminal(lines: Sequence[str], title: str) -> str:
    """A terminal window with these lines, as SVG."""
    height = 58 + 19 * len(lines)
    rows = "\n".join(
        f'<text class="mono" x="22" y="{56 + 19 * number}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n{_STYLE}"
        f'<rect class="paper" x="1" y="1" width="958" height="{height - 2}" rx="8"/>\n'
        f'<text class="soft" x="22" y="26">{escape(title)}</text>\n{rows}\n</svg>\n'
    )


def checked(folder: Path, facts: dict[str, str]) -> list[str]:
    """The output of ``check`` for the demo, with example URLs."""
    done = subprocess.run(
        (*_BRIDGE, "check", "-c", str(folder / "bridge.toml")),
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    text = done.stdout.replace(facts["site"].rstrip("/"), "https://you.example")
    text = text.replace(str(folder), "~")
    lines = [line[:114] for line in text.splitlines() if line.strip()]
    return ["$ micropub-bridge check", *lines[:24]]


def way() -> str:
    """A diagram of how a post is handled, as SVG."""
    steps = (
        ("web/", "reads the request"),
        ("auth/", "verifies the token"),
        ("micropub/", "parses the action"),
        ("publisher", "all steps in order"),
        ("content/", "writes the file"),
        ("store/", "commits it to git"),
        ("rebuild/", "runs Pelican"),
    )
    parts = []
    for number, (name, what) in enumerate(steps):
        x = 12 + 136 * number
        parts.append(f'<rect class="paper" x="{x}" y="34" width="120" height="62" rx="8"/>')
        parts.append(f'<text x="{x + 60}" y="60" text-anchor="middle">{name}</text>')
        parts.append(
            f'<text class="soft" style="font-size: 10px" x="{x + 60}" y="80"'
            f' text-anchor="middle">{what}</text>'
        )
        if number:
            parts.append(f'<path class="arrow" d="M{x - 15} 65 h11 m-4 -4 l4 4 l-4 4"/>')
    parts.append('<text class="soft accent" x="12" y="22">an app, or your browser</text>')
    for number, text in ((5, "on disk"), (6, "201, or 202 until it is live")):
        end = ("middle", 12 + 136 * number + 60) if number == 5 else ("end", 948)
        parts.append(
            f'<text class="soft accent" x="{end[1]}" y="122" text-anchor="{end[0]}">{text}</text>'
        )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 134" role="img">\n'
        f"<title>How a post is handled</title>\n{_STYLE}" + "\n".join(parts) + "\n</svg>\n"
    )


def main() -> None:
    """Make all pictures."""
    (_HERE / "way.svg").write_text(way())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "demo"
        with demo(folder) as facts, sync_playwright() as playwright:
            drawn = terminal(checked(folder, facts), "micropub-bridge check")
            (_HERE / "check.svg").write_text(drawn)
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"]
            )
            for scheme in _SCHEMES:
                photograph(browser, facts, scheme)
            browser.close()


if __name__ == "__main__":
    main()
