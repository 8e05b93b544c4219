"""The main figures of another checkout and of this one, by turns: ``python -m benchmarks.against PATH [FIGURE...]``.

PATH is a checkout, for example of the commit before (``git worktree add``). Its server is measured by the load clients
of this checkout, then this checkout's server, and so on. A ratio above 1 is better: of requests per second now to
before, and of milliseconds or MiB before to now. Rates count the server's CPU time, so that they are valid on a busy
machine too. The median of the rounds' ratios counts. An event may arrive before the answer, so the ratio of a time
that is not positive is omitted; compare the milliseconds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import cores, latency, load, proc, report
from benchmarks.reads import Environment, Load, Server
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product, relay
from benchmarks.streams import StreamClients
from tests.support import programs

FEATURES, SEGMENTS, IDENTITIES = 50, 5, 500
WARM_UP_STREAMS = 50
UPDATES = 5

# Longer than REALTIME_REPEAT_SECONDS, as in fanout.
PAUSE_SECONDS = 2.5

READS: dict[str, Callable[[Environment, Server], Load]] = {
    "flags": Environment.flags,
    "identities_get": Environment.gets,
    "identities_post": Environment.posts,
    "ofrep": Environment.evaluations,
    "ofrep_304": Environment.unchanged,
}

UNITS = {
    **dict.fromkeys((*READS, "relay_flags"), "per CPU second"),
    **dict.fromkeys(("idle_memory", "streams_memory"), "MiB"),
    **dict.fromkeys(("fanout", "answer_to_event", "request_to_event"), "ms"),
}
"""The figures, in the order of their table, with their units."""


def measure(checkout: Path, chosen: set[str], arguments: argparse.Namespace) -> Figures:
    """The chosen figures of a new server of this checkout."""
    figures: Figures = {}
    with product(checkout=checkout) as served:
        if chosen & {"idle_memory", "streams_memory", "fanout"}:
            figures |= measure_streams(served, chosen, arguments.streams)
        if chosen & {"answer_to_event", "request_to_event"}:
            measured = latency.measure(served, served.targets[0], arguments.toggles)
            figures["answer_to_event"] = statistics.median(toggle.event_after_answer for toggle in measured) * 1000
            figures["request_to_event"] = statistics.median(toggle.event for toggle in measured) * 1000
        if chosen & {*READS, "relay_flags"}:
            figures |= measure_reads(served, chosen, arguments.seconds)
    return figures


def measure_streams(served: Product, chosen: set[str], streams: int) -> Figures:
    """The memory without streams and with so many, and the time of an update from the first to the last of them."""
    figures = {"idle_memory": proc.settled(*served.pids).pss / 2**20}
    if not chosen & {"streams_memory", "fanout"}:
        return figures
    with StreamClients(served.targets, WARM_UP_STREAMS) as clients:
        clients.open()
    before = proc.settled(*served.pids).pss
    admin = served.admin()
    spreads = []
    with StreamClients(served.targets, streams, processes=1) as clients:
        version = clients.open().version
        figures["streams_memory"] = (proc.settled(*served.pids).pss - before) / 2**20
        # The first one is not counted.
        for _ in range(1 + UPDATES if "fanout" in chosen else 0):
            time.sleep(PAUSE_SECONDS)
            clients.expect(after=version)
            admin.reconnect()
            admin.toggle()
            arrived = clients.arrived()
            version = arrived.version
            spreads.append((arrived.times[-1] - arrived.times[0]) * 1000)
    return figures | ({"fanout": statistics.median(spreads[1:])} if spreads else {})


def measure_reads(served: Product, chosen: set[str], seconds: float) -> Figures:
    """Reads per second of the server's CPU time."""
    environment = Environment(served, FEATURES, SEGMENTS, IDENTITIES)
    server = Server(served.server.port, served.pids)
    figures = {name: rate(make(environment, server), seconds) for name, make in READS.items() if name in chosen}
    if "relay_flags" in chosen:
        with relay(served) as held:
            figures["relay_flags"] = rate(environment.flags(Server(held.port, [held.process.pid])), seconds)
    return figures


def rate(made: Load, seconds: float) -> float:
    server, requests, check = made
    return load.run(server.port, server.pids, requests, check, seconds=seconds).figures()["per_cpu_second"]


def compared(name: str, before: float, now: float) -> Figures:
    """The row of a figure."""
    figures = {"before": before, "now": now}
    if min(before, now) > 0:
        figures["ratio"] = now / before if UNITS[name] == "per CPU second" else before / now
    return figures


def main() -> None:
    parser = report.parser("against", __doc__)
    parser.add_argument("path", type=Path, metavar="PATH", help="the other checkout")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(UNITS)}; by default all")
    parser.add_argument("--rounds", type=int, default=3, help="of each checkout")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load of requests")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--toggles", type=int, default=100)
    arguments = parser.parse_args()
    if unknown := set(arguments.figures) - set(UNITS):
        parser.error(f"unknown figures: {', '.join(sorted(unknown))}")
    chosen = set(arguments.figures or UNITS)
    cores.raise_file_limit()
    names = ("rounds", "seconds", "streams", "toggles")
    result = Report("against", "", "another checkout and this one, by turns", report.conditions(arguments, *names))
    for number in range(1, arguments.rounds + 1):
        pair = []
        for checkout in (arguments.path.resolve(), programs.ROOT):
            report.progress(f"against: round {number} of {arguments.rounds}, {checkout}")
            pair.append(measure(checkout, chosen, arguments))
        before, now = pair
        for name, unit in UNITS.items():
            if name in chosen:
                result.add(f"{name}, {unit}", compared(name, before[name], now[name]))
    result.notes.append("a ratio above 1: this checkout is better; the median of the rounds' ratios")
    result.output(arguments)


if __name__ == "__main__":
    main()
