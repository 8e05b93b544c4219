"""The time from an admin's toggle to a subscriber's event: ``python -m benchmarks.latency [--json]``.

A real server on one core, the admin and the subscribers on the other. Measured for each toggle: from the request to the
event, and from the response to the event, which is negative if the event arrives first. With several subscribers the
last one counts.
"""

from dataclasses import dataclass

from benchmarks import report
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product
from benchmarks.streams import StreamClients, Target


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


def measure(served: Product, target: Target, toggles: int, subscribers: int = 1, warm_up: int = 20) -> list[Toggle]:
    """Measure so many toggles, one at a time, after ``warm_up`` ones that are not counted."""
    admin = served.admin()
    measured = []
    with StreamClients([target], subscribers) as streams:
        version = streams.open().version
        for _ in range(warm_up + toggles):
            streams.expect(after=version)
            sent, answered = admin.toggle()
            arrived = streams.arrived()
            version = arrived.version
            measured.append(Toggle(answered - sent, arrived.times[-1] - sent))
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
            measured = measure(served, served.targets[0], arguments.toggles, arguments.subscribers)
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
