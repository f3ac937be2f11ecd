"""Every setting, as one frozen object. :mod:`bridge.settings_file` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

Positive = Annotated[int, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
#: A text that no error and no log shows.
Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every section is frozen and knows its keys."""


class Site(_Section, frozen=True):
    """``[site]``: whose site it is and where its files are.

    ``repo`` is the bridge's own bare clone, ``state`` the folder of what it derives from that and
    of what it keeps (in ``keep/``). ``folders`` are further ones that the site's own
    code may read: themes or plugins outside of the repo.
    """

    me: str
    repo: Path
    state: Path = Path("state")
    aliases: tuple[str, ...] = ()
    branch: str = ""
    settings: str = "pelicanconf.py"
    folders: tuple[Path, ...] = ()


class Server(_Section, frozen=True):
    """``[server]``: where the bridge listens, and where the world reaches it."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    public_url: str = ""


class Auth(_Section, frozen=True):
    """``[auth]``: who is asked whether a token is good."""

    token_endpoint: str = ""
    introspection_endpoint: str = ""
    introspection_auth: Secret = "none"
    strict: bool = False
    cache_seconds: Annotated[int, msgspec.Meta(ge=0, le=60)] = 60


class KnownClient(_Section, frozen=True):
    """One ``[[indieauth.clients]]``: an app that cannot do what today's IndieAuth asks of it.

    ``id`` is its client_id; ``pkce = false`` lets it sign in without PKCE (RFC 7636) and in the
    older ways, ``pkce = true`` does not even where the app is one of those known to be old;
    ``redirect_uris`` are addresses of the app's own that it does not publish.
    """

    id: str
    pkce: bool | None = None
    redirect_uris: tuple[str, ...] = ()


class IndieAuth(_Section, frozen=True):
    """``[indieauth]``: the built-in IndieAuth server.

    ``name`` and ``photo`` are what apps with the scope ``profile`` see, ``email`` with the scope
    ``email``. Where ``smtp_host`` is set, ``email`` also gets sign-in links.
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


#: Post type (post type discovery) to category; ``[content.categories]`` changes single ones.
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

    ``categories`` maps post types to the names of Pelican categories, where they are to be others
    than the bridge's own (``note = "stream"``).
    """

    folder: str = "content"
    path: str = "{category}/{published:%Y}/{published:%m}/{slug}.md"
    html: Literal["sanitize", "trust"] = "sanitize"
    categories: dict[str, str] = {}


class Media(_Section, frozen=True):
    """``[media]``: uploads. ``folder`` is inside the content folder.

    ``keep_exif`` leaves place, time and camera in photos and films. ``max_pixels`` is the largest
    photo that is taken (a third of it in WebP and AVIF); one longer than ``max_side`` pixels is
    scaled down to that (0: never).
    ``sizes`` are the widths of the smaller copies that are made of each photo, for ``srcset``.
    """

    folder: str = "media"
    max_bytes: Positive = 20_000_000
    keep_exif: bool = False
    max_pixels: Positive = 64_000_000
    max_side: Annotated[int, msgspec.Meta(ge=0)] = 0
    sizes: tuple[Positive, ...] = ()


class Publish(_Section, frozen=True):
    """``[publish]``: where commits go, and whose they are.

    ``token`` is for a remote over https, perhaps as ``user:token``; the remote is asked for news
    every ``poll_seconds``. ``hook_secret`` is what a git host signs its calls of ``/hook/git``
    with; without one there is no such address.
    """

    remote: str = "origin"
    author: str = ""
    token: Secret = ""
    poll_seconds: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    hook_secret: Secret = ""


class Rebuild(_Section, frozen=True):
    """``[rebuild]``: how pages come from commits.

    An answer waits up to ``wait_seconds`` for its change to be live (0: never). A build that makes
    the site larger by more than ``max_growth`` bytes is ended. ``confined``: whether builds see
    nothing but the site (:mod:`bridge.site.confinement`).
    ``keep``: patterns of files that builds leave in the checkout for the next, as caches are.
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
    """``[webmention]``: what other sites say of posts, and are told of them.

    Without the section nothing is sent or received. ``folder`` is inside the content folder;
    ``approve`` says whose mentions are shown without the owner's word, ``faces`` whether pictures
    of their authors are stored. Received mentions that come within ``batch_seconds`` of the first
    are one commit (0: each at once). ``bridgy_fed`` also tells Bridgy Fed of each post.
    """

    send: bool = True
    receive: bool = True
    folder: str = "mentions"
    approve: Literal["known", "all", "none"] = "known"
    faces: Literal["store", "none"] = "store"
    batch_seconds: Seconds = 600.0
    bridgy_fed: bool = False


class Badge(_Section, frozen=True):
    """A service, or an account there, as apps show it: its name, its page and a picture."""

    name: str
    url: str = ""
    photo: str = ""


class Target(_Section, frozen=True):
    """One ``[[syndication.targets]]``: where posts can be syndicated to (Micropub 3.7.3).

    Without a ``type`` it is only offered to apps. With one the bridge makes a copy of each post for
    which it is chosen, by itself where ``default`` is true. ``uid`` names the account; ``server``
    is the instance, or the account's PDS, ``appview`` where answers at Bluesky are asked for.
    ``token_file`` holds an access token, or the app password of Bluesky. ``visibility`` may be
    lower than the post's. Copies follow edits and deletions of the post as ``edit`` and ``delete``
    say; ``require_alt`` keeps photos without alt texts from being copied. ``backfeed`` says which
    answers are taken home, ``likes`` whether with names and faces.
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
        """The account at Bluesky that the uid names, or its DID; ``""`` where it names none."""
        name = self.uid.rstrip("/").rpartition("/")[2].removeprefix("@")
        is_account = name.startswith("did:") or ("." in name and ":" not in name)
        return name if is_account and name not in self._hosts() else ""

    @property
    def base(self) -> str:
        """Where the server is, without a slash at its end."""
        if self.server:
            return self.server.rstrip("/")
        parts = urlsplit(self.uid)
        if self.type == "bluesky" and parts.hostname in {None, "bsky.app"}:
            return "https://bsky.social"
        return f"{parts.scheme}://{parts.netloc}"

    def _hosts(self) -> set[str]:
        """What may stand last in an address without a path."""
        parts = urlsplit(self.uid)
        return {parts.netloc} if parts.scheme in {"http", "https"} else set()


class Syndication(_Section, frozen=True):
    """``[syndication]``: what ``q=syndicate-to`` offers, and where copies are made."""

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


class SettingsError(Exception):
    """A setting cannot be used. The text names file, key, value, and what to write instead."""

    def __init__(self, source: str, key: str, problem: str, remedy: str) -> None:
        super().__init__(f"{source}: {key}: {problem}. {remedy}")
        self.source = source
        self.key = key
