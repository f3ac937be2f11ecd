"""Extracts the name of an app from the app's page.

Only runs in :mod:`bridge.net.parser_process`: a page of some kilobytes can be made to keep a parser
of HTML busy for minutes.
"""

from __future__ import annotations

import mf2py


def name(page: bytes, url: str) -> object:
    """The name of the page's h-app, or of its h-x-app, the older name; ``None`` without one."""
    items = mf2py.parse(doc=page.decode("utf-8", "replace"), url=url)["items"]
    apps = [item for item in items if {"h-app", "h-x-app"} & set(item["type"])]
    names = [value for app in apps for value in app["properties"].get("name", [])]
    return names[0] if names else None
