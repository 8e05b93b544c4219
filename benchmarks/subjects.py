"""The compared servers of streams: ours and nchan. Both have one channel, which all streams subscribe to."""

import argparse
import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

from benchmarks import cores, report
from benchmarks.admin import Admin
from benchmarks.peers import nchan
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product
from benchmarks.streams import Target

TIMEOUT = 60.0
CHANNEL = "benchmark"


class Subject(Protocol):
    """A server."""

    pids: list[int]
    targets: list[Target]

    def update(self) -> tuple[float, float]:
        """Make one update. Returns the times of its request and its response (``time.perf_counter``)."""


class Ours:
    """Our product. An update is an admin's toggle: HTTP, permissions, a transaction, and the event."""

    def __init__(self, served: Product) -> None:
        self.pids = served.pids
        self.targets = served.targets
        self._admin: Admin = served.admin()

    def update(self) -> tuple[float, float]:
        self._admin.reconnect()
        return self._admin.toggle()


class Peer:
    """A peer. An update is a request with the event's data, without storage and permissions."""

    def __init__(self, port: int, pid: int) -> None:
        self.pids = [pid]
        self.targets = [Target(port, nchan.STREAM.format(channel=CHANNEL))]
        self._path = nchan.PUBLISH.format(channel=CHANNEL)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def update(self) -> tuple[float, float]:
        self._connection.close()
        self._connection.connect()
        # The same event as ours.
        data = json.dumps({"updated_at": time.time_ns() // 1000 / 1_000_000})
        headers = {"Content-Type": "application/json", "X-EventSource-Event": "environment_updated"}
        sent = time.perf_counter()
        self._connection.request("POST", self._path, data, headers)
        response = self._connection.getresponse()
        response.read()
        if response.status // 100 != 2:
            raise RuntimeError(f"the update got {response.status}")
        return sent, time.perf_counter()


@contextmanager
def ours(processes: int, on: list[int]) -> Iterator[Subject]:
    with product(processes=processes, on=on) as served:
        yield Ours(served)


@contextmanager
def nchan_server(processes: int, on: list[int]) -> Iterator[Subject]:
    with nchan.nginx(processes, on) as (port, pid):
        peer = Peer(port, pid)
        # The first event of new subscribers.
        peer.update()
        yield peer


SUBJECTS = {"ours": ours, "nchan": nchan_server}


def add_arguments(parser: argparse.ArgumentParser, streams: int) -> None:
    """Add the arguments for the streams, the measurements and the subjects."""
    parser.add_argument("--streams", type=int, nargs="+", default=[streams], help="one or more numbers of streams")
    parser.add_argument("--measurements", type=int, default=3)
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="comma-separated subset")


def measure_each(
    result: Report,
    arguments: argparse.Namespace,
    measure: Callable[[Subject, int], list[Figures]],
    processes: int = 1,
    on: list[int] = cores.SERVER,
) -> None:
    """Measure each subject with each number of streams, with a new server for each of them."""
    result.conditions["stream_age"] = "an hour"

    for streams in arguments.streams:

        def measure_one(name: str, subject: Subject, streams: int = streams) -> None:
            row = name if len(arguments.streams) == 1 else f"{name}, {streams:,}"
            for figures in measure(subject, streams):
                result.add(row, figures)

        chosen: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
            name: partial(SUBJECTS[name], processes, on) for name in arguments.subjects.split(",")
        }
        report.measure_all(result, chosen, measure_one)
