"""Writes the links as HTTP headers, in the formats that static hosts read from the output
folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pelican_indieauth.discovery.endpoints import Link
from pelican_indieauth.errors import SettingError

_SETTING = "INDIEAUTH_HEADERS"
_BEGIN = "# BEGIN indieauth: written by the plugin, changed at every build"
_END = "# END indieauth"
_RULE_FOR_ALL = re.compile(r"^/\*[ \t\r]*(?:\n|\Z)", re.MULTILINE)


def chosen(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The formats to write: all of them, or the ones that the setting names."""
    value = settings.get(_SETTING)
    if value is None:
        return tuple(_FORMATS)
    names = (value,) if isinstance(value, str) else tuple(value or ())
    for name in names:
        if name not in _FORMATS:
            remedy = f"Use any of {', '.join(map(repr, _FORMATS))}, or [] for none"
            raise SettingError(_SETTING, name, "is not a known format", remedy)
    return names


def write(
    output: Path, formats: Iterable[str], links: Iterable[Link], gone: Sequence[str] = ()
) -> None:
    """Write a file for each format, or add to the site's own file of that name.

    ``gone`` are the paths of deleted posts, for hosts that can be configured to answer 410.
    """
    for name in formats:
        filename, merged = _FORMATS[name]
        file = output / filename
        # The site's own bytes are kept, whatever their encoding and line ends.
        there = file.read_bytes() if file.is_file() else b""
        text = merged(_without_block(there.decode("utf-8", "surrogateescape")), links, gone)
        made = text.encode("utf-8", "surrogateescape")
        if made != there:
            _replace(file, made)


def _replace(file: Path, made: bytes) -> None:
    """Replace a file by a new one: the old one may be a link to the site's source."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.indieauth")
    temporary.write_bytes(made)
    temporary.replace(file)


def _without_block(text: str) -> str:
    """The text without the block between the two marks, which is from an earlier build."""
    kept = []
    ours = False
    for line in text.splitlines(keepends=True):
        mark = line.strip()
        ours = ours or mark == _BEGIN
        if not ours:
            kept.append(line)
        ours = ours and mark != _END
    return "".join(kept)


def _value(link: Link) -> str:
    """The header's value, with rel as the first parameter (RFC 8288 3)."""
    kind = f'; type="{link.type}"' if link.type else ""
    return f'<{link.href}>; rel="{link.rel}"{kind}'


def _netlify(text: str, links: Iterable[Link], gone: Sequence[str]) -> str:
    """``_headers``, which has no status codes: adds to the site's own rule for all paths, or adds
    one.

    Hosts differ on a second rule for the same path; headers in one rule are combined.
    """
    del gone
    headers = [f"  Link: {_value(link)}" for link in links]
    rule = _RULE_FOR_ALL.search(text)
    if rule is None:
        return _block(["/*", *headers])(text)
    block = "\n".join([f"  {_BEGIN}", *headers, f"  {_END}"]) + "\n"
    above = text[: rule.end()]
    return above + ("" if above.endswith("\n") else "\n") + block + text[rule.end() :]


def _block(lines: Iterable[str]) -> Callable[[str], str]:
    """A function that appends a block to a file's text."""
    text = "\n".join([_BEGIN, *lines, _END]) + "\n"
    return lambda there: there + ("\n" if there and not there.endswith("\n") else "") + text


def _apache(text: str, links: Iterable[Link], gone: Sequence[str]) -> str:
    """``.htaccess``. ``%`` starts a format specifier there and is doubled.

    ``always`` is for errors, too; and these lines apply twice to a page of the site's own for
    errors, where ``merge`` repeats nothing.
    """
    headers = [f"Header always merge Link '{_value(link).replace('%', '%%')}'" for link in links]
    block = ["<IfModule mod_headers.c>", *(f"  {line}" for line in headers), "</IfModule>"]
    if gone:
        # "Redirect" would match everything below the path as well.
        rules = [f'RedirectMatch gone "^{re.escape(path)}$"' for path in gone]
        block += ["<IfModule mod_alias.c>", *(f"  {line}" for line in rules), "</IfModule>"]
    return _block(block)(text)


def _nginx(text: str, links: Iterable[Link], gone: Sequence[str]) -> str:
    """For ``include`` in a ``server`` block. ``$`` starts a variable and cannot be escaped."""
    values = (_value(link).replace("$", "%24") for link in links)
    headers = [f"add_header Link '{value}' always;" for value in values]
    return _block([*headers, *(f"location = {path} {{ return 410; }}" for path in gone)])(text)


def _caddy(text: str, links: Iterable[Link], gone: Sequence[str]) -> str:
    """For ``import`` in a site block of a Caddyfile."""
    headers = [f"header +Link `{_value(link)}`" for link in links]
    rules = [f"@indieauth_gone path {' '.join(gone)}", 'respond @indieauth_gone "410 Gone" 410']
    return _block([*headers, *(rules if gone else ())])(text)


_FORMATS: Mapping[str, tuple[str, Callable[[str, Iterable[Link], Sequence[str]], str]]] = {
    "_headers": ("_headers", _netlify),
    ".htaccess": (".htaccess", _apache),
    "nginx": ("indieauth.nginx.conf", _nginx),
    "caddy": ("indieauth.caddyfile", _caddy),
}
