"""How our gRPC streams notice that the other side's machine is gone: it sends no FIN, so only a ping tells.

Both sides ping, since either may vanish. A server calls pings in a quiet stream abuse unless it is told that they are
meant to be, and would end the connection; so what servers permit stands beside what clients do.
"""

from __future__ import annotations

PING_S = 20.0  # without a byte from the other side: rare enough to cost nothing, soon enough to free what it held
ANSWER_S = 10.0  # for the other side to answer; a busy process answers, since gRPC's own threads do

Options = tuple[tuple[str, int], ...]


def client_options(ping_s: float = PING_S, answer_s: float = ANSWER_S) -> Options:
    """Return the options of a channel: pings while a call is open."""
    answer_ms = int(answer_s * 1000)
    return (
        ("grpc.keepalive_time_ms", int(ping_s * 1000)),
        ("grpc.keepalive_timeout_ms", answer_ms),
        ("grpc.http2.ping_timeout_ms", answer_ms),  # without it gRPC 1.85 waits 60 s, whatever the line above says
    )


def server_options(ping_s: float = PING_S, answer_s: float = ANSWER_S) -> Options:
    """Return the options of a server: pings, and leave for clients to ping as `client_options` has them."""
    return (
        *client_options(ping_s, answer_s),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", int(ping_s * 500)),  # half: clocks and networks are uneven
    )
