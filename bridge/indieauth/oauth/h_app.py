"""The name of an app, from its page. Run as a program: page in, JSON out.

A parser of HTML can be kept busy for minutes by a page of some kilobytes that is made for it, so
this runs in a process of its own, which limits itself and can be killed
(:mod:`bridge.indieauth.oauth.clients`). It needs nothing of the bridge.
"""

from __future__ import annotations

import json
import resource
import sys

import mf2py

_CPU_SECONDS = 3
_MEMORY = 512 * 1024**2


def name(html: str, url: str) -> object:
    """The name of the page's h-app, or of an h-x-app, as it was called before; else ``None``."""
    items = mf2py.parse(doc=html, url=url)["items"]
    apps = [item for item in items if {"h-app", "h-x-app"} & set(item["type"])]
    names = [value for app in apps for value in app["properties"].get("name", [])]
    return names[0] if names else None


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    page = sys.stdin.buffer.read().decode("utf-8", "replace")
    json.dump(name(page, sys.argv[1]), sys.stdout)
