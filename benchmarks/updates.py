"""Many updates of many environments: ``python -m benchmarks.updates``.

By default 1,000 environments with 10 streams each, and 1,000 updates per second in total for a minute, posted as
``queue-change`` to a detached server. Measured: the updates per second (a server that is too slow falls behind, but is
not overrun, because each connection posts one at a time), their delay at the subscribers, the server's memory, and
whether each subscriber has the newest version in the end. If not, the exit status is 1.
"""

import argparse
import itertools
import secrets
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks import load, proc, report
from benchmarks.queue_change import post
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.streams import StreamClients, Target
from benchmarks.wire import Answer, ProtocolError
from realtime.types import EPOCH, TICK, first_readable

CONNECTIONS = 32
SAMPLE_SECONDS = 2.0
NEWEST_SECONDS = 15.0


class Publisher:
    """Posts the current time for one environment after the other. ``newest`` has the last version by stream path."""

    def __init__(self, port: int, keys: list[str], token: str) -> None:
        self.newest: dict[str, int] = {}
        self._port = port
        self._keys = keys
        self._headers = [f"Authorization: Token {token}"]

    def post_all(self) -> None:
        """Post once for each environment."""
        loop = load.Loop(self._port, self._requests(), self._check)
        loop.connect()
        try:
            while len(self.newest) < len(self._keys):
                loop.run(0.1)
        finally:
            loop.close()

    def post_for(self, seconds: float, rate: float) -> load.Paced:
        """A loop that posts at this rate, limited by the responses. The caller runs and closes it."""
        loop = load.Paced(self._port, self._requests(), self._check, rate)
        for _ in range(CONNECTIONS):
            loop.connect()
        return loop

    def _requests(self) -> Iterator[bytes]:
        for key in itertools.cycle(self._keys):
            self.newest[stream(key)] = now = readable_now()
            yield post(f"/sse/environments/{key}/queue-change", self._headers, now)

    def _check(self, answer: Answer) -> None:
        if answer.status != 202:
            raise ProtocolError(f"{answer.status}: {answer.body[:200]!r}")


def readable_now() -> int:
    """The current time in microseconds, rounded so that an event prints it exactly."""
    return (first_readable(datetime.now(UTC)) - EPOCH) // TICK


def stream(key: str) -> str:
    return f"/sse/environments/{key}/stream"


def measure(served: Product, token: str, arguments: argparse.Namespace, result: Report) -> bool:
    """Measure, and return whether each subscriber has the newest version in the end."""
    keys = [f"environment{index}" for index in range(arguments.environments)]
    publisher = Publisher(served.server.port, keys, token)
    publisher.post_all()
    targets = [Target(served.server.port, stream(key)) for key in keys]
    with StreamClients(targets, arguments.environments * arguments.subscribers) as clients:
        clients.open()
        loop = publisher.post_for(arguments.seconds, arguments.rate)
        clients.ask("record")
        server, began = proc.cpu_seconds(*served.pids), time.perf_counter()
        samples = [proc.usage(*served.pids).pss]
        while time.perf_counter() < began + arguments.seconds:
            loop.run(min(SAMPLE_SECONDS, began + arguments.seconds - time.perf_counter()))
            samples.append(proc.usage(*served.pids).pss)
        took, server = time.perf_counter() - began, proc.cpu_seconds(*served.pids) - server
        loop.drain()
        loop.close()
        newest = at_newest(clients, publisher.newest)
        recorded = clients.ask("recorded")
    delays = sorted(delay for answer in recorded for delay in answer["delays"])
    quarter = max(1, len(samples) // 4)
    second, last = statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:])
    result.add(
        "ours",
        {
            "updates_per_second": len(loop.each) / took,
            "events_per_second": sum(answer["events"] for answer in recorded) / took,
            "delay_p50_ms": report.percentile(delays, 0.5) * 1000,
            "delay_p99_ms": report.percentile(delays, 0.99) * 1000,
            "pss_begin_mib": samples[0] / 2**20,
            "pss_second_quarter_mib": second / 2**20,
            "pss_last_quarter_mib": last / 2**20,
            "pss_end_mib": samples[-1] / 2**20,
            "growth_mib": (last - second) / 2**20,
            "server_core_percent": server / took * 100,
            "all_at_newest": float(newest),
        },
    )
    return newest


def at_newest(clients: StreamClients, newest: dict[str, int]) -> bool:
    """Wait until all streams have their environment's last version; False after ``NEWEST_SECONDS``."""
    deadline = time.monotonic() + NEWEST_SECONDS
    while time.monotonic() < deadline:
        answers = clients.ask("newest")
        if sum(answer["streams"] for answer in answers) != clients.number:
            raise RuntimeError("streams are missing")
        if all(newest[path] == version for answer in answers for path, version in answer["versions"].items()):
            return True
        time.sleep(0.2)
    return False


def main() -> None:
    parser = report.parser("updates", __doc__)
    parser.add_argument("--environments", type=int, default=1_000)
    parser.add_argument("--subscribers", type=int, default=10, help="per environment")
    parser.add_argument("--rate", type=float, default=1_000, help="updates per second, of all environments")
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    names = ("environments", "subscribers", "rate", "seconds")
    conditions = {**{name: getattr(arguments, name) for name in names}, "through": "queue-change, detached, SQLite"}
    result = Report("updates", "", "many environments with many updates", conditions)
    result.notes.append("delay: from the post to the event's arrival, of each event at each stream")
    token = secrets.token_hex(16)
    with product(REALTIME_HOST="detached", SSE_AUTHENTICATION_TOKEN=token) as served:
        newest = measure(served, token, arguments, result)
    result.output(arguments)
    sys.exit(not newest)


if __name__ == "__main__":
    main()
