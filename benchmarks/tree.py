"""One toggle through a tree of relays: ``python -m benchmarks.tree``.

The product, 2 relays behind it, and 4 relays behind those, with all streams at the last level. Streams at the product
and at the relays between show when each level has the update. All servers share one core.

Then a relay between is killed, and a flag is toggled. If the relays behind it have two upstreams, the time counts from
the toggle; otherwise the relay is started again, and the time counts from when it is ready. A stream at the last level
that ends fails the measurement.
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

# A toggle is not found by polling. The return of a killed relay may be.
POLL = {"api_poll_frequency_seconds": 1}

# As in benchmarks.fanout.
PAUSE_SECONDS = 2.5

# For servers that start, and streams that open, on a busy machine.
TIMEOUT = 600.0


@dataclass
class Tree:
    root: Product
    levels: list[list[RelayServer]]

    @property
    def ports(self) -> dict[str, list[int]]:
        """The ports of each level."""
        relays = {f"level {number}": [relay.port for relay in level] for number, level in enumerate(self.levels, 1)}
        return {"product": [self.root.server.port], **relays}

    def targets(self, ports: list[int]) -> list[Target]:
        return [Target(port, f"/sse/environments/{self.root.key}/stream") for port in ports]

    def streams_at_leaves(self, number: int) -> StreamClients:
        return StreamClients(self.targets([relay.port for relay in self.levels[-1]]), number, processes=1)


@contextmanager
def tree(siblings: bool) -> Iterator[Tree]:
    """``siblings``: the relays of the last level have two upstreams."""
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
                (own := folder / f"{len(levels)}-{index}").mkdir()
                # The relays of an upstream are half of its level: the others prefer its sibling.
                urls = [above[(index + number) % len(above)] for number in range(len(above) if siblings else 1)]
                level.append(
                    RelayServer(
                        own,
                        ",".join(f"{url}/api/v1" for url in urls),
                        environment,
                        configuration=POLL,
                        UPSTREAM_REALTIME_URL=",".join(urls),
                        **VARIABLES,
                    )
                )
            with cores.pinned_to(cores.SERVER):
                for relay in level:
                    relay.launch()
                    # Stops it at the end.
                    stack.push(relay)
                for relay in level:
                    relay.wait(TIMEOUT)
            levels.append(level)
            above = [relay.url for relay in level]
        yield Tree(root, levels)


def measure(built: Tree, streams: int, measurements: int) -> dict[str, list[Figures]]:
    """Measure so many toggles, after one that is not counted. Times are counted from the admin's request."""
    measured: dict[str, list[Figures]] = {level: [] for level in built.ports}
    *upper, leaves = built.ports
    admin = built.root.admin()
    with ExitStack() as stack:
        clients = {
            level: stack.enter_context(StreamClients(built.targets(built.ports[level]), len(built.ports[level])))
            for level in upper
        }
        clients[leaves] = stack.enter_context(built.streams_at_leaves(streams))
        version = max(each.open(TIMEOUT).version for each in clients.values())
        for _ in range(measurements + 1):
            time.sleep(PAUSE_SECONDS)
            for each in clients.values():
                each.expect(after=version)
            admin.reconnect()
            began, _ = admin.toggle()
            for level, each in clients.items():
                arrived = each.arrived()
                version = max(version, arrived.version)
                figures = report.spread(arrived.times, since=began)
                if level == leaves:
                    figures["client_busy"] = arrived.busy
                measured[level].append(figures)
    return {level: figures[1:] for level, figures in measured.items()}


def measure_failures(built: Tree, streams: int, siblings: bool, measurements: int) -> list[Figures]:
    """Kill the relays between by turns, each as often as it is started again."""
    measured = []
    admin = built.root.admin()
    with built.streams_at_leaves(streams) as clients:
        version = clients.open(TIMEOUT).version
        for number in range(measurements):
            time.sleep(PAUSE_SECONDS)
            killed = built.levels[0][number % len(built.levels[0])]
            clients.expect(after=version)
            admin.reconnect()
            killed.process.kill()
            since, _ = admin.toggle()
            if siblings:
                arrived = clients.arrived()
                times = arrived.times
                with cores.pinned_to(cores.SERVER):
                    killed.start(TIMEOUT)
            else:
                with cores.pinned_to(cores.SERVER):
                    killed.start(TIMEOUT)
                since = time.perf_counter()
                arrived = clients.arrived()
                # The streams that waited for it.
                times = [at for at in arrived.times if at > since]
            version = arrived.version
            measured.append({"streams": len(times), **report.spread(times or [since], since=since)})
    return measured


def main() -> None:
    parser = report.parser("tree", __doc__)
    parser.add_argument("--streams", type=int, default=8_000)
    parser.add_argument("--measurements", type=int, default=7)
    parser.add_argument("--failures", type=int, default=4, help="relays that are killed, for each kind of tree")
    arguments = parser.parse_args()
    cores.raise_file_limit()
    conditions = {"streams": arguments.streams, "relays": " and ".join(map(str, RELAYS)), "server_cores": "one"}
    result = Report("tree", "", "one toggle, from the admin's request to the streams of each level", conditions)
    for siblings in (False, True):
        with tree(siblings) as built:
            if not siblings:
                for level, measured in measure(built, arguments.streams, arguments.measurements).items():
                    for figures in measured:
                        result.add(level, figures)
            report.progress("tree: toggles are measured")
            name = "relay killed, from the toggle, with a sibling" if siblings else "relay killed, from its return"
            for figures in measure_failures(built, arguments.streams, siblings, arguments.failures):
                result.add(name, figures)
    result.notes.append("relays poll once a second, so a version that no event announces is found within a second")
    result.output(arguments)


if __name__ == "__main__":
    main()
