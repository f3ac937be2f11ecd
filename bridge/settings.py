"""All settings, as one frozen object. :mod:`bridge.settings_file` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

#: What the bridge has, or will have, in the state folder.
OURS_IN_STATE = frozenset(
    {
        *("askpass", "git", "index.sqlite", "index.sqlite-shm", "index.sqlite-wal", "keep", "lfs"),
        *("media", "mentions", "output-folder", "rebuild", "site", "submodules", "webmention"),
    }
)
Positive = Annotated[int, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
#: A text that is never shown in errors or logs.
Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section; frozen, and unknown keys are errors."""


class Site(_Section, frozen=True):
    """``[site]``: the owner's URL and where the site's files are.

    ``repo`` is the bridge's own bare clone, ``state`` the folder of derived and kept (``keep/``)
    state. ``folders`` are further folders that the site's own code may read, for themes or plugins
    outside of the repo. ``run_in`` is the folder of the repo that ``pelican`` is run in, ``None``
    for the usual one (:func:`usual_folder`). ``environment`` are environment variables for the
    site's own code, which sees few others.
    """

    me: str
    repo: Path
    state: Path = Path("state")
    aliases: tuple[str, ...] = ()
    branch: str = ""
    settings: str = "pelicanconf.py"
    folders: tuple[Path, ...] = ()
    run_in: str | None = None
    environment: dict[str, str] = {}


class Server(_Section, frozen=True):
    """``[server]``: the address that the bridge listens on, and its public URL."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    public_url: str = ""


class Auth(_Section, frozen=True):
    """``[auth]``: how tokens are verified."""

    token_endpoint: str = ""
    introspection_endpoint: str = ""
    introspection_auth: Secret = "none"
    strict: bool = False
    cache_seconds: Annotated[int, msgspec.Meta(ge=0, le=60)] = 60


class KnownClient(_Section, frozen=True):
    """One ``[[indieauth.clients]]``: an app that does not follow the current IndieAuth.

    ``id`` is its client_id. ``pkce = false`` lets it sign in without PKCE (RFC 7636) and in the
    older ways; ``pkce = true`` forbids that to an app with a built-in exception. ``redirect_uris``
    are the app's own redirect URIs that it does not publish.
    """

    id: str
    pkce: bool | None = None
    redirect_uris: tuple[str, ...] = ()


class IndieAuth(_Section, frozen=True):
    """``[indieauth]``: the built-in IndieAuth server.

    ``name`` and ``photo`` are for apps with the scope ``profile``, ``email`` for those with
    ``email``. If ``smtp_host`` is set, sign-in links are sent to ``email``.
    """

    enabled: bool = False
    database: Path = Path("indieauth.sqlite")
    name: str = ""
    photo: str = ""
    email: str = ""
    clients: tuple[KnownClient, ...] = ()
    smtp_host: str = ""
    smtp_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: Secret = ""
    smtp_from: str = ""


#: Category by post type (post type discovery); ``[content.categories]`` overrides single ones.
DEFAULT_CATEGORIES: Mapping[str, str] = MappingProxyType(
    {
        "note": "notes",
        "article": "articles",
        "reply": "replies",
        "like": "likes",
        "repost": "reposts",
        "bookmark": "bookmarks",
        "rsvp": "rsvps",
        "photo": "photos",
        "video": "videos",
        "audio": "audio",
        "checkin": "checkins",
        "event": "events",
        "review": "reviews",
        "read": "reads",
        "watch": "watches",
        "listen": "listens",
        "recipe": "recipes",
        "product": "products",
        "resume": "resumes",
    }
)


def prefix_of(folder: str) -> str:
    """What the paths of files in a folder of the repo begin with; ``""`` is the repo's root."""
    return f"{folder}/" if folder else ""


class Content(_Section, frozen=True):
    """``[content]``: how posts become files. ``folder`` is ``""`` where that is the repo's root.

    ``categories`` maps post types to names of Pelican categories, where they differ from the
    default (``note = "stream"``).
    """

    folder: str = "content"
    path: str = "{category}/{published:%Y}/{published:%m}/{slug}.md"
    html: Literal["sanitize", "trust"] = "sanitize"
    categories: dict[str, str] = {}


class Media(_Section, frozen=True):
    """``[media]``: uploads. ``folder`` is inside the content folder.

    ``keep_exif`` keeps place, time and camera in photos and videos. ``max_pixels`` is the largest
    photo that is accepted (a third of that in WebP and AVIF); photos with a side over ``max_side``
    pixels are scaled down (0: never). ``sizes`` are the widths of the smaller copies for
    ``srcset``.
    """

    folder: str = "media"
    max_bytes: Positive = 20_000_000
    keep_exif: bool = False
    max_pixels: Positive = 64_000_000
    max_side: Annotated[int, msgspec.Meta(ge=0)] = 0
    sizes: tuple[Positive, ...] = ()


class Publish(_Section, frozen=True):
    """``[publish]``: the remote, and the author of commits.

    ``token`` is for a remote over https, optionally as ``user:token``; the remote is polled every
    ``poll_seconds``. ``hook_secret`` is the key with which a git host signs its requests to
    ``/hook/git``; without one that endpoint does not exist.
    """

    remote: str = "origin"
    author: str = ""
    token: Secret = ""
    poll_seconds: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    hook_secret: Secret = ""


class Rebuild(_Section, frozen=True):
    """``[rebuild]``: how the site is built from commits.

    A response waits up to ``wait_seconds`` for its change to be live (0: never). A build that adds
    more than ``max_growth`` bytes to the output is stopped. ``confined``: whether builds can access
    only the site (:mod:`bridge.runtime.confinement`). ``keep``: patterns of files that builds leave
    in the checkout for the next one, such as caches.
    """

    mode: Literal["resident", "command", "webhook", "none"] = "resident"
    output: str = ""
    command: tuple[str, ...] = ()
    webhook: Secret = ""
    webhook_secret: Secret = ""
    deploy: tuple[str, ...] = ()
    confined: bool = True
    wait_seconds: Seconds = 2.0
    max_growth: Positive = 2_000_000_000
    keep: tuple[str, ...] = ()


class Webmention(_Section, frozen=True):
    """``[webmention]``: received and sent webmentions; without the section there are none.

    ``folder`` is inside the content folder; ``approve`` says whose mentions are shown without the
    owner's approval, ``faces`` whether author pictures are stored. Mentions received within
    ``batch_seconds`` of the first are one commit (0: each at once). ``bridgy_fed`` sends a
    webmention for each post to Bridgy Fed.
    """

    send: bool = True
    receive: bool = True
    folder: str = "mentions"
    approve: Literal["known", "all", "none"] = "known"
    faces: Literal["store", "none"] = "store"
    batch_seconds: Seconds = 600.0
    bridgy_fed: bool = False


class Badge(_Section, frozen=True):
    """A service or account as apps show it: name, URL and picture."""

    name: str
    url: str = ""
    photo: str = ""


class Target(_Section, frozen=True):
    """One ``[[syndication.targets]]``: where posts can be syndicated to (Micropub 3.7.3).

    Without ``type`` it is only offered to apps; with one the bridge copies the posts for which it
    is selected, or by ``default``. ``uid`` identifies the account; ``server`` is the instance or
    PDS, ``appview`` the server to ask for responses at Bluesky. ``token_file`` contains an access
    token, or Bluesky's app password. ``visibility`` can lower that of the post. ``edit`` and
    ``delete``: whether copies follow edits and deletions; ``require_alt``: whether photos need alt
    texts to be copied. ``backfeed`` says which responses are imported, ``likes`` whether with names
    and faces.
    """

    uid: str
    name: str
    service: Badge | None = None
    user: Badge | None = None
    type: Literal["", "mastodon", "bluesky"] = ""
    server: str = ""
    appview: str = ""
    token_file: str = ""
    link: Literal["if-cut", "always", "never"] = "if-cut"
    default: bool = False
    visibility: Literal["public", "unlisted", "private"] = "public"
    tags: bool = False
    require_alt: bool = False
    edit: bool = True
    delete: bool = True
    backfeed: Literal["all", "replies", "none"] = "replies"
    likes: Literal["count", "faces", "none"] = "count"

    @property
    def handle(self) -> str:
        """The handle or DID of the Bluesky account in the uid; ``""`` where it has none."""
        name = self.uid.rstrip("/").rpartition("/")[2].removeprefix("@")
        is_account = name.startswith("did:") or ("." in name and ":" not in name)
        return name if is_account and name not in self._hosts() else ""

    @property
    def base(self) -> str:
        """The server's URL without a slash at its end."""
        if self.server:
            return self.server.rstrip("/")
        parts = urlsplit(self.uid)
        if self.type == "bluesky" and parts.hostname in {None, "bsky.app"}:
            return "https://bsky.social"
        return f"{parts.scheme}://{parts.netloc}"

    def _hosts(self) -> set[str]:
        """The uid's host: the last segment of a URL without a path, which is not a handle."""
        parts = urlsplit(self.uid)
        return {parts.netloc} if parts.scheme in {"http", "https"} else set()


class Syndication(_Section, frozen=True):
    """``[syndication]``: the targets for ``q=syndicate-to`` and copies."""

    targets: tuple[Target, ...] = ()


class Settings(_Section, frozen=True):
    """The whole of ``bridge.toml``."""

    site: Site
    server: Server = Server()
    auth: Auth = Auth()
    indieauth: IndieAuth = IndieAuth()
    content: Content = Content()
    media: Media = Media()
    publish: Publish = Publish()
    rebuild: Rebuild = Rebuild()
    webmention: Webmention = Webmention(send=False, receive=False)
    syndication: Syndication = Syndication()

    @property
    def run_in(self) -> str:
        """The folder of the repo that ``pelican`` is run in, ``""`` for its root."""
        if self.site.run_in is None:
            return usual_folder(self.site.settings, self.content.folder)
        return _as_folder(PurePosixPath(self.site.run_in))


def usual_folder(settings: str, content: str) -> str:
    """The folder that owners run ``pelican`` in: that of the settings if posts are there, too.

    Settings may open files and list folders by relative names. Where a repo has the whole project
    in a folder (``src/pelicanconf.py``, ``src/content``), these are relative to that one; where
    only the settings are in a folder (``conf/pelicanconf.py``), to the repo's root (``""``).
    """
    folder = PurePosixPath(settings).parent
    return _as_folder(folder) if PurePosixPath(content).is_relative_to(folder) else ""


def _as_folder(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath() else str(path)


class SettingsError(Exception):
    """An invalid setting. The text names file, key, value and remedy; without a key it is about
    the file itself."""

    def __init__(self, source: str, key: str, problem: str, remedy: str) -> None:
        super().__init__(": ".join(filter(None, [source, key, f"{problem}. {remedy}"])))
        self.source = source
        self.key = key
