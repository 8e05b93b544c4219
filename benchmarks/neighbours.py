"""What a tenant waits for ``flags/`` while another one is expensive: ``python -m benchmarks.neighbours``.

Promise I13. Two attacks, each on 1, 4 and 20 connections that ask again as soon as they are answered:

* patterns: ``identities/`` in an environment of ten segments with two slow regular expressions each, of 40 identities
  with a trait that makes them slow.
* size: a change by the Admin API and then ``flags/``, in an environment of 2,000 features and 500 segments. Each read
  meets a version that nobody has read before.

Meanwhile another tenant reads its ``flags/`` at a steady rate. Of that tenant each answer is checked. Its p99 may be
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
from benchmarks.flags import SameFlags
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product
from tests.support.api import AdminAPI, Tenant, text
from tests.support.programs import ROOT
from tests.support.server import environ

PATTERNS = ("(a|a|aa|0)+$", "^(([a-z])+.)+[A-Z]([a-z])+$0")
TRAIT = "a" * 1500 + "!"

VICTIMS_CONNECTIONS = 8
VICTIMS_RATE = 200.0

TIMES = 3
PLUS_MS = 10.0

# Seconds until an attack is measured. The evaluation process has started by then, which is once in a server's life.
HEAD_START_SECONDS = 2.0
TIMEOUT = 120.0

FLAGS = "/api/v1/flags/"

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
    """The calls of one connection after the other, in a circle."""

    def __init__(self, calls: list[list[Call]]) -> None:
        self._calls = calls

    def calls(self, connection: int) -> Iterator[Call]:
        circle = itertools.cycle(self._calls)
        return itertools.chain.from_iterable(itertools.islice(circle, connection, None))


def patterns(served: Product) -> Attack:
    """A tenant whose identities' flags depend on slow patterns."""
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
    """A tenant with a large environment, which it changes before each read."""
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
    """Attack from a process of its own. What became of it is there afterwards, by its name."""
    became: Counter[str] = Counter()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_attack, args=(attack, port, connections, theirs))
    process.start()
    theirs.close()
    try:
        ours.recv()
        time.sleep(HEAD_START_SECONDS)
        yield became
        ours.send("end")
        became.update(ours.recv())
    finally:
        process.terminate()
        process.join()


def _attack(attack: Attack, port: int, connections: int, parent: Connection) -> None:
    """The attacking process."""
    # What is measured is the server, and not how this process takes the core from the other client.
    os.nice(10)
    taken: list[tuple[str, float]] = []
    threads = [
        Thread(target=_ask, args=(attack.calls(index), port, taken), daemon=True) for index in range(connections)
    ]
    for thread in threads:
        thread.start()
    parent.send("begun")
    began = time.perf_counter()
    parent.recv()
    seconds = time.perf_counter() - began
    statuses = Counter(f"attackers_{what.lower().replace(' ', '_')}" for what, _ in taken)
    each = sorted(second for what, second in taken if what.startswith("GET")) or [seconds]
    parent.send(
        {
            **{f"{name}_per_second": number / seconds for name, number in statuses.items()},
            "attackers_p50_ms": report.percentile(each, 0.5) * 1000,
            "attackers_last_ms": each[-1] * 1000,
        }
    )


def _ask(calls: Iterator[Call], port: int, taken: list[tuple[str, float]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    for method, path, headers, body in calls:
        began = time.perf_counter()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        taken.append((f"{method} {answer.status}", time.perf_counter() - began))


def victim(served: Product, seconds: float) -> Figures:
    """What the demo's tenant waits for its flags."""
    requests = itertools.repeat(load.get(FLAGS, served.key))
    check = SameFlags(len(served.demo["features"]), served.version())
    loop = load.Paced(served.server.port, requests, check, VICTIMS_RATE)
    try:
        for _ in range(VICTIMS_CONNECTIONS):
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


def measure(database: str, arguments: argparse.Namespace, told: Report) -> bool:
    """Whether the other tenant's p99 has kept within its limit."""
    kept = True
    with product(database=database) as served:
        served.add_features(arguments.features)
        report.progress(f"neighbours: making the tenants on {database}")
        attacks = {name: ATTACKS[name](served) for name in arguments.attacks}
        victim(served, 1.0)
        idle = victim(served, arguments.seconds)
        told.add(f"{database}, idle", idle)
        limit = TIMES * idle["p99_ms"] + PLUS_MS
        for name, attack in attacks.items():
            for connections in arguments.connections:
                report.progress(f"neighbours: {name}, {connections} connections, {database}")
                with under_way(attack, served.server.port, connections) as became:
                    figures = victim(served, arguments.seconds)
                kept = kept and figures["p99_ms"] <= limit
                told.add(f"{database}, {name}, {connections}", {**figures, "limit_ms": limit, **became})
                time.sleep(arguments.pause)
    return kept


def main() -> None:
    parser = report.parser("neighbours", __doc__)
    parser.add_argument("--features", type=int, default=50, help="of the tenant that is measured")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 20], help="of the attack")
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two measurements")
    arguments = parser.parse_args()
    conditions: dict[str, Any] = {"rate": VICTIMS_RATE, "seconds": arguments.seconds, "features": arguments.features}
    conditions |= {"server_core": "one", "client_core": "the other"}
    told = Report("neighbours", "I13", "flags/ of one tenant while another one is expensive", conditions)
    told.notes.append(f"p99 may be {TIMES} times the idle one and {PLUS_MS:g} ms; attackers' times are those of GETs")
    kept = [measure(database, arguments, told) for database in arguments.databases]
    told.tell(arguments)
    sys.exit(not all(kept))


if __name__ == "__main__":
    main()
