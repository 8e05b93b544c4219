"""The time from an admin's toggle to a subscriber's event: ``python -m benchmarks.latency [--json]``.

A real server on one core, the admin and the subscribers on the other. Measured for each toggle: from the request to the
event, and from the response to the event, which is negative if the event arrives first. With several subscribers the
last one counts.
"""

import queue
import selectors
import socket
import threading
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Self

from benchmarks import report
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product
from tests.support import sse
from tests.support.patience import PATIENCE

TIMEOUT = PATIENCE


@dataclass(frozen=True)
class Toggle:
    """The durations of one toggle, in seconds."""

    answer: float
    """From the request to its response."""

    event: float
    """From the request to the event's last byte, at the last subscriber."""

    @property
    def event_after_answer(self) -> float:
        return self.event - self.answer


class Subscribers:
    """Streams of one environment, read by one thread in this context.

    ``arrivals`` has version and time of each event.
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
        """The version of the next event, and when the last subscriber had it. Repeated events are ignored."""
        times: list[float] = []
        version = after
        while len(times) < self.number:
            arrived, at = self.arrivals.get(timeout=TIMEOUT)
            if arrived > after:
                version = arrived
                times.append(at)
        return version, max(times)


def measure(served: Product, toggles: int, subscribers: int, warm_up: int = 20) -> list[Toggle]:
    """Measure so many toggles, one at a time, after ``warm_up`` ones that are not counted."""
    admin = served.admin()
    version = Decimal(served.version()) / 1_000_000
    measured = []
    with Subscribers(served.server.port, served.key, subscribers) as streams:
        for _ in range(warm_up + toggles):
            sent, answered = admin.toggle()
            version, arrived = streams.wait_for_all(version)
            measured.append(Toggle(answered - sent, arrived - sent))
    return measured[warm_up:]


def figures(name: str, seconds: list[float]) -> Figures:
    """p50, p99 and max, in milliseconds."""
    ordered = sorted(seconds)
    p50, p99 = report.percentile(ordered, 0.5), report.percentile(ordered, 0.99)
    return {f"{name}_p50_ms": p50 * 1000, f"{name}_p99_ms": p99 * 1000, f"{name}_max_ms": ordered[-1] * 1000}


def main() -> None:
    parser = report.parser("latency", __doc__)
    parser.add_argument("--toggles", type=int, default=500)
    parser.add_argument("--subscribers", type=int, default=1)
    parser.add_argument("--measurements", type=int, default=3)
    parser.add_argument("--flavour", choices=["uvicorn", "daphne"], default="uvicorn")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    arguments = parser.parse_args()
    names = ("toggles", "subscribers", "flavour", "database")
    conditions = {name: getattr(arguments, name) for name in names}
    result = Report("latency", "P6", "from an admin's toggle until the last subscriber has the event", conditions)
    result.quoted["real Flagsmith"] = "0.1 s with tasks in threads, 1 to 4 s with its task processor"
    with product(database=arguments.database, flavour=arguments.flavour) as served:
        for _ in range(arguments.measurements):
            measured = measure(served, arguments.toggles, arguments.subscribers)
            result.add(
                "ours",
                {
                    **figures("request_to_answer", [toggle.answer for toggle in measured]),
                    **figures("request_to_event", [toggle.event for toggle in measured]),
                    **figures("answer_to_event", [toggle.event_after_answer for toggle in measured]),
                },
            )
    result.output(arguments)


if __name__ == "__main__":
    main()
