"""Reads ``bridge.toml`` and the environment into :class:`bridge.settings.Settings`.

A value in the file is overridden by ``BRIDGE_SECTION__KEY`` in the environment, and that by the
content of the file that ``BRIDGE_SECTION__KEY_FILE`` names (for secrets). Unknown keys and invalid
values raise :class:`SettingsError`, which names file, key, value and remedy.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from bridge.runtime.command_name import DEFAULT_FILE, command
from bridge.settings import (
    OURS_IN_STATE,
    Rebuild,
    Secret,
    Settings,
    SettingsError,
    Site,
    Target,
)

#: Host names that only this machine reaches.
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class _Wrong(NamedTuple):
    """An invalid setting: its key, the problem, and what to write instead."""

    key: str
    problem: str
    remedy: str


def load(
    file: Path | None,
    environ: Mapping[str, str],
    *,
    over: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Settings:
    """Read ``file`` (``None``: only the environment) and the ``BRIDGE_*`` variables.

    ``over`` has sections with keys that override those of the file. Relative paths are resolved
    against the folder of ``file``. Raises :class:`SettingsError`.
    """
    values, source = _read_file(file) if file else ({}, "environment")
    origins: dict[str, str] = {}
    for section, keys in over.items():
        values[section] = {**values.get(section, {}), **keys}
    for name, section, key, value in _from_environment(environ):
        if section not in values:
            values[section] = {}
            origins[section] = name
        if isinstance(values[section], dict):
            values[section][key] = value
        origins[f"{section}.{key}"] = name
    settings = _convert(values, source, origins)
    for key, problem, remedy in _wrong_values(settings):
        raise SettingsError(_origin(key, source, origins), key, problem, remedy)
    resolved = _resolved(settings, (file.parent if file else Path()).resolve())
    for key, problem, remedy in _wrong_places(resolved, file):
        raise SettingsError(_origin(key, source, origins), key, problem, remedy)
    return resolved


def _resolved(settings: Settings, folder: Path) -> Settings:
    """The settings with absolute paths."""
    site, indieauth, rebuild = settings.site, settings.indieauth, settings.rebuild
    output = str(_place(folder, rebuild.output)) if rebuild.output else ""
    targets = tuple(
        replace(each, token_file=str(_place(folder, each.token_file))) if each.token_file else each
        for each in settings.syndication.targets
    )
    return replace(
        settings,
        content=replace(settings.content, folder=_folder(settings.content.folder)),
        site=replace(
            site,
            repo=_place(folder, site.repo),
            state=_place(folder, site.state),
            folders=tuple(_place(folder, each) for each in site.folders),
        ),
        indieauth=replace(indieauth, database=_place(folder, indieauth.database)),
        rebuild=replace(rebuild, output=output),
        syndication=replace(settings.syndication, targets=targets),
    )


def _place(folder: Path, path: str | Path) -> Path:
    """An absolute path; ``~`` is the home folder, as in a shell."""
    with suppress(RuntimeError):  # a user without a home folder
        path = Path(path).expanduser()
    return folder / path


def _folder(text: str) -> str:
    """A folder of the repo in its shortest form, ``""`` for the root (``.``)."""
    path = PurePosixPath(text).as_posix()
    return "" if path == "." else path


def _read_file(file: Path) -> tuple[dict[str, Any], str]:
    source = str(file)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig")), source
    except FileNotFoundError:
        remedy = f"Run `{command()} init` to create it, or name another file with -c"
        raise SettingsError(source, "", "there is no such file", remedy) from None
    except IsADirectoryError:
        remedy = f"Name the file in it: -c {file / DEFAULT_FILE}"
        raise SettingsError(source, "", "this is a folder", remedy) from None
    except OSError as error:
        reason = f"the file cannot be read: {error.strerror}"
        raise SettingsError(source, "", reason, "Check its permissions") from error
    except UnicodeDecodeError as error:
        raise SettingsError(source, "", "the file is not UTF-8", "Save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(source, "", f"invalid TOML: {error}", "Correct that line") from error


def token_in(environ: Mapping[str, str]) -> str:
    """``[publish] token`` where there is no ``bridge.toml`` yet; ``""`` if it is not set."""
    found = {(section, key): value for _, section, key, value in _from_environment(environ)}
    return str(found.get(("publish", "token"), ""))


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str, Any]]:
    """Each ``BRIDGE_SECTION__KEY``: variable, section, key, and value, read from a file if it
    names one.
    """
    for name in sorted(environ):
        match = re.fullmatch(r"BRIDGE_([A-Z]+)__([A-Z_]+?)(_FILE)?", name)
        if match is None:
            _check_underscores(name)
            continue
        section, key = match[1].lower(), match[2].lower()
        text = environ[name]
        if match[3]:
            try:
                text = Path(text).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(
                    name,
                    f"{section}.{key}",
                    f"{environ[name]!r} cannot be read: {error}",
                    "Name a readable text file",
                ) from error
        yield name, section, key, _from_text(name, section, key, text)


def _check_underscores(name: str) -> None:
    """Raise :class:`SettingsError` for ``BRIDGE_SECTION_KEY``, which would be ignored."""
    match = re.fullmatch(r"BRIDGE_([A-Z]+)_([A-Z_]+?)(_FILE)?", name)
    if match is not None and match[2].lower() in _known_keys(match[1].lower()):
        remedy = f"Write two after the section: BRIDGE_{match[1]}__{match[2]}{match[3] or ''}"
        raise SettingsError(name, "", "there is one underscore too few", remedy)


def _from_text(name: str, section: str, key: str, text: str) -> Any:
    """Parse an environment value: JSON where the setting is a list or a table, else the text."""
    section_type = get_type_hints(Settings).get(section)
    hint = get_type_hints(section_type).get(key) if section_type else None
    if get_origin(hint) not in (tuple, dict):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        is_list = get_origin(hint) is tuple
        example = 'list, such as ["one", "two"]' if is_list else 'object, such as {"name": "text"}'
        raise SettingsError(
            name, f"{section}.{key}", f"{text!r} is not JSON", f"Write a JSON {example}"
        ) from error


def _convert(values: dict[str, Any], source: str, origins: Mapping[str, str]) -> Settings:
    def decode_path(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str):
            return Path(value)
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")

    try:
        # Values from the environment are text, so "8080" and "true" need lax conversion.
        return msgspec.convert(values, Settings, strict=not origins, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$").removeprefix(".")
        raise _explain(text, key, values, source, origins) from None


def _explain(
    text: str, key: str, values: dict[str, Any], source: str, origins: Mapping[str, str]
) -> SettingsError:
    """An error with key, value and remedy from the converter's message."""
    if unknown := re.search(r"unknown field `(.*)`", text):
        known = _known_keys(key)
        near = difflib.get_close_matches(unknown[1], known, n=1)
        full = ".".join(filter(None, [key, unknown[1]]))
        remedy = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}"
        where = _origin(full, source, origins)
        return SettingsError(where, full, f"is not a {'setting' if key else 'section'}", remedy)
    if missing := re.search(r"missing required field `(.*)`", text):
        full = ".".join(filter(None, [key, missing[1]]))
        where = _origin(full, source, origins)
        return SettingsError(where, full, "is missing", "It is required: add it")
    hint = _hint_at(key)
    if get_origin(hint) is Literal:
        text = f"Write one of {', '.join(filter(None, get_args(hint)))}"
    value: Any = values
    for part in _parts(key):
        value = _item(value, part)
    problem = f"{_shown(key, value)} is not valid"
    return SettingsError(_origin(key, source, origins), key, problem, _in_words(text))


#: What msgspec calls each type, and what to write.
_WORDS = {
    "bool": "true or false, without quotes",
    "int": "a whole number, without quotes",
    "float": "a number, without quotes",
    "str": "a text in quotes",
    "array": 'a list, such as ["one", "two"]',
    "object": 'a table, such as { name = "text" }',
}


def _in_words(text: str) -> str:
    """What to write, from the converter's message (``Expected `int` <= 65535``)."""
    found = re.match(r"Expected `(\w+)(?: \| null)?`(?: ([<>]=) (\S+))?", text)
    if found is None or found[1] not in _WORDS:
        return text
    bound = {"<=": "at most ", ">=": "at least "}.get(found[2] or "", "")
    kind = _WORDS[found[1]]
    return f"Write {kind.partition(',')[0]}, {bound}{found[3]}" if bound else f"Write {kind}"


def _origin(key: str, source: str, origins: Mapping[str, str]) -> str:
    """The source of a setting, or of the list that it is in."""
    return origins.get(key) or origins.get(key.partition("[")[0], source)


def _parts(key: str) -> list[str]:
    """The parts of a key such as ``syndication.targets[0].type``."""
    return re.findall(r"\w+", key)


def _item(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    return None


def _hint_at(key: str) -> Any:
    """The type of a setting, or ``None``."""
    hint: Any = Settings
    for part in _parts(key):
        if get_origin(hint) is tuple:
            hint = get_args(hint)[0]
        else:
            # An optional table is treated like a present one.
            kinds = [
                each for each in get_args(hint) or [hint] if hasattr(each, "__struct_fields__")
            ]
            hint = get_type_hints(kinds[0], include_extras=True).get(part) if kinds else None
    return hint


def _known_keys(section: str) -> list[str]:
    kind = _hint_at(section)
    return list(kind.__struct_fields__) if hasattr(kind, "__struct_fields__") else []


def _wrong_values(settings: Settings) -> Iterator[_Wrong]:
    """Values of the right type that are still invalid."""
    yield from _wrong_urls(settings)
    yield from _wrong_paths(settings)
    yield from _wrong_command(settings.rebuild)
    yield from _wrong_environment(settings.site)
    yield from _wrong_targets(settings.syndication.targets)
    auth = settings.auth.introspection_auth
    if not re.fullmatch(r"none|same-token|bearer:.+|basic:[^:]+:.+", auth):
        remedy = "Write none, same-token, bearer:SECRET or basic:USER:PASSWORD"
        yield _Wrong("auth.introspection_auth", "its value is not in a known form", remedy)
    if settings.indieauth.smtp_host and not settings.indieauth.email:
        problem = "is empty, and smtp_host is set: there is no address to send sign-in links to"
        yield _Wrong("indieauth.email", problem, "Write your e-mail address, or remove smtp_host")
    author = settings.publish.author
    if author and not re.fullmatch(r"[^<>\n]+ <[^<>\n]+>", author):
        yield _Wrong("publish.author", f"{author!r} is not an author", "Write 'Name <mail@host>'")


def _wrong_urls(settings: Settings) -> Iterator[_Wrong]:
    remedy = "Write an absolute URL, such as 'https://example.com/'"
    given = [
        ("site.me", settings.site.me),
        *(("site.aliases", alias) for alias in settings.site.aliases),
        ("server.public_url", settings.server.public_url),
        ("auth.token_endpoint", settings.auth.token_endpoint),
        ("auth.introspection_endpoint", settings.auth.introspection_endpoint),
        ("rebuild.webhook", settings.rebuild.webhook),
    ]
    for key, value in given:
        if (value or key.startswith("site.")) and not is_url(value):
            yield _Wrong(key, f"{_shown(key, value)} is not an http(s) URL", remedy)
    if settings.rebuild.mode == "webhook" and not settings.rebuild.webhook:
        yield _Wrong("rebuild.webhook", "is empty, but mode is webhook", remedy)
    public = settings.server.public_url
    if public and urlsplit(public)[2:] not in {("", "", ""), ("/", "", "")}:
        # Sign-in, cookies and the addresses that apps are told start at the root of a host.
        parts = urlsplit(public)
        root = f"{parts.scheme}://{parts.netloc}/"
        problem = f"{public!r} has a path, and the bridge can only be directly below a host name"
        remedy = f"Write {root!r}, which may be your site's host, or give the bridge one of its own"
        yield _Wrong("server.public_url", problem, remedy)
    if not settings.server.public_url and settings.server.host not in LOOPBACK:
        problem = "is empty, but the bridge listens on a public address"
        remedy = "Write the bridge's public URL"
        yield _Wrong("server.public_url", problem, remedy)


def _wrong_paths(settings: Settings) -> Iterator[_Wrong]:
    given = {
        "content.folder": settings.content.folder,
        "media.folder": settings.media.folder,
        "site.settings": settings.site.settings,
        "webmention.folder": settings.webmention.folder,
    }
    for key, value in given.items():
        path = PurePosixPath(value)
        is_root = not path.parts
        # An explicit ".", not an empty string.
        may_be_root = key == "content.folder" and value
        if path.is_absolute() or ".." in path.parts or (is_root and not may_be_root):
            yield _Wrong(
                key, f"{value!r} is outside of its folder", "Write a relative path without '..'"
            )
    run_in = PurePosixPath(settings.site.run_in or ".")
    if run_in.is_absolute() or ".." in run_in.parts:
        remedy = "Write a folder of the repo, or '.' for its root"
        yield _Wrong("site.run_in", f"{settings.site.run_in!r} is outside of the repo", remedy)


def _wrong_places(settings: Settings, file: Path | None) -> Iterator[_Wrong]:
    """Folders that must not be in one another. All paths are absolute."""
    repo, state = settings.site.repo.resolve(), settings.site.state.resolve()
    if state.is_relative_to(repo):
        remedy = "Write a folder beside it, such as 'state'"
        yield _Wrong("site.state", f"{str(state)!r} is inside the repo", remedy)
    if not settings.rebuild.output:
        return
    # A web server shows all of it to everybody.
    output = Path(settings.rebuild.output).resolve()
    private = [repo, state, settings.indieauth.database, *([file] if file else [])]
    inside = next((each for each in private if each.resolve().is_relative_to(output)), None)
    place = ""
    if inside or output.is_relative_to(repo):
        place = f"contains {inside}" if inside else "is inside the repo"
    elif _home().is_relative_to(output):
        place = "is your home folder, or contains it"
    elif output.is_relative_to(state) and output.relative_to(state).parts[0] in OURS_IN_STATE:
        place = "is what the bridge itself uses in [site] state"
    if place:
        remedy = "Write a folder for nothing but the pages, such as 'output'"
        yield _Wrong("rebuild.output", f"{str(output)!r} {place}", remedy)


def _home() -> Path:
    with suppress(RuntimeError):  # a user without a home folder
        return Path.home().resolve()
    return Path(os.devnull)


def _wrong_environment(site: Site) -> Iterator[_Wrong]:
    for name, value in site.environment.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or "\0" in value:
            remedy = "Write a name of letters, digits and _"
            yield _Wrong("site.environment", f"{name!r} is not an environment variable", remedy)


def _wrong_command(rebuild: Rebuild) -> Iterator[_Wrong]:
    # A confined command can only write to the checkout and the output folder.
    builds_here = rebuild.mode in {"resident", "command"}
    if not (builds_here and rebuild.confined and rebuild.command):
        return
    if not any("{output}" in word for word in rebuild.command):
        yield _Wrong(
            "rebuild.command",
            "contains no {output}",
            "Put {output} where your command takes the output folder, as in"
            ' ["make", "publish", "OUTPUTDIR={output}"]; with confined = false a command may write'
            " its output anywhere",
        )


def _wrong_targets(targets: Sequence[Target]) -> Iterator[_Wrong]:
    uids = [target.uid for target in targets]
    for index, target in enumerate(targets):
        key = f"syndication.targets[{index}]"
        if not target.uid.strip():
            yield _Wrong(f"{key}.uid", "is empty", "Write the account's URL")
        elif target.uid in uids[:index]:
            remedy = "Give each target a uid of its own"
            yield _Wrong(f"{key}.uid", f"{target.uid!r} is used twice", remedy)
        if target.type:
            yield from _wrong_addresses(key, target)


def _wrong_addresses(key: str, target: Target) -> Iterator[_Wrong]:
    secure = "Write an https URL, such as 'https://social.example' (http only for this machine)"
    for name, value in (("server", target.server), ("appview", target.appview)):
        if value and not _is_secure(value):
            yield _Wrong(f"{key}.{name}", f"{value!r} cannot be used", secure)
    if target.type == "mastodon" and not target.server and not _is_secure(target.uid):
        problem = "is missing, and the uid is not the account's URL"
        yield _Wrong(f"{key}.server", problem, secure)
    if target.type == "bluesky" and not target.handle:
        remedy = "Write 'https://bsky.app/profile/you.example', with your handle or DID"
        yield _Wrong(f"{key}.uid", f"{target.uid!r} does not name an account", remedy)


def _is_secure(text: str) -> bool:
    if not is_url(text):
        return False
    parts = urlsplit(text)
    return parts.scheme == "https" or parts.hostname in LOOPBACK


def _shown(key: str, value: object) -> str:
    """A value as shown in an error; secrets are not."""
    return "the value" if _hint_at(key) == Secret else repr(value)


def is_url(text: str) -> bool:
    """Whether ``text`` is an absolute http(s) URL."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
