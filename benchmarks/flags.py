"""``flags/`` requests per second and core, with 50 features: ``python -m benchmarks.flags``.

P8. On keep-alive connections, each of which sends its next request after the response to the last one. Every response's
status and version are checked, and its body is compared with the first one, which is parsed.
"""

import argparse
import itertools
import json

from benchmarks import load, report
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.wire import Answer, ProtocolError

PATH = "/api/v1/flags/"
REAL_FLAGSMITH = "75 per second and core, according to the project's design notes"


class SameFlags:
    """Checks that all responses have this number of features, this version, and the same bytes."""

    def __init__(self, features: int, version: int) -> None:
        self._features = features
        self._version = version
        self._body: bytes | None = None

    def __call__(self, answer: Answer) -> None:
        if answer.status != 200 or answer.version != self._version:
            raise ProtocolError(f"{answer.status}, version {answer.version} instead of {self._version}")
        if self._body is None:
            flags = json.loads(answer.body)
            if len({flag["feature"]["name"] for flag in flags}) != self._features:
                raise ProtocolError(f"{len(flags)} flags instead of {self._features}")
            self._body = answer.body
        elif answer.body != self._body:
            raise ProtocolError("two responses of one version differ")


def measure(served: Product, arguments: argparse.Namespace, result: Report) -> None:
    encoding = ["Accept-Encoding: gzip"] if arguments.gzip else []
    requests = itertools.repeat(load.get(PATH, served.key, *encoding))
    for _ in range(arguments.measurements):
        check = SameFlags(arguments.features, served.version())
        loaded = load.run(
            served.server.port,
            served.pids,
            requests,
            check,
            seconds=arguments.seconds,
            connections=arguments.connections,
        )
        result.add("ours", loaded.figures())


def main() -> None:
    parser = report.parser("flags", __doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--gzip", action="store_true", help="request compressed responses")
    report.add_load(parser, load.CONNECTIONS)
    arguments = parser.parse_args()
    result = Report("flags", "P8", "flags/ per second and core", report.conditions(arguments, "features", "gzip"))
    result.quoted["real Flagsmith"] = REAL_FLAGSMITH
    with product() as served:
        served.add_features(arguments.features)
        measure(served, arguments, result)
    result.output(arguments)


if __name__ == "__main__":
    main()
