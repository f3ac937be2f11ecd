"""The desk's routes."""

from __future__ import annotations

from aiohttp import web

from bridge.desk import files, history, icon, posts, pwa
from bridge.desk.compose import change, preview, share, suggest, write
from bridge.desk.compose.receive import post_form
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
    app.router.add_routes(
        [
            web.get("/desk", begin),
            web.get("/desk/", owner_page(posts.show)),
            web.get("/desk/new", owner_page(write.show)),
            web.post("/desk/new", post_form(write.create)),
            web.get("/desk/edit", owner_page(change.show)),
            web.post("/desk/edit", post_form(change.change)),
            web.post("/desk/context", owner_form(suggest.look_up)),
            web.post("/desk/tags", owner_form(suggest.tags)),
            web.post("/desk/places", owner_form(suggest.places)),
            web.post("/desk/address", post_form(write.address)),
            web.post("/desk/preview", post_form(preview.at_once)),
            web.get("/desk/look", owner_page(preview.in_theme)),
            web.post("/desk/publish", owner_form(preview.publish)),
            web.get("/desk/files", owner_page(files.show)),
            web.post("/desk/files", post_form(files.upload)),
            web.post("/desk/files/change", owner_form(files.change)),
            web.get("/desk/share", owner_page(share.begin)),
            web.post("/desk/share", owner_page(share.receive)),
            web.get("/desk/history", owner_page(history.show)),
            web.post("/desk/delete", owner_form(change.delete)),
            web.post("/desk/restore", owner_form(change.restore)),
        ]
    )
    if desk.has_own_origin:
        app.router.add_routes(
            [
                web.get("/desk/once", pwa.once),
                web.get("/desk/outbox", owner_page(pwa.outbox)),
                web.post("/desk/outbox", post_form(pwa.post_waiting)),
                web.get("/desk/manifest.webmanifest", pwa.manifest),
                web.get("/desk/icon-{name}.png", icon.icon),
                web.get("/desk/sw.js", pwa.worker),
                web.get("/desk/offline", pwa.offline),
            ]
        )


async def begin(request: web.Request) -> web.Response:
    """GET /desk, and GET / of a bridge on a host name of its own."""
    del request
    return redirect("/desk/")
