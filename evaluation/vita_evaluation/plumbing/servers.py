"""The modelled components as a process, with an eye on what passes: `python -m …servers --costs x1 --replicas 4`.

Prints its addresses as one line of JSON, five lists; a line `report` on its standard input makes it print what it has
noted since the last one: how late stamped frames came, which codes were made when, and how many bytes tensors had.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack

from vita_components.connect import NAMES
from vita_replay.behaviour import Asked, Behaviour, Call, Message, Send
from vita_replay.kserve import ComponentServer
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.costs import costs_of
from vita_replay.modelled.llm import LlmSettings
from vita_replay.modelled.senses import SensesSettings
from vita_replay.modelled.voice import VoiceSettings
from vita_replay.pace import Pace
from vita_runtime import shutdown

from vita_evaluation.plumbing.answers import CODES_PER_CHARACTER, EIGHT_SECONDS
from vita_evaluation.plumbing.frames import delays_ms
from vita_evaluation.plumbing.reporting import reports

# Instead of a count of codes: the clause's stream was closed; all of its codes are made; it was asked for.
CLOSED, ENDED, ASKED = -1, -2, -3


class Notes:
    """What was seen."""

    def __init__(self, *, is_stamped: bool) -> None:
        self.is_stamped = is_stamped
        self.delays_ms: list[float] = []
        self.codes: list[tuple[int, float, int]] = []  # clause, when (monotonic s), how many; see ASKED
        self.payload_bytes = 0
        self.open_calls = 0
        self.clause_count = 0

    def report(self) -> dict[str, object]:
        """Return what was noted since the last report."""
        noted: dict[str, object] = {
            "delays_ms": self.delays_ms,
            "codes": self.codes,
            "payload_bytes": self.payload_bytes,
            "open_calls": self.open_calls,
        }
        self.delays_ms, self.codes, self.payload_bytes = [], [], 0
        return noted


class Watched:
    """A behaviour, looked at."""

    def __init__(self, component: str, inner: Behaviour, notes: Notes) -> None:
        self._component, self._inner, self._notes = component, inner, notes
        self.work = 0  # is not asked for here

    def call(self, send: Send) -> Call:
        """See Behaviour."""
        notes, is_voice = self._notes, self._component == "speech_decoder"
        notes.clause_count += is_voice
        clause = notes.clause_count

        async def noted(message: Message) -> None:
            response = message.infer_response
            notes.payload_bytes += _size(response.raw_output_contents)
            if is_voice and response.outputs:
                notes.codes.append((clause, time.monotonic(), response.outputs[0].shape[0]))
                if len(response.outputs) > 1:
                    notes.codes.append((clause, time.monotonic(), ENDED))
            await send(message)

        return _WatchedCall(self._component, self._inner.call(noted), notes, clause)


class _WatchedCall(Call):
    def __init__(self, component: str, inner: Call, notes: Notes, clause: int) -> None:
        self._component, self._inner, self._notes, self._clause = component, inner, notes, clause
        notes.open_calls += 1

    async def take(self, asked: Asked) -> None:
        self._notes.payload_bytes += _size(asked.message.raw_input_contents)
        if self._notes.is_stamped and self._component == "speech_encoder" and asked.op == "push":
            self._notes.delays_ms.extend(delays_ms(asked.tensor("SAMPLES").raw))
        if self._component == "speech_decoder":
            self._notes.codes.append((self._clause, time.monotonic(), ASKED))
        await self._inner.take(asked)

    async def finish(self) -> None:
        await self._inner.finish()

    def close(self) -> None:
        self._notes.open_calls -= 1
        if self._component == "speech_decoder":
            self._notes.codes.append((self._clause, time.monotonic(), CLOSED))
        self._inner.close()


def _size(contents: Iterable[bytes]) -> int:
    return sum(map(len, contents))


async def serve(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Serve until `stop`."""
    modelled = Modelled(
        given.costs,
        SensesSettings(width=given.width),
        LlmSettings(answers=tuple(given.answer)),
        VoiceSettings(CODES_PER_CHARACTER),
    )
    notes = Notes(is_stamped=given.stamped)
    addresses: dict[str, list[str]] = {name: [] for name in NAMES}
    async with AsyncExitStack() as stack:
        for name in [name for name in NAMES for _ in range(given.replicas)]:
            pace = Pace()
            server = ComponentServer(name, Watched(name, modelled.behaviour(name, pace), notes), pace)
            addresses[name].append(await server.start())
            stack.push_async_callback(server.stop)
        await stack.enter_async_context(reports(notes.report))
        print(json.dumps(addresses), flush=True)
        await stop.wait()


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=costs_of, default="x1")
    parser.add_argument("--replicas", type=int, default=1, help="of each component")
    parser.add_argument("--answer", nargs="+", default=[EIGHT_SECONDS])
    parser.add_argument("--width", type=int, default=SensesSettings().width, help="of an embedding")
    parser.add_argument("--stamped", action="store_true", help="sound says when it was sent")
    given = parser.parse_args()
    shutdown.run(lambda stop: serve(given, stop))


if __name__ == "__main__":
    main()
