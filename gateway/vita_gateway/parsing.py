"""JSON from clients into typed values; what does not fit is refused with the field's name and not the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from vita_gateway.openai_errors import ApiError

M = TypeVar("M", bound=BaseModel)
JsonObject = dict[str, object]

# Names of a union's branches, which pydantic puts between those of fields; others, like list[Part], are no identifiers.
BRANCHES = ("str", "int", "float", "bool", "server_vad", "semantic_vad", "NamedTool")


def parse_object(content: bytes | str) -> JsonObject:
    """Read one JSON object.

    Raises:
        ApiError: not UTF-8, not JSON, or not an object.
    """
    try:
        value: object = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if isinstance(content, bytes) and not _is_utf8(content):
            raise ApiError("the text is not valid UTF-8", code="invalid_utf8") from error
        where = f"line {error.lineno}, column {error.colno}"
        raise ApiError(f"the text is not valid JSON: {where}", code="invalid_json") from error
    if not isinstance(value, dict):
        raise ApiError("the JSON must be an object", code="invalid_json")
    return value


def parse_model(model: type[M], value: Mapping[str, object]) -> M:
    """Check an object against `model`.

    Raises:
        ApiError: a field is missing or has the wrong type or value; `param` names it.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> ApiError:
    """Word the deepest of pydantic's errors: of the branches of a union, it is the one that was meant."""
    worst = max(error.errors(include_url=False, include_input=False), key=lambda one: len(one["loc"]))
    param = field_path(worst["loc"])
    code = "missing_required_parameter" if worst["type"] == "missing" else "invalid_value"
    return ApiError(f"{param or 'the request'}: {worst['msg']}", code=code, param=param or None)


def field_path(location: tuple[int | str, ...]) -> str:
    """Write pydantic's location as clients write it: messages[0].content[1].type."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier() and part not in BRANCHES:
            path += f".{part}" if path else part
    return path


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
