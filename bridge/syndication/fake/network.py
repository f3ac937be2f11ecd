"""The fake network as an application, with a page that shows the copies.

It stores nothing on disk and validates as the real servers do: lengths of texts, facets, shapes of
records. For ``demo --fake-network`` and for tests.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

from bridge.syndication.fake.bluesky import FakeBluesky
from bridge.syndication.fake.mastodon import FakeMastodon, as_html

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeNetwork(FakeMastodon, FakeBluesky):
    """A network; ``base`` is its URL once it is served."""

    async def page(self, request: web.Request) -> web.Response:
        """A page with all copies, newest first."""
        del request
        toots = [
            f"<li>{each['content']}<p>Mastodon, {each['created_at']}</p></li>"
            for each in reversed(self.statuses.values())
        ]
        posts = [
            f"<li>{as_html(each['value'].get('text', ''))}"
            f"<p>Bluesky, {html.escape(each['value'].get('createdAt', ''))}</p></li>"
            for each in reversed(self.records.values())
        ]
        nothing = "<li>Nothing yet: post something with this network as a target.</li>"
        shown = "".join([*toots, *posts]) or nothing
        body = (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            "<title>A fake network</title>"
            f"<h1>A fake network</h1><ul>{shown}</ul></html>"
        )
        return web.Response(text=body, content_type="text/html")

    def app(self, *middlewares: Any) -> web.Application:
        """The application, to be served."""
        app = web.Application(middlewares=middlewares, client_max_size=60_000_000)
        add = app.router.add_route
        for method, path, handler in self._routes():
            add(method, path, handler)
        return app

    def _routes(self) -> list[tuple[str, str, Handler]]:
        return [
            *self._mastodon_routes(),
            *self._bluesky_routes(),
            ("GET", "/", self.page),
            ("GET", "/@you", self.page),
            ("GET", "/@you/{id}", self.page),
        ]

    def _bluesky_routes(self) -> list[tuple[str, str, Handler]]:
        xrpc = {
            ("POST", "com.atproto.server.createSession"): self.sign_in,
            ("POST", "com.atproto.server.refreshSession"): self.refresh,
            ("GET", "com.atproto.identity.resolveHandle"): self.resolve,
            ("POST", "com.atproto.repo.uploadBlob"): self.blob,
            ("POST", "com.atproto.repo.putRecord"): self.put,
            ("GET", "com.atproto.repo.getRecord"): self.get_record,
            ("POST", "com.atproto.repo.deleteRecord"): self.delete_record,
            ("GET", "app.bsky.feed.getPosts"): self.get_posts,
            ("GET", "app.bsky.feed.getPostThread"): self.thread,
            ("GET", "app.bsky.feed.getLikes"): self.likes,
            ("GET", "app.bsky.feed.getRepostedBy"): self.reposted,
            ("GET", "app.bsky.feed.getQuotes"): self.quotes_of_post,
        }
        return [(method, f"/xrpc/{name}", handler) for (method, name), handler in xrpc.items()]

    def _mastodon_routes(self) -> list[tuple[str, str, Handler]]:
        status = "/api/v1/statuses/{id}"
        return [
            ("GET", "/api/v2/instance", self.instance),
            ("POST", "/api/v1/apps", self.register),
            ("GET", "/oauth/authorize", self.authorize),
            ("POST", "/oauth/token", self.grant),
            ("POST", "/oauth/revoke", self.revoke),
            ("GET", "/api/v1/accounts/verify_credentials", self.verify),
            ("GET", "/api/v1/accounts/{account}/statuses", self.own),
            ("POST", "/api/v1/statuses", self.create),
            ("GET", status, self.show),
            ("PUT", status, self.edit),
            ("DELETE", status, self.remove),
            ("GET", f"{status}/source", self.source),
            ("GET", f"{status}/context", self.context),
            ("GET", f"{status}/{{what:favourited_by|reblogged_by}}", self.people),
            ("GET", f"{status}/quotes", self.quotes_of_status),
            ("POST", f"{status}/{{action:favourite|reblog|unfavourite|unreblog}}", self.act),
            ("POST", "/api/v2/media", self.upload),
            ("GET", "/api/v1/media/{id}", self.medium),
            ("GET", "/api/v2/search", self.search),
        ]
