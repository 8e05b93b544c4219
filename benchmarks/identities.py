"""``identities/`` requests per second and core: ``python -m benchmarks.identities``.

P9. Existing identities with three traits, on keep-alive connections: a GET for each in turn, then a POST with its
traits. First with 50 features and 5 segments with an override each, then with 200 features and 50 segments. Each
response's status, version, features and segment override are checked.

``--before PATH`` measures the server of another checkout as well, by turns with this one, and ``--edge-proxy PATH``
Flagsmith's Edge Proxy from a checkout of its sources. The Edge Proxy stores no traits, so its GET evaluates none.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import requests

from benchmarks import load, report
from benchmarks.peers.edge_proxy import edge_proxy
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.wire import Answer, ProtocolError
from tests.support import programs
from tests.support.api import rules, text

PATH = "/api/v1/identities/"
OVERRIDE_VALUE = "from the segment"


class SegmentIdentities:
    """Segments with overrides, and identities, which are evenly distributed over the segments by a trait."""

    def __init__(self, served: Product, segments: int, identities: int) -> None:
        self._served = served
        self.features = len(served.demo["features"])
        self.overridden: dict[str, str] = {}
        """The feature that a group's segment overrides, by group."""

        for index in range(segments):
            self._add_segment(f"group_{segments}_{index}", served.demo["features"][-1 - index])
        groups = list(self.overridden)
        self.groups = {f"person-{segments}-{index}": groups[index % segments] for index in range(identities)}
        session = requests.Session()
        session.trust_env = False
        for identifier in self.groups:
            answer = session.post(
                f"{served.server.url}{PATH}",
                json=self._body(identifier),
                headers={"X-Environment-Key": served.key},
                timeout=load.TIMEOUT,
            )
            answer.raise_for_status()

    def _body(self, identifier: str) -> dict[str, object]:
        traits = {"group": self.groups[identifier], "age": 42, "newsletter": True}
        pairs = [{"trait_key": key, "trait_value": value} for key, value in traits.items()]
        return {"identifier": identifier, "traits": pairs}

    def _add_segment(self, group: str, feature: dict[str, str]) -> None:
        api, project = self._served.api, self._served.demo["project_id"]
        segment = api.post(f"projects/{project}/segments/", name=group, rules=rules(group=group))["id"]
        api.post(
            f"environments/{self._served.key}/features/{feature['id']}/create-segment-override/",
            feature_segment={"segment": segment},
            enabled=True,
            feature_state_value=text(OVERRIDE_VALUE),
            multivariate_feature_state_values=[],
        )
        self.overridden[group] = feature["name"]

    def gets(self) -> Iterator[bytes]:
        made = [load.get(f"{PATH}?identifier={identifier}", self._served.key) for identifier in self.groups]
        return itertools.cycle(made)

    def posts(self) -> Iterator[bytes]:
        return itertools.cycle([self._post(json.dumps(self._body(identifier))) for identifier in self.groups])

    def _post(self, body: str) -> bytes:
        headers = (
            f"POST {PATH} HTTP/1.1",
            "Host: 127.0.0.1",
            f"X-Environment-Key: {self._served.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join([*headers, "", body]).encode()

    def check(self, version: int, stores_traits: bool) -> load.Check:
        """A check of responses, which parses equal bodies only once."""
        checked: set[bytes] = set()

        def check(answer: Answer) -> None:
            if answer.status != 200 or answer.version != version:
                raise ProtocolError(f"{answer.status}, version {answer.version} instead of {version}")
            if answer.body not in checked:
                self._check_body(answer.body, stores_traits)
                checked.add(answer.body)

        return check

    def _check_body(self, body: bytes, stores_traits: bool) -> None:
        parsed = json.loads(body)
        traits = {trait["trait_key"]: trait["trait_value"] for trait in parsed["traits"]}
        values = {flag["feature"]["name"]: flag["feature_state_value"] for flag in parsed["flags"]}
        overridden = [name for name, value in values.items() if value == OVERRIDE_VALUE]
        expected = [self.overridden[traits["group"]]] if stores_traits or traits else []
        if len(values) != self.features or overridden != expected:
            raise ProtocolError(f"{len(values)} flags, of them overridden: {overridden} instead of {expected}")


@dataclass(frozen=True)
class Target:
    """A server under measurement."""

    name: str
    port: int
    pids: list[int]
    identities: SegmentIdentities
    version: int
    """0: its responses have no version."""
    stores_traits: bool = True

    def measure(self, method: str, arguments: argparse.Namespace) -> load.Loaded:
        return load.run(
            self.port,
            self.pids,
            self.identities.gets() if method == "GET" else self.identities.posts(),
            self.identities.check(self.version, self.stores_traits),
            seconds=arguments.seconds,
            connections=arguments.connections,
        )


def measure(servers: dict[str, Product], segments: int, arguments: argparse.Namespace, result: Report) -> None:
    """Measure the servers by turns."""
    report.progress("identities: creating identities")
    targets = [
        Target(
            name,
            served.server.port,
            served.pids,
            SegmentIdentities(served, segments, arguments.identities),
            served.version(),
        )
        for name, served in servers.items()
    ]
    with ExitStack() as stack:
        if arguments.edge_proxy is not None:
            ours = targets[-1]
            environment = servers[ours.name].demo["environments"][0]
            url = f"{servers[ours.name].server.url}/api/v1"
            keys = (environment["api_key"], environment["server_key"])
            port, pid = stack.enter_context(edge_proxy(arguments.edge_proxy, url, *keys))
            targets.append(Target("Edge Proxy", port, [pid], ours.identities, version=0, stores_traits=False))
        for _ in range(arguments.measurements):
            for method, target in itertools.product(("GET", "POST"), targets):
                size = f"{target.identities.features} features, {segments} segments"
                result.add(f"{target.name}: {method}, {size}", target.measure(method, arguments).figures())


def main() -> None:
    parser = report.parser("identities", __doc__)
    parser.add_argument("--sizes", default="50:5,200:50", help="features:segments, ascending")
    parser.add_argument("--identities", type=int, default=1_000)
    parser.add_argument("--before", type=Path, metavar="PATH", help="a checkout whose server is measured as well")
    parser.add_argument("--edge-proxy", type=Path, metavar="PATH", help="a checkout of Flagsmith's Edge Proxy")
    report.add_load(parser, load.CONNECTIONS)
    arguments = parser.parse_args()
    sizes = [tuple(map(int, size.split(":"))) for size in arguments.sizes.split(",")]
    conditions = report.conditions(arguments, "identities")
    result = Report("identities", "P9", "identities/ per second and core", conditions)
    result.quoted["real Flagsmith"] = "44 per second and core, according to the project's design notes"
    result.quoted["the engine without HTTP or a database"] = "14,000 per second and core, according to the same"
    result.notes.append("the demo's segment, which has its own override, exists as well")
    result.notes.append("the larger environment has the segments of the smaller one, too")
    checkouts = ({"before": arguments.before} if arguments.before else {}) | {"ours": programs.ROOT}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(product(checkout=checkout)) for name, checkout in checkouts.items()}
        for features, segments in sizes:
            for served in servers.values():
                served.add_features(features)
            measure(servers, segments, arguments, result)
    result.output(arguments)


if __name__ == "__main__":
    main()
