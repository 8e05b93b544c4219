"""OFREP's bulk evaluations per second and core: ``python -m benchmarks.ofrep``.

1,000 contexts with three traits in turn, on keep-alive connections, with 50 features and 5 segments with an override
each: first without an ETag, then with the ETag of the answer to each context. Each answer's status, version, features
and segment override are checked. The Edge Proxy has no OFREP, so there is no peer.
"""

from benchmarks import reads, report
from benchmarks.reads import Environment
from benchmarks.report import Report
from benchmarks.server import product


def main() -> None:
    parser = report.parser("ofrep", __doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--segments", type=int, default=5)
    parser.add_argument("--contexts", type=int, default=1_000)
    reads.add_arguments(parser)
    arguments = parser.parse_args()
    names = ("features", "segments", "contexts", "connections", "seconds")
    conditions = report.conditions(arguments, *names)
    result = Report("ofrep", "", "OFREP: bulk evaluations per second and core", conditions)
    result.notes.append("the demo's segment, which has its own override, exists as well")
    with product() as served:
        environment = Environment(served, arguments.features, arguments.segments, arguments.contexts)
        with reads.servers(served, None) as servers:
            evaluated = {f"{name}: evaluated": environment.evaluations(each) for name, each in servers.items()}
            unchanged = {f"{name}: unchanged (304)": environment.unchanged(each) for name, each in servers.items()}
            reads.measure(result, evaluated | unchanged, arguments)
    result.output(arguments)


if __name__ == "__main__":
    main()
