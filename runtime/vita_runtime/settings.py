"""Settings from the environment: a frozen dataclass, read once, in `main.py`, and passed down as values.

A field `max_sessions: int = 64` of a class loaded with the prefix `VITA_GATEWAY_` is the variable
`VITA_GATEWAY_MAX_SESSIONS`. No default means required. Lists are separated by commas. A variable with our prefix that
no field knows is refused, for it is a misspelling.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from vita_runtime.errors import StartupError

T = TypeVar("T")

BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "PASSWORD")  # values of such variables are not repeated in messages


def load(cls: type[T], prefix: str, environ: Mapping[str, str]) -> T:
    """Build `cls`, a dataclass, from the variables that start with `prefix`.

    Fields may be str, int, float, bool, Path, a tuple of one of these (`tuple[str, ...]`), or any of these `| None`.

    Raises:
        StartupError: a required variable is missing, a value is malformed, or a variable is unknown; it names them.
    """
    hints = typing.get_type_hints(cls)
    values: dict[str, object] = {}
    for field in dataclasses.fields(typing.cast("type[typing.Any]", cls)):
        key = prefix + field.name.upper()
        if key in environ:
            values[field.name] = _parse(key, environ[key], hints[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise StartupError(f"{key} is required and not set")
    known = {prefix + name.upper() for name in hints}
    unknown = sorted(key for key in environ if key.startswith(prefix) and key not in known)
    if unknown:
        raise StartupError(f"{unknown[0]} is not a setting; those of {prefix}* are {', '.join(sorted(known))}")
    try:
        return cls(**values)
    except ValueError as error:  # a dataclass may check itself in __post_init__
        raise StartupError(f"{prefix}*: {error}") from error


def split_address(address: str) -> tuple[str, int]:
    """Split "host:port"; the host may be a bracketed IPv6 address.

    Raises:
        StartupError: it is not of that form, or the port is outside 0-65535.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65_535:
        raise StartupError(f"{address!r} is not an address; it should look like 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _parse(key: str, text: str, hint: object) -> object:
    """Turn the text of one variable into the type of its field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if text == "" else _parse(key, text, inner)
    if origin is tuple:
        return tuple(_parse(key, part.strip(), arguments[0]) for part in text.split(",") if part.strip())
    if hint is bool:
        if text.lower() not in BOOLEANS:
            raise StartupError(_malformed(key, text, "one of " + ", ".join(BOOLEANS)))
        return BOOLEANS[text.lower()]
    if hint is str or hint is Path:
        return Path(text) if hint is Path else text
    if hint is int or hint is float:
        try:
            return int(text) if hint is int else float(text)
        except ValueError as error:
            raise StartupError(_malformed(key, text, "a whole number" if hint is int else "a number")) from error
    if origin is typing.Literal:
        if text not in arguments:
            raise StartupError(_malformed(key, text, "one of " + ", ".join(map(str, arguments))))
        return text
    raise TypeError(f"{key}: fields of type {hint} cannot be read from the environment")


def _malformed(key: str, text: str, expected: str) -> str:
    shown = "its value" if any(word in key for word in SECRET_WORDS) else repr(text)
    return f"{key}: {shown} is not {expected}"
