"""The relay beside the Edge Proxy, and in front of a real Flagsmith: ``python -m benchmarks.relay``.

P8 and P9 in the relay: ``flags/`` and ``identities/`` requests per second and core, with 50 features and 5 segments
with an override each. ``--edge-proxy PATH`` measures Flagsmith's Edge Proxy from a checkout of its sources by turns
with it, with the same document. The upstream of both is the product, which is idle meanwhile.

P5 in front of a Flagsmith, with ``--flagsmith PATH``, a checkout: an admin toggles a flag by its API, and 10,000
clients with a stream at the relay refetch from the relay. It counts Flagsmith's answers to the relay for that version.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import cores, load, report
from benchmarks.flags import PATH as FLAGS
from benchmarks.flags import SameFlags
from benchmarks.identities import SegmentIdentities, Target
from benchmarks.peers.edge_proxy import edge_proxy
from benchmarks.refetching import RefetchingClientProcess
from benchmarks.report import Figures, Report
from benchmarks.server import STREAM_SECONDS, Product, product
from benchmarks.streams import StreamClients
from benchmarks.streams import Target as StreamTarget
from tests.flagsmith.checkout import Checkout
from tests.flagsmith.monolith import Tasks
from tests.flagsmith.relayed import Relayed
from tests.support.api import EnvironmentOfTenant
from tests.support.relay import RelayServer

FEATURES = 50
SEGMENTS = 5

VARIABLES = {"REALTIME_STREAM_SECONDS": STREAM_SECONDS, "LOGGING": '{"log_level": "WARNING"}'}

PAUSE_SECONDS = 2.5


@contextmanager
def relay(api_url: str, environment: EnvironmentOfTenant) -> Iterator[RelayServer]:
    """Run it on the servers' core."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with cores.pinned_to(cores.SERVER):
            served = stack.enter_context(RelayServer(folder, api_url, environment, configuration=None, **VARIABLES))
        yield served


def measure_reads(served: Product, arguments: argparse.Namespace, result: Report) -> None:
    """Measure the relay, and by turns with it the Edge Proxy."""
    served.add_features(FEATURES)
    identities = SegmentIdentities(served, SEGMENTS, arguments.identities)
    keys = served.demo["environments"][0]
    environment = EnvironmentOfTenant(keys["id"], keys["name"], keys["api_key"], keys["server_key"])
    url = f"{served.server.url}/api/v1"
    with ExitStack() as stack:
        ours = stack.enter_context(relay(url, environment))
        targets = [Target("relay", ours.port, [ours.process.pid], identities, served.version(), stores_traits=False)]
        if arguments.edge_proxy is not None:
            # It is the other server on this core, and idle while the relay is measured.
            port, pid = stack.enter_context(
                edge_proxy(arguments.edge_proxy, url, environment.key, environment.server_key)
            )
            targets.append(Target("Edge Proxy", port, [pid], identities, version=0, stores_traits=False))
        stack.enter_context(cores.pinned_to(cores.CLIENT))
        for _ in range(arguments.measurements):
            for target in targets:
                result.add(f"{target.name}: flags/", flags(target, environment.key, arguments).figures())
            for method, target in itertools.product(("GET", "POST"), targets):
                result.add(f"{target.name}: identities/, {method}", target.measure(method, arguments).figures())


def flags(target: Target, key: str, arguments: argparse.Namespace) -> load.Loaded:
    return load.run(
        target.port,
        target.pids,
        itertools.repeat(load.get(FLAGS, key)),
        SameFlags(FEATURES, target.version),
        seconds=arguments.seconds,
        connections=arguments.connections,
    )


def measure_refetches(checkout: Checkout, tasks: Tasks, arguments: argparse.Namespace) -> list[Figures]:
    """Measure so many toggles, after one that is not counted."""
    measured: list[Figures] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Relayed(checkout, tasks, Path(folder), flagsmiths=None, **VARIABLES) as both,
    ):
        tenant = both.tenant(relay_on=cores.SERVER)
        features = [
            tenant.add_feature(f"feature_{number}", initial_value=f"value {number}")["id"] for number in range(FEATURES)
        ]
        state = tenant.state(features[0])["id"]
        both.flagsmith.settle()
        both.wait_for_document(tenant)
        key, port = tenant.environment.key, both.relay.port
        target = StreamTarget(port, f"/sse/environments/{key}/stream")
        options: dict[str, Any] = {"key": key, "port": port, "feature": features[0]}
        with StreamClients(
            [target],
            arguments.streams,
            processes=1,
            window=arguments.window,
            client_process=RefetchingClientProcess,
            **options,
        ) as clients:
            version = clients.open().version
            for number in range(arguments.measurements + 1):
                both.flagsmith.settle()
                time.sleep(PAUSE_SECONDS)
                enabled = number % 2 == 0
                clients.expect(after=version, enabled=enabled)
                reads = len(both.reads.requests)
                tenant.api.put(f"environments/{key}/featurestates/{state}/", enabled=enabled)
                answered = time.perf_counter()
                arrived = clients.arrived()
                version = arrived.version
                measured.append(
                    {
                        **report.spread(arrived.times, since=answered),
                        "flagsmiths_answers": len(both.reads.requests) - reads,
                        "client_busy": arrived.busy,
                    }
                )
    return measured[1:]


def main() -> None:
    parser = report.parser("relay", __doc__)
    parser.add_argument("--identities", type=int, default=1_000)
    parser.add_argument("--edge-proxy", type=Path, metavar="PATH", help="a checkout of Flagsmith's Edge Proxy")
    parser.add_argument("--flagsmith", type=Path, metavar="PATH", help="a checkout of Flagsmith; also measures P5")
    parser.add_argument("--no-reads", action="store_true", help="measure P5 only")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=2_048, help="maximum number of concurrent fetches")
    report.add_load(parser, load.CONNECTIONS)
    arguments = parser.parse_args()
    conditions = {"features": FEATURES, "segments": SEGMENTS, **report.conditions(arguments, "identities", "streams")}
    result = Report("relay", "", "the relay: P8, P9, and P5 in front of a Flagsmith", conditions)
    if not arguments.no_reads:
        with product() as served:
            measure_reads(served, arguments, result)
    if arguments.flagsmith is not None:
        cores.raise_file_limit()
        result.quoted["Flagsmith without a relay"] = "67 s for 10,000 clients, at 75 flags/ per second and core"
        for tasks in (Tasks.THREADS, Tasks.PROCESSOR):
            report.progress(f"relay: {tasks.value}")
            for figures in measure_refetches(Checkout(arguments.flagsmith), tasks, arguments):
                result.add(f"toggle, {tasks.value.lower()}", figures)
    result.output(arguments)


if __name__ == "__main__":
    main()
