"""Who may call: a bearer key where one is configured, and pages only of origins that are allowed.

Host is checked because a web page can have its own name resolve to 127.0.0.1 and then talk to us as its own origin (DNS
rebinding); Origin because browsers let any page open a WebSocket to anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from vita_gateway.openai_errors import ApiError

KEY_SUBPROTOCOL = "openai-insecure-api-key."  # how a browser, which cannot set headers on a WebSocket, sends its key
REALTIME_SUBPROTOCOL = "realtime"
TENANT = "default"  # with one key there is one tenant


@dataclass(frozen=True, slots=True)
class Door:
    """The rules of admission."""

    api_key: str | None
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]

    def check_host(self, headers: Headers) -> None:
        """Raise ApiError 403 when the request does not call us by a name of ours."""
        host = headers.get("host", "")
        if "*" not in self.allowed_hosts and _without_port(host) not in self.allowed_hosts:
            raise ApiError("this host name is not allowed here", code="host_not_allowed", status=403)

    def check_origin(self, headers: Headers) -> None:
        """Raise ApiError 403 when a web page of another origin asks; our own pages and programs pass."""
        origin = headers.get("origin")
        if origin is None or "*" in self.allowed_origins or origin in self.allowed_origins:
            return
        if urlsplit(origin).netloc != headers.get("host", ""):
            raise ApiError("this origin is not allowed here", code="origin_not_allowed", status=403)

    def check_key(self, headers: Headers, subprotocols: list[str]) -> None:
        """Raise ApiError 401 unless the key is right, or none is configured."""
        if self.api_key is None:
            return
        given = _bearer(headers) or _subprotocol_key(subprotocols)
        if given is None:
            raise _unauthorized("no API key was given: send it as `Authorization: Bearer …`")
        if not hmac.compare_digest(_digest(given), _digest(self.api_key)):
            raise _unauthorized("the API key is not right")


def chosen_subprotocol(subprotocols: list[str]) -> str | None:
    """Return the subprotocol to select: browsers close a connection for which the server chose none of theirs."""
    return REALTIME_SUBPROTOCOL if REALTIME_SUBPROTOCOL in subprotocols else None


def _bearer(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _subprotocol_key(subprotocols: list[str]) -> str | None:
    keys = (name.removeprefix(KEY_SUBPROTOCOL) for name in subprotocols if name.startswith(KEY_SUBPROTOCOL))
    return next(keys, None)


def _digest(key: str) -> bytes:
    # Compared as digests: compare_digest leaks the length of what it compares.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _without_port(host: str) -> str:
    if host.startswith("["):  # [::1]:8080
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _unauthorized(message: str) -> ApiError:
    return ApiError(message, type="authentication_error", code="invalid_api_key", status=401)
