"""Text to tokens and back, whole or as it comes; special tokens only when asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from tokenizers import models

from vita15.errors import CheckpointError
from vita15.tokenizer import (
    SPECIAL_TOKENS,
    Detokenizer,
    Tokenizer,
    byte_alphabet,
    byte_level_tokenizer,
    train_tokenizer,
)
from vita15.tool_format import CALL_MARKS, ToolCall, call_text

pytestmark = pytest.mark.unit

TEXTS = [
    "Hello, world!",
    "  two  spaces\n\nand\tlines ",
    "红色的圆圈在左边。",
    "mixed 红 and 🟥👩‍👩‍👧 and é",
    "\0\x7f",
    "",
]


@pytest.fixture(scope="module", params=["built", "trained"])
def any_tokenizer(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Tokenizer:
    if request.param == "built":
        return tokenizer
    return Tokenizer(train_tokenizer(["the red circle is left of the blue square 红色"] * 20, 1024))


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back(any_tokenizer: Tokenizer, text: str) -> None:
    assert any_tokenizer.decode(any_tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_comes_token_by_token_is_never_broken(any_tokenizer: Tokenizer, text: str) -> None:
    detokenizer = Detokenizer(any_tokenizer)
    pieces = [detokenizer.push(token) for token in any_tokenizer.encode(text)]
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces)
    assert detokenizer.is_clean


def test_a_half_said_character_waits_and_a_broken_one_is_dropped(tokenizer: Tokenizer) -> None:
    first, *rest = tokenizer.encode("🟥")
    assert len(rest) == 3
    detokenizer = Detokenizer(tokenizer)
    assert (detokenizer.push(first), detokenizer.is_clean) == ("", False)
    assert detokenizer.push(tokenizer.encode("a")[0]) == "a"
    assert tokenizer.decode([first, *tokenizer.encode("a")]) == "a"
    assert tokenizer.decode([first]) == ""


def test_special_tokens_are_one_token_each_and_say_nothing(any_tokenizer: Tokenizer) -> None:
    for token in SPECIAL_TOKENS:
        ids = any_tokenizer.encode(token, allow_special=True)
        assert len(ids) == 1
        assert any_tokenizer.decode(ids) == ""
    assert any_tokenizer.state_ids == {
        name: any_tokenizer.encode(mark, allow_special=True)[0]
        for name, mark in (("speech", "☞"), ("noise", "☟"), ("text", "☜"))
    }


def test_special_tokens_in_a_users_text_are_plain_characters(any_tokenizer: Tokenizer) -> None:
    for token in SPECIAL_TOKENS:
        ids = any_tokenizer.encode(f"a{token}b")
        assert any_tokenizer.encode(token, allow_special=True)[0] not in ids
        assert any_tokenizer.decode(ids) == f"a{token}b"


def test_text_around_special_tokens_is_encoded_as_ever(tokenizer: Tokenizer) -> None:
    expected = [tokenizer.im_start, *tokenizer.encode("user\n"), tokenizer.im_end]
    assert tokenizer.encode("<|im_start|>user\n<|im_end|>", allow_special=True) == expected


@pytest.mark.parametrize("vocab", [262, 300, 1024, 1300])
def test_a_built_vocabulary_has_the_size_asked_for(vocab: int) -> None:
    tokenizer = Tokenizer(byte_level_tokenizer(vocab))
    assert tokenizer.vocab_size == vocab
    assert all(isinstance(tokenizer.decode([token]), str) for token in range(vocab + 5))


def test_a_trained_vocabulary_has_the_size_asked_for_even_from_little_text() -> None:
    inner = train_tokenizer(["red red red circle"], 1024)
    assert inner.get_vocab_size() == 1024
    assert len(Tokenizer(inner).encode("red circle")) == 2


def test_marks_that_are_ordinary_merges_are_found_as_in_qwen() -> None:
    alphabet = byte_alphabet()
    marks = {mark: [alphabet[byte] for byte in mark.encode()] for mark in "☞☟☜"}
    tokens, merges = [*SPECIAL_TOKENS[:3], *alphabet], []
    for first, second, third in marks.values():
        merges += [(first, second), (first + second, third)]
        tokens += [first + second, first + second + third]
    tokens, merges = list(dict.fromkeys(tokens)), list(dict.fromkeys(merges))
    inner = byte_level_tokenizer(262)
    model = models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    plain = tokenizers.Tokenizer(model)
    plain.pre_tokenizer, plain.decoder = inner.pre_tokenizer, inner.decoder
    plain.add_special_tokens(list(SPECIAL_TOKENS[:3]))
    tokenizer = Tokenizer(plain)
    assert len(set(tokenizer.state_ids.values())) == 3
    assert tokenizer.decode(list(tokenizer.state_ids.values())) == ""


def test_a_vocabulary_without_the_marks_is_refused() -> None:
    inner = byte_level_tokenizer(262)
    plain = tokenizers.Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(byte_alphabet())}, merges=[]))
    plain.pre_tokenizer = inner.pre_tokenizer
    with pytest.raises(CheckpointError, match="not one token"):
        Tokenizer(plain)


@pytest.fixture(scope="module", params=[True, False], ids=["special", "as in Qwen"])
def calling(request: pytest.FixtureRequest) -> Tokenizer:
    """A vocabulary with the marks of a call; Qwen's own are added tokens and not special ones."""
    inner = byte_level_tokenizer(1024)
    inner.add_tokens([tokenizers.AddedToken(mark, special=request.param, normalized=False) for mark in CALL_MARKS])
    return Tokenizer(inner)


def test_the_marks_of_a_call_are_one_token_each_in_an_answer_and_come_back(calling: Tokenizer) -> None:
    text = "Let me see.\n" + call_text(ToolCall.of("get_time", {}))
    ids = calling.encode_answer(text)
    assert calling.call_ids is not None
    assert [token for token in ids if token in calling.call_ids] == list(calling.call_ids)
    assert calling.decode_answer(ids) == text
    assert "tool_call" not in calling.decode(ids)


def test_the_marks_of_a_call_in_a_users_text_are_plain_characters(calling: Tokenizer) -> None:
    for mark in CALL_MARKS:
        ids = calling.encode(f"a{mark}b")
        assert not {*ids} & {*(calling.call_ids or ())}
        assert calling.decode(ids) == f"a{mark}b"


def test_other_special_tokens_in_an_answer_are_plain_characters(calling: Tokenizer) -> None:
    assert calling.im_end not in calling.encode_answer("a<|im_end|>b")


def test_a_vocabulary_without_the_marks_of_a_call_says_so(tokenizer: Tokenizer) -> None:
    assert tokenizer.call_ids is None
    assert tokenizer.decode(tokenizer.encode_answer(CALL_MARKS[0])) == CALL_MARKS[0]


def test_a_trained_vocabulary_has_the_marks_of_a_call() -> None:
    assert Tokenizer(train_tokenizer(["red circle"], 512)).call_ids is not None


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        Tokenizer.from_file(tmp_path / "tokenizer.json")
