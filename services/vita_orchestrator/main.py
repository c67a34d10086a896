"""The orchestrator process: `python -m vita_orchestrator.main`, configured by the environment alone."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from vita.conversation.v1 import conversation_service_pb2_grpc as service
from vita.recording.v1.recording_pb2 import FORM_FULL, FORM_REDACTED
from vita_components.connect import NAMES, ConnectedComponents, connect
from vita_recordings.consent import Consent, Recordings
from vita_recordings.writer import Origin, Writer
from vita_runtime import garbage, keepalive, metrics, shutdown, stalls, tracing
from vita_runtime import logging as vita_logging
from vita_runtime import settings as vita_settings
from vita_runtime.errors import StartupError, StoreUnavailable
from vita_runtime.health import Health, grpc_servicer
from vita_sessions.redis_store import RedisStore

from vita_orchestrator.patience import Outages
from vita_orchestrator.policy import Policy
from vita_orchestrator.servicer import ConversationServicer
from vita_orchestrator.surroundings import Surroundings
from vita_orchestrator.vad import SileroVoiceActivity

logger = logging.getLogger(__name__)

SERVICE = "vita.conversation.v1.ConversationService"
WATCH_S = 1.0  # as often as the endpoints are pinged
MAX_MESSAGE_BYTES = 16 * 2**20  # a picture of 8 MiB and its envelope, with room


@dataclass(frozen=True, slots=True)
class Settings:
    """From VITA_ORCHESTRATOR_*."""

    listen: str
    metrics_listen: str
    redis_url: str
    vision_encoder_endpoints: tuple[str, ...]
    speech_encoder_endpoints: tuple[str, ...]
    llm_endpoints: tuple[str, ...]
    speech_decoder_endpoints: tuple[str, ...]
    codec_decoder_endpoints: tuple[str, ...]
    max_sessions: int = 32  # as many contexts as one `llm` replica holds at once (model_repo/llm/1/model.py)
    lead_ms: int = Policy().lead_ms
    max_utterance_ms: int = Policy().max_utterance_ms
    max_tool_count: int = Policy().max_tool_count
    max_tools_bytes: int = Policy().max_tools_bytes
    max_tool_result_bytes: int = Policy().max_tool_result_bytes
    drain_s: float = 15.0  # shorter than the process's grace, so that streams end by themselves
    log_level: str = "INFO"
    # Recordings hold users' words, so nothing is recorded unless a folder is named (docs/recordings.md).
    recording_dir: Path | None = None
    recording_form: Literal["full", "redacted"] = "full"  # the most that is granted
    recorded_tenants: tuple[str, ...] = ()
    recorded_share: float = 0.0  # of all sessions

    def __post_init__(self) -> None:
        if not 0.0 <= self.recorded_share <= 1.0:
            raise ValueError(f"RECORDED_SHARE must be from 0 to 1, not {self.recorded_share}")

    def policy(self) -> Policy:
        """Return what a conversation allows."""
        return Policy(
            lead_ms=self.lead_ms,
            max_utterance_ms=self.max_utterance_ms,
            max_tool_count=self.max_tool_count,
            max_tools_bytes=self.max_tools_bytes,
            max_tool_result_bytes=self.max_tool_result_bytes,
        )

    def endpoints(self) -> dict[str, tuple[str, ...]]:
        """Return the addresses of each component."""
        return {name: getattr(self, f"{name}_endpoints") for name in NAMES}


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then let answers in progress end."""
    health = Health("store", "components")
    async with AsyncExitStack() as stack:
        store = RedisStore(settings.redis_url)
        stack.push_async_callback(store.close)
        components = await stack.enter_async_context(connect(settings.endpoints()))
        policy = settings.policy()
        surroundings = Surroundings(
            components=components,
            # The event loop's clock, because deadlines are set by it.
            outages=Outages(asyncio.get_running_loop().time, components.unready, components.silent_s),
            policy=policy,
            new_voice_activity=partial(SileroVoiceActivity, []),
            new_id=lambda kind: f"{kind}_{secrets.token_hex(12)}",
            draw_seed=lambda: secrets.randbits(31),
        )
        owner = f"{socket.gethostname()}:{os.getpid()}"
        servicer = ConversationServicer(
            surroundings,
            store,
            max_sessions=settings.max_sessions,
            owner=owner,
            tapes=_recordings(settings, policy, stack),
        )
        await stack.enter_async_context(metrics.serve(settings.metrics_listen, health))
        await stack.enter_async_context(_grpc_server(settings, servicer, health))
        stack.enter_context(stalls.watched())
        watching = asyncio.create_task(_watch(health, store, components))
        stack.callback(watching.cancel)
        stack.enter_context(garbage.collected())
        logger.info("orchestrator serves", extra={"listen": settings.listen})
        await stop.wait()
        await _drain(servicer, health, settings.drain_s)


def _recordings(settings: Settings, policy: Policy, stack: AsyncExitStack) -> Recordings | None:
    """Set recording up, if it is wanted; whoever records is told so in the log."""
    if settings.recording_dir is None:
        return None
    form = FORM_FULL if settings.recording_form == "full" else FORM_REDACTED
    known = {**asdict(policy), "max_sessions": settings.max_sessions}
    origin = Origin(f"vita-serve {version('vita-serve')}", {name: str(value) for name, value in known.items()})
    writer = Writer(settings.recording_dir, origin)
    stack.callback(writer.close)
    facts = {"form": settings.recording_form, "share": settings.recorded_share}
    logger.warning("turns may be recorded", extra={**facts, "folder": str(settings.recording_dir)})
    return Recordings(Consent(form, frozenset(settings.recorded_tenants), settings.recorded_share), writer)


@asynccontextmanager
async def _grpc_server(settings: Settings, servicer: ConversationServicer, health: Health) -> AsyncGenerator[None]:
    """Serve conversations, health and reflection inside the block."""
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # a second process on the port is a mistake, not a second replica
            *keepalive.server_options(),
        )
    )
    service.add_ConversationServiceServicer_to_server(servicer, server)
    health_servicer, update = grpc_servicer(health, SERVICE)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = (SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    try:
        server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise StartupError(f"VITA_ORCHESTRATOR_LISTEN: cannot listen on {settings.listen}") from error
    await server.start()
    updates: set[asyncio.Future[None]] = set()

    def changed() -> None:
        task = asyncio.ensure_future(update())
        updates.add(task)
        task.add_done_callback(updates.discard)

    health.when_changed(changed)
    await update()
    try:
        yield
    finally:
        await server.stop(grace=1.0)


async def _watch(health: Health, store: RedisStore, components: ConnectedComponents) -> None:
    """Keep the health in step with the store and the components."""
    while True:
        try:
            await store.ping()
            health.mark("store")
        except StoreUnavailable as error:
            health.mark("store", error.message)
        unready = components.unready()
        health.mark("components", f"no replica of {', '.join(unready)}" if unready else "")
        await asyncio.sleep(WATCH_S if health.is_ready else WATCH_S / 5)


async def _drain(servicer: ConversationServicer, health: Health, drain_s: float) -> None:
    """Say that we go, and wait for answers in progress."""
    health.drain()
    servicer.drain(int(drain_s * 1000))
    await servicer.wait_idle(drain_s)
    logger.info("orchestrator drained", extra={"sessions_cut": servicer.session_count})


def main() -> None:
    """Run the process."""
    vita_logging.configure("orchestrator", os.environ.get("VITA_ORCHESTRATOR_LOG_LEVEL", "INFO"))
    tracing.configure("orchestrator", os.environ)

    async def run(stop: asyncio.Event) -> None:
        settings = vita_settings.load(Settings, "VITA_ORCHESTRATOR_", os.environ)
        await serve(settings, stop)

    shutdown.run(run)


if __name__ == "__main__":
    main()
