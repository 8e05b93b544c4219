"""A tenant's response times of ``flags/`` while another tenant is expensive: ``python -m benchmarks.neighbours``.

Promise I13. Two attacks, each on 1, 4 and 20 connections that send the next request after each response:

* patterns: ``identities/`` in an environment of ten segments with two slow regular expressions each, of 40 identities
  with a trait that makes them slow.
* size: a change by the Admin API and then ``flags/``, in an environment of 2,000 features and 500 segments. No read is
  served from a cache.

Meanwhile another tenant reads its ``flags/`` at a steady rate, and each of its responses is checked. Its p99 may be
three times its p99 without an attack, plus 10 ms; if it is more in any measurement, the exit status is 1.
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from benchmarks import load, report
from benchmarks.reads import FLAGS, SameFlags
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product
from tests.support.api import AdminAPI, Tenant, text
from tests.support.programs import ROOT
from tests.support.server import environ

PATTERNS = ("(a|a|aa|0)+$", "^(([a-z])+.)+[A-Z]([a-z])+$0")
TRAIT = "a" * 1500 + "!"

VICTIM_CONNECTIONS = 8
VICTIM_RATE = 200.0

MAX_P99_RATIO = 3
TOLERANCE_MS = 10.0

# How long an attack runs before the measurement: the server starts its evaluation process only once.
HEAD_START_SECONDS = 2.0
TIMEOUT = 120.0

Call = tuple[str, str, dict[str, str], str | None]
"""Method, path, headers and body."""

GROW = """
from environments.models import Environment
from tests.scale.growth import Growth, grow

grow(
    Environment.objects.get(api_key={key!r}),
    Growth(features={features}, environments=0, segments={segments}, identities=0, entries=0, others=1),
)
"""


class Attack:
    """An endless sequence of calls for each connection."""

    def __init__(self, calls: list[list[Call]]) -> None:
        self._calls = calls

    def calls(self, connection: int) -> Iterator[Call]:
        sequence = itertools.cycle(self._calls)
        return itertools.chain.from_iterable(itertools.islice(sequence, connection, None))


def patterns(served: Product) -> Attack:
    """Requests of a tenant whose identities' flags depend on slow patterns."""
    tenant = Tenant.create(AdminAPI.registered(served.server.url))
    feature = tenant.add_feature("banner", initial_value="plain")["id"]
    for number in range(10):
        conditions = [{"operator": "REGEX", "property": "t", "value": pattern} for pattern in PATTERNS]
        rule = {"type": "ALL", "rules": [{"type": "ANY", "conditions": conditions}], "conditions": []}
        segment = tenant.api.post(f"projects/{tenant.project}/segments/", name=f"slow {number}", rules=[rule])
        tenant.override(feature, segment["id"], feature_state_value=text("special"))
    key = {"X-Environment-Key": tenant.environment.key}
    names = [f"identity-{number}" for number in range(40)]
    traits = [{"identity": {"identifier": name}, "trait_key": "t", "trait_value": TRAIT} for name in names]
    tenant.api.response("PUT", "traits/bulk/", traits, key).raise_for_status()
    return Attack([[("GET", f"/api/v1/identities/?identifier={name}", key, None)] for name in names])


def size(served: Product, features: int = 2_000, segments: int = 500) -> Attack:
    """Requests of a tenant with a large environment, which it changes before each read."""
    tenant = Tenant.create(AdminAPI.registered(served.server.url))
    feature = tenant.add_feature("banner")["id"]
    code = GROW.format(key=tenant.environment.key, features=features, segments=segments)
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", code],
        cwd=ROOT,
        env=environ(**served.server.variables),
        check=True,
    )
    state = tenant.state(feature)["id"]
    change = f"/api/v1/environments/{tenant.environment.key}/featurestates/{state}/"
    headers = {"Authorization": str(tenant.api.session.headers["Authorization"]), "Content-Type": "application/json"}
    read: Call = ("GET", FLAGS, {"X-Environment-Key": tenant.environment.key}, None)
    return Attack([[("PUT", change, headers, json.dumps({"enabled": on})), read] for on in (True, False)])


ATTACKS = {"patterns": patterns, "size": size}


@contextmanager
def under_way(attack: Attack, port: int, connections: int) -> Iterator[Counter[str]]:
    """Attack from a separate process. Its figures are in the yielded counter afterwards."""
    figures_of_attack: Counter[str] = Counter()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_attack, args=(attack, port, connections, theirs))
    process.start()
    theirs.close()
    try:
        ours.recv()
        time.sleep(HEAD_START_SECONDS)
        yield figures_of_attack
        ours.send("end")
        figures_of_attack.update(ours.recv())
    finally:
        process.terminate()
        process.join()


def _attack(attack: Attack, port: int, connections: int, parent: Connection) -> None:
    """The attacking process."""
    # So that this process does not delay the measuring client on the same core.
    os.nice(10)
    durations: list[tuple[str, float]] = []
    threads = [
        Thread(target=_send_calls, args=(attack.calls(index), port, durations), daemon=True)
        for index in range(connections)
    ]
    for thread in threads:
        thread.start()
    parent.send("begun")
    began = time.perf_counter()
    parent.recv()
    seconds = time.perf_counter() - began
    statuses = Counter(f"attackers_{call.lower().replace(' ', '_')}" for call, _ in durations)
    each = sorted(second for call, second in durations if call.startswith("GET")) or [seconds]
    parent.send(
        {
            **{f"{name}_per_second": number / seconds for name, number in statuses.items()},
            "attackers_p50_ms": report.percentile(each, 0.5) * 1000,
            "attackers_last_ms": each[-1] * 1000,
        }
    )


def _send_calls(calls: Iterator[Call], port: int, durations: list[tuple[str, float]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    for method, path, headers, body in calls:
        began = time.perf_counter()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        durations.append((f"{method} {answer.status}", time.perf_counter() - began))


def victim(served: Product, seconds: float) -> Figures:
    """The response times of the demo tenant's flags."""
    requests = itertools.repeat(load.get(FLAGS, served.key))
    check = SameFlags(len(served.demo["features"]), served.version())
    loop = load.Paced(served.server.port, requests, check, VICTIM_RATE)
    try:
        for _ in range(VICTIM_CONNECTIONS):
            loop.connect()
        loop.run(seconds)
        loop.drain()
    finally:
        loop.close()
    each = sorted(loop.each)
    return {
        "p50_ms": report.percentile(each, 0.5) * 1000,
        "p99_ms": report.percentile(each, 0.99) * 1000,
        "last_ms": each[-1] * 1000,
        "answers": len(each),
    }


def measure(database: str, arguments: argparse.Namespace, result: Report) -> bool:
    """Measure, and return whether the other tenant's p99 stays within its limit."""
    within_limit = True
    with product(database=database) as served:
        served.add_features(arguments.features)
        report.progress(f"neighbours: creating the tenants on {database}")
        attacks = {name: ATTACKS[name](served) for name in arguments.attacks}
        victim(served, 1.0)
        idle = victim(served, arguments.seconds)
        result.add(f"{database}, idle", idle)
        limit = MAX_P99_RATIO * idle["p99_ms"] + TOLERANCE_MS
        for name, attack in attacks.items():
            for connections in arguments.connections:
                report.progress(f"neighbours: {name}, {connections} connections, {database}")
                with under_way(attack, served.server.port, connections) as figures_of_attack:
                    figures = victim(served, arguments.seconds)
                within_limit = within_limit and figures["p99_ms"] <= limit
                result.add(f"{database}, {name}, {connections}", {**figures, "limit_ms": limit, **figures_of_attack})
                time.sleep(arguments.pause)
    return within_limit


def main() -> None:
    parser = report.parser("neighbours", __doc__)
    parser.add_argument("--features", type=int, default=50, help="of the measured tenant")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 20], help="of the attack")
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two measurements")
    arguments = parser.parse_args()
    conditions: dict[str, Any] = {"rate": VICTIM_RATE, "seconds": arguments.seconds, "features": arguments.features}
    conditions |= {"server_core": "one", "client_core": "the other"}
    result = Report("neighbours", "I13", "flags/ of one tenant while another one is expensive", conditions)
    result.notes.append(
        f"p99 may be {MAX_P99_RATIO} times the idle one and {TOLERANCE_MS:g} ms; attackers' times are those of GETs"
    )
    within_limit = [measure(database, arguments, result) for database in arguments.databases]
    result.output(arguments)
    sys.exit(not all(within_limit))


if __name__ == "__main__":
    main()
