"""A request independent of its encoding: form, multipart and JSON become the same :class:`Raw`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bridge.errors import InvalidRequest
from bridge.micropub.body import File, base_name
from bridge.micropub.post import Json

#: A value of a property before it is understood.
Slot: TypeAlias = "Json | File"

#: What an update may ask for (3.4).
OPERATIONS = ("replace", "add", "delete")

_TYPE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Raw:
    """What a request says. ``values`` are properties and ``mp-*`` commands together.

    ``operations`` holds ``replace``, ``add``, ``delete`` as JSON has them, where they are given.
    """

    action: str = "create"
    url: str | None = None
    type: str = "entry"
    values: Mapping[str, list[Slot]] = field(default_factory=dict)
    operations: Mapping[str, Json] = field(default_factory=dict)


def read_json(value: Json) -> Raw:
    """Sort a JSON body. Raises :class:`InvalidRequest` where its outer shape is wrong."""
    if not isinstance(value, dict):
        raise InvalidRequest("The JSON must be an object with 'type' and 'properties'.")
    properties = value.get("properties")
    # PHP writes its empty object as an empty list.
    if properties is None or properties == []:
        properties = {}
    if not isinstance(properties, dict):
        raise InvalidRequest("'properties' must be an object of property names and lists.")
    values: dict[str, list[Slot]] = {}
    commands = {name: given for name, given in value.items() if name.startswith("mp-")}
    for name, given in (commands | properties).items():
        values.setdefault(base_name(name), []).extend(wrapped(given))
    return Raw(
        action=_one_text(value, "action") or "create",
        url=_one_text(value, "url"),
        type=h_type(_one_text(value, "type")),
        values=values,
        operations={name: value[name] for name in OPERATIONS if value.get(name) is not None},
    )


def wrapped(value: Json) -> list[Json]:
    """A list of values, where one value came without its list; ``null`` is none."""
    if value is None:
        return []
    # PHP writes a list from which it has dropped something as an object with numbers for keys.
    if isinstance(value, dict) and value and all(key.isdigit() for key in value):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def h_type(name: str | None) -> str:
    """The h-* class without its prefix. Where no type is given, it is an entry (3.3)."""
    if name is None:
        return "entry"
    bare = name.removeprefix("h-")
    if not _TYPE.fullmatch(bare):
        raise InvalidRequest(f"'{name[:40]}' is no microformats2 type; 'entry' is the usual one.")
    return bare


def _one_text(value: dict[str, Json], name: str) -> str | None:
    """A text, or the first of a list of texts; ``None`` for nothing and for an empty one."""
    given = wrapped(value.get(name))
    if not given or given[0] is None:
        return None
    if not isinstance(given[0], str):
        raise InvalidRequest(f"'{name}' must be a text.")
    return given[0].strip() or None
