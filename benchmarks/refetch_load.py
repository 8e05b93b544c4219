"""The time from a toggle until all streaming clients have refetched the flags: ``python -m benchmarks.refetch_load``.

P5. As an SDK does, each client requests ``flags/`` after the event, on a new connection (the server would have closed
an idle one since the last event). It has finished when the response has the event's version or a newer one, and the
toggled state. The time starts with the toggle's request.

With ``--flagsmith PATH``, a checkout, also in front of a real Flagsmith: an admin toggles by its API, the clients have
their streams at the relay and refetch from it. Flagsmith's answers to the relay for that version are counted.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import cores, proc, report
from benchmarks.refetching import RefetchingClientProcess
from benchmarks.report import Figures, Report
from benchmarks.server import STREAM_SECONDS, Product, product
from benchmarks.streams import StreamClients, Target

FEATURES = 50
"""Of the Flagsmith's environment."""

PAUSE_SECONDS = 2.5


def measure(
    target: Target,
    key: str,
    feature: int,
    toggle: Callable[[bool], float],
    pids: list[int],
    arguments: argparse.Namespace,
) -> list[Figures]:
    """Measure so many toggles, after one that is not counted. ``toggle`` returns the time of its request."""
    measured = []
    with StreamClients(
        [target],
        arguments.streams,
        processes=1,
        window=arguments.window,
        client_process=RefetchingClientProcess,
        key=key,
        port=target.port,
        feature=feature,
    ) as clients:
        version = clients.open().version
        for number in range(arguments.measurements + 1):
            time.sleep(PAUSE_SECONDS)
            enabled = number % 2 == 0
            clients.expect(after=version, enabled=enabled)
            cpu = proc.cpu_seconds(*pids)
            sent = toggle(enabled)
            arrived = clients.arrived()
            cpu = proc.cpu_seconds(*pids) - cpu
            version = arrived.version
            measured.append(
                {
                    **report.spread(arrived.times, since=sent),
                    "refetches_per_second": arguments.streams / (arrived.times[-1] - sent),
                    "server_cpu_ms": cpu * 1000,
                    "client_busy": arrived.busy,
                }
            )
    return measured[1:]


def measure_product(served: Product, arguments: argparse.Namespace) -> list[Figures]:
    admin = served.admin()
    if admin.enabled:
        admin.toggle()

    def toggle(enabled: bool) -> float:
        admin.reconnect()
        sent, _ = admin.toggle()
        return sent

    return measure(served.targets[0], served.key, admin.feature, toggle, served.pids, arguments)


def measure_before_flagsmith(tasks: str, arguments: argparse.Namespace) -> list[Figures]:
    from tests.flagsmith.checkout import Checkout
    from tests.flagsmith.monolith import Tasks
    from tests.flagsmith.relayed import Relayed

    variables = {"REALTIME_STREAM_SECONDS": STREAM_SECONDS, "LOGGING": '{"log_level": "WARNING"}'}
    answers: list[int] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Relayed(Checkout(arguments.flagsmith), Tasks[tasks], Path(folder), flagsmiths=None, **variables) as both,
    ):
        tenant = both.tenant(relay_on=cores.SERVER)
        features = [
            tenant.add_feature(f"feature_{number}", initial_value=f"value {number}")["id"] for number in range(FEATURES)
        ]
        key, state = tenant.environment.key, tenant.state(features[0])["id"]
        both.flagsmith.settle()
        both.wait_for_document(tenant)

        def toggle(enabled: bool) -> float:
            both.flagsmith.settle()
            answers.append(len(both.reads.requests))
            sent = time.perf_counter()
            tenant.api.put(f"environments/{key}/featurestates/{state}/", enabled=enabled)
            return sent

        target = Target(both.relay.port, f"/sse/environments/{key}/stream")
        measured = measure(target, key, features[0], toggle, [both.relay.process.pid], arguments)
        answers.append(len(both.reads.requests))
    return [
        {**figures, "flagsmiths_answers": after - before}
        for figures, before, after in zip(measured, answers[1:], answers[2:], strict=True)
    ]


def main() -> None:
    parser = report.parser("refetch_load", __doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=2_048, help="maximum number of concurrent fetches")
    parser.add_argument("--measurements", type=int, default=3)
    parser.add_argument("--flagsmith", type=Path, metavar="PATH", help="a checkout of Flagsmith")
    arguments = parser.parse_args()
    cores.raise_file_limit()
    conditions = report.conditions(arguments, "streams", "window")
    result = Report("refetch_load", "P5", "from a toggle until all clients have fetched the flags", conditions)
    result.conditions["fetch"] = "new connection, gzip"
    result.quoted["real Flagsmith"] = "67 s for 10,000 clients, at 75 flags/ per second and core"
    result.notes.append("the time includes fetches that wait because the window is full")
    with product() as served:
        for figures in measure_product(served, arguments):
            result.add("ours", figures)
    for tasks in ("THREADS", "PROCESSOR") if arguments.flagsmith else ():
        report.progress(f"refetch_load: Flagsmith, tasks: {tasks.lower()}")
        for figures in measure_before_flagsmith(tasks, arguments):
            result.add(f"relay before Flagsmith, {tasks.lower()}", figures)
    result.output(arguments)


if __name__ == "__main__":
    main()
