"""Propagation from a change in one process to a stream of another: ``python -m benchmarks.propagation [--json]``.

For each bus, two server processes of one database: an admin toggles at the first, one stream is open at the second.
Measured: from the admin's response to the event; from the version, which is set within the change's transaction, to the
event; and for the bus and the stream only, from a bare notification or PUBLISH to the event. With the memory bus, the
reconcile delivers the event.

Then the cost of NOTIFY in PostgreSQL: commits per second of writers that each change their own row, without and with a
notification in the transaction, with durable commits and without waiting for the disk.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from unittest import mock

import psycopg
import redis

from benchmarks import report
from benchmarks.latency import Subscribers, figures
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product
from realtime.types import epoch_seconds
from tests.support import postgresql
from tests.support.postgresql import PostgreSQL
from tests.support.redis import Redis

BUSES = ("memory", "postgres", "redis")

# Each of these takes up to a second.
RECONCILED_TOGGLES = 20

WARM_UP = 20

MICROSECOND = Decimal("0.000001")

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

WRITERS = (1, 8)

WRITE = "UPDATE versions SET version = version + 1 WHERE id = %s"
WRITE_AND_NOTIFY = """
WITH written AS (UPDATE versions SET version = version + 1 WHERE id = %s RETURNING version)
SELECT pg_notify('realtime', version::text) FROM written
"""


@dataclass(frozen=True)
class Arrival:
    """The delays until the other process's stream had the event, in seconds."""

    after_answer: float
    after_version: float


@contextmanager
def pair(bus: str) -> Iterator[Product]:
    """Two processes that share a database and use this bus."""
    with ExitStack() as stack:
        url = stack.enter_context(Redis()).url if bus == "redis" else ""
        database = "postgresql" if bus == "postgres" else "sqlite"
        yield stack.enter_context(product(database=database, processes=2, REALTIME_BUS=bus, REDIS_URL=url))


def measure(served: Product, toggles: int) -> list[Arrival]:
    """Measure so many toggles at the first process, one at a time."""
    admin = served.admin()
    version = Decimal(served.version()) / 1_000_000
    # The offset of the two clocks, to compare a version with an arrival.
    offset = time.time() - time.perf_counter()
    measured = []
    with Subscribers(served.servers[1].port, served.key, 1) as streams:
        for _ in range(toggles):
            _, answered = admin.toggle()
            version, arrived = streams.wait_for_all(version)
            measured.append(Arrival(arrived - answered, arrived + offset - float(version)))
    return measured


def measure_bare(served: Product, publish: Callable[[str], object], repeats: int) -> list[float]:
    """Measure the time from a message of this process to the event, without a change in a server."""
    measured = []
    with Subscribers(served.servers[1].port, served.key, 1) as streams:
        for _ in range(repeats):
            # Newer than all versions so far.
            version = epoch_seconds(datetime.now(UTC))
            text = message(served.key, version)
            began = time.perf_counter()
            publish(text)
            _, arrived = streams.wait_for_all(Decimal(version) - MICROSECOND)
            measured.append(arrived - began)
    return measured


def message(key: str, version: str) -> str:
    """A message on a bus (realtime/bus/messages.py)."""
    fields = {"channel": f"realtime-environment-{key}", "event_type": "environment_updated", "pub_id": None}
    return json.dumps({**fields, "data": f'{{"updated_at": {version}}}'})


@contextmanager
def bus_publisher(bus: str, served: Product) -> Iterator[Callable[[str], object]]:
    """A function that publishes a message on the bus."""
    if bus == "redis":
        with redis.Redis.from_url(served.server.variables["REDIS_URL"]) as client:
            yield partial(client.publish, "events_channel")
    else:
        with psycopg.connect(served.server.variables["DATABASE_URL"], autocommit=True) as connection:
            yield lambda text: connection.execute("SELECT pg_notify('realtime', %s)", (text,))


def commits(server: PostgreSQL, writers: int, seconds: float, statement: str, durable: bool = True) -> float:
    """Commits per second of so many writers, while one session listens."""
    context = multiprocessing.get_context("spawn")
    with psycopg.connect(server.url(), autocommit=True) as listener:
        listener.execute("LISTEN realtime")
        with context.Pool(writers) as pool:
            # Make each process import its modules before any of them begins.
            pool.map(_ready, range(writers), chunksize=1)
            tasks = [(server.url(), number, seconds, statement, durable) for number in range(writers)]
            done = pool.starmap_async(_write, tasks, chunksize=1)
            while not done.ready():
                for _ in listener.notifies(timeout=0.1):
                    pass
            return sum(done.get()) / seconds


def _ready(number: int) -> int:
    return number


def _write(url: str, number: int, seconds: float, statement: str, durable: bool) -> int:
    written = 0
    with psycopg.connect(url, autocommit=True) as connection:
        if not durable:
            connection.execute("SET synchronous_commit = off")
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            connection.execute(statement, (number,))
            written += 1
    return written


def measure_notify(result: Report, seconds: float, measurements: int) -> None:
    with mock.patch.dict(postgresql.SETTINGS, DURABLE), PostgreSQL() as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE versions (id int PRIMARY KEY, version bigint NOT NULL)")
            connection.execute("INSERT INTO versions SELECT number, 0 FROM generate_series(0, 99) AS number")
        for _ in range(measurements):
            for writers in WRITERS:
                rates: Figures = {
                    "commits_per_second": commits(server, writers, seconds, WRITE),
                    "notifying_commits_per_second": commits(server, writers, seconds, WRITE_AND_NOTIFY),
                    "notifying_without_the_disk_per_second": commits(
                        server, writers, seconds, WRITE_AND_NOTIFY, durable=False
                    ),
                }
                result.add(f"{writers} writers" if writers > 1 else "1 writer", rates)


def measure_bus(result: Report, bus: str, arguments: argparse.Namespace) -> None:
    toggles = RECONCILED_TOGGLES if bus == "memory" else arguments.toggles
    with pair(bus) as served:
        if bus != "memory":
            measure(served, WARM_UP)
        for _ in range(arguments.measurements):
            measured = measure(served, toggles)
            result.add(
                bus,
                {
                    **figures("answer_to_event", [arrival.after_answer for arrival in measured]),
                    **figures("version_to_event", [arrival.after_version for arrival in measured]),
                },
            )
        if bus != "memory":
            with bus_publisher(bus, served) as publish:
                for _ in range(arguments.measurements):
                    result.add(f"{bus} alone", figures("published_to_event", measure_bare(served, publish, toggles)))


def main() -> None:
    parser = report.parser("propagation", __doc__)
    parser.add_argument("--toggles", type=int, default=300)
    parser.add_argument("--measurements", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each measurement of commits")
    parser.add_argument("--buses", nargs="*", choices=BUSES, default=BUSES)
    arguments = parser.parse_args()
    conditions = {name: getattr(arguments, name) for name in ("toggles", "seconds")}
    result = Report("propagation", "P11", "from a response at one process to a stream of another", conditions)
    result.notes.append(f"memory: by the reconcile, {RECONCILED_TOGGLES} toggles")
    for bus in arguments.buses:
        measure_bus(result, bus, arguments)
    measure_notify(result, arguments.seconds, arguments.measurements)
    result.output(arguments)


if __name__ == "__main__":
    main()
