"""The cost of the plugin: its share of a build, and microseconds per post.

    python -m benchmarks.plugin [POSTS [THEME...]]

Builds a site with posts of several types with Pelican in this process. A clock attributes the time
of the build to Pelican or to a part of the plugin. What the plugin saves Pelican is measured in
function calls, of a build without it and of one with it, since the difference of two times is less
than the noise of any machine.
"""

from __future__ import annotations

import cProfile
import gc
import json
import logging
import pstats
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pelican import Pelican
from pelican.contents import Content
from pelican.plugins import signals
from pelican.settings import read_settings

from pelican_indieauth import pages, plugin
from pelican_indieauth.entry import markup
from pelican_indieauth.lists import json_feed, redirects

SIGNALS = {
    "initialized": signals.initialized,
    "get_generators": signals.get_generators,
    "generator_init": signals.generator_init,
    "all_generators_finalized": signals.all_generators_finalized,
    "content_written": signals.content_written,
    "feed_generated": signals.feed_generated,
    "finalized": signals.finalized,
}
#: What Pelican calls besides.
PARTS: list[tuple[Any, str]] = [
    (pages, "finished"),
    (markup._Content, "__call__"),
    (markup._Plain, "__call__"),
    (markup._Summary, "_pelicans_own"),  # what follows costs the same as without the plugin
    (redirects.Redirects, "__init__"),
    (redirects.Redirects, "generate_output"),
    (json_feed.JsonFeed, "__init__"),
    (json_feed.JsonFeed, "generate_output"),
]
PELICAN = "Pelican"
BRIDGE = "https://bridge.example.com/"
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


def main(posts: int, themes: list[str]) -> None:
    """Print a line for each part, and the plugin's share of the total."""
    # It is chance in whose turn waste is collected that all have made.
    gc.disable()
    compare(posts, themes)
    clock = Clock()
    plugin_timed = timed_plugin(clock)
    for theme in themes:
        clock.reset()
        with tempfile.TemporaryDirectory() as folder:
            site = Path(folder)
            write_posts(site / "content", posts)
            build = Pelican(settings_of(site, plugin_timed, theme, BRIDGE))
            clock.timed(PELICAN, build.run)()
        report(clock, posts, theme)


def compare(posts: int, themes: list[str]) -> None:
    """Compare the function calls of whole builds, which are always the same."""
    for theme in themes:
        function_calls(10, theme, BRIDGE)  # what is done once in a process
        without, with_plugin = (function_calls(posts, theme, bridge) for bridge in ("", BRIDGE))
        more = with_plugin / without - 1
        print(f"{posts} posts, {theme}: {more:+.2%} function calls ({without} without the plugin)")


def function_calls(posts: int, theme: str, bridge: str) -> int:
    """The number of function calls in a build; without a bridge the plugin does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        write_posts(site / "content", posts)
        build = Pelican(settings_of(site, "pelican_indieauth", theme, bridge))
        profile = cProfile.Profile()
        profile.runcall(build.run)
    for method in ("get_content", "get_summary"):
        vars(Content)[method].cache.clear()
    return int(vars(pstats.Stats(profile))["total_calls"])


def report(clock: Clock, posts: int, theme: str) -> None:
    """Print what a build took, without the clock's own overhead."""
    glance = Clock.glance()
    for name, calls in clock.calls.items():
        clock.spent[name] -= calls * glance
    for name, seconds in sorted(clock.spent.items(), key=lambda item: -item[1]):
        if name != PELICAN:
            calls = clock.calls[name]
            each = seconds / calls * 1e6
            print(f"{name:26} {calls:6} calls {seconds * 1e3:8.1f} ms {each:10.1f} µs each")
    whole = sum(clock.spent.values())
    ours = whole - clock.spent[PELICAN]
    share = f"{ours * 1e3:.0f} ms of {whole:.1f} s, {ours / whole:.2%}"
    print(f"{posts} posts, {theme}: {share}, {ours / posts * 1e6:.0f} µs a post")


class Clock:
    """Measures the time spent in each part, not counting the parts that it calls."""

    def __init__(self) -> None:
        self.reset()

    @staticmethod
    def glance() -> float:
        """The overhead of measuring one call."""
        clock, calls = Clock(), 20_000
        nothing = clock.timed("nothing", lambda: None)
        clock.timed(PELICAN, lambda: [nothing() for _ in range(calls)])()
        return clock.spent["nothing"] / calls

    def reset(self) -> None:
        """Reset all times."""
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._at_work: list[str] = []
        self._since = time.process_time()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted for a part."""

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            self._switch()
            self._at_work.append(name)
            try:
                return function(*args, **kwargs)
            finally:
                self._switch()
                self._at_work.pop()

        return run

    def _switch(self) -> None:
        now = time.process_time()
        if self._at_work:
            self.spent[self._at_work[-1]] += now - self._since
        self._since = now


def timed_plugin(clock: Clock) -> SimpleNamespace:
    """The plugin with each part measured, and Pelican between them."""
    receivers = {name: clock.timed(name, getattr(plugin, name)) for name in SIGNALS}

    def register() -> None:
        for name, signal in SIGNALS.items():
            signal.disconnect(getattr(plugin, name))
            signal.connect(receivers[name])

    for owner, name in PARTS:
        label = f"{owner.__name__.rpartition('.')[2].strip('_')} {name.strip('_')}"
        setattr(owner, name, clock.timed(label, getattr(owner, name)))
    # What Pelican would do without the plugin, too, while a part of it waits.
    for name in ("get_content", "get_summary"):
        method = vars(Content)[name]
        method.func = clock.timed(PELICAN, method.func)
    return SimpleNamespace(register=register, receivers=receivers)


def settings_of(site: Path, plugin: Any, theme: str, bridge: str) -> Any:
    """Typical settings: feeds, tags, paginated lists."""
    return read_settings(
        override={
            "PATH": str(site / "content"),
            "OUTPUT_PATH": str(site / "output"),
            "SITEURL": "https://example.com",
            "SITENAME": "Example",
            "AUTHOR": "Ann",
            "THEME": theme,
            "TIMEZONE": "Europe/Berlin",
            "DEFAULT_PAGINATION": 10,
            "FEED_ALL_ATOM": "feeds/all.atom.xml",
            "PLUGINS": [plugin],
            "INDIEAUTH_BRIDGE": bridge,
        }
    )


def write_posts(content: Path, posts: int) -> None:
    """Write posts of several types in turn, and the photo that some of them show."""
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
    main(int((sys.argv[1:] or ["1000"])[0]), sys.argv[2:] or ["notmyidea"])
