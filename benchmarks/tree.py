"""One toggle through a tree of relays: ``python -m benchmarks.tree``.

The product, 2 relays behind it, and 4 relays behind those, with all streams at the last level. Streams at the product
and at the relays between show when each level has the update. All servers share one core.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cores, report
from benchmarks.report import Figures, Report
from benchmarks.server import STREAM_SECONDS, Product, product
from benchmarks.streams import StreamClients, Target
from tests.support.api import EnvironmentOfTenant
from tests.support.relay import RelayServer

RELAYS = (2, 4)
"""The number of relays in each level behind the product."""

VARIABLES = {"REALTIME_STREAM_SECONDS": STREAM_SECONDS, "LOGGING": '{"log_level": "WARNING"}'}

# The relay's default. Nothing is found by polling here.
POLL = {"api_poll_frequency_seconds": 10}

# As in benchmarks.fanout.
PAUSE_SECONDS = 2.5


@dataclass
class Tree:
    root: Product
    levels: list[list[RelayServer]]

    def targets(self, ports: list[int]) -> list[Target]:
        return [Target(port, f"/sse/environments/{self.root.key}/stream") for port in ports]

    @property
    def ports(self) -> dict[str, list[int]]:
        """The ports of each level."""
        relays = {f"level {number}": [relay.port for relay in level] for number, level in enumerate(self.levels, 1)}
        return {"product": [self.root.server.port], **relays}


@contextmanager
def tree() -> Iterator[Tree]:
    with ExitStack() as stack:
        root = stack.enter_context(product())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keys = root.demo["environments"][0]
        environment = EnvironmentOfTenant(keys["id"], keys["name"], keys["api_key"], keys["server_key"])
        above = [root.server.url]
        levels: list[list[RelayServer]] = []
        for size in RELAYS:
            level = []
            for index in range(size):
                own = folder / f"{len(levels)}-{index}"
                own.mkdir()
                url = above[index % len(above)]
                relay = RelayServer(
                    own, f"{url}/api/v1", environment, configuration=POLL, UPSTREAM_REALTIME_URL=url, **VARIABLES
                )
                with cores.pinned_to(cores.SERVER):
                    level.append(stack.enter_context(relay))
            levels.append(level)
            above = [relay.url for relay in level]
        yield Tree(root, levels)


def measure(built: Tree, streams: int, measurements: int) -> dict[str, list[Figures]]:
    """Measure so many toggles, after one that is not counted. Times are counted from the admin's request."""
    measured: dict[str, list[Figures]] = {level: [] for level in built.ports}
    leaves = list(built.ports)[-1]
    admin = built.root.admin()
    with ExitStack() as stack:
        clients = {
            level: stack.enter_context(
                StreamClients(built.targets(ports), streams if level == leaves else len(ports), processes=1)
            )
            for level, ports in built.ports.items()
        }
        version = max(each.open().version for each in clients.values())
        for _ in range(measurements + 1):
            time.sleep(PAUSE_SECONDS)
            for each in clients.values():
                each.expect(after=version)
            began = time.perf_counter()
            admin.toggle()
            for level, each in clients.items():
                arrived = each.arrived()
                version = max(version, arrived.version)
                measured[level].append({**report.spread(arrived.times, since=began), "client_busy": arrived.busy})
    return {level: figures[1:] for level, figures in measured.items()}


def main() -> None:
    parser = report.parser("tree", __doc__)
    parser.add_argument("--streams", type=int, default=8_000)
    parser.add_argument("--measurements", type=int, default=7)
    arguments = parser.parse_args()
    cores.raise_file_limit()
    conditions = {"streams": arguments.streams, "relays": " and ".join(map(str, RELAYS))}
    result = Report("tree", "", "one toggle, from the admin's request to the streams of each level", conditions)
    with tree() as built:
        for level, measured in measure(built, arguments.streams, arguments.measurements).items():
            for figures in measured:
                result.add(level, figures)
    result.output(arguments)


if __name__ == "__main__":
    main()
