"""The faults: context managers, each of which lasts until its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from signal import SIGCONT, SIGSTOP
from typing import Any

from psycopg import sql

from tests.faults.cluster import Cluster
from tests.faults.valve import Valve


@dataclass(frozen=True)
class Fault:
    """``breaks_streams``: streams may be cut, as those of a killed process. ``fails_calls``: allowed statuses of calls.
    ``spares_database``: every running process reaches the database, or the upstream, so its subscribers have each new
    state one reconcile, or one poll, later.
    """

    name: str
    act: Callable[[Any], AbstractContextManager[None]]
    """Its argument is a ``Cluster``, or ``Relays``."""

    bus: str = ""
    """The only bus, or storage of relays, that the fault applies to; empty for any."""

    breaks_streams: bool = False
    fails_calls: tuple[int, ...] = ()
    spares_database: bool = False


def _last(cluster: Cluster, least: float, most: float) -> None:
    """Let the fault last for a random time, during which changes are made."""
    time.sleep(cluster.chance.uniform(least, most))


def _begin(cluster: Cluster) -> None:
    """Wait for changes before a fault that takes only a moment."""
    _last(cluster, 0.3, 0.6)


@contextmanager
def redis_killed(cluster: Cluster) -> Iterator[None]:
    cluster.redis.stop()
    try:
        _last(cluster, 1, 3)
        yield
    finally:
        cluster.redis.start()


@contextmanager
def redis_restarted(cluster: Cluster) -> Iterator[None]:
    """Redis is empty afterwards."""
    _begin(cluster)
    cluster.redis.stop()
    cluster.redis.start()
    yield


@contextmanager
def redis_paused(cluster: Cluster) -> Iterator[None]:
    cluster.redis.process.send(SIGSTOP)
    try:
        time.sleep(10)
        yield
    finally:
        cluster.redis.process.send(SIGCONT)


@contextmanager
def postgresql_restarted(cluster: Cluster) -> Iterator[None]:
    _begin(cluster)
    cluster.postgresql.stop()
    cluster.postgresql.start()
    yield


@contextmanager
def postgresql_away(cluster: Cluster) -> Iterator[None]:
    cluster.postgresql.stop()
    try:
        _last(cluster, 1, 3)
        server = cluster.chance.choice(cluster.servers)
        assert server.get("/health/readiness").status == 503
        assert server.get("/health/liveness").status == 200
        yield
    finally:
        cluster.postgresql.start()


@contextmanager
def database_connections_killed(cluster: Cluster) -> Iterator[None]:
    _begin(cluster)
    cluster.postgresql.execute(
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {}").format(
            sql.SQL("backend_type = 'client backend'")
        )
    )
    yield


@contextmanager
def server_killed(cluster: Cluster) -> Iterator[None]:
    server = cluster.chance.choice(cluster.servers)
    server.process.kill()
    try:
        _last(cluster, 0.5, 1.5)
        yield
    finally:
        server.start()


@contextmanager
def server_paused(cluster: Cluster) -> Iterator[None]:
    server = cluster.chance.choice(cluster.servers)
    server.process.send(SIGSTOP)
    try:
        time.sleep(5)
        yield
    finally:
        server.process.send(SIGCONT)


@contextmanager
def bus_cut(cluster: Cluster) -> Iterator[None]:
    with _closed(cluster, cluster.bus_valves, Valve.cut):
        yield


@contextmanager
def bus_swallowed(cluster: Cluster) -> Iterator[None]:
    with _closed(cluster, cluster.bus_valves, Valve.swallow):
        yield


@contextmanager
def database_cut(cluster: Cluster) -> Iterator[None]:
    with _closed(cluster, cluster.database_valves, Valve.cut):
        yield


@contextmanager
def database_swallowed(cluster: Cluster) -> Iterator[None]:
    with _closed(cluster, cluster.database_valves, Valve.swallow):
        yield


@contextmanager
def messages_garbled(cluster: Cluster) -> Iterator[None]:
    """Lose, repeat, delay and reorder messages to all processes."""
    _garble(cluster, True)
    try:
        _last(cluster, 2, 4)
        yield
    finally:
        _garble(cluster, False)


def _garble(cluster: Cluster, garbling: bool) -> None:
    for valve in cluster.bus_valves:
        valve.garbling = garbling
        # Existing connections are not changed.
        valve.reset()


@contextmanager
def _closed(cluster: Cluster, valves: list[Valve], close: Callable[[Valve], None]) -> Iterator[None]:
    """Close the valve of one process."""
    valve = cluster.chance.choice(valves)
    close(valve)
    try:
        _last(cluster, 2, 6)
        yield
    finally:
        valve.open()


FAULTS = (
    Fault("Redis killed, and back", redis_killed, "redis", spares_database=True),
    Fault("Redis paused for 10 s", redis_paused, "redis", spares_database=True),
    Fault("Redis restarted, empty", redis_restarted, "redis"),
    Fault("Redis cut off from one process", bus_cut, "redis", spares_database=True),
    Fault("Redis behind a black hole for one process", bus_swallowed, "redis", spares_database=True),
    Fault("PostgreSQL restarted", postgresql_restarted, fails_calls=(503,)),
    Fault("PostgreSQL away, and back", postgresql_away, fails_calls=(503,)),
    Fault("connections to PostgreSQL killed", database_connections_killed, fails_calls=(503,)),
    Fault("PostgreSQL cut off from one process", database_cut, fails_calls=(503,)),
    Fault("PostgreSQL behind a black hole for one process", database_swallowed, fails_calls=(503,)),
    Fault("server process killed", server_killed, breaks_streams=True, fails_calls=(502,), spares_database=True),
    Fault("server process paused for 5 s", server_paused),
    # Calls may fail, since all connections to PostgreSQL are reset.
    Fault("messages lost, doubled, late and reordered", messages_garbled, fails_calls=(503,), spares_database=True),
)


def of(bus: str) -> tuple[Fault, ...]:
    """The faults that can happen with this bus."""
    return tuple(fault for fault in FAULTS if fault.bus in ("", bus))
