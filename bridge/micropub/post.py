"""A post as microformats2: the one value that every encoding becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

#: What JSON can hold. Nested objects (an h-cite, an h-card) are plain dicts, never mutated.
Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

#: What the names of commands begin with; they are not properties (Micropub 3.3).
COMMAND_PREFIX = "mp-"

#: Property names to values, in the order of the request.
Properties: TypeAlias = Mapping[str, tuple[Json, ...]]


@dataclass(frozen=True, slots=True)
class Post:
    """A microformats2 object.

    ``type`` is the h-* class without its prefix (``entry``, ``event``). ``properties`` holds the
    mf2 properties, each a tuple with at least one value, and never an ``mp-*`` command.
    """

    type: str = "entry"
    properties: Properties = field(default_factory=lambda: MappingProxyType({}))

    def first(self, name: str) -> Json:
        """The first value of a property, or ``None``."""
        values = self.properties.get(name, ())
        return values[0] if values else None

    def text(self, name: str) -> str | None:
        """The first value of a property if it is a string, else ``None``."""
        value = self.first(name)
        return value if isinstance(value, str) else None

    def all(self, name: str) -> tuple[Json, ...]:
        """Every value of a property; empty where it is absent."""
        return self.properties.get(name, ())

    def with_properties(self, changes: Mapping[str, tuple[Json, ...]]) -> Post:
        """A copy with some properties replaced; an empty tuple removes one. Order is kept."""
        merged = {**self.properties, **changes}
        kept = {name: values for name, values in merged.items() if values}
        return Post(self.type, MappingProxyType(kept))
