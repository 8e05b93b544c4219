"""A rolling restart behind nginx, without failures for clients: ``python -m benchmarks.rolling_restart``.

Three processes on one PostgreSQL, behind nginx as ``deploy/nginx`` configures it, with 3,000 streams that connect again
as SDKs do, an admin who toggles, and requests for identities' flags by POST. One process after the other gets SIGTERM,
exits, is started again, and becomes ready; nginx is not reconfigured.

Counted: streams that do not begin with 200 or do not end cleanly, versions that decrease, streams without the newest
version at the end, failed calls, and reconnects per second. If any of the failures is not 0, or a second has more
reconnects than streams / drain window, the exit status is 1.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks import cores, proc, report
from benchmarks.report import Report
from benchmarks.restart_clients import IdentityCalls, ToggleCalls, TolerantClientProcess
from benchmarks.server import Product, product
from benchmarks.soak import all_at
from benchmarks.streams import StreamClients, Target
from tests.support.nginx import Nginx
from tests.support.server import ServerProcess

# Before the first restart and after the last one.
CALM_SECONDS = 5.0

# The streams' mean duration: streams that are opened evenly over it also end evenly.
OPENING_SECONDS = 27.0


@dataclass
class Phase:
    """A phase of the measurement; times are of ``time.perf_counter``."""

    name: str
    began: float
    ended: float


@dataclass
class Outcome:
    """The outcome of the measurement."""

    phases: list[Phase] = field(default_factory=list)
    reconnects: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    """Of streams: a status other than 200, a cut, a reset, an incomplete chunk, a decreasing version."""

    failures: Counter[str] = field(default_factory=Counter)
    """Of calls."""

    toggles: int = 0
    identities: int = 0
    all_at_newest: bool = False
    nginx_pss: int = 0
    """The memory of nginx with all streams, in bytes."""

    @property
    def is_clean(self) -> bool:
        return self.all_at_newest and not self.faults and not self.failures

    def rates(self, phase: Phase) -> list[int]:
        """The number of reconnects in each second of the phase; the last second may be incomplete."""
        seconds = Counter(int(at - phase.began) for at in self.reconnects if phase.began <= at < phase.ended)
        return [seconds[second] for second in range(int(phase.ended - phase.began) + 1)]


def run(
    served: Product,
    nginx: Nginx,
    streams: int,
    *,
    toggles: float,
    identities: float,
    opening: float,
    calm: float,
    restart: Callable[[Sequence[ServerProcess], Outcome], None],
) -> Outcome:
    """Run all clients during ``restart``."""
    outcome = Outcome()
    feature = served.demo["features"][0]["id"]
    target = Target(nginx.port, f"/sse/environments/{served.key}/stream")
    admin = ToggleCalls(nginx.port, served.demo["token"], served.key, feature, toggles)
    identity_calls = IdentityCalls(nginx.port, served.key, identities)
    with StreamClients([target], streams, client_process=TolerantClientProcess) as clients:
        clients.ask("open", seconds=opening)
        with admin, identity_calls:
            _wait(outcome, "before", calm)
            restart(served.servers, outcome)
            _wait(outcome, "after", calm)
        assert nginx.process is not None
        outcome.nginx_pss = proc.usage(nginx.process.pid).pss
        outcome.all_at_newest = all_at(clients, served.version())
        for answer in clients.ask("outcome"):
            outcome.reconnects += answer["reconnects"]
            outcome.faults += answer["faults"]
    outcome.toggles, outcome.identities = admin.calls, identity_calls.calls
    outcome.failures = admin.failures + identity_calls.failures
    return outcome


def restart_one_by_one(servers: Sequence[ServerProcess], outcome: Outcome) -> None:
    """Restart the servers one after the other."""
    for number, server in enumerate(servers, start=1):
        began = time.perf_counter()
        server.stop(60)
        ended = time.perf_counter()
        outcome.phases.append(Phase(f"process {number} ends", began, ended))
        server.start()
        outcome.phases.append(Phase(f"process {number} starts", ended, time.perf_counter()))


def _wait(outcome: Outcome, name: str, seconds: float) -> None:
    began = time.perf_counter()
    time.sleep(seconds)
    outcome.phases.append(Phase(name, began, time.perf_counter()))


def add_figures(result: Report, outcome: Outcome, max_rate: float) -> bool:
    """Add the figures, and return whether the rate of reconnects stays below the maximum."""
    within = True
    for phase in outcome.phases:
        rates = outcome.rates(phase)
        within = within and max(rates) <= max_rate
        result.add(
            phase.name,
            {
                "seconds": phase.ended - phase.began,
                "reconnects_per_second": sum(rates) / (phase.ended - phase.began),
                "most_in_one_second": max(rates),
            },
        )
    result.add(
        "all",
        {
            "reconnects": len(outcome.reconnects),
            "faults_of_streams": outcome.faults.total(),
            "all_at_newest": float(outcome.all_at_newest),
            "toggles": outcome.toggles,
            "identities": outcome.identities,
            "failed_calls": outcome.failures.total(),
            "nginx_pss_mib": outcome.nginx_pss / 2**20,
        },
    )
    result.notes += [f"{count} times {what}" for what, count in (outcome.faults + outcome.failures).most_common(20)]
    result.notes.append(
        f"streams / drain window: {max_rate:g} per second; {'never' if within else 'NOT always'} exceeded"
    )
    return within


def main() -> None:
    parser = report.parser("rolling_restart", __doc__)
    parser.add_argument("--streams", type=int, default=3_000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--drain-seconds", type=float, default=10.0)
    parser.add_argument("--toggles", type=float, default=2.0, help="a second")
    parser.add_argument("--identities", type=float, default=50.0, help="a second")
    arguments = parser.parse_args()
    names = ("streams", "processes", "drain_seconds", "toggles", "identities")
    conditions = {**{name: getattr(arguments, name) for name in names}, "database": "PostgreSQL", "stream_age": "30 s"}
    result = Report("rolling_restart", "", "a rolling restart behind nginx, under updates", conditions)
    result.notes.append("streams also reconnect at the end of their duration, at any time: streams / 27 s")
    with product(
        database="postgresql",
        processes=arguments.processes,
        on=cores.CORES,
        stream_seconds="30",
        REALTIME_DRAIN_SECONDS=str(arguments.drain_seconds),
        REALTIME_TRUSTED_PROXIES="127.0.0.1",
    ) as served:
        files = cores.raise_file_limit()
        with Nginx([server.port for server in served.servers], files=files) as nginx:
            outcome = run(
                served,
                nginx,
                arguments.streams,
                toggles=arguments.toggles,
                identities=arguments.identities,
                opening=OPENING_SECONDS,
                calm=CALM_SECONDS,
                restart=restart_one_by_one,
            )
    within = add_figures(result, outcome, arguments.streams / arguments.drain_seconds)
    result.output(arguments)
    sys.exit(not (outcome.is_clean and within))


if __name__ == "__main__":
    main()
