"""The receiver's limits, as one policy that the server, the app and the tests pass on."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What one receiver takes of all its clients."""

    max_body_bytes: int = 64 * MIB
    """Size of one body, in bytes; a larger one is answered with 413."""
    large_body_bytes: int = 256 * 1024
    """Size from which a body is parsed in another process, in bytes."""
    max_nodes: int = 4_000_000
    """Values in one body, as `count_nodes` counts them; more are answered with 413."""
    max_bytes_in_flight: int = 256 * MIB
    """Bytes of all bodies that are being received, parsed or stored; beyond it 503."""
    max_connections: int = 512
    """Open connections; the next one is answered with 503 and closed."""
    timeout: float = 60.0
    """
    Seconds in which a head must be complete, a body must come, and a connection may be idle.

    A body has one second more for each `min_body_rate` bytes that have come.
    """
    min_body_rate: int = 64 * 1024
    """Bytes per second at which a body may come for longer than `timeout`."""
    max_head_bytes: int = 64 * 1024
    """Size of a request line and its headers, in bytes; larger ones are answered with 431."""
