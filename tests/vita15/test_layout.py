"""What is learned is what is served: splicing, the engine's context and training lay a conversation out alike."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor
from vita_training.answering import splice as training
from vita_training.answering.conversations import Turn
from vita_training.world.prompt import SYSTEM_PROMPT

from vita15.chat_template import ChatTemplate
from vita15.engine.kv_cache import CacheShape, KvSlot
from vita15.engine.text_context import TextContext
from vita15.splicing import AFTER_PICTURES, Rows, Segment, Splicer, Words
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

PICTURE, SPEECH = torch.ones(16, 8), torch.ones(5, 8)
ROW = -1  # stands for an embedding


def flat(segments: Iterable[Segment]) -> list[int]:
    return [token for part in segments for token in (part.ids if isinstance(part, Words) else [ROW] * len(part.values))]


def conversation(tokenizer: Tokenizer) -> list[int]:
    """A picture and a spoken question, an answer, a typed question, an answer: as `Splicer` lays them out."""
    splicer = Splicer(tokenizer)
    return flat(
        [
            *splicer.system_turn(SYSTEM_PROMPT),
            *splicer.user_turn(pictures=[PICTURE], speech=SPEECH),
            *splicer.assistant_turn("a red circle", "speech"),
            *splicer.user_turn("where is it"),
            *splicer.assistant_turn("on the left", "text"),
        ]
    )


def test_the_engines_context_is_laid_out_as_splicing_says(tokenizer: Tokenizer) -> None:
    context = TextContext(KvSlot(CacheShape(1, 1, 1, 400)), ChatTemplate(tokenizer))
    states = tokenizer.state_ids
    context.append("system", tokenizer.encode(SYSTEM_PROMPT))
    context.append("user", PICTURE)
    context.append("user", tokenizer.encode(AFTER_PICTURES))
    context.append("user", SPEECH)
    context.append("assistant", tokenizer.encode("a red circle"), state_token=states["speech"])
    context.append("user", tokenizer.encode("where is it"))
    context.append("assistant", tokenizer.encode("on the left"), state_token=states["text"])
    read = flat(Rows(part) if isinstance(part, Tensor) else Words(part) for part in context.pending)
    # The last turn is still open: its end is written when the next begins.
    assert [*read, tokenizer.im_end, *tokenizer.encode("\n")] == conversation(tokenizer)


def test_training_rows_are_laid_out_as_splicing_says(tokenizer: Tokenizer) -> None:
    turns = [
        Turn("what is it", is_spoken=True, answer="a red circle", picture=0),
        Turn("where is it", is_spoken=False, answer="on the left"),
    ]
    always = random.Random()
    always.random = lambda: 0.0  # the newline after a picture is now and then left out; not here
    clip = training.Clip(torch.ones(2 * len(SPEECH), 144), "what is it")
    picture = training.PictureRows(PICTURE, torch.zeros(len(PICTURE), 3, dtype=torch.long))
    row = training.Splicer(tokenizer, lambda frames: frames // 2).row(turns, [clip, None], [picture], always)
    ids = list(row.ids)
    for start, rows in [*((start, PICTURE) for start, _ in row.pictures), *((start, SPEECH) for start, _ in row.clips)]:
        assert ids[start : start + len(rows)] == [0] * len(rows)
        ids[start : start + len(rows)] = [ROW] * len(rows)
    assert ids == conversation(tokenizer)
