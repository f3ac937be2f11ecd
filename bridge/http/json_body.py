"""Parses untrusted JSON strictly; rejects what Python's parser tolerates."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NoReturn

from bridge.errors import InvalidRequest
from bridge.micropub.post import Json

#: Largest depth of nesting; microformats need less, and recursion over the result is safe.
MAX_DEPTH = 32
_MAX_DIGITS = 20


def read_json(data: bytes) -> Json:
    """Parse ``data``, which must be UTF-8.

    Raises :class:`InvalidRequest` for invalid JSON, and for values that could not be stored
    unchanged: duplicate keys, ``NaN``, numbers out of range, lone surrogates, deep nesting.
    """
    try:
        value: Json = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The JSON is not UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The JSON is malformed in line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except RecursionError as error:
        raise InvalidRequest("The JSON is nested too deeply.") from error
    _check(value, MAX_DEPTH)
    return value


def _object(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    # Parsers differ on which of two equal keys counts; a guess could lose text.
    if len(found) != len(pairs):
        raise InvalidRequest("An object in the JSON has the same key twice.")
    return found


def _constant(name: str) -> NoReturn:
    raise InvalidRequest(f"{name} is not JSON.")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise InvalidRequest("A number in the JSON is too long: send it as a string.")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidRequest("A number in the JSON is too large: send it as a string.")
    return number


def _check(value: Json, depth: int) -> None:
    """Reject nesting beyond ``depth``, and lone surrogates, which cannot be encoded as UTF-8."""
    if depth == 0:
        raise InvalidRequest("The JSON is nested too deeply.")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest("A string in the JSON contains a lone surrogate.") from error
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check(key, depth - 1)
            _check(inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth - 1)
