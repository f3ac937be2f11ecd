"""Parses a request into one action (Micropub 3.2-3.5). ``mp-*`` commands are not part of a post."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import urlsplit

from bridge.errors import InvalidRequest
from bridge.micropub.action import Action, Create, Delete, Undelete, Update, Upload
from bridge.micropub.body import (
    ALT_TEXTS,
    File,
    Raw,
    RequestBody,
    Slot,
    base_name,
    read_form,
    read_json,
    wrapped,
)
from bridge.micropub.embedded import take_out
from bridge.micropub.post import COMMAND_PREFIX, Json, Post, Properties
from bridge.micropub.values import (
    MEDIA,
    MOST_PROPERTIES,
    is_empty,
    normalise,
    property_name,
    refuse_many,
    refuse_many_files,
    refuse_many_properties,
    refuse_oversized,
)

#: Properties about how to publish; alone they are not a post.
_CIRCUMSTANCES = frozenset({"published", "updated", "post-status", "visibility"})
#: Words of a request that are not properties.
_NOT_PROPERTIES = frozenset({"type", "properties", "h", "action", "replace", "add", "delete"})
#: Commands that older clients send without a prefix.
_ALIASES = frozenset({"slug", "syndicate-to"})
_TARGETS = "syndicate-to"
#: How clients asked for an action in the first drafts of Micropub: as a property of a new post.
_OLD_ACTIONS = {"edit-of": "update", "delete-of": "delete", "undelete-of": "undelete"}
_FORMAT = "p3k-content-type"
#: The properties that ``mp-photo-alt`` describes; ``file`` are uploads under any other name.
_PHOTOS = ("photo", "file")


def parse_action(body: RequestBody) -> Action:
    """The action that the client asks for; the same value for every encoding.

    Raises :class:`InvalidRequest` if it cannot be understood, saying what to change.
    """
    if body.kind == "empty":
        raise InvalidRequest("The request has no body: send a form or JSON with what to post.")
    given = body.json.get("properties") if isinstance(body.json, dict) else None
    if isinstance(given, dict) and len(given) > 2 * MOST_PROPERTIES:
        # Checked before each of them is parsed; commands do not count.
        refuse_many_properties(len(given))
    raw = read_json(body.json) if body.kind == "json" else read_form(body.fields)
    match raw.action:
        case "create":
            return _create(raw)
        case "update":
            return _update(raw)
        case "delete":
            return Delete(_target(raw))
        case "undelete":
            return Undelete(_target(raw))
    raise InvalidRequest(
        f"'action' is 'update', 'delete' or 'undelete', not '{raw.action[:40]}';"
        " leave it out to create a post."
    )


def is_media_upload(body: RequestBody) -> bool:
    """Whether this is a file for the media endpoint that was sent to the Micropub endpoint.

    Two clients in use send a bare ``file`` part there. Commands beside it change nothing.
    """
    stated = [
        base_name(name)
        for name, value in body.fields
        if not isinstance(value, str) or (value.strip() and not name.startswith(COMMAND_PREFIX))
    ]
    return stated == ["file"] and len(body.files) == 1


def media_file(body: RequestBody) -> Upload:
    """The one file of an upload to the media endpoint, whatever its part is called (3.6.3).

    Raises :class:`InvalidRequest` if there is none, more than one, or an empty one.
    """
    files = [file for file in body.files if file.filename or file.data]
    if len(files) != 1:
        raise InvalidRequest(
            f"Send one file, as a multipart part named 'file'; this request has {len(files)}."
        )
    return _upload("file", 0, files[0])


def _create(raw: Raw) -> Create:
    values, commands = split_commands(_with_format(raw.values))
    _refuse_changes(raw, values, commands)
    _refuse_outer_words(values)
    if raw.type == "entry":
        # An entry's URL is where it lives: the site decides it, not the client.
        values.pop("url", None)
    values, embedded = take_out(values)
    properties, files = _sort(values)
    uploads = (*files, *embedded)
    refuse_many_files({"file": len(uploads)})
    if properties.get("visibility") == ("public",):
        # This is the default, which is not stored.
        del properties["visibility"]
    if not uploads and properties.keys() <= _CIRCUMSTANCES:
        raise InvalidRequest("There is nothing to post: send 'content', or another property.")
    return Create(Post(raw.type, MappingProxyType(properties)), commands, uploads)


def _refuse_changes(
    raw: Raw,
    values: Mapping[str, Sequence[Slot]],
    commands: Mapping[str, tuple[Json, ...]],
) -> None:
    """Raise :class:`InvalidRequest` for what was meant to change or delete a post: it would be
    published as another one.
    """
    # Apps send empty fields of their forms, too.
    asked = [
        verb
        for name, verb in _OLD_ACTIONS.items()
        if any(slot.strip() if isinstance(slot, str) else slot for slot in values.get(name, ()))
    ]
    said = (*values.get("operation", ()), *values.get("action", ())) if "url" in values else ()
    asked += ["update"] if raw.operations else []
    asked += [
        verb for verb in _OLD_ACTIONS.values() if verb in said or verb in commands.get("action", ())
    ]
    if asked:
        raise InvalidRequest(
            f"To {asked[0]} a post, send 'action' '{asked[0]}' with its 'url'; this would make a"
            " new post."
        )


def _refuse_outer_words(values: Mapping[str, Sequence[Slot]]) -> None:
    """Raise :class:`InvalidRequest` for the words around a post's properties in JSON, sent as
    properties or in a form: the post would be published with nothing of what was meant.
    """
    types = [slot for slot in values.get("type", ()) if isinstance(slot, str)]
    if "properties" in values or any(each.startswith("h-") for each in types):
        name = "properties" if "properties" in values else "type"
        raise InvalidRequest(
            f"'{name}' is not a property. In JSON, 'type' and 'properties' stand side by side;"
            " in a form, 'h' is the type ('entry'), and each property has a field ('content')."
        )


def _with_format(values: Mapping[str, list[Slot]]) -> Mapping[str, list[Slot]]:
    """The values, with content that is said to be Markdown as text and its format: some clients
    send ``{"markdown": text}``, others ``p3k-content-type``.
    """
    content = values.get("content", [])
    texts = [
        slot["markdown"]
        for slot in content
        if isinstance(slot, dict) and "markdown" in slot and "html" not in slot
    ]
    if not texts or len(texts) < len(content):
        return values
    return {
        **values,
        "content": [slot for each in texts for slot in wrapped(each)],
        _FORMAT: ["text/markdown"],
    }


def _sort(
    values: Mapping[str, Sequence[Slot]],
) -> tuple[dict[str, tuple[Json, ...]], tuple[Upload, ...]]:
    """Properties, and files with their positions among them."""
    slots: dict[str, list[Slot]] = {}
    for name, given in values.items():
        refuse_oversized(name, given)
        for slot in given:
            # An empty file input sends a part without name or data.
            if isinstance(slot, File) and not (slot.filename or slot.data):
                continue
            # A file under any other name is sorted by its contents.
            place = "file" if isinstance(slot, File) and name not in MEDIA else name
            slots.setdefault(place, []).append(slot)
    full = {property_name(name): normalise(name, given) for name, given in slots.items()}
    refuse_many_files({name: len(given) for name, given in full.items()})
    uploads = tuple(
        _upload(name, index, slot)
        for name, given in full.items()
        for index, slot in enumerate(given)
        if isinstance(slot, File)
    )
    properties = {
        name: kept
        for name, given in full.items()
        if (kept := tuple(slot for slot in given if not isinstance(slot, File)))
    }
    return properties, uploads


def _upload(name: str, index: int, file: File) -> Upload:
    if not file.data:
        raise InvalidRequest(f"The file '{file.filename[:80]}' is empty.")
    return Upload(name, index, file.filename, file.data, file.alt)


def _target(raw: Raw) -> str:
    """The post that an action is about."""
    if raw.url is None:
        raise InvalidRequest(f"Say which post to {raw.action}: 'url' is missing.")
    try:
        parts = urlsplit(raw.url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InvalidRequest("'url' must be the absolute URL of a post of this site.")
    return raw.url


def _update(raw: Raw) -> Update:
    url = _target(raw)
    if any(isinstance(slot, File) for slots in raw.values.values() for slot in slots):
        raise InvalidRequest("An update takes URLs: upload the file to the media endpoint first.")
    # Commands may stand beside the operations or inside them.
    beside = {name: slots for name, slots in raw.values.items() if name.startswith(COMMAND_PREFIX)}
    if stray := sorted(raw.values.keys() - beside.keys() - {"url", "access_token"}):
        raise InvalidRequest(
            f"An update needs 'replace', 'add' or 'delete'; '{stray[0][:40]}' is in none of them."
            f' Send {{"replace": {{"{stray[0][:40]}": [...]}}}}.'
        )
    replace = {**_with_format(beside | _object(raw, "replace"))}
    add = {**_with_format(beside | _object(raw, "add"))}
    replace, replaced = take_out(replace)
    add, added = take_out(add)
    _, commands = split_commands(replace | add)
    if not raw.operations and not commands:
        raise InvalidRequest(
            "An update needs 'replace', 'add' or 'delete', such as"
            ' {"replace": {"content": ["..."]}}.'
        )
    delete_values, delete_properties = _deletions(raw.operations.get("delete"))
    return Update(
        url,
        replace=_changes(replace, empty=True),
        add=_changes(add, empty=False),
        delete_values=delete_values,
        delete_properties=delete_properties,
        commands=commands,
        uploads=(*replaced, *added),
    )


def _object(raw: Raw, operation: str) -> dict[str, list[Slot]]:
    """``replace`` or ``add``: property names with lists of values (3.4)."""
    given = raw.operations.get(operation)
    # PHP writes its empty object as an empty list.
    if given is None or given == []:
        return {}
    # "The values of each property inside the replace, add or delete keys MUST be an array" (3.4):
    # a lone value is forgiven, an operation that is not an object cannot be understood.
    if not isinstance(given, dict):
        raise InvalidRequest(
            f"'{operation}' must be an object of property names and lists of values."
        )
    for name in given:
        _refuse_non_property(operation, base_name(name))
    return {base_name(name): list(wrapped(values)) for name, values in given.items()}


def _refuse_non_property(operation: str, name: str) -> None:
    """Raise :class:`InvalidRequest` for a word that is not a property: stored under that name,
    it would change nothing.
    """
    if name == "type":
        raise InvalidRequest(
            f"'{operation}' names 'type': what a post is stays as it is. Change its properties, or"
            " delete it and create another."
        )
    if name in _NOT_PROPERTIES:
        raise InvalidRequest(
            f"'{operation}' names '{name}', which is not a property. Name the properties"
            f' themselves: {{"{operation}": {{"content": ["..."]}}}}.'
        )


def _changes(given: Mapping[str, Sequence[Slot]], *, empty: bool) -> Properties:
    """Normalised values; with ``empty``, a property without any value is included, to be
    emptied."""
    properties, _ = split_commands(given)
    changes: dict[str, tuple[Json, ...]] = {}
    for name, slots in properties.items():
        values = normalise(property_name(name), slots)
        if values or empty:
            changes[name] = tuple(value for value in values if not isinstance(value, File))
    return MappingProxyType(changes)


def _deletions(given: Json) -> tuple[Properties, tuple[str, ...]]:
    """``delete``: a list of property names, or an object of names with the values to remove."""
    if given is not None and not isinstance(given, list | dict):
        raise InvalidRequest("'delete' must be a list of property names, or an object of values.")
    values: dict[str, tuple[Json, ...]] = {}
    whole: list[str] = []
    for item in wrapped(given):
        if isinstance(item, str):
            _refuse_non_property("delete", base_name(item))
            whole.append(property_name(base_name(item)))
        elif isinstance(item, dict):
            for name, unwanted in item.items():
                _refuse_non_property("delete", base_name(name))
                # An object with nothing but a type may be a value of an older post.
                kept = tuple(
                    value
                    for value in wrapped(unwanted)
                    if not is_empty(value) or (isinstance(value, dict) and value)
                )
                values[property_name(base_name(name))] = kept
        else:
            raise InvalidRequest(
                f"'delete' must list property names; {str(item)[:80]!r} is not one."
            )
    refuse_many_properties(len({*values, *whole}))
    return MappingProxyType(values), tuple(whole)


def split_commands(
    values: Mapping[str, Sequence[Slot]],
) -> tuple[dict[str, list[Slot]], Properties]:
    """Properties and commands, the latter without their prefix.

    A command that makes no sense is ignored, because no server implements all of them. Alt texts
    have moved to their photos; an access token is in neither. Raises :class:`InvalidRequest` for
    more names, or more values of a command, than a post may have.
    """
    properties: dict[str, list[Slot]] = {}
    commands: dict[str, tuple[Json, ...]] = {}
    aliases: dict[str, tuple[Json, ...]] = {}
    count = sum(1 for name in values if name.startswith(COMMAND_PREFIX))
    refuse_many_properties(max(count, len(values) - count))
    for name, slots in values.items():
        if name.startswith(COMMAND_PREFIX):
            commands[name.removeprefix(COMMAND_PREFIX)] = _texts(name, slots)
        elif name in _ALIASES:
            aliases[name] = _texts(name, slots)
        # The server MUST NOT store the access_token (3.2).
        elif name != "access_token":
            properties[name] = list(slots)
    commands.pop("photo-alt", None)
    _describe_photos(properties, values.get(ALT_TEXTS, ()))
    given = aliases | {name: texts for name, texts in commands.items() if texts}
    stated = {name: texts for name, texts in given.items() if texts}
    if _TARGETS in given or _TARGETS in commands:
        # An empty list of targets differs from a missing one.
        stated.setdefault(_TARGETS, ())
    return properties, MappingProxyType(stated)


def _texts(name: str, slots: Sequence[Slot]) -> tuple[str, ...]:
    """The values of a command: its texts and numbers; nothing else has a meaning."""
    plain = [
        slot for slot in slots if isinstance(slot, str | int | float) and not isinstance(slot, bool)
    ]
    texts = tuple(text for text in map(str, plain) if text.strip())
    if name != ALT_TEXTS:
        refuse_many(name, len(texts))
    return texts


def _describe_photos(properties: dict[str, list[Slot]], alts: Sequence[Slot]) -> None:
    """Give each photo the alt text at its position; empty texts are placeholders."""
    places = [(name, index) for name in _PHOTOS for index in range(len(properties.get(name, ())))]
    full = [(name, index) for name, index in places if not _is_blank(properties[name][index])]
    # A form with an empty file input sends one photo more than alt texts.
    for (name, index), alt in zip(full if len(alts) == len(full) else places, alts, strict=False):
        if isinstance(alt, str) and alt.strip():
            properties[name][index] = _described(properties[name][index], alt)


def _is_blank(slot: Slot) -> bool:
    return not slot.data if isinstance(slot, File) else is_empty(slot)


def _described(photo: Slot, alt: str) -> Slot:
    # The photo's own alt text takes precedence.
    if isinstance(photo, File):
        return dataclasses.replace(photo, alt=photo.alt or alt)
    if isinstance(photo, dict):
        return {"alt": alt, **photo}
    return {"value": photo, "alt": alt}
