"""Consistency of ``flags/`` during toggles: ``python -m benchmarks.toggling``.

5,000 ``flags/`` per second, an admin who toggles, and a stream. The response to a request that is sent after an event
must not have an older version than the event, all responses of one version must be equal, and none an error. The first
violation ends the run with exit status 1.

P11 is the time from a toggle's request to its answer. With ``--flagsmith PATH``, a checkout, a real Flagsmith's too,
with its tasks in threads and without reads.
"""

import argparse
import itertools
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import load, proc, report
from benchmarks.admin import Admin
from benchmarks.client_process import READ_BYTES, REQUEST
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.streams import Target
from benchmarks.wire import START, Answer, ProtocolError, StreamReader
from tests.support.api import AdminAPI


class CheckedReads(load.Paced):
    """Requests, and a stream whose events determine the minimum version of later responses."""

    def __init__(self, port: int, requests: Iterator[bytes], rate: float, target: Target) -> None:
        super().__init__(port, requests, self._check_body, rate)
        self.newest = 0
        """The version of the last event."""

        self.events = 0
        self._min_versions: dict[int, int] = {}
        self._bodies: dict[int, bytes] = {}
        self._state, self._stream_reader = START, StreamReader()
        self._stream = socket.create_connection(("127.0.0.1", target.port), timeout=load.TIMEOUT)
        self._stream.sendall(REQUEST.format(path=target.path, port=target.port).encode())
        self._epoll.register(self._stream.fileno(), select.EPOLLIN)
        while not self.newest:
            self._read_stream()

    def close(self) -> None:
        super().close()
        self._stream.close()

    def _ready(self) -> list[tuple[int, int]]:
        ready = super()._ready()
        if any(descriptor == self._stream.fileno() for descriptor, _ in ready):
            self._read_stream()
        return [(descriptor, mask) for descriptor, mask in ready if descriptor != self._stream.fileno()]

    def _read_stream(self) -> None:
        data = self._stream.recv(READ_BYTES)
        self._state, events = self._stream_reader.read(self._state, data)
        if not data or self._state.ended:
            raise ProtocolError("the stream has ended")
        for event in events:
            self.events += event.version > self.newest
            self.newest = max(self.newest, event.version)

    def _send(self, descriptor: int) -> None:
        # If the request is not due yet, this is called again when it is.
        self._min_versions[descriptor] = self.newest
        super()._send(descriptor)

    def _answered(self, descriptor: int, answer: Answer) -> None:
        if answer.status != 200 or answer.version < self._min_versions[descriptor]:
            minimum = self._min_versions[descriptor]
            raise ProtocolError(f"{answer.status}, version {answer.version} after an event with {minimum}")
        super()._answered(descriptor, answer)

    def _check_body(self, answer: Answer) -> None:
        if self._bodies.setdefault(answer.version, answer.body) != answer.body:
            raise ProtocolError(f"two responses of version {answer.version} differ")


def toggle_until(stopped: threading.Event, admin: Admin, pause: float, toggles: list[float]) -> None:
    while not stopped.wait(pause):
        sent, answered = admin.toggle()
        toggles.append(answered - sent)


def measure(served: Product, arguments: argparse.Namespace, result: Report) -> None:
    requests = itertools.repeat(load.get("/api/v1/flags/", served.key))
    loop = CheckedReads(served.server.port, requests, arguments.rate, served.targets[0])
    stopped = threading.Event()
    toggles: list[float] = []
    thread = threading.Thread(target=toggle_until, args=(stopped, served.admin(), arguments.pause, toggles))
    try:
        for _ in range(load.CONNECTIONS):
            loop.connect()
        thread.start()
        server, began = proc.cpu_seconds(*served.pids), time.perf_counter()
        loop.run(arguments.seconds)
        took, server = time.perf_counter() - began, proc.cpu_seconds(*served.pids) - server
    finally:
        stopped.set()
        if thread.is_alive():
            thread.join()
        loop.close()
    each = sorted(loop.each)
    result.add(
        "ours",
        {
            "answers_per_second": len(each) / took,
            "toggles": len(toggles),
            "events": loop.events,
            "answer_p50_ms": report.percentile(each, 0.5) * 1000,
            "answer_p99_ms": report.percentile(each, 0.99) * 1000,
            "toggle_p50_ms": report.percentile(sorted(toggles), 0.5) * 1000,
            "server_core_percent": server / took * 100,
            "old_or_wrong_answers": 0,
        },
    )


def measure_flagsmith(path: Path, toggles: int, result: Report) -> None:
    from tests.flagsmith.checkout import Checkout
    from tests.flagsmith.monolith import Flagsmith, Tasks

    with Flagsmith(Checkout(path), Tasks.THREADS, {}) as flagsmith:
        tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
        state = tenant.state(tenant.add_feature("banner")["id"])["id"]
        seconds = []
        for number in range(toggles):
            flagsmith.settle()
            began = time.perf_counter()
            tenant.api.put(f"environments/{tenant.environment.key}/featurestates/{state}/", enabled=number % 2 == 0)
            seconds.append(time.perf_counter() - began)
    result.add("Flagsmith", {"toggles": toggles, "toggle_p50_ms": report.percentile(sorted(seconds), 0.5) * 1000})


def main() -> None:
    parser = report.parser("toggling", __doc__)
    parser.add_argument("--rate", type=float, default=5_000, help="flags/ per second")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two toggles")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--flagsmith", type=Path, metavar="PATH", help="a checkout of Flagsmith")
    parser.add_argument("--toggles", type=int, default=50, help="of Flagsmith")
    arguments = parser.parse_args()
    conditions = {name: getattr(arguments, name) for name in ("rate", "pause", "seconds")}
    result = Report("toggling", "P11", "toggles while flags are read", {**conditions, "connections": load.CONNECTIONS})
    with product() as served:
        measure(served, arguments, result)
    if arguments.flagsmith is not None:
        measure_flagsmith(arguments.flagsmith, arguments.toggles, result)
    result.output(arguments)


if __name__ == "__main__":
    main()
