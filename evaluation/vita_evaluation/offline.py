"""The assistant without its servers: the three components that listen, see and think, called one after another."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from vita15.chat_template import ChatTemplate
from vita15.checkpoint import load_into, load_manifest, tokenizer_path
from vita15.config import SPEECH_IN_HZ, SpeechEncoderConfig, VisionEncoderConfig
from vita15.fbank import fbank
from vita15.images import cut_tiles, load_picture
from vita15.llm import load_llm
from vita15.speech_encoder import Mode, SpeechEncoder
from vita15.splicing import Segment, Splicer, Words, splice
from vita15.tokenizer import Tokenizer
from vita15.vision_encoder import VisionEncoder

MAX_ANSWER_TOKENS = 96


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of a query."""

    state: str  # speech, text or noise
    text: str


class OfflineAssistant:
    """Holds one conversation at a time."""

    def __init__(self, checkpoint: Path, system_prompt: str, mode: Mode = "stream") -> None:
        self._vision_config = cast(VisionEncoderConfig, load_manifest(checkpoint / "vision_encoder").component_config())
        speech_config = cast(SpeechEncoderConfig, load_manifest(checkpoint / "speech_encoder").component_config())
        self._vision = load_into(VisionEncoder(self._vision_config), checkpoint / "vision_encoder")
        self._speech = load_into(SpeechEncoder(speech_config), checkpoint / "speech_encoder")
        self._llm = load_llm(checkpoint / "llm")
        self._tokenizer = Tokenizer.from_file(tokenizer_path(checkpoint / "llm"))
        self._opening = ChatTemplate(self._tokenizer).opening("assistant")
        self._splicer, self._system_prompt, self._mode = Splicer(self._tokenizer), system_prompt, mode
        self._segments: list[Segment] = []
        self.forget()

    def forget(self) -> None:
        """Begin a new conversation."""
        self._segments = self._splicer.system_turn(self._system_prompt)

    @torch.inference_mode()
    def ask(self, text: str = "", *, samples: Tensor | None = None, picture: bytes | None = None) -> Answer:
        """Answer a query in the conversation, greedily; a query judged noise is forgotten.

        Args:
            text: typed words.
            samples: (S,) float32 at 16 kHz, spoken words.
            picture: a compressed picture shown with the query.
        """
        pictures = [] if picture is None else [self._see(picture)]
        speech = None if samples is None else self._hear(samples)
        turn = self._splicer.user_turn(text, pictures=pictures, speech=speech)
        ids = self._generate([*self._segments, *turn, Words(self._opening)])
        states = {index: state for state, index in self._tokenizer.state_ids.items()}
        answer = Answer(states.get(ids[0], "none"), self._tokenizer.decode(ids))
        if answer.state != "noise":
            self._segments += turn + self._splicer.assistant_turn(answer.text, answer.state)
        return answer

    def _see(self, picture: bytes) -> Tensor:
        tiles = cut_tiles(load_picture(picture), self._vision_config.tile_px, self._vision_config.max_tiles)
        return self._vision(tiles).flatten(0, 1)

    def _hear(self, samples: Tensor) -> Tensor:
        features = fbank(samples)
        embeddings, counts = self._speech(features[None], torch.tensor([len(features)]), self._mode)
        return embeddings[0, : int(counts[0])]

    def _generate(self, segments: list[Segment]) -> list[int]:
        rows = splice(segments, self._llm.model.embed_tokens).embeddings[None]
        cache: Any = None
        ids: list[int] = []
        while len(ids) < MAX_ANSWER_TOKENS:
            out = self._llm(inputs_embeds=rows, past_key_values=cache, use_cache=True)
            cache, token = out.past_key_values, int(out.logits[0, -1].argmax())
            if token == self._tokenizer.im_end:
                break
            ids.append(token)
            rows = self._llm.model.embed_tokens(torch.tensor([[token]]))
        return ids or [self._tokenizer.im_end]


def read_wav(path: Path) -> Tensor:
    """Read a 16 kHz mono 16-bit WAV: (S,) float32 in [-1, 1].

    Raises:
        ValueError: it is of another format.
    """
    with wave.open(str(path), "rb") as file:
        found = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if found != (SPEECH_IN_HZ, 1, 2):
            raise ValueError(f"{path}: rate, channels and bytes a sample are {found}, not {(SPEECH_IN_HZ, 1, 2)}")
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    return torch.from_numpy(samples.astype(np.float32) / 32768)
