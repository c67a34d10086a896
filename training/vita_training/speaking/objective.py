"""What the speech decoder is asked for besides the next code, so that it says the words it is given.

Cross entropy alone makes fluent speech of the *wrong words*: the last codes predict the next one so well that the
text is hardly needed, and token accuracy does not show it. Against that, in training only:

* guided attention: one head in two of the main layers must look at the word being spoken;
* a word head: the third layer's state must tell which word that is;
* input codes are hidden in spans and corrupted at random, so that the past alone does not suffice;
* the first codes of each word, where the choice of word is made, weigh more.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, apply_rotary_pos_emb

from vita15.speech_decoder import SpeechDecoder, sequence_mask
from vita_training.speaking.examples import IGNORED, Batch

GUIDED_LAYERS = (1, 2)
WORD_LAYER = 2  # its output feeds the word head
WORD_WEIGHT = 0.5
ONSET_WEIGHT = 0.6  # added for each onset within reach of a step
ONSET_REACH = range(-1, 5)  # steps around a word's first
CORRUPTED = (0.0, 0.05, 0.1, 0.2)  # shares of input codes replaced at random, one drawn a batch
MASKED_ROWS = 0.7  # of the clauses
MASK_SPANS = (1, 4)  # spans a clause
MASK_CODES = (4, 20)  # codes a span
SMOOTHING = 0.02


ATTENTION = "float32_sdpa"


def float32_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **options: float
) -> tuple[Tensor, None]:
    """Attend in fp32 whatever autocast says: on a CPU the backward pass in bf16 takes twice as long."""
    with torch.autocast("cpu", enabled=False):
        mixed = F.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), attn_mask=attention_mask, scale=options["scaling"]
        )
    return mixed.transpose(1, 2), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, float32_attention)


class Objective(nn.Module):
    """The losses, with the heads and hooks that only training needs."""

    def __init__(self, decoder: SpeechDecoder, word_count: int) -> None:
        super().__init__()
        self.word_head = nn.Linear(decoder.config.hidden, word_count)
        self.hidden_code = nn.Parameter(torch.randn(decoder.config.hidden) * 0.05)  # stands for a hidden input
        self._decoder = [decoder]  # in a list: its weights are not this module's
        self._seen: dict[int, Tensor] = {}  # what went into a layer, by its index
        for index in {*GUIDED_LAYERS, WORD_LAYER + 1}:
            decoder.layers[index].register_forward_pre_hook(self._keep(index))

    def forward(self, batch: Batch, rng: random.Random) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch, and its parts."""
        decoder = self._decoder[0]
        hidden = decoder.teacher_forced(batch.tokens, batch.token_counts, self._inputs(batch, rng))
        code_loss = self._code_loss(decoder.logits(hidden).float(), batch)
        state = self._seen[WORD_LAYER + 1]
        width = state.shape[1] - batch.inputs.shape[1]
        words = self.word_head(state[:, width:]).float()
        word_loss = F.cross_entropy(words.flatten(0, 1), batch.word.flatten(), ignore_index=IGNORED)
        guide = torch.stack([self._guide(i, batch, width) for i in GUIDED_LAYERS]).mean()
        loss = code_loss + WORD_WEIGHT * word_loss + guide
        parts = {"code": code_loss, "word": word_loss, "guide": guide}
        return loss, {name: float(part.detach()) for name, part in parts.items()}

    def _keep(self, index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._seen[index] = inputs[0]

        return hook

    def _inputs(self, batch: Batch, rng: random.Random) -> Tensor:
        """Embed the input codes, some replaced and some hidden; speech start stays."""
        decoder = self._decoder[0]
        codes = batch.inputs
        is_wrong = torch.rand(codes.shape) < rng.choice(CORRUPTED)
        is_wrong[:, 0] = False
        codes = torch.where(is_wrong, torch.randint(decoder.config.codebook_size, codes.shape), codes)
        is_hidden = torch.zeros_like(is_wrong)
        for row in is_hidden:
            if rng.random() < MASKED_ROWS:
                for _ in range(rng.randint(*MASK_SPANS)):
                    start = rng.randrange(1, codes.shape[1])
                    row[start : start + rng.randint(*MASK_CODES)] = True
        return torch.where(is_hidden[..., None], self.hidden_code, decoder.embedding(codes))

    def _code_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        losses = F.cross_entropy(
            logits.flatten(0, 1),
            batch.targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=SMOOTHING,
            reduction="none",
        )
        weights = (onset_weights(batch.spoken) * (batch.targets != IGNORED)).flatten()
        return (losses * weights).sum() / weights.sum()

    def _guide(self, layer: int, batch: Batch, width: int) -> Tensor:
        """How little of the guided head's attention lies on the word being spoken, in nepers."""
        decoder = self._decoder[0]
        size = decoder.config.hidden // decoder.config.heads
        block = cast(LlamaDecoderLayer, decoder.layers[layer])
        # The head's query and key again, rather than out of the layer: that stays whole, and can be compiled.
        state = block.input_layernorm(self._seen[layer])
        query = F.linear(state, block.self_attn.q_proj.weight[:size]).float()[:, None]
        key = F.linear(state, block.self_attn.k_proj.weight[:size]).float()[:, None]
        valid = 1 + batch.token_counts * decoder.config.subframes
        following = valid[:, None] + torch.arange(batch.inputs.shape[1])
        positions = torch.cat([torch.arange(width).expand(len(valid), -1), following], 1)
        query, key = apply_rotary_pos_emb(query, key, *decoder.rotary_emb(query, positions))
        scores = (query[:, 0, width:] @ key[:, 0].transpose(1, 2)) / size**0.5  # (B, T + 1, width + T + 1)
        mask = sequence_mask(valid, width, batch.inputs.shape[1])[:, 0, width:]
        attention = scores.masked_fill(~mask, -torch.inf).log_softmax(-1)[..., :width]
        first, last = (batch.spoken * decoder.config.subframes + 1).unbind(-1)
        columns = torch.arange(width)
        is_spoken = (columns >= first[..., None]) & (columns < last[..., None] + decoder.config.subframes)
        on_word = attention.masked_fill(~is_spoken, -torch.inf).logsumexp(-1)
        return -on_word[batch.targets != IGNORED].mean()


def compile_layers(decoder: SpeechDecoder) -> None:
    """Let torch compile the layers: 1.4 times as fast, after a minute or two."""
    for layer in (*decoder.layers_pre_nn, *decoder.layers):
        layer.forward = torch.compile(layer.forward, dynamic=True)


def onset_weights(spoken: Tensor) -> Tensor:
    """(B, T, 2) token spans → (B, T) weights, higher around each step at which a new word starts."""
    is_onset = torch.ones(spoken.shape[:2])
    is_onset[:, 1:] = (spoken[:, 1:, 0] != spoken[:, :-1, 0]).float()
    weights = torch.ones_like(is_onset)
    for shift in ONSET_REACH:
        shifted = is_onset.roll(shift, 1)
        if shift > 0:
            shifted[:, :shift] = 0
        elif shift < 0:
            shifted[:, shift:] = 0
        weights = weights + ONSET_WEIGHT * shifted
    return weights
