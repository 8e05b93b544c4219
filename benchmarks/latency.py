"""How long after an admin's toggle a subscriber has the event: ``python -m benchmarks.latency [--json]``.

A real server on one core, the admin and the subscribers on the other. Two clocks for each toggle: from the moment the
admin sends the request, and from the moment the admin has the answer. The event may come before the answer does, so
the second one may be negative. With several subscribers the last one counts.
"""

import argparse
import http.client
import json
import os
import queue
import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.postgresql import PostgreSQL
from tests.support.server import MigratedDatabase, ServerProcess, migrated_postgresql, migrated_sqlite

TIMEOUT = 10.0


@dataclass(frozen=True)
class Toggle:
    """What one toggle took, in seconds."""

    answer: float
    """From the request to its answer."""

    event: float
    """From the request to the event's last byte, at the last subscriber."""

    @property
    def event_after_answer(self) -> float:
        return self.event - self.answer


class Subscribers:
    """Streams of one environment, all read by one thread while this is entered.

    ``arrivals`` has (version, time) of each event.
    """

    def __init__(self, port: int, key: str, number: int) -> None:
        self.arrivals: queue.SimpleQueue[tuple[Decimal, float]] = queue.SimpleQueue()
        self.number = number
        self._selector = selectors.DefaultSelector()
        for _ in range(number):
            stream = sse.connect(port, key)
            stream.next_event()
            self._selector.register(stream.connection, selectors.EVENT_READ, stream)
        # A byte through this pair ends the thread.
        self._stop, stopped = socket.socketpair()
        self._selector.register(stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read, name="subscribers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.send(b"x")
        self._thread.join()
        for registered in list(self._selector.get_map().values()):
            self._selector.unregister(registered.fileobj)
            registered.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._stop.close()

    def _read(self) -> None:
        while True:
            for ready, _ in self._selector.select():
                if ready.data is None:
                    return
                block = ready.data.next_block()
                if block.is_event:
                    self.arrivals.put((block.updated_at, block.at))

    def wait_for_all(self, after: Decimal) -> tuple[Decimal, float]:
        """The version of the next event, and when the last subscriber had it. A repeated event is passed over."""
        times: list[float] = []
        version = after
        while len(times) < self.number:
            arrived, at = self.arrivals.get(timeout=TIMEOUT)
            if arrived > after:
                version = arrived
                times.append(at)
        return version, max(times)


class Admin:
    """An admin who toggles one flag, on a connection that is kept open."""

    def __init__(self, port: int, tenant: Tenant) -> None:
        state = tenant.state(tenant.add_feature("toggled")["id"])
        self._path = f"/api/v1/environments/{tenant.environment.key}/featurestates/{state['id']}/"
        self._headers = {
            "Authorization": tenant.api.session.headers["Authorization"],
            "Content-Type": "application/json",
        }
        self._enabled = False
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def toggle(self) -> tuple[float, float]:
        """When the request was sent, and when its answer was there."""
        self._enabled = not self._enabled
        body = json.dumps({"enabled": self._enabled})
        sent = time.perf_counter()
        self._connection.request("PUT", self._path, body, self._headers)
        response = self._connection.getresponse()
        response.read()
        answered = time.perf_counter()
        if response.status != 200:
            raise RuntimeError(f"the toggle was answered with {response.status}")
        return sent, answered


def measure(server: ServerProcess, toggles: int, subscribers: int, warm_up: int = 20) -> list[Toggle]:
    """Toggle so often, one at a time. The first ``warm_up`` toggles are not counted."""
    tenant = Tenant.create(AdminAPI.registered(server.url))
    admin = Admin(server.port, tenant)
    version = tenant.version()
    measured = []
    with Subscribers(server.port, tenant.environment.key, subscribers) as streams:
        for _ in range(warm_up + toggles):
            sent, answered = admin.toggle()
            version, arrived = streams.wait_for_all(version)
            measured.append(Toggle(answered - sent, arrived - sent))
    return measured[warm_up:]


def summary(seconds: list[float]) -> dict[str, float]:
    """p50, p99 and max, in milliseconds."""
    percentiles = statistics.quantiles(seconds, n=100, method="inclusive")
    figures = {"p50": statistics.median(seconds), "p99": percentiles[98], "max": max(seconds)}
    return {name: round(value * 1000, 3) for name, value in figures.items()}


@contextmanager
def serving(flavour: str, database: str) -> Iterator[ServerProcess]:
    """A server with an empty database, on the first of this process's cores; this process moves to the others."""
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        template: MigratedDatabase = (
            migrated_postgresql(stack.enter_context(PostgreSQL()), folder / "template")
            if database == "postgresql"
            else migrated_sqlite(folder / "template")
        )
        # No stream ends of age meanwhile.
        variables = template.copy(folder / "server") | {"REALTIME_STREAM_SECONDS": "3600", "LOG_LEVEL": "WARNING"}
        server = ServerProcess(variables, flavour="daphne" if flavour == "daphne" else "uvicorn")
        os.sched_setaffinity(0, cores[:1])
        try:
            stack.enter_context(server)
        finally:
            os.sched_setaffinity(0, cores[1:] or cores)
        yield server
    os.sched_setaffinity(0, cores)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toggles", type=int, default=500)
    parser.add_argument("--subscribers", type=int, default=1)
    parser.add_argument("--flavour", choices=["uvicorn", "daphne"], default="uvicorn")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()

    with serving(arguments.flavour, arguments.database) as server:
        measured = measure(server, arguments.toggles, arguments.subscribers)
    figures = {
        "request_to_answer": summary([toggle.answer for toggle in measured]),
        "request_to_event": summary([toggle.event for toggle in measured]),
        "answer_to_event": summary([toggle.event_after_answer for toggle in measured]),
    }
    if arguments.json:
        conditions = {name: getattr(arguments, name) for name in ("toggles", "subscribers", "flavour", "database")}
        print(json.dumps({"benchmark": "latency", "unit": "ms", **conditions, **figures}))
        return
    print(
        f"{arguments.toggles} toggles, {arguments.subscribers} subscriber(s), {arguments.flavour}, {arguments.database}"
    )
    print(f"{'ms':20}{'p50':>10}{'p99':>10}{'max':>10}")
    for name, row in figures.items():
        print(f"{name.replace('_', ' '):20}{row['p50']:>10.2f}{row['p99']:>10.2f}{row['max']:>10.2f}")


if __name__ == "__main__":
    main()
