"""Whose pages these are, and which browser requests one."""

from __future__ import annotations

from datetime import tzinfo
from typing import Protocol

from aiohttp import web


class OwnerSession(Protocol):
    """The owner's session, in a browser that is signed in."""

    @property
    def id(self) -> int:
        """Its number."""
        ...


class Browser(Protocol):
    """The browser that requests a page."""

    @property
    def csrf(self) -> str:
        """The CSRF token of this browser's forms."""
        ...

    @property
    def session(self) -> OwnerSession | None:
        """The session, if the owner has signed in."""
        ...

    def remember(self, response: web.Response) -> None:
        """Set the cookie of a new browser."""
        ...


class Host(Protocol):
    """The owner of these pages, and the browser that requests them."""

    @property
    def me(self) -> str:
        """The owner's address."""
        ...

    @property
    def name(self) -> str:
        """The name of the owner or the site; ``""`` if it is unknown."""
        ...

    @property
    def zone(self) -> tzinfo:
        """The site's time zone."""
        ...

    def browser(self, request: web.Request) -> Browser:
        """The browser that this request comes from."""
        ...


HOST = web.AppKey("host", Host)
