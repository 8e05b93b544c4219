"""``flags/`` requests per second and core, with 50 features: ``python -m benchmarks.flags``.

P8. On keep-alive connections, each of which sends its next request after the response to the last one: at the product,
at the relay, and with ``--edge-proxy PATH`` at Flagsmith's Edge Proxy, by turns. Every response is checked.
"""

from benchmarks import reads, report
from benchmarks.reads import Environment
from benchmarks.report import Report
from benchmarks.server import product


def main() -> None:
    parser = report.parser("flags", __doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--gzip", action="store_true", help="request compressed responses")
    reads.add_arguments(parser)
    arguments = parser.parse_args()
    conditions = report.conditions(arguments, "features", "gzip", "connections", "seconds")
    result = Report("flags", "P8", "flags/ per second and core", conditions)
    result.quoted["real Flagsmith"] = "75 per second and core, according to the project's design notes"
    encoding = ["Accept-Encoding: gzip"] if arguments.gzip else []
    with product() as served:
        environment = Environment(served, arguments.features)
        with reads.servers(served, arguments.edge_proxy) as servers:
            loads = {name: environment.flags(server, *encoding) for name, server in servers.items()}
            reads.measure(result, loads, arguments)
    result.output(arguments)


if __name__ == "__main__":
    main()
