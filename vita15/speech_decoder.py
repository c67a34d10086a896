"""Text to codec tokens: one pass over the whole clause (NAR), then one token a step (AR), on the same layers.

The input is text-embedding rows, not hidden states of the language model: each row of `text_embed` values is reshaped
into `text_embed / hidden` consecutive sub-frames. Two layers without a final norm (`layers_pre_nn`) see all of them;
then the main `layers` are prefilled with [text start, sub-frames], *every position seeing every other*; their keys and
values stay, and codes follow causally: speech start in, first code out, and so on to speech end.

Positions: pre-nn 0 … N-1; main layers text start 0, sub-frames 1 … N, speech start N+1, first code N+2, …
Masks are always explicit: transformers takes a missing mask of a longer query for a causal one, which is a different
model. Source: docs/model.md, 4; the blocks are transformers' LLaMA layers, the parameter names the release's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding

from vita15.config import SpeechDecoderConfig


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids beyond the codebook (1024, 1025, 1026, 1027 in the release)."""

    text_start: int  # put before the text
    speech_start: int  # the first input of code generation
    speech_end: int  # generation stops
    padding: int

    @classmethod
    def of(cls, config: SpeechDecoderConfig) -> SpecialIds:
        """The ids for a codebook."""
        return cls(*range(config.codebook_size, config.codebook_size + 4))

    @property
    def unspeakable(self) -> tuple[int, int, int]:
        """Never to be sampled: all but codes and speech end."""
        return self.text_start, self.speech_start, self.padding


class SpeechDecoder(nn.Module):
    """The NAR and AR speech decoder.

    `attention` names an attention function registered with transformers; an engine passes its own.
    """

    def __init__(self, config: SpeechDecoderConfig, attention: str = "sdpa") -> None:
        super().__init__()
        if config.text_embed % config.hidden:
            raise ValueError(f"text_embed {config.text_embed} is not a multiple of hidden {config.hidden}")
        self.config = config
        self.special = SpecialIds.of(config)
        self.llama = llama_config(config, attention)
        vocab = config.codebook_size + 4
        self.embed_tokens = nn.Embedding(config.text_vocab, config.text_embed)  # a copy of the language model's table
        self.embedding = nn.Embedding(vocab, config.hidden, padding_idx=self.special.padding)
        self.layers_pre_nn = nn.ModuleList(LlamaDecoderLayer(self.llama, i) for i in range(config.pre_layers))
        self.layers = nn.ModuleList(LlamaDecoderLayer(self.llama, i) for i in range(config.layers))
        self.norm = LlamaRMSNorm(config.hidden, eps=config.norm_eps)
        self.out_fnn = nn.Linear(config.hidden, vocab)
        self.rotary_emb = LlamaRotaryEmbedding(self.llama)

    def embed_text(self, ids: Tensor) -> Tensor:
        """(…, L) token ids → (…, L × subframes, hidden): each row of the table cut into sub-frames."""
        return self.embed_tokens(ids).unflatten(-1, (self.config.subframes, self.config.hidden)).flatten(-3, -2)

    def pre(self, subframes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Let the sub-frames of a clause see each other.

        Args:
            subframes: (B, N, hidden).
            lengths: (B,) valid sub-frames; all where None.

        Returns:
            (B, N, hidden); no norm after the last layer.
        """
        mask = block_mask(_lengths(subframes, lengths), subframes.shape[1])
        positions = torch.arange(subframes.shape[1], device=subframes.device)[None]
        rotary = self.rotary_emb(subframes, positions)
        for layer in self.layers_pre_nn:
            subframes = layer(subframes, attention_mask=mask, position_embeddings=rotary)
        return subframes

    def text_block(self, ids: Tensor, token_counts: Tensor | None = None) -> Tensor:
        """What the main layers are prefilled with: (B, L) → (B, 1 + L × subframes, hidden)."""
        lengths = None if token_counts is None else token_counts * self.config.subframes
        text = self.pre(self.embed_text(ids), lengths)
        start = self.embedding.weight[self.special.text_start].expand(len(ids), 1, -1)
        return torch.cat([start, text], 1)

    def run_layers(self, x: Tensor, positions: Tensor, mask: Tensor, cache: DynamicCache | None = None) -> Tensor:
        """Run the main layers.

        Args:
            x: (B, Q, hidden).
            positions: (B or 1, Q) int64.
            mask: (B or 1, 1, Q, K) bool, True where a query may see a key; K counts the cache.
            cache: extended in place.

        Returns:
            (B, Q, hidden), before the norm.
        """
        rotary = self.rotary_emb(x, positions)
        for layer in self.layers:
            x = layer(x, attention_mask=mask, past_key_values=cache, position_embeddings=rotary)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, hidden) from the last layer → (…, codebook_size + 4)."""
        return self.out_fnn(self.norm(hidden))

    def teacher_forced(self, ids: Tensor, token_counts: Tensor, inputs: Tensor) -> Tensor:
        """Run text and given code vectors in one pass, as training does.

        Text sees text only; code vector t sees all text and the vectors up to t.

        Args:
            ids: (B, L) text, padded on the right.
            token_counts: (B,) valid tokens of each text.
            inputs: (B, T, hidden) embedded inputs, speech start first.

        Returns:
            (B, T, hidden), before the norm.
        """
        block = self.text_block(ids, token_counts)
        width, steps = block.shape[1], inputs.shape[1]
        valid = 1 + token_counts * self.config.subframes  # (B,) positions of each text block
        mask = sequence_mask(valid, width, steps)
        columns = torch.arange(width, device=ids.device).expand(len(ids), -1)
        following = valid[:, None] + torch.arange(steps, device=ids.device)
        hidden = self.run_layers(torch.cat([block, inputs], 1), torch.cat([columns, following], 1), mask)
        return hidden[:, width:]

    def forward(self, ids: Tensor, token_counts: Tensor, codes: Tensor) -> Tensor:
        """Logits of the code after each of `codes` (B, T), speech start first: (B, T, codebook_size + 4)."""
        return self.logits(self.teacher_forced(ids, token_counts, self.embedding(codes)))

    @torch.no_grad()
    def generate(self, ids: Tensor, noise: torch.Generator | None = None) -> tuple[list[int], bool]:
        """Speak one clause, offline; the engine does this for many at once.

        Args:
            ids: (L,) text tokens.
            noise: where top-k sampling takes its noise from; greedy where None.

        Returns:
            The codes, and whether speech end was reached before `max_codes`.
        """
        cache = DynamicCache()
        block = self.text_block(ids[None])
        count = block.shape[1]
        self.run_layers(block, torch.arange(count)[None], torch.ones(1, 1, count, count, dtype=torch.bool), cache)
        codes: list[int] = []
        last = self.special.speech_start
        for position in range(count, count + self.config.max_codes):
            mask = torch.ones(1, 1, 1, position + 1, dtype=torch.bool)
            step = self.run_layers(self.embedding.weight[None, None, last], torch.tensor([[position]]), mask, cache)
            last = self._choose(self.logits(step)[0, 0], noise)
            if last == self.special.speech_end:
                return codes, True
            codes.append(last)
        return codes, False

    def _choose(self, logits: Tensor, noise: torch.Generator | None) -> int:
        logits = logits.clone()
        logits[list(self.special.unspeakable)] = -torch.inf
        best = logits.topk(1 if noise is None else self.config.top_k)
        drawn = torch.multinomial(best.values.softmax(-1), 1, generator=noise)
        return int(best.indices[drawn])


def llama_config(config: SpeechDecoderConfig, attention: str) -> LlamaConfig:
    """The same sizes in transformers' words; one key-value head a query head, no biases."""
    llama = LlamaConfig(
        vocab_size=config.codebook_size + 4,
        hidden_size=config.hidden,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
    )
    llama._attn_implementation = attention  # pyright: ignore[reportPrivateUsage] - no public setter without a model
    return llama


def block_mask(lengths: Tensor, width: int) -> Tensor:
    """Everything sees everything valid: (B,) → (B, 1, width, width) bool."""
    valid = torch.arange(width, device=lengths.device) < lengths[:, None]
    return valid[:, None, None, :].expand(-1, 1, width, -1)


def sequence_mask(text_lengths: Tensor, width: int, steps: int) -> Tensor:
    """Text sees valid text; step t sees valid text and steps up to t.

    Returns:
        (B, 1, width + steps, width + steps) bool.
    """
    text = block_mask(text_lengths, width)
    batch = len(text_lengths)
    causal = torch.ones(steps, steps, dtype=torch.bool, device=text.device).tril().expand(batch, 1, -1, -1)
    above = torch.cat([text, text.new_zeros(batch, 1, width, steps)], -1)
    below = torch.cat([text[:, :, :1].expand(-1, 1, steps, -1), causal], -1)
    return torch.cat([above, below], 2)


def _lengths(x: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
