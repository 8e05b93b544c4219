"""The compared servers: ours, nchan, and stock django-eventstream."""

import argparse
import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Literal, Protocol

from benchmarks import cores
from benchmarks.admin import Admin
from benchmarks.peers import nchan, stock
from benchmarks.server import Product, product
from benchmarks.streams import Target

TIMEOUT = 60.0
CHANNEL = "benchmark"


class Subject(Protocol):
    """A server with one channel, which all streams subscribe to."""

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

    def __init__(self, port: int, pid: int, stream: str, publish: str, greeting: str) -> None:
        self.pids = [pid]
        self.targets = [Target(port, stream.format(channel=CHANNEL), greeting)]
        self._path = publish.format(channel=CHANNEL)
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
def ours() -> Iterator[Subject]:
    with product() as served:
        yield Ours(served)


@contextmanager
def nchan_server() -> Iterator[Subject]:
    with nchan.nginx() as (port, pid):
        peer = Peer(port, pid, nchan.STREAM, nchan.PUBLISH, "environment_updated")
        # The first event of new subscribers.
        peer.update()
        yield peer


@contextmanager
def stock_on(server: Literal["daphne", "uvicorn"]) -> Iterator[Subject]:
    with stock.stock(server) as (port, pid):
        yield Peer(port, pid, stock.STREAM, stock.PUBLISH, "stream-open")


SUBJECTS: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
    "ours": ours,
    "nchan": nchan_server,
    "stock-daphne": partial(stock_on, "daphne"),
    "stock-uvicorn": partial(stock_on, "uvicorn"),
}

CONDITIONS = {"server_core": "one", "client_core": "the other", "database": "SQLite", "stream_age": "an hour"}


def add_arguments(parser: argparse.ArgumentParser, streams: int) -> None:
    """Add the arguments for the streams, the measurements and the subjects."""
    parser.add_argument("--streams", type=int, default=streams)
    parser.add_argument("--measurements", type=int, default=3)
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="comma-separated subset")


def chosen(arguments: argparse.Namespace) -> dict[str, Callable[[], AbstractContextManager[Subject]]]:
    return {name: SUBJECTS[name] for name in arguments.subjects.split(",")}


# Without stock django-eventstream: it is slow, and its cost per stream is constant.
GROWTH_SUBJECTS = ("ours", "nchan")

# Measurements of each further number of streams.
MEASUREMENTS = 2


def add_growth(parser: argparse.ArgumentParser) -> None:
    files = cores.raise_file_limit()
    # The server reserves a fifth of them for everything else (docs/limits.md).
    max_streams = files * 4 // 5
    sizes = [size for size in (1_000, 2_000, 5_000, 10_000) if size < max_streams] + [min(20_000, max_streams)]
    parser.add_argument(
        "--growth", action="store_true", help="also measure ours and nchan with other numbers of streams"
    )
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(word) for word in text.split(",")],
        default=sizes,
        help=f"the other numbers of streams, by default {sizes}; a process may open {files} files",
    )


def sizes(arguments: argparse.Namespace, name: str) -> list[int]:
    """The other numbers of streams with which this subject is measured."""
    growing = arguments.growth and name in GROWTH_SUBJECTS
    return [size for size in arguments.sizes if growing and size != arguments.streams]


def streams_of(name: str, arguments: argparse.Namespace) -> int:
    """The number of streams of a subject; fewer for stock django-eventstream, which is slow."""
    return min(arguments.streams, arguments.stock_streams) if name.startswith("stock") else arguments.streams
