"""Sessions in Redis: a hash a session, its lease, and a tombstone once it is deleted.

    vita:{<session id>}:record     hash: head, tenant, fence, and m:<media id> for each medium
    vita:{<session id>}:lease      the owner; expires by itself
    vita:{<session id>}:tombstone  the session was deleted; expires by itself

Whoever raises `fence` holds the session: each change is one Lua script that compares the writer's token with it, so
checking and writing cannot come apart. One round trip a call. The braces keep a session's keys on one
node of a cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError
from vita_runtime.errors import AlreadyExists, NotFound, SessionTaken, StoreUnavailable

from vita_sessions.record import Record, decode, encode
from vita_sessions.session import Session
from vita_sessions.store import Lease, Lifetimes

DEADLINE_S = 1.0  # of a call; a local Redis takes 0.2 ms, a record of 8 MB some 30 ms
CONNECTION_COUNT = 16  # calls wait for one rather than open more: a thousand sessions are a thousand small writes

_WRITE = """
local function write(record, first)
  for i = first, #ARGV, 2 do redis.call('HSET', record, ARGV[i], ARGV[i + 1]) end
end
local function touch(record, lease, owner, record_ms, lease_ms)
  redis.call('PEXPIRE', record, record_ms)
  redis.call('SET', lease, owner, 'PX', lease_ms)
end
"""
# KEYS: record, lease, tombstone. ARGV: owner, record ms, lease ms, field, value, …
CREATE = (
    _WRITE
    + """
if redis.call('EXISTS', KEYS[1], KEYS[3]) > 0 then return 'exists' end
redis.call('HSET', KEYS[1], 'fence', 1)
write(KEYS[1], 4)
touch(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
return 'ok'
"""
)
# ARGV: owner, record ms, lease ms, tenant, takeover (1) or not (0). Returns the token and the whole hash.
OPEN = (
    _WRITE
    + """
if redis.call('HGET', KEYS[1], 'tenant') ~= ARGV[4] then return 'missing' end
local holder = redis.call('GET', KEYS[2])
if ARGV[5] == '0' and holder and holder ~= ARGV[1] then return 'taken' end
local token = redis.call('HINCRBY', KEYS[1], 'fence', 1)
touch(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
return {token, redis.call('HGETALL', KEYS[1])}
"""
)
# ARGV: owner, record ms, lease ms, token, is whole (1) or only what is new (0), fields to drop, those, field, value, …
SAVE = (
    _WRITE
    + """
if redis.call('EXISTS', KEYS[3]) == 1 then return 'deleted' end
local fence = redis.call('HGET', KEYS[1], 'fence')
if not fence and ARGV[5] == '0' then return 'lost' end
if fence and fence ~= ARGV[4] then return 'taken' end
if not fence then redis.call('HSET', KEYS[1], 'fence', ARGV[4]) end
local dropped = tonumber(ARGV[6])
for i = 7, 6 + dropped do redis.call('HDEL', KEYS[1], ARGV[i]) end
write(KEYS[1], 7 + dropped)
touch(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
return 'ok'
"""
)
# ARGV: owner, record ms, lease ms, token. A store that lost the record says ok: the next save brings it back.
RENEW = (
    _WRITE
    + """
if redis.call('EXISTS', KEYS[3]) == 1 then return 'deleted' end
local fence = redis.call('HGET', KEYS[1], 'fence')
if fence and fence ~= ARGV[4] then return 'taken' end
if fence then touch(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]) end
return 'ok'
"""
)
# ARGV: token
RELEASE = """
if redis.call('HGET', KEYS[1], 'fence') == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 'ok'
"""
# ARGV: tenant, tombstone ms
DELETE = """
if redis.call('HGET', KEYS[1], 'tenant') ~= ARGV[1] then return 'missing' end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SET', KEYS[3], '1', 'PX', ARGV[2])
return 'ok'
"""
MEDIA_PREFIX = b"m:"

Field = str | bytes | int


class RedisStore:
    """A SessionStore in Redis."""

    def __init__(self, url: str, lifetimes: Lifetimes | None = None, *, deadline_s: float = DEADLINE_S) -> None:
        self._lifetimes = lifetimes or Lifetimes()
        self._deadline_s = deadline_s
        # One retry: after a restart of Redis every pooled connection is dead once. No socket_timeout: redis-py would
        # send under asyncio.wait_for, which in Python 3.11 swallows a cancellation that comes as the sending ends, and
        # the task of a session whose client has gone would go on for ever. `_deadline` bounds every call.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTION_COUNT,
            timeout=deadline_s,
            socket_timeout=None,
            socket_connect_timeout=deadline_s,
            retry=Retry(ConstantBackoff(0.02), 1),
        )
        self._redis: Redis = Redis.from_pool(pool)  # which `aclose` then closes too
        self._scripts = {
            name: self._redis.register_script(source)
            for name, source in {
                "create": CREATE,
                "open": OPEN,
                "save": SAVE,
                "renew": RENEW,
                "release": RELEASE,
                "delete": DELETE,
            }.items()
        }

    async def create(self, session: Session, owner: str) -> Lease:
        record = encode(session)
        lease = Lease(session.session_id, session.tenant_id, owner, token=1)
        answer = await self._run("create", lease.session_id, [*self._times(owner), *_fields(session, record)])
        if answer == b"exists":
            raise AlreadyExists("a session with this id exists", field="session_id", value=session.session_id)
        lease.saved_media = set(record.media_ids)
        return lease

    async def open(
        self, session_id: str, tenant_id: str, owner: str, *, is_takeover: bool = True
    ) -> tuple[Session, Lease]:
        answer = await self._run("open", session_id, [*self._times(owner), tenant_id, int(is_takeover)])
        _check(answer, session_id)
        token, fields = cast(tuple[int, list[bytes]], answer)
        record = _record(dict(zip(fields[::2], fields[1::2], strict=True)))
        return decode(record), Lease(session_id, tenant_id, owner, token, set(record.media_ids))

    async def load(self, session_id: str, tenant_id: str) -> Session:
        async with self._deadline():
            fields: dict[bytes, bytes] = await self._redis.hgetall(_keys(session_id)[0])  # type: ignore[misc]
        if fields.get(b"tenant") != tenant_id.encode():
            raise NotFound("no such session", field="session_id", value=session_id)
        return decode(_record(fields))

    async def save(self, session: Session, lease: Lease) -> None:
        session.evict()
        record = encode(session, lease.saved_media)
        dropped = lease.saved_media - record.media_ids
        if not await self._save(session, record, lease, dropped, is_whole=False):
            await self._save(session, encode(session), lease, set(), is_whole=True)
        lease.saved_media = set(record.media_ids)

    async def renew(self, lease: Lease) -> None:
        answer = await self._run("renew", lease.session_id, [*self._times(lease.owner), lease.token])
        _check(answer, lease.session_id)

    async def release(self, lease: Lease) -> None:
        await self._run("release", lease.session_id, [lease.token])

    async def delete(self, session_id: str, tenant_id: str) -> None:
        answer = await self._run("delete", session_id, [tenant_id, int(self._lifetimes.tombstone_s * 1000)])
        _check(answer, session_id)

    async def ping(self) -> None:
        async with self._deadline():
            await self._redis.ping()  # type: ignore[misc]

    async def close(self) -> None:
        await self._redis.aclose()

    async def _save(self, session: Session, record: Record, lease: Lease, dropped: set[str], *, is_whole: bool) -> bool:
        """Write a record, or what is new in it; False: that needs the rest, and the store has lost it."""
        fields = [MEDIA_PREFIX + media_id.encode() for media_id in sorted(dropped)]
        head: list[Field] = [*self._times(lease.owner), lease.token, int(is_whole), len(fields), *fields]
        answer = await self._run("save", lease.session_id, [*head, *_fields(session, record)])
        _check(answer, lease.session_id)
        return answer != b"lost"

    def _times(self, owner: str) -> list[Field]:
        return [owner, int(self._lifetimes.record_s * 1000), int(self._lifetimes.lease_s * 1000)]

    async def _run(self, script: str, session_id: str, arguments: Sequence[Field]) -> object:
        async with self._deadline():
            return await self._scripts[script](keys=_keys(session_id), args=list(arguments))

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline_s):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("the session store is not reachable") from error


def _keys(session_id: str) -> list[str]:
    return [f"vita:{{{session_id}}}:{name}" for name in ("record", "lease", "tombstone")]


def _fields(session: Session, record: Record) -> list[Field]:
    fields: list[Field] = ["tenant", session.tenant_id, "head", record.head]
    for media_id, content in record.media.items():
        fields += [MEDIA_PREFIX + media_id.encode(), content]
    return fields


def _record(fields: Mapping[bytes, bytes]) -> Record:
    media = {
        key.removeprefix(MEDIA_PREFIX).decode(): value for key, value in fields.items() if key.startswith(MEDIA_PREFIX)
    }
    return Record(fields[b"head"], media, frozenset(media))


def _check(answer: object, session_id: str) -> None:
    """Turn a script's refusal into its error."""
    match answer:
        case b"missing":
            raise NotFound("no such session", field="session_id", value=session_id)
        case b"deleted":
            raise NotFound("the session was deleted", field="session_id", value=session_id)
        case b"taken":
            raise SessionTaken("another stream took the session over")
        case _:
            pass
