"""Client information discovery (IndieAuth 4.2): JSON metadata, else an h-app.

Fetched only after the owner has signed in, once for each consent screen, and not cached.
"""

from __future__ import annotations

import json
import logging
import unicodedata

from msgspec import Struct
from msgspec.structs import replace

from bridge.net.fetch import Fetched, FetchError, GuardedFetch
from bridge.net.link_rels import header_links, html_links
from bridge.net.sandboxed_parse import parse_in_subprocess
from bridge.net.web_url import BadURL, parse
from bridge.settings import KnownClient

_log = logging.getLogger(__name__)

#: Not imported here: it only runs in a subprocess.
_H_APP = "bridge.indieauth.oauth.h_app:name"
_SECONDS = 5.0
_MAX_HTML = 256 * 1024
#: The Client ID Metadata Document draft recommends a limit of 5 kilobytes.
_MAX_JSON = 5 * 1024
_MAX_NAME = 80


#: Apps in use that do not support PKCE, by client_id, with what each sends. Their responses go to
#: their own origin, or to a program on the owner's machine.
OLD_APPS = {
    known.id: known
    for known in (
        # The apps of Micro.blog with another blog; they also expect ``me`` in the response.
        KnownClient(
            id="https://micro.blog/",
            pkce=False,
            redirect_uris=("https://micro.blog/micropub/redirect",),
        ),
        KnownClient(
            id="https://epilogue.micro.blog/",
            pkce=False,
            redirect_uris=("https://epilogue.micro.blog/indieauth/",),
        ),
        KnownClient(
            id="http://cweiske.de/shpub.htm",
            pkce=False,
            redirect_uris=("http://127.0.0.1:12345/callback",),
        ),
        KnownClient(
            id="https://micropub.rocks/",
            pkce=False,
            redirect_uris=("https://micropub.rocks/endpoints/callback",),
        ),
    )
}


class Client(Struct, frozen=True):
    """An app: its client_id, its name, and the redirect URIs that it publishes.

    ``problem`` is why its page could not be read; ``None`` if it was.
    """

    client_id: str
    name: str | None = None
    redirect_uris: frozenset[str] = frozenset()
    problem: str | None = None


async def read_client(client_id: str, fetch: GuardedFetch, known: KnownClient | None) -> Client:
    """Fetch an app's information. One that cannot be read is returned without a name."""
    client = Client(client_id)
    try:
        # Redirects are not followed: their target may be under someone else's control.
        fetched = await fetch.fetch(
            client_id,
            max_bytes=_MAX_HTML,
            timeout=_SECONDS,
            accept="application/json, text/html;q=0.9",
            redirects=0,
        )
        if fetched.status == 200:
            client = await _read(client_id, fetched)
        else:
            client = replace(client, problem=f"its server answered with status {fetched.status}")
    except (FetchError, BadURL, ValueError, RecursionError) as error:
        _log.info("client information of %s: %s", client_id, error)
        client = replace(client, problem=str(error) or "it is not written as it should be")
    if known is not None:
        client = replace(client, redirect_uris=client.redirect_uris | set(known.redirect_uris))
    return client


async def _read(client_id: str, fetched: Fetched) -> Client:
    kind = fetched.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return _from_json(client_id, fetched.body)
    return await _from_html(client_id, fetched)


def _from_json(client_id: str, body: bytes) -> Client:
    """Parse JSON metadata (4.2.1). Raises ``ValueError`` where it is invalid or another
    client's.
    """
    if len(body) > _MAX_JSON:
        raise ValueError(f"its metadata is longer than {_MAX_JSON} bytes")
    metadata = json.loads(body)
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is not a JSON object")  # noqa: TRY004 - a value from outside
    # "The authorization server MUST verify that the client_id in the document matches".
    if metadata.get("client_id") != client_id:
        raise ValueError("its metadata names another client_id")
    uri = metadata.get("client_uri")
    # "client_uri ... MUST be a prefix of the client_id".
    if uri is not None and not (isinstance(uri, str) and _is_prefix(uri, client_id)):
        raise ValueError("its client_uri is not the beginning of its client_id")
    redirects = metadata.get("redirect_uris", [])
    if not isinstance(redirects, list):
        redirects = []
    return Client(
        client_id,
        name=shown_name(metadata.get("client_name")),
        redirect_uris=frozenset(uri for uri in redirects if isinstance(uri, str)),
    )


def _is_prefix(uri: str, client_id: str) -> bool:
    return parse(uri).origin == parse(client_id).origin and client_id.startswith(str(parse(uri)))


async def _from_html(client_id: str, fetched: Fetched) -> Client:
    """Parse a page (4.2.2): the name of an h-app, redirect URIs from ``<link>`` elements and
    ``Link`` headers.
    """
    link_headers = [value for key, value in fetched.headers.items() if key.lower() == "link"]
    redirects = [
        *header_links(link_headers, client_id, "redirect_uri"),
        *html_links(
            fetched.body,
            client_id,
            "redirect_uri",
            content_type=fetched.headers.get("Content-Type", ""),
        ),
    ]
    return Client(
        client_id,
        name=shown_name(await _h_app(fetched.body, client_id)),
        redirect_uris=frozenset(redirects),
    )


async def _h_app(page: bytes, client_id: str) -> object:
    """The result of :mod:`bridge.indieauth.oauth.h_app`, or ``None`` if it fails or takes too
    long.
    """
    if b"h-app" not in page and b"h-x-app" not in page:
        return None
    return await parse_in_subprocess(_H_APP, client_id, page=page, seconds=_SECONDS)


def shown_name(value: object) -> str | None:
    """A name that is safe to display: one line, without invisible or bidirectional
    characters; or ``None``.
    """
    if not isinstance(value, str):
        return None
    visible = "".join(
        char if unicodedata.category(char)[0] != "C" else " " for char in value[: 10 * _MAX_NAME]
    )
    name = " ".join(visible.split())
    return (name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…") or None
