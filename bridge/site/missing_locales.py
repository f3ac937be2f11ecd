"""Messages for the owner about locales that a site's settings name and this machine lacks."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Names that are safe in a command for the owner to run: settings may hold anything.
_NAME = re.compile(r"(?P<place>[a-z]{2,3}_[A-Z]{2})(?P<charset>\.[A-Za-z0-9-]+)?(?P<kind>@[a-z]+)?")


def locales_warning(missing: Sequence[str]) -> str:
    """What is wrong, in one sentence; ``""`` where nothing is."""
    if not missing:
        return ""
    names, are = ", ".join(missing), "is" if len(missing) == 1 else "are"
    return (
        f"the locale {names} {are} not on this machine: the site is built with names of months and"
        " days in another language, also in addresses that have these, or Pelican leaves out posts"
        " (“unsupported locale setting”)"
    )


def how_to_install(missing: Sequence[str]) -> str:
    """What the owner can do, as commands where these are known."""
    lines = [line for name in missing if (line := _line(name))]
    if not lines:
        return (
            "Install it (`locale -a` lists those that are there), or correct LOCALE; then restart"
            " the bridge."
        )
    adding = "".join(f"echo '{line}' >> /etc/locale.gen; " for line in lines)
    return (
        f"As root (Debian, Ubuntu): apt-get install locales; {adding}locale-gen. Then restart the"
        " bridge."
    )


def _line(name: str) -> str:
    """The line of ``/etc/locale.gen`` that makes a locale; ``""`` where the name is none of its."""
    found = _NAME.fullmatch(name)
    if found is None:
        return ""
    charset = (found["charset"] or ".UTF-8")[1:]
    if charset.lower() in {"utf8", "utf-8"}:
        charset = "UTF-8"
    suffix = f".{charset}" if found["charset"] else ""
    return f"{found['place']}{suffix}{found['kind'] or ''} {charset}"
