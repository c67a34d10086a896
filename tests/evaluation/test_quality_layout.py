"""A conversation that is held reads, token by token, as training laid it out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from vita_evaluation.offline import Script
from vita_evaluation.quality.conversations import Exchange, converse, turns_of
from vita_training.data.sample import Sample
from vita_training.recipe import rows
from vita_training.recipe.configuration import load_config
from vita_training.world.sources import questions
from vita_training.world.tokenizer import make_tokenizer

from vita15.chat_template import ChatTemplate
from vita15.config import VitaConfig
from vita15.engine.kv_cache import CacheShape, KvSlot
from vita15.engine.text_context import EMBEDDING, TextContext
from vita15.engine.text_protocol import AppendEmbeddings, AppendText, Generate, Kind, TextEvent
from vita15.engine.text_writing import Writer
from vita15.tokenizer import Tokenizer
from vita15.tool_format import call_text

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path: Path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    make_tokenizer().save(str(path))
    return Tokenizer.from_file(path)


class OneTile:
    """Sees as many rows as one tile gives."""

    def __init__(self, config: VitaConfig) -> None:
        self.count = config.vision_encoder.tokens_per_tile

    def see(self, picture: bytes, max_tiles: int = 1) -> torch.Tensor:
        assert max_tiles == 1
        return torch.zeros(self.count, 8)


def tokens_held(script: Script[list[Exchange]], sample: Sample, tokenizer: Tokenizer) -> list[int]:
    """What the engine's context holds after a conversation in which the model says what is right."""
    context = TextContext(KvSlot(CacheShape(1, 1, 1, 4096)), ChatTemplate(tokenizer))
    writer = Writer(tokenizer)
    answers = [part for turn in turns_of(sample) for part in (turn.call, turn.answer) if part is not None]
    events = (TextEvent(Kind.APPENDED),)
    operation = next(script)
    while True:
        said: tuple[TextEvent, ...] = events
        if isinstance(operation, AppendText):
            writer.append_text(context, operation)
        elif isinstance(operation, AppendEmbeddings):
            context.append(operation.role, operation.rows)
        else:
            assert isinstance(operation, Generate)
            answer, state = answers.pop(0), operation.states[0]
            text = answer if isinstance(answer, str) else call_text(answer)
            context.open_turn("assistant")
            for token in (tokenizer.state_ids[state], *tokenizer.encode_answer(text)):
                context.add_token(token)
            told = Kind.TEXT if isinstance(answer, str) else Kind.TOOL_CALL
            written = answer if isinstance(answer, str) else answer.as_json()
            said = (
                TextEvent(Kind.JUDGEMENT, text=state),
                TextEvent(told, text=written),
                TextEvent(Kind.END, text="stop"),
            )
        try:
            operation = script.send(said)
        except StopIteration as end:
            held: list[Exchange] = end.value
            break
    assert all(exchange.is_right for exchange in held)
    assert not answers
    return list(context.tokens)


@pytest.mark.parametrize("subject", ["picture", "video", "talk", "tools"])
def test_a_conversation_reads_as_training_laid_it_out(
    subject: str, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "DETAILED_SHARE", 0.0)  # serving looks at the whole picture, unless it is asked for more
    config = load_config("tiny", tokenizer)
    splicer, source = rows.Splicer(tokenizer, config), questions(0, is_held_out=True, subject=subject)
    for index in range(12):
        sample = source[index]
        taught = splicer.conversation(sample, random.Random(0))
        held = tokens_held(converse(OneTile(config), sample), sample, tokenizer)  # type: ignore[arg-type]
        end = [tokenizer.im_end]
        assert [0 if token == EMBEDDING else token for token in held] + end == taught.ids[: len(held) + 1]
        assert len(taught.ids) - len(held) <= 2  # <|im_end|> and its newline
