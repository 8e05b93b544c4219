"""OFREP's bulk evaluations per second and core: ``python -m benchmarks.ofrep``.

P12. 1,000 contexts with three traits in turn, on keep-alive connections, with 50 features and 5 segments with an
override each: first without an ETag, then with the ETag of the answer to each context. Each answer's status, version,
features and segment override are checked.
"""

import argparse
import itertools
import json
from collections.abc import Iterator

import requests

from benchmarks import load, report
from benchmarks.identities import OVERRIDE_VALUE, SegmentIdentities
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.wire import Answer, ProtocolError

PATH = "/ofrep/v1/evaluate/flags"


class Contexts:
    """Evaluation contexts, which are evenly distributed over the segments by a trait."""

    def __init__(self, served: Product, segments: int, number: int) -> None:
        self._served = served
        self._segments = SegmentIdentities(served, segments, 0)
        groups = list(self._segments.overridden)
        self._bodies = [self._body(index, groups[index % segments]) for index in range(number)]

    @staticmethod
    def _body(index: int, group: str) -> str:
        context = {"targetingKey": f"person-{index}", "group": group, "age": 42, "newsletter": True}
        return json.dumps({"context": context})

    def plain(self) -> Iterator[bytes]:
        return itertools.cycle([self._request(body) for body in self._bodies])

    def conditional(self) -> Iterator[bytes]:
        return itertools.cycle([self._request(body, f"If-None-Match: {self._etag(body)}") for body in self._bodies])

    def check(self, status: int) -> load.Check:
        """A check of answers, which parses equal bodies only once."""
        version = self._version()
        overridden = set(self._segments.overridden.values())
        checked: set[bytes] = set()

        def check(answer: Answer) -> None:
            if answer.status != status:
                raise ProtocolError(f"{answer.status} instead of {status}: {answer.body!r}")
            if status != 200 or answer.body in checked:
                return
            parsed = json.loads(answer.body)
            values = {flag["key"]: flag.get("value") for flag in parsed["flags"]}
            names = {name for name, value in values.items() if value == OVERRIDE_VALUE}
            is_right = len(values) == self._segments.features and len(names) == 1 and names <= overridden
            if parsed["metadata"]["version"] != version or not is_right:
                raise ProtocolError(f"version {parsed['metadata']}, {len(values)} flags, overridden: {names}")
            checked.add(answer.body)

        return check

    def _version(self) -> str:
        version: str = self._post(self._bodies[0]).json()["metadata"]["version"]
        return version

    def _etag(self, body: str) -> str:
        return self._post(body).headers["ETag"]

    def _post(self, body: str) -> requests.Response:
        headers = {"X-API-Key": self._served.key, "Content-Type": "application/json"}
        answer = requests.post(f"{self._served.server.url}{PATH}", data=body, headers=headers, timeout=load.TIMEOUT)
        answer.raise_for_status()
        return answer

    def _request(self, body: str, *headers: str) -> bytes:
        lines = (
            f"POST {PATH} HTTP/1.1",
            "Host: 127.0.0.1",
            f"X-API-Key: {self._served.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
        )
        return "\r\n".join([*lines, "", body]).encode()


def measure(served: Product, contexts: Contexts, arguments: argparse.Namespace, result: Report) -> None:
    port, pids = served.server.port, served.pids
    load_of = {"seconds": arguments.seconds, "connections": arguments.connections}
    conditional = contexts.conditional()
    for _ in range(arguments.measurements):
        evaluated = load.run(port, pids, contexts.plain(), contexts.check(200), **load_of)
        result.add("evaluated", evaluated.figures())
        unchanged = load.run(port, pids, conditional, contexts.check(304), **load_of)
        result.add("unchanged (304)", unchanged.figures())


def main() -> None:
    parser = report.parser("ofrep", __doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--segments", type=int, default=5)
    parser.add_argument("--contexts", type=int, default=1_000)
    report.add_load(parser, load.CONNECTIONS)
    arguments = parser.parse_args()
    result = Report(
        "ofrep",
        "P12",
        "OFREP: bulk evaluations per second and core",
        report.conditions(arguments, "features", "segments", "contexts"),
    )
    result.notes.append("the demo's segment, which has its own override, exists as well")
    with product() as served:
        served.add_features(arguments.features)
        measure(served, Contexts(served, arguments.segments, arguments.contexts), arguments, result)
    result.output(arguments)


if __name__ == "__main__":
    main()
