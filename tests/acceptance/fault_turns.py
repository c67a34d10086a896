"""Turns of two sessions that go on while something fails, and whether what comes of them is right."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from vita_cli.realtime_client import Answer, Event, RealtimeClient, RealtimeError, connected
from vita_replay.kserve import ComponentServer

from tests.acceptance.conversing import BY_HAND, PICTURE, item_ids, transcript
from tests.acceptance.fault_stack import FIRST, SECOND, FaultStack

HALF = bytes(range(1, 241)) * 100  # half a second of sound, 24 kHz
ENDED_S = 16.0  # longer than any turn may last: the wait for a known outage, and 4.4 s of sound
RIGHT_S = 10.0  # from the end of the fault to an answer that is right
TRIES = 16  # to get two sessions onto two replicas

Ask = Callable[[RealtimeClient], Awaitable[None]]
Meanwhile = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Told:
    """An answer, as far as it must be the same again."""

    text: str
    sound: bytes
    read: object  # tokens of the context, by kind: whether the history was there

    @classmethod
    def of(cls, client: RealtimeClient, answer: Answer) -> Told:
        """What an answer that is over was like."""
        done = next(
            one.event["response"]
            for one in client.events
            if one.kind == "response.done" and cast("Event", one.event["response"])["id"] == answer.response_id
        )
        usage = cast("Event", cast("Event", done).get("usage") or {})
        return cls(answer.text, bytes(answer.sound), usage.get("input_token_details"))


@dataclass
class Pair:
    """A session whose turns need everything, and another that only writes; each has had a turn."""

    stack: FaultStack
    main: RealtimeClient
    other: RealtimeClient
    llm: ComponentServer  # which holds the main session's context
    remembered: list[str]  # items of the main session's first turn


@contextlib.asynccontextmanager
async def pair(stack: FaultStack) -> AsyncIterator[Pair]:
    """Hold two sessions, on different replicas of the language model where there are two."""
    async with contextlib.AsyncExitStack() as sessions:
        main, llm = await _session(stack, sessions, speak)
        for _ in range(TRIES):
            other, elsewhere = await _session(stack, sessions, write, output_modalities=["text"])
            if len(stack.servers["llm"]) == 1 or elsewhere is not llm:
                yield Pair(stack, main, other, llm, item_ids(main))
                return
        raise AssertionError("all sessions are on one replica")


async def _session(
    stack: FaultStack, sessions: contextlib.AsyncExitStack, ask: Ask, **configuration: object
) -> tuple[RealtimeClient, ComponentServer]:
    """Open a session that has had a turn; return it, and the replica that holds its context."""
    client = await sessions.enter_async_context(connected(stack.url))
    await client.configure(**{"seed": 7, "temperature": 0, "audio": BY_HAND, **configuration})
    before = [server.behaviour.work for server in stack.servers["llm"]]
    await ask(client)
    answer = await client.wait_for_answer(lambda one: one.is_done, timeout_s=ENDED_S)
    assert (answer.status, answer.text) == ("completed", FIRST), answer.problem
    works = [server.behaviour.work - was for server, was in zip(stack.servers["llm"], before, strict=True)]
    return client, stack.servers["llm"][works.index(max(works))]


async def write(client: RealtimeClient) -> None:
    """Ask in writing."""
    await client.send_text("What do you see?")
    await client.send("response.create")


async def speak(client: RealtimeClient, meanwhile: Meanwhile | None = None) -> None:
    """Ask aloud about a picture; in the middle of the question something may happen."""
    await client.send_audio(HALF)
    if meanwhile is not None:
        await meanwhile()
    await client.send_image(PICTURE)
    await client.send_audio(HALF)
    await client.send("input_audio_buffer.commit")
    await client.send("response.create")


async def ended(client: RealtimeClient, count: int) -> Answer | None:
    """Wait for the end of the answer after `count` others, whatever errors are told; None: it never began."""
    give_up = time.monotonic() + ENDED_S
    while time.monotonic() < give_up:
        try:
            left_s = give_up - time.monotonic()
            async with asyncio.timeout(left_s):
                return await client.wait_for_answer(lambda one: one.is_done, since=count, timeout_s=left_s)
        except RealtimeError:
            if not (told := [one for one in client.events if one.kind == "error"]):
                break  # silent
            client.events[:] = [one for one in client.events if one not in told]
            if len(client.answers) == count and any("was lost" in str(one.event) for one in told):
                return None
        except TimeoutError:
            break
    return client.answers[count] if len(client.answers) > count else None


async def expected(stack: FaultStack) -> tuple[Told, float]:
    """What an undisturbed session is answered to the spoken question, and how long that takes."""
    async with pair(stack) as two:
        begun_s = time.monotonic()
        await speak(two.main)
        answer = await two.main.wait_for_answer(lambda one: one.is_done, since=1, timeout_s=ENDED_S)
        assert (answer.status, answer.text) == ("completed", SECOND), answer.problem
        assert answer.done_s
        return Told.of(two.main, answer), answer.done_s - begun_s


async def right_again(two: Pair, undisturbed: Told) -> float:
    """Ask the question until it is answered rightly; return when it was.

    What came after the first turn is deleted first, so that the answer must be the one of an undisturbed session.
    """
    give_up = time.monotonic() + RIGHT_S
    problem = ""
    while time.monotonic() < give_up:
        later = [item_id for item_id in item_ids(two.main) if item_id not in two.remembered]
        await forget(two.main, later, two.remembered[-1])
        count = len(two.main.answers)
        await speak(two.main)
        answer = await ended(two.main, count)
        if answer is not None and answer.status == "completed" and answer.done_s:
            told = Told.of(two.main, answer)
            assert told.text == undisturbed.text, f"the next answer says {told.text!r}"
            assert told.read == undisturbed.read, f"the next answer's context is {told.read}, not {undisturbed.read}"
            assert told.sound == undisturbed.sound, "the next answer sounds different"
            assert await transcript(two.main, two.remembered[-1]) == FIRST, "the history has changed"
            return answer.done_s
        problem = f"{answer.status}: {answer.problem}" if answer else "no answer"
    raise AssertionError(f"no right answer within {RIGHT_S:g} s: {problem}")


async def forget(client: RealtimeClient, items: list[str], kept: str) -> None:
    """Delete items; a complaint that one has gone already does not count."""

    def is_answered() -> bool:
        return any(one.kind == "conversation.item.retrieved" for one in client.events[seen:])

    seen = len(client.events)
    for item_id in items:
        await client.send("conversation.item.delete", item_id=item_id)
    await client.send("conversation.item.retrieve", item_id=kept)  # answered once all before it is
    async with asyncio.timeout(RIGHT_S):
        while not is_answered():  # noqa: ASYNC110  # `wait_for` ends at the first error
            await asyncio.sleep(0.02)
    client.events[:] = [one for one in client.events if one.kind != "error"]
