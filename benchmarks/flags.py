"""How many ``flags/`` of 50 features one core answers in a second: ``python -m benchmarks.flags``.

P8. Connections are kept open, and each sends its next request when it has the answer. Of each answer the status and
the version are checked, and that the body is, byte for byte, the one that was parsed at first.
"""

import argparse
import itertools
import json

from benchmarks import load, report
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.wire import Answer, ProtocolError

PATH = "/api/v1/flags/"
REAL = "75 a second and core, by the project's design notes"


class SameFlags:
    """Checks that all answers tell these features, at this version, with the same bytes."""

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
            raise ProtocolError("two answers of one version differ")


def measure(served: Product, arguments: argparse.Namespace, told: Report) -> None:
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
        told.add("ours", loaded.figures())


def main() -> None:
    parser = report.parser("flags", __doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--gzip", action="store_true", help="ask for compressed answers")
    report.add_load(parser, load.CONNECTIONS)
    arguments = parser.parse_args()
    told = Report("flags", "P8", "flags/ a second and core", report.conditions(arguments, "features", "gzip"))
    told.quoted["real Flagsmith"] = REAL
    with product() as served:
        served.add_features(arguments.features)
        measure(served, arguments, told)
    told.tell(arguments)


if __name__ == "__main__":
    main()
