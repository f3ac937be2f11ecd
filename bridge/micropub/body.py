"""A request's body without HTTP: fields or JSON, not interpreted yet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bridge.micropub.post import Json

#: ``name``, then any number of ``[...]``, as PHP and its imitators write lists in forms.
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEY = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class File:
    """A file in a multipart form. ``filename`` is the client's: untrusted, possibly empty."""

    filename: str
    data: bytes = field(repr=False)
    alt: str = ""


#: One field of a form, under the name as it was sent (``category[]``).
Field: TypeAlias = tuple[str, "str | File"]


@dataclass(frozen=True, slots=True)
class RequestBody:
    """What came in a POST: ``fields`` of a form (multipart or not), or a ``json`` value.

    The access token is taken out of both, so that nothing later can store it; it stays out of
    ``repr`` as well.
    """

    kind: Literal["form", "json", "empty"]
    fields: tuple[Field, ...] = ()
    json: Json = None
    access_token: str | None = field(default=None, repr=False)

    @property
    def files(self) -> tuple[File, ...]:
        """Every file of a form, in order."""
        return tuple(value for _, value in self.fields if isinstance(value, File))

    def first(self, name: str) -> str | None:
        """The first text of a form under ``name`` that is not empty."""
        return next((value for value in texts(self.fields, name) if value.strip()), None)


@dataclass(frozen=True, slots=True)
class FieldName:
    """A form field's name, taken apart: ``photo[0][alt]`` is ``photo`` with keys ``0``, ``alt``."""

    base: str
    keys: tuple[str, ...] = ()

    @property
    def index(self) -> int | None:
        """The position that the first pair of brackets names, where it names one."""
        number = self.keys[0] if self.keys else ""
        return int(number) if number.isascii() and number.isdigit() and len(number) < 4 else None


def split_name(name: str) -> FieldName:
    """Take a name apart. One whose brackets make no sense is all base: no property has such."""
    match = _NAME.fullmatch(name.strip())
    if match is None:
        return FieldName(name)
    return FieldName(match[1], tuple(_KEY.findall(match[2])))


def base_name(name: str) -> str:
    """``category`` for ``category``, ``category[]``, ``category[0]``."""
    return split_name(name).base


def texts(fields: Iterable[Field], name: str) -> tuple[str, ...]:
    """Every text under ``name``, whatever brackets it wears."""
    return tuple(
        value for key, value in fields if isinstance(value, str) and base_name(key) == name
    )
