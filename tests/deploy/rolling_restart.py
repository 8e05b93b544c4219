"""Streams and calls during a rolling restart behind nginx, and what becomes of them."""

import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.server import Product
from benchmarks.streams import StreamClients, Target
from tests.support.nginx import Nginx
from tests.support.restart_clients import IdentityCalls, ToggleCalls, TolerantClientProcess, all_at

# Before the first restart and after the last one.
CALM_SECONDS = 0.2


@dataclass
class Outcome:
    """The outcome of a restart."""

    reconnects: list[float] = field(default_factory=list)
    """Times of ``time.perf_counter``."""

    faults: Counter[str] = field(default_factory=Counter)
    """Of streams: a status other than 200, a cut, a reset, an incomplete chunk, a decreasing version."""

    failures: Counter[str] = field(default_factory=Counter)
    """Of calls."""

    toggles: int = 0
    identities: int = 0
    all_at_newest: bool = False


def restart_one_by_one(served: Product, nginx: Nginx, streams: int, *, toggles: float, identities: float) -> Outcome:
    """Restart the servers one after the other, with so many streams, and calls a second."""
    outcome = Outcome()
    feature = served.demo["features"][0]["id"]
    target = Target(nginx.port, f"/sse/environments/{served.key}/stream")
    admin = ToggleCalls(nginx.port, served.demo["token"], served.key, feature, toggles)
    identity_calls = IdentityCalls(nginx.port, served.key, identities)
    with StreamClients([target], streams, client_process=TolerantClientProcess) as clients:
        clients.ask("open")
        with admin, identity_calls:
            time.sleep(CALM_SECONDS)
            for server in served.servers:
                server.stop(60)
                server.start()
            time.sleep(CALM_SECONDS)
        outcome.all_at_newest = all_at(clients, served.version())
        for answer in clients.ask("outcome"):
            outcome.reconnects += answer["reconnects"]
            outcome.faults += answer["faults"]
    outcome.toggles, outcome.identities = admin.calls, identity_calls.calls
    outcome.failures = admin.failures + identity_calls.failures
    return outcome
