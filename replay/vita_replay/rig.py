"""A replay's orchestrator: the real servicer on a real port, with the session in memory and the recording's tape.

It is wired as vita_orchestrator/main.py wires it, but for three things: the store is this process's memory and holds
the snapshot's session, identifiers and seeds come from the tape, and the microphone goes on from what the snapshot kept
of it. Every copy of a replay has a servicer of its own, so that all of them can be the same session; components are
shared, as in service.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import grpc.aio
from vita.conversation.v1 import conversation_service_pb2_grpc as service
from vita.recording.v1.recording_pb2 import FORM_FULL, Form
from vita.recording.v1.snapshot_pb2 import Snapshot
from vita_components.connect import ConnectedComponents, connect
from vita_orchestrator.ear import HeardBefore
from vita_orchestrator.patience import Outages
from vita_orchestrator.policy import Policy
from vita_orchestrator.servicer import ConversationServicer
from vita_orchestrator.surroundings import Surroundings
from vita_orchestrator.vad import SileroVoiceActivity
from vita_recordings.bundle import Bundle
from vita_runtime.errors import BadInput
from vita_sessions.memory_store import MemoryStore
from vita_sessions.record import Record as SessionRecord
from vita_sessions.record import decode
from vita_sessions.session import Session

from vita_replay.player import MESSAGE_BYTES, Player, opening_of, script_of
from vita_replay.report import Played
from vita_replay.tape import ReplayTape, replayed

READY_S = 20.0  # for components that have just begun to listen
LEAVE_S = 2.0  # for the conversation to see that its client has gone
OWNER = "replay"


@dataclass(frozen=True, slots=True)
class Rig:
    """What all copies of a replay share."""

    bundle: Bundle
    components: ConnectedComponents
    outages: Outages


@asynccontextmanager
async def rig(bundle: Bundle, endpoints: dict[str, Sequence[str]]) -> AsyncGenerator[Rig]:
    """Connect to the components, and wait until they are well.

    Raises:
        BadInput: the recording cannot be replayed.
        ComponentUnavailable: a component is not there.
    """
    check(bundle)
    async with connect(endpoints) as components:
        await components.wait_ready(READY_S)
        outages = Outages(asyncio.get_running_loop().time, components.unready, components.silent_s)
        yield Rig(bundle, components, outages)


def check(bundle: Bundle) -> None:
    """Refuse what cannot be replayed. Raises BadInput."""
    form = bundle.manifest.form
    if form != FORM_FULL:
        raise BadInput("recording", "only a full recording can be replayed", value=Form.Name(form), limit="FORM_FULL")
    if not bundle.snapshot.session.session_id:
        raise BadInput("recording", "it does not say what the session was")


async def play(one: Rig, delay_s: float = 0.0) -> Played:
    """Replay once, after a delay; return what came of it. Raises VitaError: the session cannot be opened."""
    await asyncio.sleep(delay_s)
    now = asyncio.get_running_loop().time
    tape = ReplayTape(one.bundle.records, now)
    player = Player(script_of(one.bundle.records), now)
    async with _orchestrator(one, tape) as address:
        await player.play(address, opening_of(one.bundle), tape)
    return Played(replayed(one.bundle, tape), tuple(tape.fresh), player.waited_in_vain, player.failure)


@asynccontextmanager
async def _orchestrator(one: Rig, tape: ReplayTape) -> AsyncGenerator[str]:
    """Serve one session on loopback; give the address."""
    store = MemoryStore()
    session = session_of(one.bundle.snapshot)
    await store.release(await store.create(session, OWNER))
    servicer = ConversationServicer(
        _surroundings(one, session), store, max_sessions=1, owner=OWNER, tapes=_OneTape(tape)
    )
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        )
    )
    service.add_ConversationServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await servicer.wait_idle(LEAVE_S)
        await server.stop(None)


def _surroundings(one: Rig, session: Session) -> Surroundings:
    heard = HeardBefore(one.bundle.snapshot.kept_sound, one.bundle.snapshot.received_ms)
    return Surroundings(
        components=one.components,
        outages=one.outages,
        policy=policy_of(one.bundle),
        new_voice_activity=SileroVoiceActivity,
        new_id=lambda kind: f"{kind}_{secrets.token_hex(12)}",
        draw_seed=lambda: secrets.randbits(31),
        heard_before=lambda session_id: heard if session_id == session.session_id else None,
    )


@dataclass(frozen=True, slots=True)
class _OneTape:
    """See vita_recordings.recorder.Tapes."""

    tape: ReplayTape

    def tape_for(self, wish: Form, session_id: str, tenant_id: str) -> ReplayTape:
        return self.tape


def session_of(snapshot: Snapshot) -> Session:
    """Return the session as it was when the recording began."""
    media = {medium.media_id: medium.content for medium in snapshot.media}
    return decode(SessionRecord(snapshot.session.SerializeToString(), media, frozenset(media)))


def policy_of(bundle: Bundle) -> Policy:
    """Return the limits and times that the recording was made under."""
    policy = Policy()
    known: dict[str, Any] = {}
    for field in fields(Policy):
        if text := bundle.manifest.settings.get(field.name, ""):
            known[field.name] = type(getattr(policy, field.name))(text)
    return replace(policy, **known)
