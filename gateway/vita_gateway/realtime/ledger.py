"""What a client has asked for and has had no answer to, so that every answer and error finds its asker."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from dataclasses import dataclass

from vita_runtime.errors import VitaError

from vita_gateway.openai_errors import SETTINGS, ApiError, api_error

CAPACITY = 1024  # a client that asks for more than this before the first answer gets errors without its own event id

# The codes that clients match on depend on what was asked (docs/api.md); all others are those of openai_errors.
CODES = {
    ("conversation.item.retrieve", "ERROR_REASON_NOT_FOUND"): "item_retrieve_invalid_item_id",
    ("conversation.item.truncate", "ERROR_REASON_NOT_FOUND"): "item_truncate_invalid_item_id",
    ("conversation.item.delete", "ERROR_REASON_NOT_FOUND"): "item_delete_invalid_item_id",
    ("conversation.item.create", "ERROR_REASON_NOT_FOUND"): "invalid_value",
    ("conversation.item.create", "ERROR_REASON_ALREADY_EXISTS"): "item_create_duplicate_item_id",
    ("input_audio_buffer.commit", "ERROR_REASON_OUT_OF_ORDER"): "input_audio_buffer_commit_empty",
    ("input_audio_buffer.commit", "ERROR_REASON_BAD_INPUT"): "input_audio_buffer_commit_empty",
}
NOTHING_TO_CANCEL = "Cancellation failed: no active response found"  # clients match on the first two words


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the client's."""

    kind: str  # the event's type
    event_id: str | None  # the client's name for it
    key: str  # what its answer will name: an item's id, a request's number
    is_answered: bool = True  # False: only its failure will name it


class Ledger:
    """Open requests, oldest first, under the names that they carry on the wire."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Asked] = OrderedDict()
        self._count = 0

    def note(self, kind: str, event_id: str | None, key: str = "", *, is_answered: bool = True) -> str:
        """Note a request; return the name to send it under."""
        self._count += 1
        name = f"request_{self._count}"
        self._open[name] = Asked(kind, event_id, key or name, is_answered)
        while len(self._open) > CAPACITY:
            self._open.popitem(last=False)
        return name

    def kind_of(self, name: str) -> str | None:
        """Return what was asked under `name`."""
        asked = self._open.get(name)
        return asked.kind if asked else None

    def settle(self, kind: str, key: str | None = None) -> Asked | None:
        """Take out the oldest request of a kind, and of a key where one is given."""
        for name, asked in self._open.items():
            if asked.kind == kind and key in (None, asked.key):
                return self._open.pop(name)
        return None

    def take(self, name: str) -> Asked | None:
        """Take out the request that was sent under `name`."""
        return self._open.pop(name, None)

    def forget_all(self) -> list[Asked]:
        """Take out everything; return those that will have no answer now."""
        forgotten = [asked for asked in self._open.values() if asked.is_answered]
        self._open.clear()
        return forgotten


def worded(failure: VitaError, asked: Asked | None) -> ApiError:
    """Translate a failure for the client that asked for `asked`."""
    error = api_error(failure)
    if asked is None:
        return error
    if failure.reason == "ERROR_REASON_NO_RESPONSE_ACTIVE":
        return dataclasses.replace(error, message=NOTHING_TO_CANCEL)
    code = CODES.get((asked.kind, failure.reason), error.code)
    is_setting = failure.metadata.get("field", "").startswith(SETTINGS)
    holder = asked.kind.partition(".")[0]  # session or response
    return dataclasses.replace(error, code=code, param=f"{holder}.{error.param}" if is_setting else error.param)
