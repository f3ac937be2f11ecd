"""A request's body, free of HTTP: a form or JSON, and both as one :class:`Raw`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from bridge.errors import InvalidRequest
from bridge.micropub.post import COMMAND_PREFIX, Json

#: ``name``, then any number of ``[...]``, as PHP and its imitators write lists in forms.
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEY = re.compile(r"\[([^\[\]]*)\]")
_LONGEST_NAME = 1000

#: Texts for the photos of a post, one each, in their order.
ALT_TEXTS = "mp-photo-alt"
#: The operations of an update (3.4).
OPERATIONS = ("replace", "add", "delete")
#: Types other than h-entry with a page of their own (the plugin has them in ``entry/kinds.py``).
_SHOWN = frozenset({"event", "review", "recipe", "product", "resume"})
_TYPE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
#: Names that a form keeps for the protocol (Micropub 3.2), and the one that queries use. ``url`` is
#: the post that an action is about, but a property where something other than an entry is made.
_RESERVED = frozenset({"access_token", "h", "action", "q"})
#: The name of ``action`` in drafts of the specification until 2016.
_OLD_ACTION = "mp-action"
#: Names of a JSON object that do not belong to a post's properties.
_NOT_STRAY = _RESERVED | {"type", "properties", *OPERATIONS}


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
    """The body of a POST: ``fields`` of a form (multipart or not), or a ``json`` value.

    The access token is removed from both, so that nothing later can store it; it is not in ``repr``
    either.
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
    """A form field's name, parsed: ``photo[0][alt]`` is ``photo`` with keys ``0``, ``alt``."""

    base: str
    keys: tuple[str, ...] = ()

    @property
    def index(self) -> int | None:
        """The position in the first pair of brackets, if it is one."""
        number = self.keys[0] if self.keys else ""
        return int(number) if number.isascii() and number.isdigit() and len(number) < 4 else None


def split_name(name: str) -> FieldName:
    """Parse a name. If its brackets make no sense, all of it is the base: no property has such a
    name.

    The same holds for a name so long that parsing would take long.
    """
    match = _NAME.fullmatch(name.strip()) if len(name) <= _LONGEST_NAME else None
    if match is None:
        return FieldName(name)
    return FieldName(match[1], tuple(_KEY.findall(match[2])))


def base_name(name: str) -> str:
    """``category`` for ``category``, ``category[]``, ``category[0]``."""
    return split_name(name).base


def texts(fields: Iterable[Field], name: str) -> tuple[str, ...]:
    """Every text under ``name``, with or without brackets."""
    return tuple(
        value for key, value in fields if isinstance(value, str) and base_name(key) == name
    )


#: A value of a property, not yet interpreted.
Slot: TypeAlias = "Json | File"


@dataclass(frozen=True, slots=True)
class Raw:
    """The contents of a request. ``values`` are properties and ``mp-*`` commands together.

    ``operations`` holds ``replace``, ``add`` and ``delete`` as in JSON, if they are given.
    """

    action: str = "create"
    url: str | None = None
    type: str = "entry"
    values: Mapping[str, list[Slot]] = field(default_factory=dict)
    operations: Mapping[str, Json] = field(default_factory=dict)


def read_json(value: Json) -> Raw:
    """Sort a JSON body. Raises :class:`InvalidRequest` if its outer shape is wrong."""
    if not isinstance(value, dict):
        raise InvalidRequest("The JSON must be an object with 'type' and 'properties'.")
    properties = value.get("properties")
    # PHP encodes an empty object as an empty list.
    if properties is None or properties == []:
        properties = {}
    if not isinstance(properties, dict):
        raise InvalidRequest("'properties' must be an object of property names and lists.")
    values: dict[str, list[Slot]] = {}
    commands = {
        name: given
        for name, given in value.items()
        if name.startswith(COMMAND_PREFIX) and name != _OLD_ACTION
    }
    for name, given in (commands | properties).items():
        values.setdefault(base_name(name), []).extend(wrapped(given))
    # A form's word for the type, which is beside the properties here.
    values.pop("h", None)
    # In the JSON of microformats2, nested objects without a property stand beside "properties".
    if children := wrapped(value.get("children")):
        values.setdefault("children", []).extend(children)
    action = _one_text(value, "action") or _one_text(value, _OLD_ACTION) or "create"
    if action == "create" and not values and (stray := value.keys() - _NOT_STRAY):
        # JSON that was sent in the shape of a form.
        name = min(stray)[:40]
        raise InvalidRequest(
            f"In JSON, '{name}' belongs into 'properties', as a list:"
            f' {{"type": ["h-entry"], "properties": {{"{name}": [...]}}}}.'
        )
    return Raw(
        action=action,
        url=_one_text(value, "url"),
        type=_only_type(wrapped(value.get("type"))),
        values=values,
        operations={name: value[name] for name in OPERATIONS if value.get(name) is not None},
    )


def wrapped(value: Json) -> list[Json]:
    """A list of values, even for a single value without a list; ``null`` is no value."""
    if value is None:
        return []
    # PHP writes a list with gaps as an object with numbers for keys.
    if isinstance(value, dict) and value and all(key.isdigit() for key in value):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def _only_type(given: list[Json]) -> str:
    """The type of a post. Every post is an entry, so that beside a type with a page of its own
    "h-entry" says nothing; nor do other types beside these, such as "h-as-note".

    Raises :class:`InvalidRequest` for two types with pages of their own, of which one would be
    lost.
    """
    names = [each.strip() for each in given if each is not None and isinstance(each, str)]
    if len(names) < sum(each is not None for each in given):
        raise InvalidRequest("'type' must be a text.")
    types = list(dict.fromkeys(name.removeprefix("h-") for name in names if name))
    shown = [each for each in types if each in _SHOWN]
    if len(shown) > 1:
        raise InvalidRequest(f"A post has one type: 'type' names h-{shown[0]} and h-{shown[1]}.")
    if shown or "entry" in types:
        return shown[0] if shown else "entry"
    return h_type(types[0] if types else None)


def h_type(name: str | None) -> str:
    """The h-* class without its prefix; ``entry`` if no type is given (3.3).

    Raises :class:`InvalidRequest` if ``name`` cannot be a type.
    """
    if name is None:
        return "entry"
    bare = name.removeprefix("h-")
    if not _TYPE.fullmatch(bare):
        raise InvalidRequest(
            f"'{name[:40]}' is not a microformats2 type; 'entry' is the usual one."
        )
    return bare


def _one_text(value: dict[str, Json], name: str) -> str | None:
    """A text, or the first of a list of texts; ``None`` if it is missing or empty."""
    given = wrapped(value.get(name))
    if not given or given[0] is None:
        return None
    if not isinstance(given[0], str):
        raise InvalidRequest(f"'{name}' must be a text.")
    return given[0].strip() or None


def read_form(fields: Iterable[Field]) -> Raw:
    """Sort the fields. Raises :class:`InvalidRequest` for names that a form cannot carry."""
    form = _Form()
    for full_name, value in fields:
        name = split_name(full_name)
        if isinstance(value, str) and name.base in OPERATIONS and name.keys:
            form.operate(name, value)
        elif isinstance(value, str) and name.base in _RESERVED | {_OLD_ACTION}:
            form.words.setdefault(name.base, value.strip())
        else:
            form.place(name, value)
    return form.read()


class _Form:
    """A form that is being sorted."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self._values: dict[str, list[Slot]] = {}
        self._objects: dict[tuple[str, ...], dict[str, Json]] = {}
        self._files: dict[tuple[str, ...], File] = {}
        self._changes: dict[str, dict[str, Json]] = {}
        self._deleted: list[Json] = []

    def place(self, name: FieldName, value: str | File) -> None:
        """Add a value to its property.

        Its name is ``x``, ``x[]`` or ``x[0]``; parts of an object are ``x[html]`` or ``x[0][alt]``.
        """
        slots = self._values.setdefault(name.base, [])
        *group, word = name.keys or ("",)
        if len(group) > 1:
            raise InvalidRequest(
                f"'{name.base[:40]}' is nested too deep for a form: send the post as JSON."
            )
        if isinstance(value, str) and word and (group or name.index is None):
            self._part(slots, (name.base, *group), word, value)
            return
        if isinstance(value, File):
            number = () if name.index is None else (word,) if not group else tuple(group)
            self._files[(name.base, *number)] = value
        # The index of an alt text is that of its photo; PHP leaves out missing ones.
        if name.base == ALT_TEXTS and name.index is not None:
            slots.extend([""] * (name.index - len(slots)))
        slots.append(value)

    def _part(self, slots: list[Slot], place: tuple[str, ...], word: str, value: str) -> None:
        """Add a value to an object among the values; its first part starts the object."""
        known = self._objects.get(place)
        if known is None or word in known:
            self._objects[place] = known = {}
            slots.append(known)
        known[word] = value

    def _describe_files(self) -> None:
        """Give the files their alt texts: ``photo[0]``, ``photo[0][alt]``."""
        for place, file in self._files.items():
            given, slots = self._objects.get(place, {}), self._values[place[0]]
            if given.keys() == {"alt"}:
                described = replace(file, alt=str(given["alt"]))
                self._values[place[0]] = [
                    described if slot is file else slot for slot in slots if slot is not given
                ]

    def operate(self, name: FieldName, value: str) -> None:
        """``replace[content]=x``, ``add[category][]=x``, ``delete[]=category``, as PHP writes them.

        The spec has updates in JSON only (3.4); this is for clients that can only send forms.
        """
        target, *keys = name.keys
        if name.base == "delete" and (target == "" or name.index is not None):
            self._deleted.append(value)
            return
        word = keys[-1] if keys else ""
        item: Json = value if word == "" or word.isdigit() else {word: value}
        slots = self._changes.setdefault(name.base, {}).setdefault(target, [])
        if isinstance(slots, list):
            slots.append(item)

    def read(self) -> Raw:
        """The sorted form."""
        self._describe_files()
        url = next((slot for slot in self._values.get("url", ()) if isinstance(slot, str)), "")
        operations: dict[str, Json] = dict(self._changes)
        if self._deleted:
            # Whole properties and single values in one request become a list of both.
            operations["delete"] = [*self._deleted, *filter(None, [operations.get("delete")])]
        return Raw(
            action=self.words.get("action") or self.words.get(_OLD_ACTION) or "create",
            url=url.strip() or None,
            type=h_type(self.words.get("h") or None),
            values=self._values,
            operations=operations,
        )
