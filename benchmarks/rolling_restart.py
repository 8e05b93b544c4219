"""A rollout that no client notices: ``python -m benchmarks.rolling_restart``.

Three processes on one PostgreSQL, behind nginx as ``deploy/nginx`` configures it, with 3,000 streams that connect again
as SDKs do, an admin who toggles and identities that ask for flags by POST. One process after the other is told to end
(SIGTERM), awaited, started again, and awaited until it is ready; nginx is not told anything.

Counted: streams that did not begin with 200 or did not end cleanly, versions that fell, streams that have not the
newest version at the end, calls that failed, and how many streams connected again in each second, beside streams /
drain window. Anything that is not 0, or a second above that rate, is exit status 1.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks import cores, proc, report
from benchmarks.report import Report
from benchmarks.riders import Identities, RidingHolder, Toggles
from benchmarks.server import Product, product
from benchmarks.soak import all_at
from benchmarks.streams import Herd, Target
from tests.support.nginx import Nginx
from tests.support.server import ServerProcess

# Before the first restart and after the last one.
CALM_SECONDS = 5.0

# A stream's mean age: what is opened evenly over it ends evenly.
OPENING_SECONDS = 27.0


@dataclass
class Phase:
    """A part of the story; times are of ``time.perf_counter``."""

    name: str
    began: float
    ended: float


@dataclass
class Ride:
    """What came of it."""

    phases: list[Phase] = field(default_factory=list)
    reconnects: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    """Of streams: another status than 200, a cut, a reset, a chunk that is not whole, a version that fell."""

    failures: Counter[str] = field(default_factory=Counter)
    """Of calls."""

    toggles: int = 0
    identities: int = 0
    all_at_newest: bool = False
    nginx_pss: int = 0
    """Bytes of memory of nginx with all streams."""

    @property
    def unnoticed(self) -> bool:
        return self.all_at_newest and not self.faults and not self.failures

    def rates(self, phase: Phase) -> list[int]:
        """How many streams connected again in each second of the phase; the last second may be a part of one."""
        seconds = Counter(int(at - phase.began) for at in self.reconnects if phase.began <= at < phase.ended)
        return [seconds[second] for second in range(int(phase.ended - phase.began) + 1)]


def ride(
    served: Product,
    nginx: Nginx,
    streams: int,
    *,
    toggles: float,
    identities: float,
    opening: float,
    calm: float,
    restart: Callable[[Sequence[ServerProcess], Ride], None],
) -> Ride:
    """Let all of them ride through what ``restart`` does."""
    told = Ride()
    feature = served.demo["features"][0]["id"]
    target = Target(nginx.port, f"/sse/environments/{served.key}/stream")
    admin = Toggles(nginx.port, served.demo["token"], served.key, feature, toggles)
    asking = Identities(nginx.port, served.key, identities)
    with Herd([target], streams, holder=RidingHolder) as herd:
        herd.ask("open", seconds=opening)
        with admin, asking:
            _pass(told, "before", calm)
            restart(served.servers, told)
            _pass(told, "after", calm)
        assert nginx.process is not None
        told.nginx_pss = proc.usage(nginx.process.pid).pss
        told.all_at_newest = all_at(herd, served.version())
        for story in herd.ask("story"):
            told.reconnects += story["reconnects"]
            told.faults += story["faults"]
    told.toggles, told.identities = admin.calls, asking.calls
    told.failures = admin.failures + asking.failures
    return told


def one_after_the_other(servers: Sequence[ServerProcess], told: Ride) -> None:
    """The rolling restart."""
    for number, server in enumerate(servers, start=1):
        began = time.perf_counter()
        server.stop(60)
        ended = time.perf_counter()
        told.phases.append(Phase(f"process {number} ends", began, ended))
        server.start()
        told.phases.append(Phase(f"process {number} starts", ended, time.perf_counter()))


def _pass(told: Ride, name: str, seconds: float) -> None:
    began = time.perf_counter()
    time.sleep(seconds)
    told.phases.append(Phase(name, began, time.perf_counter()))


def tell(told: Report, came: Ride, most: float) -> bool:
    """Whether the rate of reconnects stays under the most."""
    within = True
    for phase in came.phases:
        rates = came.rates(phase)
        within = within and max(rates) <= most
        told.add(
            phase.name,
            {
                "seconds": phase.ended - phase.began,
                "reconnects_per_second": sum(rates) / (phase.ended - phase.began),
                "most_in_one_second": max(rates),
            },
        )
    told.add(
        "all",
        {
            "reconnects": len(came.reconnects),
            "faults_of_streams": came.faults.total(),
            "all_at_newest": float(came.all_at_newest),
            "toggles": came.toggles,
            "identities": came.identities,
            "failed_calls": came.failures.total(),
            "nginx_pss_mib": came.nginx_pss / 2**20,
        },
    )
    told.notes += [f"{count} times {what}" for what, count in (came.faults + came.failures).most_common(20)]
    told.notes.append(f"streams / drain window: {most:g} a second; {'never' if within else 'NOT always'} exceeded")
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
    told = Report("rolling_restart", "", "a rolling restart behind nginx, under updates", conditions)
    told.notes.append("streams also connect again when they have their age: streams / 27 s, all the time")
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
            came = ride(
                served,
                nginx,
                arguments.streams,
                toggles=arguments.toggles,
                identities=arguments.identities,
                opening=OPENING_SECONDS,
                calm=CALM_SECONDS,
                restart=one_after_the_other,
            )
    within = tell(told, came, arguments.streams / arguments.drain_seconds)
    told.tell(arguments)
    sys.exit(not (came.unnoticed and within))


if __name__ == "__main__":
    main()
