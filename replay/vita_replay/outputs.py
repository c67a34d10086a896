"""What a component made of what: its calls in a form that does not depend on timing.

Every component is a function of its input: a picture, the sound so far, the context's content, a clause with its seed,
a window of codes. How the input was cut into messages, and the output, is timing; so both are joined. What was asked
twice, because a replica was lost, is two outputs of the same input, and of one that was left early only a beginning is
known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vita_replay.calls import Call, integers_of, of_component, text_of
from vita_replay.contexts import generations

LOST = ("ERROR_REASON_COMPONENT_UNAVAILABLE", "ERROR_REASON_DEADLINE")  # failures of a replica, not of the input
LABEL_CHARS = 40  # of a user's or a model's words


@dataclass(frozen=True, slots=True)
class Output:
    """What came of one input."""

    call: int
    key: bytes  # the input, or its digest
    label: str  # the input's short name
    pieces: tuple[tuple[int, bytes], ...]  # the number of the record that brought it, and the output's next bytes
    is_whole: bool  # the component ended it by itself
    failure: str = ""  # the reason, where the input was refused
    numbers: tuple[float, ...] = ()  # probabilities
    asked_number: int = 0  # of the record that asked
    medium: bytes = b""  # the picture, or the sound

    @property
    def content(self) -> bytes:
        """All of the output."""
        return b"".join(piece for _, piece in self.pieces)

    def at(self, offset: int) -> tuple[int, int]:
        """Return which reply, from 1, holds a byte, and its record's number; beyond the end: the last one's."""
        end = 0
        for reply, (number, piece) in enumerate(self.pieces, start=1):
            end += len(piece)
            if offset < end:
                return reply, number
        return len(self.pieces), self.pieces[-1][0] if self.pieces else self.asked_number


def outputs_of(component: str, calls: Sequence[Call], context_position: int = 0) -> list[Output]:
    """Return what a component gave, in the order in which it was asked.

    Args:
        component: Which.
        calls: All calls of a recording.
        context_position: Where the model's context stood when the recording began, in tokens.
    """
    theirs = list(of_component(calls, component))
    match component:
        case "vision_encoder":
            return [_seen(call) for call in theirs if call.requests]
        case "speech_encoder":
            return [_heard(call) for call in theirs if call.opened_ns is not None]
        case "llm":
            return list(_thought(theirs, context_position))
        case "speech_decoder":
            return [_voiced(call) for call in theirs if call.requests]
        case _:
            return [_decoded(call) for call in theirs if call.requests]


def find(component: str, outputs: Sequence[Output], wanted: Output) -> Output | None:
    """Return the output of the same input that says most; None: that was never asked."""
    if component == "speech_encoder":  # what was heard of an utterance may have ended sooner
        same = [one for one in outputs if _is_same_utterance(one, wanted)]
    elif component == "llm":  # the history before the recording is in one of the two contexts only
        same = [one for one in outputs if one.key.endswith(wanted.key) or wanted.key.endswith(one.key)]
    else:
        same = [one for one in outputs if one.key == wanted.key]

    def says(one: Output) -> tuple[int, bool, int]:
        return min(len(one.key), len(wanted.key)), one.is_whole, len(one.content)

    return max(same, key=says, default=None)


def _is_same_utterance(one: Output, other: Output) -> bool:
    shorter, longer = sorted((one, other), key=lambda output: len(output.key))
    if len(shorter.key) < len(longer.key) and shorter.is_whole:
        return False  # its last rows were made from the silence that followed
    return longer.key.startswith(shorter.key)


def _refusal(call: Call) -> str:
    return "" if call.failure in LOST else call.failure


def _seen(call: Call) -> Output:
    request = call.requests[0]
    picture, tiles = request.input("PICTURE"), integers_of(request.input("MAX_TILES"))
    raw = picture.raw if picture is not None else b""
    pieces: list[tuple[int, bytes]] = []
    is_whole = False
    for reply in call.replies:
        found = reply.outputs()
        pieces.append((reply.number, found["EMBEDDINGS"].raw))
        index, count = integers_of(found["TILE"])
        is_whole = index + 1 == count
    key = _digest(raw, str(tiles).encode())
    label = f"a picture of {len(raw)} bytes"
    asked = request.number
    return Output(call.call, key, label, tuple(pieces), is_whole, _refusal(call), asked_number=asked, medium=raw)


def _heard(call: Call) -> Output:
    pushed = [request for request in call.requests if request.parameter("op") == "push"]
    sound = b"".join(tensor.raw for request in pushed if (tensor := request.input("SAMPLES")) is not None)
    pieces: list[tuple[int, bytes]] = []
    is_whole = False
    for reply in call.replies:
        found = reply.outputs()
        pieces.append((reply.number, found["EMBEDDINGS"].raw if "EMBEDDINGS" in found else b""))
        is_whole = is_whole or bool(sum(integers_of(found.get("END"))))
    label = f"an utterance of {len(sound) // 32} ms"
    asked = pushed[0].number if pushed else 0
    return Output(call.call, sound, label, tuple(pieces), is_whole, _refusal(call), asked_number=asked, medium=sound)


def _thought(calls: Sequence[Call], context_position: int) -> Iterator[Output]:
    for generation in generations(calls, context_position):
        pieces: list[tuple[int, bytes]] = []
        scores: tuple[float, ...] = ()
        for reply in generation.replies:
            found = reply.outputs()
            words = text_of(found.get("TEXT"))
            match text_of(found.get("KIND")):
                case "judgement":
                    scores = generation.scores(found)
                    pieces.append((reply.number, f"[{words}]".encode()))
                case "tool_call":
                    pieces.append((reply.number, f"[{words}]".encode()))
                case "end":
                    pieces.append((reply.number, f"[{words}]".encode() if words != "cancelled" else b""))
                case _:
                    pieces.append((reply.number, words.encode()))
        label = f"a generation over {generation.unit_count} units"
        yield Output(
            generation.call,
            generation.key,
            label,
            tuple(pieces),
            generation.is_whole,
            generation.failure,
            scores,
            generation.asked.number,
        )


def _voiced(call: Call) -> Output:
    request = call.requests[0]
    clause, seed = text_of(request.input("TEXT")), request.parameter("seed")
    pieces: list[tuple[int, bytes]] = []
    is_whole = False
    for reply in call.replies:
        found = reply.outputs()
        pieces.append((reply.number, found["CODES"].raw if "CODES" in found else b""))
        is_whole = is_whole or bool(sum(integers_of(found.get("END"))))
    key = f"{seed} {clause}".encode()
    label = f"the clause {short(clause)}"
    return Output(call.call, key, label, tuple(pieces), is_whole, _refusal(call), asked_number=request.number)


def _decoded(call: Call) -> Output:
    request = call.requests[0]
    codes = request.input("CODES")
    keep = [integers_of(request.input(name)) for name in ("KEEP_FROM", "KEEP_COUNT")]
    key = _digest(codes.raw if codes is not None else b"", str(keep).encode())
    pieces = tuple((reply.number, reply.outputs()["SOUND"].raw) for reply in call.replies)
    label = f"a window of {len(integers_of(codes))} codes"
    return Output(call.call, key, label, pieces, bool(pieces), _refusal(call), asked_number=request.number)


def short(text: str) -> str:
    """Return a text's beginning, quoted."""
    return repr(text if len(text) <= LABEL_CHARS else f"{text[: LABEL_CHARS - 1]}…")


def _digest(*parts: bytes) -> bytes:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.digest()
