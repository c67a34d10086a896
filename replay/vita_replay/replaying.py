"""A whole replay: which components are real, what befalls them, how many copies, how fast; and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vita_components.connect import NAMES
from vita_recordings.bundle import Bundle, read
from vita_runtime.errors import BadInput

from vita_replay import parts
from vita_replay.clock import FasterLoop
from vita_replay.kserve import ComponentServer
from vita_replay.modelled.components import Modelled
from vita_replay.pace import Pace
from vita_replay.parts import RealPart
from vita_replay.picture import first_sound_ms
from vita_replay.player import script_of
from vita_replay.recorded.components import Recorded
from vita_replay.report import Report, judged
from vita_replay.rig import check, play, rig

MOST_COPIES = 256  # of one process; each is a servicer, a client and a microphone
FASTEST = 64.0
ENCODERS = ("vision_encoder", "speech_encoder")


@dataclass(frozen=True, slots=True)
class Options:
    """How to replay."""

    bundle: Path
    real: Sequence[str] = ()
    weights: Mapping[str, Path] = field(default_factory=dict[str, Path])  # of real components, instead of the usual
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])  # of real components that run somewhere
    kills: Mapping[str, float] = field(default_factory=dict[str, float])  # component → s from the start
    slows: Mapping[str, float] = field(default_factory=dict[str, float])  # component → factor
    copies: int = 1
    speed: float = 1.0
    state_dir: Path = Path(".vita")
    checkpoint: Path = Path("checkpoints/tiny")

    @property
    def all_real(self) -> tuple[str, ...]:
        """The components that are not recorded, in order."""
        return tuple(name for name in NAMES if name in {*self.real, *self.weights, *self.addresses})


@dataclass(slots=True)
class Line:
    """The components of one replay: where they are, and how each is killed."""

    endpoints: dict[str, Sequence[str]]
    kills: dict[str, Callable[[], None]]


def replay(options: Options) -> Report:
    """Replay as the options say.

    Raises:
        BadRecording: the file is none.
        BadInput: it cannot be replayed so.
        StartupError: a real component does not start.
        VitaError: the session cannot be opened.
    """
    bundle = read(options.bundle)
    check(bundle)
    _check_options(options)
    options = _with_its_history(options, bundle)
    with contextlib.ExitStack() as stack:
        own, real = _real_parts(options, stack)
        with asyncio.Runner(loop_factory=lambda: FasterLoop(options.speed)) as runner:
            return runner.run(_replay(options, bundle, real, own))


def _with_its_history(options: Options, bundle: Bundle) -> Options:
    """Have the encoders real where a real language model needs them: its history's embeddings are in no recording."""
    if "llm" not in options.all_real:
        return options
    shown = [part for entry in bundle.snapshot.session.entries for part in entry.item.parts]
    needed = {"image": "vision_encoder", "audio": "speech_encoder"}
    more = {name for part in shown if (name := needed.get(part.WhichOneof("part") or ""))}
    return replace(options, real=(*options.real, *sorted(more)))


def _check_options(options: Options) -> None:
    unknown = {*options.all_real, *options.real, *options.kills, *options.slows} - set(NAMES)
    if unknown:
        raise BadInput("component", f"there is no {sorted(unknown)[0]!r}; there are {', '.join(NAMES)}")
    slowed = sorted(set(options.slows) & set(options.all_real))
    if slowed:
        raise BadInput("--slow", f"{slowed[0]} is real: only a recorded component can be slowed")
    elsewhere = sorted(set(options.kills) & set(options.addresses))
    if elsewhere:
        raise BadInput("--kill", f"{elsewhere[0]} is not ours to kill: it runs at {options.addresses[elsewhere[0]]}")
    if not 1 <= options.copies <= MOST_COPIES:
        raise BadInput("--load", f"{options.copies} is not between 1 and {MOST_COPIES}")
    if not 0 < options.speed <= FASTEST:
        raise BadInput("--speed", f"{options.speed:g} is not above 0 and at most {FASTEST:g}")


def _real_parts(options: Options, stack: contextlib.ExitStack) -> tuple[dict[str, RealPart], dict[str, str]]:
    """Find or start the real components; return those that are the replay's own, and the addresses of all."""
    running = parts.of_running_stack(options.state_dir)
    # What is to be killed, or has other weights, is the replay's own, never somebody's running stack.
    wanted = [name for name in options.all_real if name not in options.addresses]
    needed = [name for name in wanted if name in options.weights or name in options.kills or name not in running]
    own = stack.enter_context(parts.started(needed, options.checkpoint, options.weights)) if needed else {}
    found = {name: (own if name in needed else running)[name].address for name in wanted}
    return own, {**found, **options.addresses}


async def _replay(options: Options, bundle: Bundle, real: Mapping[str, str], own: Mapping[str, RealPart]) -> Report:
    async with _line(options, bundle, real, own) as line, rig(bundle, line.endpoints) as one:
        loop = asyncio.get_running_loop()
        for name, after_s in options.kills.items():
            loop.call_later(after_s, line.kills[name])
        apart_s = script_of(bundle.records).end_s / options.copies
        played = await asyncio.gather(*(play(one, index * apart_s) for index in range(options.copies)))
    copies = [judged(bundle, copy) for copy in played]
    return Report(options.bundle.name, bundle, first_sound_ms(bundle), copies, options.all_real)


@contextlib.asynccontextmanager
async def _line(
    options: Options, bundle: Bundle, real: Mapping[str, str], own: Mapping[str, RealPart]
) -> AsyncGenerator[Line]:
    """Serve what is recorded, beside what is real."""
    # The history's media were encoded before the recording began, and a recorded language model knows no rows of them.
    encoders, others = Recorded(bundle, Modelled()), Recorded(bundle)
    line = Line({name: (address,) for name, address in real.items()}, {})
    for name, part in own.items():
        line.kills[name] = lambda part=part: parts.kill(part)
    servers: list[ComponentServer] = []
    try:
        for name in NAMES:
            if name in real:
                continue
            pace = Pace(slow=options.slows.get(name, 1.0))
            recorded = encoders if name in ENCODERS else others
            server = ComponentServer(name, recorded.behaviour(name, pace), pace)
            servers.append(server)
            line.endpoints[name] = (await server.start(),)
            line.kills[name] = server.kill
        yield line
    finally:
        for server in servers:
            await server.stop()
