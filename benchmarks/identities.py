"""``identities/`` requests per second and core: ``python -m benchmarks.identities``.

P9. Existing identities with three traits, on keep-alive connections: a GET for each in turn, then a POST with its
traits, at the product, at the relay, and with ``--edge-proxy PATH`` at Flagsmith's Edge Proxy, by turns. First with 50
features and 5 segments with an override each, then with 200 features and 50 segments. Every response is checked. Relay
and Edge Proxy store no traits, so their GET evaluates none.
"""

from benchmarks import reads, report
from benchmarks.reads import Environment
from benchmarks.report import Report
from benchmarks.server import product


def main() -> None:
    parser = report.parser("identities", __doc__)
    parser.add_argument("--sizes", default="50:5,200:50", help="features:segments, ascending")
    parser.add_argument("--identities", type=int, default=1_000)
    reads.add_arguments(parser)
    arguments = parser.parse_args()
    conditions = report.conditions(arguments, "identities", "connections", "seconds")
    result = Report("identities", "P9", "identities/ per second and core", conditions)
    result.quoted["real Flagsmith"] = "44 per second and core, according to the project's design notes"
    result.notes.append("the demo's segment, which has its own override, exists as well")
    result.notes.append("the larger environment has the segments of the smaller one, too")
    with product() as served:
        for features, segments in (map(int, size.split(":")) for size in arguments.sizes.split(",")):
            report.progress(f"identities: creating identities, {features} features")
            environment = Environment(served, features, segments, arguments.identities)
            size = f"{features} features, {segments} segments"
            with reads.servers(served, arguments.edge_proxy) as servers:
                gets = {f"{name}: GET, {size}": environment.gets(server) for name, server in servers.items()}
                posts = {f"{name}: POST, {size}": environment.posts(server) for name, server in servers.items()}
                reads.measure(result, gets | posts, arguments)
    result.output(arguments)


if __name__ == "__main__":
    main()
