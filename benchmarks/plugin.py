"""What the plugin costs: its share of a build, and its microseconds a page.

    python benchmarks/plugin.py [POSTS]

Builds a site of posts of several kinds with Pelican in this process, and adds up the time spent in
the plugin's parts. A share of one build says more than the difference of two, which
drowns in the noise of any machine.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pelican import Pelican
from pelican.plugins import signals
from pelican.settings import read_settings

from pelican_indieauth import markup, pages, plugin

SIGNALS = {
    "initialized": signals.initialized,
    "get_generators": signals.get_generators,
    "generator_init": signals.generator_init,
    "all_generators_finalized": signals.all_generators_finalized,
    "content_written": signals.content_written,
    "feed_generated": signals.feed_generated,
    "finalized": signals.finalized,
}
#: Half of the posts come from apps, half were written by hand.
KINDS: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"like-of": ["https://example.org/b"]},
    {},
    {"checkin": [{"type": ["h-card"], "properties": {"name": ["Café"], "latitude": ["52.5"]}}]},
    {"in-reply-to": ["https://example.org/a"]},
    {"photo": [{"value": "{static}/media/sea.jpg", "alt": "The sea"}]},
]
PARAGRAPH = "Some words about [nothing](https://example.org/) in particular, *marked up* a little. "
BODY = "\n\n".join([PARAGRAPH * 10, "## And then", PARAGRAPH * 10, "* one\n* two", PARAGRAPH * 20])


def main(posts: int) -> None:
    """Prints one line for each part, and the plugin's share of the whole."""
    spent: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        write_posts(site / "content", posts)
        build = Pelican(settings_of(site, timed_plugin(spent, calls)))
        start = time.perf_counter()
        build.run()
        whole = time.perf_counter() - start
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        each = seconds / calls[name] * 1e6
        print(f"{name:26} {calls[name]:6} calls {seconds * 1e3:8.1f} ms {each:10.1f} µs each")
    total = sum(spent.values())
    print(f"{posts} posts: {total * 1e3:.0f} ms of {whole:.1f} s, {total / whole:.2%}")


def timed_plugin(spent: dict[str, float], calls: dict[str, int]) -> SimpleNamespace:
    """The plugin with a clock around each receiver, and around what it does to a page."""

    def timed(name: str, receiver: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(receiver)
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return receiver(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - start
                calls[name] += 1

        return run

    receivers = {name: timed(name, getattr(plugin, name)) for name in SIGNALS}

    def register() -> None:
        for name, signal in SIGNALS.items():
            signal.connect(receivers[name])

    pages.finished = timed("pages", pages.finished)
    markup.Frame.plain = timed("plain", markup.Frame.plain)
    return SimpleNamespace(register=register, receivers=receivers)


def settings_of(site: Path, timed: SimpleNamespace) -> Any:
    """A usual site: feeds, tags, pages of lists."""
    return read_settings(
        override={
            "PATH": str(site / "content"),
            "OUTPUT_PATH": str(site / "output"),
            "SITEURL": "https://example.com",
            "SITENAME": "Example",
            "AUTHOR": "Ann",
            "TIMEZONE": "Europe/Berlin",
            "DEFAULT_PAGINATION": 10,
            "FEED_ALL_ATOM": "feeds/all.atom.xml",
            "PLUGINS": [timed],
            "INDIEAUTH_BRIDGE": "https://bridge.example.com/",
        }
    )


def write_posts(content: Path, posts: int) -> None:
    """Posts of several kinds in turn, and the photo that some of them show."""
    (content / "media").mkdir(parents=True)
    (content / "media" / "sea.jpg").write_bytes(b"")
    for number in range(posts):
        header = [
            f"Title: Post {number}",
            f"Date: {2000 + number % 20}-01-{1 + number % 28:02}T12:00:00+01:00",
            f"Slug: post-{number}",
            f"Category: {'notes' if number % 3 else 'articles'}",
            # Numbers in names would meet those of the pages of lists.
            f"Tags: {'; '.join(chr(97 + number % each) * 3 for each in (5, 11, 23))};",
        ]
        properties = KINDS[number % len(KINDS)]
        if properties:
            line = {"type": ["h-entry"], "properties": properties, "title": "synthetic"}
            header.append(f"Mf2: {json.dumps(line)}")
        text = "\n".join(header) + f"\n\n{BODY}\n"
        (content / f"post-{number}.md").write_text(text, "utf-8")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
