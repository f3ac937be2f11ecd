"""Turns form fields into properties and operations."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.errors import InvalidRequest
from bridge.micropub.body import OPERATIONS, Field, FieldName, File, Raw, Slot, h_type, split_name
from bridge.micropub.commands import ALT_TEXTS
from bridge.micropub.post import Json

#: Names that a form keeps for the protocol (Micropub 3.2), and the one that queries use. ``url`` is
#: the post that an action is about, but a property where something other than an entry is made.
_RESERVED = frozenset({"access_token", "h", "action", "q"})


def read_form(fields: Iterable[Field]) -> Raw:
    """Sort the fields. Raises :class:`InvalidRequest` for names that a form cannot carry."""
    form = _Form()
    for full_name, value in fields:
        name = split_name(full_name)
        if isinstance(value, str) and name.base in OPERATIONS and name.keys:
            form.operate(name, value)
        elif isinstance(value, str) and name.base in _RESERVED:
            form.words.setdefault(name.base, value.strip())
        else:
            form.place(name, value)
    return form.read()


class _Form:
    """A form while it is being sorted."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self._values: dict[str, list[Slot]] = {}
        self._objects: dict[tuple[str, ...], dict[str, Json]] = {}
        self._changes: dict[str, dict[str, Json]] = {}
        self._deleted: list[Json] = []

    def place(self, name: FieldName, value: str | File) -> None:
        """Put a value with its property's others.

        Its name is ``x``, ``x[]`` or ``x[0]``; parts of an object are ``x[html]``, ``x[0][alt]``.
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
        # Alt texts say by their number which photo they mean; PHP leaves out the missing ones.
        if name.base == ALT_TEXTS and name.index is not None:
            slots.extend([""] * (name.index - len(slots)))
        slots.append(value)

    def _part(self, slots: list[Slot], place: tuple[str, ...], word: str, value: str) -> None:
        """Put a value into an object among the values, which begins with its first part."""
        known = self._objects.get(place)
        if known is None or word in known:
            self._objects[place] = known = {}
            slots.append(known)
        known[word] = value

    def operate(self, name: FieldName, value: str) -> None:
        """``replace[content]=x``, ``add[category][]=x``, ``delete[]=category``, as PHP writes them.

        The spec has updates in JSON only (3.4); this is for clients that can only write forms.
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
        """Everything that was sorted."""
        url = next((slot for slot in self._values.get("url", ()) if isinstance(slot, str)), "")
        operations: dict[str, Json] = dict(self._changes)
        if self._deleted:
            # Whole properties and single values in one request: a list of both.
            operations["delete"] = [*self._deleted, *filter(None, [operations.get("delete")])]
        return Raw(
            action=self.words.get("action") or "create",
            url=url.strip() or None,
            type=h_type(self.words.get("h") or None),
            values=self._values,
            operations=operations,
        )
