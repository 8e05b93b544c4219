"""A cluster for fault tests: three server processes, a bus, nginx, open streams, and an admin who toggles flags.

Each process connects to PostgreSQL and Redis through its own valves, so that each connection can be cut separately.
"""

import json
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from benchmarks import cores
from benchmarks.streams import StreamClients, Target
from benchmarks.wire import microseconds
from tests.faults.contention import Contention
from tests.faults.garbling import PostgreSQLMessages, RedisMessages
from tests.faults.valve import Valve
from tests.support import programs
from tests.support.api import VERSION_HEADER, AdminAPI
from tests.support.nginx import Nginx
from tests.support.patience import PATIENCE
from tests.support.postgresql import PostgreSQL
from tests.support.redis import Redis
from tests.support.restart_clients import ToggleCalls, TolerantClientProcess
from tests.support.server import ServerProcess, migrated_cluster, migrated_postgresql

if TYPE_CHECKING:
    from tests.faults.faults import Fault

Bus = Literal["postgres", "redis"]

RECONCILE_SECONDS = 1.0

# From the end of a fault until every subscriber has the newest state: one reconcile (promise I5), and a second.
MAX_RECOVERY_SECONDS = RECONCILE_SECONDS + 1

# The clock of one process is ahead by this time.
AHEAD_SECONDS = 5


@dataclass(frozen=True)
class Recovery:
    """The time until every subscriber has the newest state.

    No change is made meanwhile, since a process that has missed a change would deliver its own next one.
    """

    complete: bool
    """Whether all subscribers have the newest state, within ``PATIENCE``."""

    seconds: float
    """Elapsed seconds, including the request for the newest state."""

    contention_seconds: float
    """The part for which the machine was busy with other work (``Contention``)."""

    @property
    def net_seconds(self) -> float:
        return self.seconds - self.contention_seconds


@dataclass
class Report:
    """The effects of one fault."""

    updates: int
    """The number of changes that the API has confirmed."""

    recovery: Recovery
    """From the end of the fault: when a started server is ready, and PostgreSQL and Redis accept connections.

    Their own start is not counted; new connections of the processes, the first response of the API, and the reconcile
    are.
    """

    recovery_during: Recovery | None
    """From a moment during the fault. None if the fault separates a process from the database."""

    recovery_later: Recovery
    """From the last change after the fault."""

    streams: Counter[str] = field(default_factory=Counter)
    """Failures of streams: a status other than 200, a broken chunk, a falling version, a reset."""

    calls: Counter[str] = field(default_factory=Counter)
    """Calls that failed: of the Admin API, or reads of a relay."""

    wrong: Counter[str] = field(default_factory=Counter)
    """Wrong answers and events of relays."""

    start: Recovery | None = None
    """The start of a relay from its kept document, without the upstream. None: no relay is tested."""

    @property
    def recoveries(self) -> list[Recovery]:
        measured = (self.recovery_during, self.recovery, self.recovery_later)
        return [recovery for recovery in measured if recovery is not None]

    @property
    def behind(self) -> int:
        """The number of recoveries after which a subscriber did not have the newest state."""
        return sum(not recovery.complete for recovery in self.recoveries)

    def failures_of(self, fault: "Fault") -> list[str]:
        """Failures that the fault does not explain."""
        allowed = [f" got {status}:" for status in fault.fails_calls]
        found = Counter({name: n for name, n in self.calls.items() if not any(status in name for status in allowed)})
        if not fault.breaks_streams:
            found += self.streams
        found += self.wrong
        if self.start is not None and not self.start.complete:
            found["a start without the newest document"] += 1
        if self.behind:
            found["subscribers without the newest state"] += self.behind
        return [f"{times} × {name}" for name, times in found.items()]


@dataclass
class Cluster:
    bus: Bus
    chance: random.Random
    postgresql: PostgreSQL
    redis: Redis
    servers: list[ServerProcess]
    database_valves: list[Valve]
    bus_valves: list[Valve]
    """The valves to the bus: to Redis, or the database valves."""

    nginx: Nginx
    demo: Mapping[str, Any]
    clients: StreamClients
    per_second: float
    """Changes per second in each environment during a fault."""

    @property
    def keys(self) -> list[str]:
        return [environment["api_key"] for environment in self.demo["environments"]]

    def versions(self) -> dict[str, int]:
        """The newest version of each environment by the API: by key, in microseconds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return {key: self._version(key) for key in self.keys}
            except (OSError, AssertionError):
                # The database is not back yet.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def received(self) -> dict[str, int]:
        """The oldest version that a subscriber has, by environment key."""
        oldest: dict[str, int] = {}
        streams = 0
        for answer in self.clients.ask("newest"):
            streams += answer["streams"]
            for path, version in answer["versions"].items():
                key = path.split("/")[3]
                oldest[key] = min(version, oldest.get(key, version))
        # A stream that is being opened again has no version.
        return oldest if streams == self.clients.number else {}

    def wait_until_received(self, versions: Mapping[str, int], seconds: float = PATIENCE) -> bool:
        """Whether each subscriber has these versions, or newer ones, in that time."""
        deadline = time.monotonic() + seconds
        while not self._has_received(versions):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def survive(self, fault: "Fault") -> Report:
        """Apply the fault while flags are toggled."""
        self._new_failures()
        with ExitStack() as work:
            toggles = [work.enter_context(self._toggling(key)) for key in self.keys]
            with fault.act(self):
                recovery_during = self._recover(toggles) if fault.spares_database else None
            recovery = self._recover(toggles)
            self._wait_for_another(toggles)
            recovery_later = self._recover(toggles)
        self._wait_for_all_servers()
        return Report(
            updates=_made(toggles),
            recovery=recovery,
            recovery_during=recovery_during,
            recovery_later=recovery_later,
            streams=self._new_failures(),
            calls=sum((toggling.failures for toggling in toggles), Counter()),
        )

    def _recover(self, toggles: list[ToggleCalls]) -> Recovery:
        """Wait until every subscriber has the newest state."""
        with Contention() as contention:
            began = time.monotonic()
            for toggling in toggles:
                toggling.is_paused = True
            complete = self.wait_until_received(self.versions())
            seconds = time.monotonic() - began
        for toggling in toggles:
            toggling.is_paused = False
        return Recovery(complete, seconds, contention.seconds)

    def _wait_for_another(self, toggles: list[ToggleCalls]) -> None:
        """Wait for a change after the fault."""
        before, deadline = _made(toggles), time.monotonic() + PATIENCE
        while _made(toggles) == before:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no change was made in {PATIENCE} s after the fault")
            time.sleep(0.01)

    def _wait_for_all_servers(self) -> None:
        """Wait until all servers are ready, so that their failures are not attributed to the next fault."""
        for server in self.servers:
            server.process.wait_until(server.is_ready)

    def _toggling(self, key: str) -> ToggleCalls:
        feature = self.demo["features"][0]["id"]
        return ToggleCalls(self.nginx.port, self.demo["token"], key, feature, per_second=self.per_second)

    def _version(self, key: str) -> int:
        headers = {"X-Environment-Key": key}
        answer = AdminAPI(self.nginx.url, "").response("GET", "flags/", headers=headers)
        assert answer.status_code == 200, answer.text
        return microseconds(answer.headers[VERSION_HEADER])

    def _has_received(self, versions: Mapping[str, int]) -> bool:
        received = self.received()
        return all(received.get(key, 0) >= version for key, version in versions.items())

    def _new_failures(self) -> Counter[str]:
        """New failures of streams since the last call."""
        total: Counter[str] = Counter()
        for outcome in self.clients.ask("outcome"):
            total += outcome["faults"]
        new = total - self._reported
        self._reported = total
        return new

    _reported: Counter[str] = field(default_factory=Counter, init=False)


def _made(toggles: list[ToggleCalls]) -> int:
    return sum(toggling.calls - toggling.failures.total() for toggling in toggles)


@contextmanager
def cluster(bus: Bus, *, streams: int = 60, per_second: float = 5.0, seed: int | None = None) -> Iterator[Cluster]:
    """Serve the demo data by three processes. ``streams`` is a total, ``per_second`` toggles are per environment."""
    chance = random.Random(seed)
    cores.raise_file_limit()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgresql = stack.enter_context(migrated_cluster())
        redis = stack.enter_context(Redis())
        settings = migrated_postgresql(postgresql).copy(folder)
        of_database, of_bus, servers = [], [], []
        for number in range(3):
            database = stack.enter_context(
                Valve(postgresql.port, (lambda: PostgreSQLMessages(chance)) if bus == "postgres" else None)
            )
            queue = database
            variables = settings | {"DATABASE_URL": _through(database, settings["DATABASE_URL"]), "LOG_LEVEL": "INFO"}
            variables["REALTIME_STREAM_SECONDS"] = "3600"
            variables["REALTIME_WEDGED_SECONDS"] = str(PATIENCE)
            if bus == "redis":
                queue = stack.enter_context(Valve(redis.port, lambda: RedisMessages(chance)))
                variables["REDIS_URL"] = _through(queue, redis.url)
            if number == 2:
                variables |= clock_ahead(AHEAD_SECONDS)
            of_database.append(database)
            of_bus.append(queue)
            servers.append(ServerProcess(variables))
        demo = json.loads(servers[0].manage("seed_demo", "--json"))
        for server in servers:
            stack.enter_context(server)
        nginx = stack.enter_context(Nginx([server.port for server in servers]))
        targets = [
            Target(nginx.port, f"/sse/environments/{environment['api_key']}/stream")
            for environment in demo["environments"]
        ]
        clients = stack.enter_context(
            StreamClients(targets, streams, client_process=TolerantClientProcess, on=cores.CORES)
        )
        clients.ask("open")
        yield Cluster(bus, chance, postgresql, redis, servers, of_database, of_bus, nginx, demo, clients, per_second)


def clock_ahead(seconds: int) -> dict[str, str]:
    """Environment variables of a process whose clock is ahead. Its monotonic clock is unchanged."""
    command = [str(programs.require("faketime")), "--exclude-monotonic", "-f", f"+{seconds}s", "env"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    wanted = ("LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC")
    variables = {name: value for name, _, value in (line.partition("=") for line in lines) if name in wanted}
    # By default, libfaketime's condition variables let threads that wait for the GIL spin: two busy threads take 5
    # times as long and 6 times as much CPU time as without libfaketime, or with this variable.
    return variables | {"FAKETIME_FORCE_MONOTONIC_FIX": "0"}


def _through(valve: Valve, url: str) -> str:
    parts = urlsplit(url)
    host = f"{parts.username}@127.0.0.1" if parts.username else "127.0.0.1"
    return urlunsplit(parts._replace(netloc=f"{host}:{valve.port}"))
