"""Stages 0.2, 1.1 to 1.3, 2.1b and 2.2: the language model answers about what it reads, sees and hears.

Its loss is the cross-entropy of answers, state marks included. In stage 2.2 a head, thrown away afterwards, is asked
for the state as well (the paper's classification). The side lessons of `alignment.py`, `looking.py` and
`listening.py` are ours.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vita15.splicing import IGNORED
from vita_training.data.pools import Mixture, Pools
from vita_training.recipe.alignment import Alignment
from vita_training.recipe.assistant import Assistant, Embedded
from vita_training.recipe.listening import listens
from vita_training.recipe.looking import Aim, Look, has_heads, looking_loss
from vita_training.recipe.rows import STATES, Answer, Row, Splicer, pad

SIDE_WEIGHT = 0.3  # of the losses beside the answers'
FOUND_OUT: tuple[Aim, ...] = ("count", "moved")  # words that looking in the right place does not yet tell
FULL_SHARE = 0.15  # of the batches in which clips are heard whole; the rest are heard as when streaming


class TaughtAssistant(nn.Module):
    """The assistant with what is thrown away after a stage."""

    def __init__(self, assistant: Assistant, alignment: Alignment | None = None, *, has_states: bool = False) -> None:
        super().__init__()
        self.assistant = assistant
        self.alignment = alignment
        self.states = nn.Linear(assistant.config.llm.hidden, len(STATES)) if has_states else None


class RowMaker:
    """Draws rows from a mixture; in some of its parts clips are there to be transcribed."""

    def __init__(self, mixture: Mixture, splicer: Splicer, transcribed: frozenset[int] = frozenset()) -> None:
        self._mixture, self._splicer, self._transcribed = mixture, splicer, transcribed

    def draw(self, rng: random.Random) -> Row:
        """Draw a sample and lay it out."""
        part, sample = self._mixture.draw(rng)
        if part in self._transcribed:
            return self._splicer.transcription(sample)
        return self._splicer.conversation(sample, rng)

    def pools(self, batch_positions: int, seed: int) -> Pools[Row]:
        """Batches of so many positions."""
        return Pools(self.draw, lambda row: len(row.ids), batch_length=batch_positions, seed=seed)


@dataclass
class AnsweringLesson:
    """A stage in which answers are taught; a batch is rows of like length."""

    model: TaughtAssistant
    rates: Mapping[str, float]
    pools: Pools[Row]
    development: Sequence[Sequence[Row]] = ()  # batches to judge by

    def batch(self, number: int) -> list[Row]:
        """See `Lesson`."""
        return self.pools.batch(number)

    def loss(self, batch: list[Row]) -> tuple[Tensor, dict[str, float]]:
        """See `Lesson`."""
        assistant, alignment = self.model.assistant, self.model.alignment
        ids, labels = _padded(batch, assistant)
        is_whole = bool(torch.rand(()) < FULL_SHARE)
        embedded = assistant.embeddings(batch, ids, "full" if is_whole else "stream")
        hidden, attentions = assistant.layers(embedded.rows)
        is_learnt = labels[:, 1:] != IGNORED
        logits = assistant.llm.lm_head(hidden[:, :-1][is_learnt]).float()
        targets = labels[:, 1:][is_learnt]
        loss = functional.cross_entropy(logits, targets)
        figures = {"answers": loss.item(), "right": (logits.argmax(-1) == targets).float().mean().item()}
        sides: dict[str, Tensor] = {}
        if alignment is not None:
            sides = alignment(embedded, assistant.llm.model.embed_tokens.weight)
            if has_heads(attentions):
                looks = [(i, look) for i, row in enumerate(batch) for look in row.looks]
                sides |= {"looks": looking_loss(attentions, looks)} if looks else {}
                found = [(i, look.query) for i, look in looks if look.aim in FOUND_OUT]
                if found:
                    sides["found"] = found_loss(assistant.llm.lm_head, hidden, ids, found)
                listened = self._listens(batch, embedded)
                sides |= {"listens": looking_loss(attentions, listened)} if listened else {}
        if self.model.states is not None:
            sides["states"] = state_loss(self.model.states, hidden, batch)
        for name, side in sides.items():
            loss = loss + SIDE_WEIGHT * side
            figures[name] = side.item()
        return _held(loss, self.model), figures

    def _listens(self, batch: list[Row], embedded: Embedded) -> list[tuple[int, Look]]:
        """Where to listen; nowhere while the language model is frozen, whose heads then learn nothing."""
        if embedded.words is None or embedded.counts is None or self.model.alignment is None:
            return []
        if not self.model.assistant.llm.lm_head.weight.requires_grad:
            return []
        return listens(batch, embedded.words, embedded.counts, self.model.alignment.tokenizer)

    def judge(self) -> dict[str, float]:
        """See `Lesson`: shares of answers that are exact, by state and by kind, and of state marks that are right.

        A mark that is given, before a transcript, is not judged.
        """
        right, asked = Counter[str](), Counter[str]()
        for batch in self.development:
            for answer, is_state_right, is_right in judge_rows(self.model.assistant, batch):
                asked.update((answer.state, f"{answer.state}/{answer.kind or '-'}"))
                if is_state_right is not None:
                    asked["state"] += 1
                    right["state"] += is_state_right
                right[answer.state] += is_right
                right[f"{answer.state}/{answer.kind or '-'}"] += is_right
        return {name: right[name] / asked[name] for name in sorted(asked)}


def _held(loss: Tensor, model: nn.Module) -> Tensor:
    """The loss, held to the model by a trained weight times 0 where nothing else does.

    Where the language model is frozen, a batch without pictures has nothing to teach a projector. Such a step must
    still go backward, since the other processes of a data-parallel run wait for it.
    """
    if loss.requires_grad or not torch.is_grad_enabled():
        return loss
    trained = next(parameter for parameter in model.parameters() if parameter.requires_grad)
    return loss + 0.0 * trained.sum()


def state_loss(head: nn.Module, hidden: Tensor, rows: Sequence[Row]) -> Tensor:
    """Cross-entropy of the state, asked for where its mark is decided; hidden (B, T, width)."""
    places = [(i, a.begin - 1, STATES.index(a.state)) for i, row in enumerate(rows) for a in row.answers]
    batch, positions, targets = (torch.tensor(column) for column in zip(*places, strict=True))
    logits = head(hidden[batch.to(hidden.device), positions.to(hidden.device)]).float()
    return functional.cross_entropy(logits, targets.to(hidden.device))


def found_loss(head: nn.Module, hidden: Tensor, ids: Tensor, places: list[tuple[int, int]]) -> Tensor:
    """Cross-entropy of the words that are about to be said at (row, position) places; hidden (B, T, width), ids (B, T).

    It counts over again what the loss of answers holds: there a number is one word in several hundred, of which most
    are learnt soon.
    """
    rows, queries = torch.tensor(places, device=ids.device).unbind(1)
    return functional.cross_entropy(head(hidden[rows, queries]).float(), ids[rows, queries + 1])


@torch.no_grad()
def judge_rows(assistant: Assistant, rows: Sequence[Row]) -> Iterator[tuple[Answer, bool | None, bool]]:
    """For each answer: whether its state mark is right, and whether all that a greedy answer would say is.

    None in the mark's place: it was given, not taught.

    Greedy generation says the expected answer exactly if every token of it is the likeliest after those before.
    """
    ids, labels = _padded(rows, assistant)
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        logits = assistant.llm.lm_head(assistant.plain_layers(assistant.embeddings(rows, ids).rows)[0][:, :-1])
    is_given = labels[:, 1:] == IGNORED
    is_right = (logits.argmax(-1) == labels[:, 1:]) | is_given
    for i, row in enumerate(rows):
        for answer in row.answers:
            begin, end = answer.begin - 1, answer.end - 1
            is_state_right = None if is_given[i, begin] else bool(is_right[i, begin])
            yield answer, is_state_right, bool(is_right[i, begin:end].all())


def _padded(rows: Sequence[Row], assistant: Assistant) -> tuple[Tensor, Tensor]:
    ids, labels = pad(list(rows))
    return ids.to(assistant.device), labels.to(assistant.device)
