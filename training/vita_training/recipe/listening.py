"""A side lesson: where to listen while saying again what was heard, and most of all while writing it down.

CTC tells at which embedding of a clip each of its words is read (alignment.py). Before a word is said again two heads
are taught to look there, and from there one head, a layer below, at the word before: so the next word to write is the
one that follows the one just written, found by its likeness, whatever words they are. What was typed is looked up the
same way.

Without this lesson the tiny language model retold what it heard instead of writing it down (training/LOG.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from vita15.tokenizer import Tokenizer
from vita_training.recipe.alignment import ctc
from vita_training.recipe.echo import spoken_ids
from vita_training.recipe.looking import Look
from vita_training.recipe.rows import Row

LEAST_SHARE = 0.5  # of the likeliest embedding's share in a word: one with less is not listened to
_NEVER = -1e4  # a logit

Places = list[tuple[int, ...]]  # of each word of a clip, the positions in its row that it is read from


def listens(rows: Sequence[Row], logits: Tensor, counts: Tensor, tokenizer: Tokenizer) -> list[tuple[int, Look]]:
    """Say where to listen before each word that is said again, with the row of the batch that it belongs to.

    Args:
        rows: of the batch.
        logits: of the words in its clips, (clips, T, classes), 0 the blank.
        counts: how many embeddings of each clip count, (clips,).
        tokenizer: whose tokens the other classes are, one higher.
    """
    needed: list[tuple[int, int]] = []  # row, and which of its clips
    among: list[int] = []  # the same clips' places among the batch's
    first = 0
    for index, row in enumerate(rows):
        clips = sorted({word.clip for echo in row.echoes for word in echo.said if word.clip is not None})
        needed += [(index, clip) for clip in clips]
        among += [first + clip for clip in clips]
        first += len(row.sounds)
    if not needed:
        return []
    texts = [rows[index].sounds[clip][1].text for index, clip in needed]
    targets = [[token + 1 for token in spoken_ids(tokenizer, text)] for text in texts]
    shares = word_shares(logits[among], counts[among], targets)
    read = {
        (index, clip): _places(share, rows[index].sounds[clip][0])
        for (index, clip), share in zip(needed, shares, strict=True)
    }
    found = [(index, look) for (index, _), places in read.items() for look in _before(places)]
    for index, row in enumerate(rows):
        for echo in row.echoes:
            keys = [
                key
                for word in echo.said
                for key in ((word.place,) if word.clip is None else read[index, word.clip][word.place])
            ]
            found.append((index, Look(echo.query, tuple(keys), "word")))
    return found


def word_shares(logits: Tensor, counts: Tensor, targets: list[list[int]]) -> list[Tensor]:
    """How likely each embedding of a clip is where each word is read, of all ways to read the clip.

    What the gradient of CTC lacks to a softmax is that share. Each target is a class of its own here, so that a word
    said twice is told apart.

    Args:
        logits: (clips, T, classes), 0 the blank.
        counts: how many embeddings of each clip count, (clips,).
        targets: the classes said in each clip.

    Returns:
        Of each clip (words, embeddings), each 0 to 1.
    """
    classes = torch.zeros(len(targets), 1 + max(map(len, targets)), dtype=torch.long)
    is_own = torch.zeros_like(classes, dtype=torch.bool)
    for index, target in enumerate(targets):
        classes[index, 1 : 1 + len(target)] = torch.tensor(target)
        is_own[index, : 1 + len(target)] = True
    columns = classes[:, None].expand(-1, logits.shape[1], -1).to(logits.device)
    own = logits.detach().gather(2, columns).masked_fill(~is_own[:, None].to(logits.device), _NEVER).requires_grad_()
    with torch.enable_grad():
        loss = ctc(own, counts, [list(range(1, 1 + len(target))) for target in targets], reduction="sum")
    (gradient,) = torch.autograd.grad(loss, own)
    shares = (own.detach().softmax(-1) - gradient).transpose(1, 2)
    return [
        share[1 : 1 + len(target), :count]
        for share, target, count in zip(shares, targets, counts.tolist(), strict=True)
    ]


def _places(share: Tensor, start: int) -> Places:
    """The positions that each word of a clip is read from; the clip begins at position `start`."""
    is_read = share >= LEAST_SHARE * share.amax(1, keepdim=True)
    return [tuple(start + place for place, is_key in enumerate(word) if is_key) for word in is_read.tolist()]


def _before(places: Places) -> list[Look]:
    """From where each word of a clip is read, to where the one before it is."""
    found: list[Look] = []
    for before, own in pairwise(places):
        for key in own:
            earlier = tuple(place for place in before if place < key)
            found += [Look(key, earlier, "word before")] if earlier else []
    return found
