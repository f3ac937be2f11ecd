"""Extracts the name of an app from the app's page.

Only runs in :mod:`bridge.net.parser_process`: a hostile page can keep an HTML parser busy for
minutes.
"""

from __future__ import annotations

import mf2py


def name(page: bytes, url: str) -> object:
    """The name of the page's h-app (or h-x-app, its older name), or ``None``."""
    items = mf2py.parse(doc=page.decode("utf-8", "replace"), url=url)["items"]
    apps = [item for item in items if {"h-app", "h-x-app"} & set(item["type"])]
    names = [value for app in apps for value in app["properties"].get("name", [])]
    return names[0] if names else None
