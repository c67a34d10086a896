"""Conversations are laid out in the model's order, and only answers are learned."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vita15.config import TINY
from vita15.llm import build_llm
from vita15.splicing import IGNORED, Rows, Splicer, Words, pad, splice
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

HIDDEN = 8


@pytest.fixture
def table() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(1024, HIDDEN)


def test_pictures_then_newline_then_words_then_speech(tokenizer: Tokenizer) -> None:
    tiles, speech = [torch.ones(2, HIDDEN), 2 * torch.ones(3, HIDDEN)], 3 * torch.ones(4, HIDDEN)
    turn = Splicer(tokenizer).user_turn("what is it", pictures=tiles, speech=speech)
    said = [tokenizer.decode(part.ids) if isinstance(part, Words) else f"[{len(part.values)} rows]" for part in turn]
    assert said == ["user\n", "[2 rows]", "[3 rows]", "\n", "what is it", "[4 rows]", "\n"]


def test_without_a_picture_there_is_no_newline(tokenizer: Tokenizer) -> None:
    turn = Splicer(tokenizer).user_turn(speech=torch.ones(4, HIDDEN))
    assert [type(part) for part in turn] == [Words, Rows, Words]


def test_only_the_judgement_the_answer_and_its_end_are_learned(tokenizer: Tokenizer, table: nn.Embedding) -> None:
    splicer = Splicer(tokenizer)
    segments = [
        *splicer.system_turn("be kind"),
        *splicer.user_turn("hi", pictures=[torch.zeros(2, HIDDEN)]),
        *splicer.assistant_turn("hello", "text"),
    ]
    spliced = splice(segments, table)
    learned = spliced.labels[spliced.labels != IGNORED].tolist()
    assert learned == [tokenizer.special.text, *tokenizer.encode("hello"), tokenizer.im_end]
    assert splice(splicer.assistant_turn("no", "noise", is_learned=False), table).labels.unique().tolist() == [IGNORED]


def test_what_a_tool_said_is_a_users_turn_that_is_not_learned(tokenizer: Tokenizer, table: nn.Embedding) -> None:
    (turn,) = Splicer(tokenizer).tool_turn("9:10")
    assert isinstance(turn, Words)
    assert tokenizer.decode(turn.ids) == "user\n<tool_response>\n9:10\n</tool_response>\n"
    assert splice([turn], table).labels.unique().tolist() == [IGNORED]


def test_rows_stand_where_they_were_put_and_words_are_looked_up(tokenizer: Tokenizer, table: nn.Embedding) -> None:
    rows = torch.randn(3, HIDDEN)
    ids = tokenizer.encode("ab")
    spliced = splice([Words(ids), Rows(rows), Words(ids, is_learned=True)], table)
    torch.testing.assert_close(
        spliced.embeddings, torch.cat([table(torch.tensor(ids)), rows, table(torch.tensor(ids))])
    )


def test_padding_changes_nothing_of_the_loss(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = build_llm(TINY.llm).eval()
    splicer, words = Splicer(tokenizer), model.model.embed_tokens
    short = splice([*splicer.user_turn("hi"), *splicer.assistant_turn("hello", "text")], words)
    long = splice([*splicer.user_turn("hi there you"), *splicer.assistant_turn("good day to you", "text")], words)
    alone, both = pad([short]), pad([short, long])
    assert both.mask.sum(1).tolist() == [len(short.labels), len(long.labels)]
    one = model(inputs_embeds=alone.embeddings, attention_mask=alone.mask).logits[0]
    two = model(inputs_embeds=both.embeddings, attention_mask=both.mask).logits[0, : len(one)]
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-4)


def test_gradients_flow_into_the_table_and_the_rows(tokenizer: Tokenizer, table: nn.Embedding) -> None:
    rows = torch.randn(3, HIDDEN, requires_grad=True)
    splice(Splicer(tokenizer).user_turn("hi", speech=rows), table).embeddings.sum().backward()
    assert rows.grad is not None
    assert table.weight.grad is not None
