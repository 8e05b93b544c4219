"""A day of a service in ten minutes, through two relays behind nginx: ``python -m benchmarks.relay_day``.

By default 500 environments, 20,000 streams that end and connect again, 50 changes and 5,000 reads a second. The relays
share a Redis. Changes are made by a process in the place of a Flagsmith (``document_server.py``), which posts each
version to nginx. All processes share all cores.

For each minute: the time from a change to its event at each stream, the time of reads, counted from when they are due,
and the memory of each process. Counted: reads that are older than an event that came before them, and streams that
connect again and begin with an older version than they had, both if another relay has answered; failures of streams,
reads and posts; and, at the end, streams without their newest version. If any of them is not 0, or memory grows, the
exit status is 1.
"""

import argparse
import gc
import itertools
import random
import select
import socket
import statistics
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import cores, load, proc, report
from benchmarks.client_process import READ_BYTES, REQUEST
from benchmarks.document_server import DocumentServer
from benchmarks.report import Figures, Report
from benchmarks.restart_clients import TolerantClientProcess
from benchmarks.streams import StreamClients, Target
from benchmarks.wire import START, Answer, ProtocolError, State, StreamReader
from tests.faults.contention import seconds_without_core
from tests.support.api import EnvironmentOfTenant
from tests.support.nginx import Nginx
from tests.support.redis import Redis
from tests.support.relay import TOKEN, RelayServer

RELAYS = 2

# A stream takes two open files of a worker, and workers do not get equally many.
NGINX_WORKERS = 4
NGINX_FILES = 20_000

MAX_STREAMS_PER_CLIENT = 10_000

READERS = 128
"""Connections of reads."""

SAMPLE_SECONDS = 5.0
NEWEST_SECONDS = 30.0

# The permitted growth of a process from the second quarter of the day to the last one.
MAX_GROWTH = 0.05
MAX_GROWTH_BYTES = 8 * 2**20

IDENTITIES = 1_000

BEGINS_OLDER = "a stream that begins with version"
"""The beginning of a message of ``ReconnectingClientProcess``."""


@dataclass
class Service:
    """The servers, and the environments that they serve."""

    environments: list[EnvironmentOfTenant]
    upstream: DocumentServer
    redis: Redis
    relays: list[RelayServer]
    nginx: Nginx

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name."""
        assert self.nginx.process is not None
        relays = {f"relay {number}": relay.process.pid for number, relay in enumerate(self.relays, start=1)}
        others = {"nginx": self.nginx.process.pid, "Redis": self.redis.process.pid, "upstream": self.upstream.pid}
        return relays | others

    def targets(self) -> list[Target]:
        return [Target(self.nginx.port, _stream(each.key)) for each in self.environments]


@contextmanager
def service(environments: int, features: int, stream_seconds: float, number: int = RELAYS) -> Iterator[Service]:
    """Start this number of relays, and the other servers."""
    made = [
        EnvironmentOfTenant(index, f"day {index}", f"day{index}", f"ser.day{index}") for index in range(environments)
    ]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(Redis())
        upstream = stack.enter_context(DocumentServer(made, features, TOKEN))
        variables = {
            "REDIS_URL": redis.url,
            "REALTIME_STREAM_SECONDS": str(stream_seconds),
            "REALTIME_TRUSTED_PROXIES": "127.0.0.1",
            "LOGGING": '{"log_level": "WARNING"}',
        }
        relays = []
        for index in range(number):
            (own := folder / str(index)).mkdir()
            api_url, poll = f"http://127.0.0.1:{upstream.port}/api/v1", {"api_poll_frequency_seconds": 10}
            relays.append(stack.enter_context(RelayServer(own, api_url, *made, configuration=poll, **variables)))
        nginx = Nginx([relay.port for relay in relays], workers=NGINX_WORKERS, files=NGINX_FILES)
        yield Service(made, upstream, redis, relays, stack.enter_context(nginx))


class Reads(load.Paced):
    """Reads of random environments, and a stream of each environment, whose events determine what a read should have.

    The time of a read counts from when it is due, so a pause of the servers delays all reads that are due meanwhile.
    """

    def __init__(self, port: int, keys: list[str], rate: float, identities: float) -> None:
        self._keys = keys
        self._identities = identities
        self._chance = random.Random(0)
        self._chosen = 0
        self._newest = [0] * len(keys)
        """The version of the last event of each environment, in microseconds."""

        self._before: dict[int, tuple[int, int]] = {}
        """The environment of a connection's request, and its last event's version when it was sent."""

        self.older = 0
        """Answers that are older than an event that had come before the request was sent."""

        self.failures: Counter[str] = Counter()
        """Answers other than 200."""

        self.times = array("d")
        """The seconds of each read since the last ``take``."""

        self._streams: dict[int, tuple[int, socket.socket, State]] = {}
        self._stream_reader = StreamReader()
        super().__init__(port, self._requests(), self._check_answer, rate)
        for index in range(len(keys)):
            self._open_stream(index)

    def take(self) -> "array[float]":
        """The seconds of each read since the last call."""
        self.each.clear()
        taken, self.times = self.times, array("d")
        return taken

    def close(self) -> None:
        super().close()
        for _, connection, _ in self._streams.values():
            connection.close()

    def _requests(self) -> Iterator[bytes]:
        flags = [load.get("/api/v1/flags/", key) for key in self._keys]
        while True:
            self._chosen = index = self._chance.randrange(len(flags))
            if self._chance.random() >= self._identities:
                yield flags[index]
            else:
                user = self._chance.randrange(IDENTITIES)
                yield load.get(f"/api/v1/identities/?identifier=user-{user}", self._keys[index])

    def _send(self, descriptor: int) -> None:
        number = self._number
        super()._send(descriptor)
        if self._number > number:
            self._sent[descriptor] = min(self._sent[descriptor], self._began + number / self._rate)
            self._before[descriptor] = self._chosen, self._newest[self._chosen]

    def _answered(self, descriptor: int, answer: Answer) -> None:
        self.times.append(self.each[-1])
        if answer.status != 200:
            self.failures[f"a read got {answer.status}"] += 1
            return
        super()._answered(descriptor, answer)
        self.older += answer.version < self._before[descriptor][1]

    def _check_answer(self, answer: Answer) -> None:
        # The value of a flag is the version of its document.
        if b'"%d"' % answer.version not in answer.body:
            raise ProtocolError(f"version {answer.version}: {answer.body[:500]!r}")

    def _ready(self) -> list[tuple[int, int]]:
        ready, streams = super()._ready(), self._streams
        for descriptor, _ in ready:
            if descriptor in streams:
                self._read_stream(descriptor)
        return [each for each in ready if each[0] in self._sockets]

    def _open_stream(self, index: int) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=load.TIMEOUT)
        connection.sendall(REQUEST.format(path=_stream(self._keys[index]), port=self._port).encode())
        connection.setblocking(False)
        self._streams[connection.fileno()] = index, connection, START
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _read_stream(self, descriptor: int) -> None:
        index, connection, state = self._streams[descriptor]
        data = connection.recv(READ_BYTES)
        if not data:
            raise ProtocolError("a stream was cut")
        state, events = self._stream_reader.read(state, data)
        self._streams[descriptor] = index, connection, state
        for event in events:
            self._newest[index] = max(self._newest[index], event.version)
        if state.ended:
            del self._streams[descriptor]
            connection.close()
            self._open_stream(index)


@dataclass
class Day:
    """The outcome."""

    minutes: list[Figures] = field(default_factory=list)
    memory: dict[str, list[int]] = field(default_factory=dict)
    """The resident memory of each process at regular times, in bytes."""

    reads: int = 0
    older: int = 0
    begun_older: int = 0
    changes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Of streams, reads and posts."""

    all_at_newest: bool = False

    def growth(self, name: str) -> tuple[float, float]:
        """The process's median memory in the second quarter of the day, and in the last one."""
        samples = self.memory[name]
        quarter = max(1, len(samples) // 4)
        return statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:])

    @property
    def grows(self) -> list[str]:
        """The processes whose memory grows by more than the maximum."""
        pairs = {name: self.growth(name) for name in self.memory}
        return [
            name
            for name, (before, after) in pairs.items()
            if after - before > max(MAX_GROWTH * before, MAX_GROWTH_BYTES)
        ]


def measure(served: Service, arguments: argparse.Namespace) -> Day:
    """Run the day."""
    day = Day(memory={name: [] for name in served.pids})
    number = max(arguments.streams, arguments.environments)
    with StreamClients(
        served.targets(),
        number,
        processes=-(-number // MAX_STREAMS_PER_CLIENT),
        client_process=TolerantClientProcess,
        on=cores.CORES,
    ) as clients:
        clients.ask("open", seconds=arguments.opening_seconds)
        report.progress(f"relay_day: {number} streams are open")
        reads = Reads(
            served.nginx.port, [each.key for each in served.environments], arguments.reads, arguments.identities
        )
        served.upstream.start(served.nginx.port, arguments.changes)
        gc.freeze()
        try:
            for _ in range(READERS):
                reads.connect()
            reads.run(load.WARM_UP_SECONDS)
            reads.take()
            clients.ask("record")
            for minute in itertools.count(1):
                if minute > arguments.minutes:
                    break
                day.minutes.append(_minute(served, clients, reads, day, arguments.minute_seconds))
                report.progress(f"relay_day: minute {minute}: {day.minutes[-1]}")
            day.changes, failed_posts, versions = served.upstream.stop()
            reads.drain()
        finally:
            reads.close()
            gc.unfreeze()
        newest = {target.path: version for target, version in zip(served.targets(), versions, strict=True)}
        day.all_at_newest = _all_at_newest(clients, newest)
        outcomes = [answer["faults"] for answer in clients.ask("outcome")]
        for message, count in sum(outcomes, failed_posts + reads.failures).items():
            if message.startswith(BEGINS_OLDER):
                day.begun_older += count
            else:
                day.failures[message] += count
    day.older = reads.older
    return day


def _minute(served: Service, clients: StreamClients, reads: Reads, day: Day, seconds: float) -> Figures:
    """Run one minute, and return its figures."""
    pids = served.pids
    worked = {name: proc.cpu_seconds(pid) for name, pid in pids.items()}
    relays = {name: pid for name, pid in pids.items() if name.startswith("relay")}
    waited = {name: seconds_without_core(pid) for name, pid in relays.items()}
    client, began = time.process_time(), time.perf_counter()
    while (left := began + seconds - time.perf_counter()) > 0:
        reads.run(min(SAMPLE_SECONDS, left))
        for name, pid in pids.items():
            day.memory[name].append(proc.resident(pid))
    took = time.perf_counter() - began
    percent = {name: (proc.cpu_seconds(pid) - worked[name]) / took * 100 for name, pid in pids.items()}
    no_core = {name: (seconds_without_core(pid) - waited[name]) / took * 100 for name, pid in relays.items()}
    client = time.process_time() - client
    recorded = clients.ask("recorded")
    clients.ask("record")
    events = sorted(delay for answer in recorded for delay in answer["delays"])
    times = sorted(reads.take())
    day.reads += len(times)
    return {
        "events_per_second": len(events) / took,
        "event_p50_ms": report.percentile(events, 0.5) * 1000,
        "event_p99_ms": report.percentile(events, 0.99) * 1000,
        "reads_per_second": len(times) / took,
        "read_p50_ms": report.percentile(times, 0.5) * 1000,
        "read_p99_ms": report.percentile(times, 0.99) * 1000,
        **{f"{name.replace(' ', '_')}_mib": day.memory[name][-1] / 2**20 for name in pids},
        **{f"{name.replace(' ', '_')}_core_percent": value for name, value in percent.items()},
        "reader_core_percent": client / took * 100,
        # Of the event loop's thread. If it is high, the machine limits the relay.
        **{f"{name.replace(' ', '_')}_no_core_percent": value for name, value in no_core.items()},
    }


def _all_at_newest(clients: StreamClients, newest: Mapping[str, int]) -> bool:
    """Wait until all streams are open and have their environment's last version; False after ``NEWEST_SECONDS``."""
    deadline = time.monotonic() + NEWEST_SECONDS
    while time.monotonic() < deadline:
        answers = clients.ask("newest")
        is_open = sum(answer["streams"] for answer in answers) == clients.number
        if is_open and all(newest[path] == version for each in answers for path, version in each["versions"].items()):
            return True
        time.sleep(0.2)
    return False


def _stream(key: str) -> str:
    return f"/sse/environments/{key}/stream"


def main() -> None:
    parser = report.parser("relay_day", __doc__)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--environments", type=int, default=500)
    parser.add_argument("--streams", type=int, default=20_000)
    parser.add_argument("--changes", type=float, default=50, help="of flags, per second")
    parser.add_argument("--reads", type=float, default=5_000, help="per second")
    parser.add_argument("--identities", type=float, default=0.1, help="part of the reads; the others are flags/")
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--stream-seconds", type=float, default=120, help="age at which a stream ends")
    parser.add_argument("--opening-seconds", type=float, default=60, help="time over which the streams are opened")
    parser.add_argument("--minute-seconds", type=float, default=60, help="shorter minutes, for tests")
    arguments = parser.parse_args()
    cores.raise_file_limit()
    names = ("minutes", "environments", "streams", "changes", "reads", "identities", "features", "stream_seconds")
    result = Report(
        "relay_day", "", "a day in ten minutes, through two relays", {name: getattr(arguments, name) for name in names}
    )
    with service(arguments.environments, arguments.features, arguments.stream_seconds) as served:
        day = measure(served, arguments)
    add_figures(result, day)
    result.output(arguments)
    sys.exit(not day.all_at_newest or bool(day.failures or day.older or day.begun_older or day.grows))


def add_figures(result: Report, day: Day) -> None:
    for minute, figures in enumerate(day.minutes, start=1):
        result.add(f"minute {minute}", figures)
    growth = {name: day.growth(name) for name in day.memory}
    result.add(
        "all",
        {
            "changes": day.changes,
            "reads": day.reads,
            "reads_older_than_an_event": day.older,
            "streams_that_began_older": day.begun_older,
            "failures": day.failures.total(),
            "all_at_newest": float(day.all_at_newest),
            **{
                f"{name.replace(' ', '_')}_growth_mib": (after - before) / 2**20
                for name, (before, after) in growth.items()
            },
        },
    )
    result.notes += [f"{count} times {what}" for what, count in day.failures.most_common(20)]
    result.notes.append("growth: from the second quarter of the day to the last one")
    result.notes += [f"{name}: memory GROWS" for name in day.grows]


if __name__ == "__main__":
    main()
