"""``mp-*`` commands: separated from the properties, and never stored (Micropub 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from bridge.micropub.body import File, Slot
from bridge.micropub.post import Json, Properties
from bridge.micropub.values import is_empty, refuse_many, refuse_many_properties

PREFIX = "mp-"

#: Texts for the photos of a post, one each, in their order.
ALT_TEXTS = "mp-photo-alt"

#: Commands that older clients send without the prefix.
_ALIASES = frozenset({"slug", "syndicate-to"})
_TARGETS = "syndicate-to"

#: Where the alt texts of ``mp-photo-alt`` belong, ``file`` being uploads under any other name.
_PHOTOS = ("photo", "file")


def split_commands(
    values: Mapping[str, Sequence[Slot]],
) -> tuple[dict[str, list[Slot]], Properties]:
    """Properties and commands, the latter without their prefix.

    No one knows all commands, so one that makes no sense is left out and fails nothing. Alt texts
    have moved to their photos; an access token is in neither. Raises :class:`InvalidRequest` for
    more names, or more values of a command, than a post may have.
    """
    properties: dict[str, list[Slot]] = {}
    commands: dict[str, tuple[Json, ...]] = {}
    aliases: dict[str, tuple[Json, ...]] = {}
    count = sum(1 for name in values if name.startswith(PREFIX))
    refuse_many_properties(max(count, len(values) - count))
    for name, slots in values.items():
        if name.startswith(PREFIX):
            commands[name.removeprefix(PREFIX)] = _texts(name, slots)
        elif name in _ALIASES:
            aliases[name] = _texts(name, slots)
        # The server MUST NOT store the access_token (3.2).
        elif name != "access_token":
            properties[name] = list(slots)
    commands.pop("photo-alt", None)
    _describe_photos(properties, values.get(ALT_TEXTS, ()))
    given = aliases | {name: texts for name, texts in commands.items() if texts}
    said = {name: texts for name, texts in given.items() if texts}
    if _TARGETS in given or _TARGETS in commands:
        # Said to be none is something else than not said.
        said.setdefault(_TARGETS, ())
    return properties, MappingProxyType(said)


def _texts(name: str, slots: Sequence[Slot]) -> tuple[str, ...]:
    """What a command says; only texts and numbers say anything that a command could mean."""
    plain = [
        slot for slot in slots if isinstance(slot, str | int | float) and not isinstance(slot, bool)
    ]
    texts = tuple(text for text in map(str, plain) if text.strip())
    if name != ALT_TEXTS:
        refuse_many(name, len(texts))
    return texts


def _describe_photos(properties: dict[str, list[Slot]], alts: Sequence[Slot]) -> None:
    """Give each photo the alt text at its own place; empty texts hold the places of others."""
    places = [(name, index) for name in _PHOTOS for index in range(len(properties.get(name, ())))]
    full = [(name, index) for name, index in places if not _is_blank(properties[name][index])]
    # A form whose file chooser stayed empty sends one photo more than it has alt texts.
    for (name, index), alt in zip(full if len(alts) == len(full) else places, alts, strict=False):
        if isinstance(alt, str) and alt.strip():
            properties[name][index] = _described(properties[name][index], alt)


def _is_blank(slot: Slot) -> bool:
    return not slot.data if isinstance(slot, File) else is_empty(slot)


def _described(photo: Slot, alt: str) -> Slot:
    if isinstance(photo, File):
        return replace(photo, alt=alt)
    # An alt text of the photo's own is nearer to it.
    if isinstance(photo, dict):
        return {"alt": alt, **photo}
    return {"value": photo, "alt": alt}
