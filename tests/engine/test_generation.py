"""Words come out whole: no broken character, no mark, positions that hold all of the text."""

from __future__ import annotations

import pytest
import torch

from vita15.chat_template import ChatTemplate
from vita15.engine.generation import PIECE_S, PIECE_TOKENS, Generation, Vocabulary
from vita15.engine.kv_cache import CacheShape, KvSlot
from vita15.engine.text_context import TextContext
from vita15.engine.text_protocol import Generate, Kind, TextEvent
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

VOCAB = 1024


class Spoken:
    """A generation that is made to say given tokens; `step_s` passes between them."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int = 100, step_s: float = 0.0) -> None:
        self.events: list[TextEvent] = []
        self.now = 0.0
        self._step_s = step_s
        context = TextContext(KvSlot(CacheShape(1, 1, 2, 400)), ChatTemplate(tokenizer))
        context.append("user", tokenizer.encode("hello"))
        vocabulary = Vocabulary.of(tokenizer, VOCAB)
        wish = Generate(max_tokens=max_tokens, states=())
        self.generation = Generation(wish, self.events.append, context, vocabulary, lambda: self.now)
        self.start = context.position

    def say(self, tokens: list[int]) -> None:
        for token in tokens:
            self.now += self._step_s
            if not self.generation.is_over:
                self.generation.advance(torch.nn.functional.one_hot(torch.tensor(token), VOCAB).float())

    @property
    def pieces(self) -> list[TextEvent]:
        return [event for event in self.events if event.kind is Kind.TEXT]


@pytest.mark.parametrize("step_s", [0.0, 1.0])
@pytest.mark.parametrize("text", ["你好，世界", "a🙂b", "naïve café", "plain words here"])
def test_no_piece_breaks_a_character_and_together_they_are_the_text(
    tokenizer: Tokenizer, text: str, step_s: float
) -> None:
    spoken = Spoken(tokenizer, step_s=step_s)
    ids = tokenizer.encode(text)
    spoken.say([*ids, tokenizer.im_end])
    assert "".join(piece.text for piece in spoken.pieces) == text
    assert all("\ufffd" not in piece.text for piece in spoken.pieces)
    assert (spoken.events[-1].kind, spoken.events[-1].text, spoken.events[-1].count) == (Kind.END, "stop", len(ids))


def test_a_position_holds_exactly_the_text_so_far(tokenizer: Tokenizer) -> None:
    spoken = Spoken(tokenizer, step_s=1.0)
    ids = tokenizer.encode("你a好")
    spoken.say(ids)
    said = ""
    for piece in spoken.pieces:
        said += piece.text
        assert tokenizer.decode(ids[: piece.position - spoken.start]) == said
    assert [piece.count for piece in spoken.pieces] == [3, 1, 3]


def test_the_first_word_goes_at_once_and_later_ones_in_company(tokenizer: Tokenizer) -> None:
    spoken = Spoken(tokenizer)
    spoken.say(tokenizer.encode("zqxjkvbpwm" * 4)[: 1 + 2 * PIECE_TOKENS])
    assert [piece.count for piece in spoken.pieces] == [1, PIECE_TOKENS, PIECE_TOKENS]


def test_slow_words_do_not_wait_for_company(tokenizer: Tokenizer) -> None:
    spoken = Spoken(tokenizer, step_s=PIECE_S)
    spoken.say(tokenizer.encode("abcabcabc"))
    assert {piece.count for piece in spoken.pieces} == {1}


def test_a_character_cut_by_the_end_is_not_said(tokenizer: Tokenizer) -> None:
    spoken = Spoken(tokenizer, max_tokens=2)
    spoken.say(tokenizer.encode("你"))
    assert spoken.pieces == []
    assert spoken.events[-1].text == "length"


def test_marks_are_never_chosen(tokenizer: Tokenizer) -> None:
    spoken = Spoken(tokenizer)
    spoken.say([tokenizer.state_ids["noise"]] * 3)
    assert "☟" not in "".join(piece.text for piece in spoken.pieces)
    assert spoken.generation.is_over is False or spoken.events[-1].text == "stop"


@pytest.mark.parametrize("token", ["im_end", "im_start", "end_of_text"])
def test_each_end_mark_ends_the_answer_without_a_word(tokenizer: Tokenizer, token: str) -> None:
    spoken = Spoken(tokenizer)
    spoken.say([getattr(tokenizer, token)])
    assert [event.kind for event in spoken.events] == [Kind.END]
