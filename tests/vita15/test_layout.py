"""What is learned is what is served: splicing and the engine's context lay a conversation out alike.

That training's rows do so, too, is shown in tests/training/test_recipe.py.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor
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
