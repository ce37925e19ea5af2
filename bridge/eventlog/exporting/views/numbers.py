"""JSON in and out of views without loss: a number keeps its digits. Pure."""

import json
from typing import Any, Final

import orjson

# Every integer of this length fits 64 bits.
_SHORT: Final = 18

_DECODER: json.JSONDecoder


class Number(str):
    """A JSON number, as its digits stand in the text."""

    __slots__ = ()


def _integer(text: str) -> int | Number:
    return int(text) if len(text) <= _SHORT else Number(text)


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=_integer, parse_constant=Number)


def read_json(data: bytes) -> Any:
    """Return the JSON value of `data`: fractions and long integers as `Number`.

    Raises:
        ValueError: it is not JSON.
    """
    return _DECODER.decode(data.decode())


def json_line(value: Any) -> bytes:
    """Return `value`, which `read_json` gave, as one line of JSON."""
    return orjson.dumps(
        value,
        default=_raw,
        option=orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_APPEND_NEWLINE,
    )


def json_text(value: Any) -> str:
    """Return `value`, which `read_json` gave, as JSON text."""
    return orjson.dumps(value, default=_raw, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()


def _raw(value: Any) -> Any:
    if isinstance(value, Number):
        return orjson.Fragment(str(value))
    raise TypeError
