"""Settings: what the environment says, or one line that names what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from vita_runtime.errors import StartupError
from vita_runtime.settings import load, split_address

pytestmark = pytest.mark.unit


@dataclass(frozen=True, slots=True)
class Settings:
    address: str
    max_sessions: int = 64
    grace_s: float = 20.0
    is_open: bool = False
    hosts: tuple[str, ...] = ("localhost",)
    api_key: str | None = None
    folder: Path = Path(".")
    mode: Literal["fast", "slow"] = "fast"

    def __post_init__(self) -> None:
        if self.max_sessions < 1:
            raise ValueError(f"max_sessions is {self.max_sessions}; at least 1")


def settings(**environ: str) -> Settings:
    return load(Settings, "X_", {"X_ADDRESS": "a:1", "HOME": "/root", **environ})


def test_what_is_not_set_has_its_default() -> None:
    assert settings() == Settings("a:1")


def test_every_type_is_read_from_text() -> None:
    read = settings(
        X_MAX_SESSIONS="3",
        X_GRACE_S="0.5",
        X_IS_OPEN="yes",
        X_HOSTS="a, b",
        X_API_KEY="k",
        X_FOLDER="/x",
        X_MODE="slow",
    )
    assert read == Settings("a:1", 3, 0.5, True, ("a", "b"), "k", Path("/x"), "slow")


def test_an_empty_optional_value_is_none() -> None:
    assert settings(X_API_KEY="").api_key is None


def test_a_missing_required_value_is_named() -> None:
    with pytest.raises(StartupError, match="X_ADDRESS is required"):
        load(Settings, "X_", {})


@pytest.mark.parametrize(
    ("key", "value"),
    [("X_MAX_SESSIONS", "many"), ("X_GRACE_S", "soon"), ("X_IS_OPEN", "perhaps"), ("X_MODE", "medium")],
)
def test_a_malformed_value_names_key_and_value(key: str, value: str) -> None:
    with pytest.raises(StartupError, match=f"{key}: '{value}' is not"):
        settings(**{key: value})


def test_a_malformed_secret_is_not_repeated() -> None:
    @dataclass(frozen=True)
    class Secret:
        key_id: int

    with pytest.raises(StartupError) as caught:
        load(Secret, "X_", {"X_KEY_ID": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_variable_is_refused() -> None:
    with pytest.raises(StartupError, match="X_MAX_SESSION is not a setting"):
        settings(X_MAX_SESSION="3")


def test_a_value_the_class_refuses_is_one_line() -> None:
    with pytest.raises(StartupError, match=r"X_\*: max_sessions is 0; at least 1"):
        settings(X_MAX_SESSIONS="0")


@pytest.mark.parametrize(("text", "address"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:80", ("::1", 80))])
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize("text", ["localhost", ":80", "a:b", "a:70000", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(StartupError, match="is not an address"):
        split_address(text)
