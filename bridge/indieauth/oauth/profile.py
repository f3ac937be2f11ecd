"""The profile information that apps may read (IndieAuth 5.3.4)."""

from __future__ import annotations

from collections.abc import Set

from bridge.indieauth.server import IndieAuthServer


def profile(server: IndieAuthServer, scopes: Set[str]) -> dict[str, str]:
    """Name, picture and address of the site; the e-mail address only with its own scope too."""
    about = {"name": server.config.name, "url": server.me, "photo": server.config.photo}
    if "email" in scopes:
        about["email"] = server.config.email
    return {key: value for key, value in about.items() if value}
