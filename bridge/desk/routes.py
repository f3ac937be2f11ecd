"""The desk's routes."""

from __future__ import annotations

from aiohttp import web

from bridge.desk import files, history, icon, posts, pwa
from bridge.desk.compose import edit_post, new_post, preview, share
from bridge.desk.compose.submission import owner_post_form
from bridge.desk.desk import DESK, Desk
from bridge.desk.owner import owner_form, owner_page
from bridge.pages.navigation import Section, add_section
from bridge.pages.render import redirect


def setup(app: web.Application, desk: Desk) -> None:
    """Add the desk to an application that has the built-in server's pages."""
    app[DESK] = desk
    app[icon.PHOTO] = icon.OwnersPhoto(desk.contexts.fetch)
    add_section(app, Section("write", "/desk/new", "Write", 10))
    add_section(app, Section("posts", "/desk/", "Posts", 20))
    add_section(app, Section("files", "/desk/files", "Files", 30))
    app.router.add_routes([*_post_form(), *_pages()])
    if desk.has_own_origin:
        app.router.add_routes(_app())


def _post_form() -> list[web.RouteDef]:
    """The form of a post, and what its scripts request."""
    return [
        web.get("/desk/new", owner_page(new_post.show)),
        web.post("/desk/new", owner_post_form(new_post.create)),
        web.get("/desk/edit", owner_page(edit_post.show)),
        web.post("/desk/edit", owner_post_form(edit_post.change)),
        web.post("/desk/context", owner_form(new_post.look_up)),
        web.post("/desk/tags", owner_form(new_post.tags)),
        web.post("/desk/places", owner_form(new_post.places)),
        web.post("/desk/address", owner_post_form(new_post.address)),
        web.post("/desk/preview", owner_post_form(preview.at_once)),
        web.get("/desk/look", owner_page(preview.in_theme)),
        web.post("/desk/publish", owner_form(preview.publish)),
        web.get("/desk/share", owner_page(share.begin)),
        web.post("/desk/share", owner_page(share.receive)),
        web.post("/desk/delete", owner_form(edit_post.delete)),
        web.post("/desk/restore", owner_form(edit_post.restore)),
    ]


def _pages() -> list[web.RouteDef]:
    return [
        web.get("/desk", begin),
        web.get("/desk/", owner_page(posts.show)),
        web.get("/desk/files", owner_page(files.show)),
        web.post("/desk/files", owner_post_form(files.upload)),
        web.post("/desk/files/change", owner_form(files.change)),
        web.get("/desk/history", owner_page(history.show)),
    ]


def _app() -> list[web.RouteDef]:
    """What makes the desk an app that can be installed."""
    return [
        web.get("/desk/once", pwa.once),
        web.get("/desk/outbox", owner_page(pwa.outbox)),
        web.post("/desk/outbox", owner_post_form(pwa.post_waiting)),
        web.get("/desk/manifest.webmanifest", pwa.manifest),
        web.get("/desk/icon-{name}.png", icon.icon),
        web.get("/desk/sw.js", pwa.worker),
        web.get("/desk/offline", pwa.offline),
    ]


async def begin(request: web.Request) -> web.Response:
    """GET /desk, and GET / of a bridge on a host name of its own."""
    del request
    return redirect("/desk/")
