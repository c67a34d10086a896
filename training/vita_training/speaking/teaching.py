"""What the speech decoder is asked for besides the next code, so that it says the words it is given.

Cross entropy alone makes fluent speech of the *wrong words*: the last codes predict the next one so well that the
text is hardly needed, and token accuracy does not show it. Against that, in training only:

* guided attention: one head in two of the main layers must look at the word being spoken;
* a word head: a late layer's state must tell which word that is;
* input codes are hidden in spans and corrupted at random, so that the past alone does not suffice;
* the first codes of each word, where the choice of word is made, weigh more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, apply_rotary_pos_emb

from vita15.config import SpeechDecoderConfig
from vita15.speech_decoder import SpeechDecoder, sequence_mask
from vita_training.speaking.codec import Codec
from vita_training.speaking.examples import IGNORED, Batch

WORD_WEIGHT = 0.5
ONSET_WEIGHT = 0.6  # added for each onset within reach of a step
ONSET_REACH = range(-1, 5)  # steps around a word's first
CORRUPTED = (0.0, 0.05, 0.1, 0.2)  # shares of input codes replaced at random, one drawn a batch
MASKED_ROWS = 0.7  # of the clauses
MASK_SPANS = 4  # a clause at most, one at least
MASK_CODES = (4, 20)  # codes a span
SMOOTHING = 0.02
TABLE_STD = 0.05  # of fresh embedding rows
ATTENTION = "masked_softmax"


def masked_softmax(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **options: float
) -> tuple[Tensor, None]:
    """Attend in plain steps: on a CPU in bf16 the fused attention's backward pass takes longer than these compiled."""
    scores = (query @ key.transpose(-1, -2) * options["scaling"]).masked_fill(~attention_mask, -torch.inf)
    mixed = scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value
    return mixed.transpose(1, 2), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, masked_softmax)


class AuxiliaryHeads(nn.Module):
    """The weights that only training needs."""

    def __init__(self, hidden: int, word_count: int) -> None:
        super().__init__()
        self.word_head = nn.Linear(hidden, word_count)
        self.hidden_code = nn.Parameter(torch.randn(hidden) * TABLE_STD)  # stands for a hidden input


class TaughtDecoder(nn.Module):
    """The speech decoder with its helpers, and the codec whose codes it learns to say."""

    def __init__(self, config: SpeechDecoderConfig, word_count: int, codec: Codec) -> None:
        super().__init__()
        self.decoder = SpeechDecoder(config, ATTENTION)
        initialise(self.decoder)
        self.helpers = AuxiliaryHeads(config.hidden, word_count)
        self.codec = codec
        last = config.layers - 1
        self._word_layer = last  # what goes into it feeds the word head
        self._guided = sorted({max(0, last - 2), max(0, last - 1)})
        self._seen: dict[int, Tensor] = {}  # what went into a layer, by its index
        for index in {*self._guided, self._word_layer}:
            self.decoder.layers[index].register_forward_pre_hook(self._keep(index))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch, and its parts."""
        hidden = self.decoder.teacher_forced(batch.tokens, batch.token_counts, self._inputs(batch))
        code = _code_loss(self.decoder.logits(hidden).float(), batch)
        state = self._seen[self._word_layer]
        width = state.shape[1] - batch.inputs.shape[1]
        words = self.helpers.word_head(state[:, width:]).float()
        word = F.cross_entropy(words.flatten(0, 1), batch.word.flatten(), ignore_index=IGNORED)
        guide = torch.stack([self._guide(layer, batch, width) for layer in self._guided]).mean()
        self._seen.clear()
        return code + WORD_WEIGHT * word + guide, {"code": code.item(), "word": word.item(), "guide": guide.item()}

    def compile_layers(self) -> None:
        """Let torch compile the layers: a minute or two, and each step takes less."""
        for layer in (*self.decoder.layers_pre_nn, *self.decoder.layers):
            layer.forward = torch.compile(layer.forward, dynamic=True)

    def _keep(self, index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._seen[index] = inputs[0]

        return hook

    def _inputs(self, batch: Batch) -> Tensor:
        """Embed the input codes, some replaced and some hidden; speech start stays."""
        codes = batch.inputs
        share = CORRUPTED[int(torch.randint(len(CORRUPTED), ()))]
        is_wrong = torch.rand(codes.shape, device=codes.device) < share
        is_wrong[:, 0] = False
        wrong = torch.randint(self.decoder.config.codebook_size, codes.shape, device=codes.device)
        codes = torch.where(is_wrong, wrong, codes)
        is_hidden = hidden_spans(*codes.shape).to(codes.device)
        return torch.where(is_hidden[..., None], self.helpers.hidden_code, self.decoder.embedding(codes))

    def _guide(self, layer: int, batch: Batch, width: int) -> Tensor:
        """How little of the guided head's attention lies on the word being spoken, in nepers."""
        decoder = self.decoder
        size = decoder.config.hidden // decoder.config.heads
        block = cast(LlamaDecoderLayer, decoder.layers[layer])
        # The head's query and key again, rather than out of the layer: that stays whole, and can be compiled.
        state = block.input_layernorm(self._seen[layer])
        query = F.linear(state, block.self_attn.q_proj.weight[:size]).float()[:, None]
        key = F.linear(state, block.self_attn.k_proj.weight[:size]).float()[:, None]
        valid = 1 + batch.token_counts * decoder.config.subframes
        columns = torch.arange(width, device=valid.device)
        following = valid[:, None] + torch.arange(batch.inputs.shape[1], device=valid.device)
        positions = torch.cat([columns.expand(len(valid), -1), following], 1)
        query, key = apply_rotary_pos_emb(query, key, *decoder.rotary_emb(query, positions))
        scores = (query[:, 0, width:] @ key[:, 0].transpose(1, 2)).float() / size**0.5  # (B, T + 1, width + T + 1)
        mask = sequence_mask(valid, width, batch.inputs.shape[1])[:, 0, width:]
        attention = scores.masked_fill(~mask, -torch.inf).log_softmax(-1)[..., :width]
        first, last = (batch.spoken * decoder.config.subframes + 1).unbind(-1)
        is_spoken = (columns >= first[..., None]) & (columns < last[..., None] + decoder.config.subframes)
        on_word = attention.masked_fill(~is_spoken, -torch.inf).logsumexp(-1)
        return -on_word[batch.targets != IGNORED].mean()


def initialise(decoder: SpeechDecoder) -> None:
    """Draw fresh weights, a layer's deviation by the width of what goes into it: LLaMA's own learns a fifth slower."""
    for table in (decoder.embed_tokens, decoder.embedding):
        nn.init.normal_(table.weight, std=TABLE_STD)
    for module in (*decoder.layers_pre_nn.modules(), *decoder.layers.modules()):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)


def hidden_spans(rows: int, steps: int) -> Tensor:
    """Draw which inputs are hidden: (rows, steps) bool, never the first step."""
    size = (rows, MASK_SPANS, 1)
    starts = torch.randint(1, max(2, steps), size)
    ends = starts + torch.randint(MASK_CODES[0], MASK_CODES[1] + 1, size)
    used = torch.randint(1, MASK_SPANS + 1, (rows, 1, 1)) > torch.arange(MASK_SPANS)[:, None]
    used = used & (torch.rand(rows, 1, 1) < MASKED_ROWS)
    columns = torch.arange(steps)
    return (used & (columns >= starts) & (columns < ends)).any(1)


def onset_weights(spoken: Tensor) -> Tensor:
    """(B, T, 2) token spans → (B, T) weights, higher around each step at which a new word starts."""
    is_onset = torch.ones(spoken.shape[:2], device=spoken.device)
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


def _code_loss(logits: Tensor, batch: Batch) -> Tensor:
    losses = F.cross_entropy(
        logits.flatten(0, 1),
        batch.targets.flatten(),
        ignore_index=IGNORED,
        label_smoothing=SMOOTHING,
        reduction="none",
    )
    weights = (onset_weights(batch.spoken) * (batch.targets != IGNORED)).flatten()
    return (losses * weights).sum() / weights.sum()
