"""A random checkpoint has every part of a real one, and the same seed gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vita15.checkpoint import load_into, load_manifest, tokenizer_path
from vita15.config import TINY
from vita15.errors import CheckpointError
from vita15.llm import build_llm, embed, load_llm
from vita15.random_checkpoint import BUILDERS, write_random_checkpoint
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("random")
    write_random_checkpoint(TINY, 0, out)
    return out


@pytest.mark.parametrize("component", BUILDERS)
def test_every_component_loads(checkpoint: Path, component: str) -> None:
    load_into(BUILDERS[component](TINY), checkpoint / component)
    manifest = load_manifest(checkpoint / component)
    assert manifest.component_config() == getattr(TINY, component)


def test_components_that_meet_agree(checkpoint: Path) -> None:
    tags = {component: load_manifest(checkpoint / component).contract for component in BUILDERS}
    for tag in ("embedding_space", "codebook", "text"):
        assert len({contract[tag] for contract in tags.values() if tag in contract}) == 1


def test_the_two_tokenizers_are_each_its_own_copy(checkpoint: Path) -> None:
    ours, theirs = (tokenizer_path(checkpoint / component) for component in ("llm", "speech_decoder"))
    assert ours != theirs
    assert Tokenizer.from_file(ours).vocab_size == TINY.llm.vocab == TINY.speech_decoder.text_vocab


def test_the_same_seed_gives_the_same_weights(checkpoint: Path, tmp_path: Path) -> None:
    write_random_checkpoint(TINY, 0, tmp_path / "same")
    write_random_checkpoint(TINY, 1, tmp_path / "other")
    for component in BUILDERS:
        digest = load_manifest(checkpoint / component).weights.sha256
        assert load_manifest(tmp_path / "same" / component).weights.sha256 == digest
        assert load_manifest(tmp_path / "other" / component).weights.sha256 != digest


def test_a_loaded_language_model_equals_one_that_was_filled(checkpoint: Path) -> None:
    loaded = load_llm(checkpoint / "llm")
    filled = load_into(build_llm(TINY.llm), checkpoint / "llm")
    ids = torch.tensor([[1, 5, 9, 200]])
    torch.testing.assert_close(loaded(ids).logits, filled(inputs_embeds=embed(filled, ids)).logits)
    assert loaded.lm_head.weight.data_ptr() != loaded.model.embed_tokens.weight.data_ptr()


def test_another_component_is_no_language_model(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="not a language model"):
        load_llm(checkpoint / "vision_encoder")
