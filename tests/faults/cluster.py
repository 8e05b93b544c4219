"""Three server processes with a bus between them, nginx in front, streams and an admin at work all along.

Each process reaches PostgreSQL and Redis through valves of its own, so that each way can be cut by itself.
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
from benchmarks.restart_clients import ToggleCalls, TolerantClientProcess
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
from tests.support.server import ServerProcess, migrated_cluster, migrated_postgresql

if TYPE_CHECKING:
    from tests.faults.faults import Fault

Bus = Literal["postgres", "redis"]

RECONCILE_SECONDS = 1.0

# From a fault's end to the last subscriber that has the newest state: one reconcile (promise I5), and a second.
MOST_SECONDS = RECONCILE_SECONDS + 1

# One process's clock is so far ahead of the others'.
AHEAD_SECONDS = 5


@dataclass(frozen=True)
class Healing:
    """The time until every subscriber has the newest state. No change is made meanwhile: a process that has missed one
    would deliver the next one that is its own.
    """

    complete: bool
    """Whether they have it at all, after ``PATIENCE``."""

    seconds: float
    """Elapsed, with the time until the API has answered what the newest state is."""

    contention_seconds: float
    """Of these, the ones for which the machine was busy with other work (``Contention``)."""

    @property
    def net_seconds(self) -> float:
        return self.seconds - self.contention_seconds


@dataclass
class Story:
    """What came of one fault."""

    updates: int
    """Changes that the API has confirmed meanwhile."""

    healed: Healing
    """From the end of the fault. It ends when what was away is back: a server that was started answers as ready, and
    PostgreSQL and Redis accept connections. So their own start and recovery are not counted, and everything that
    follows is: new connections of the processes, the API's first answer, the reconcile.
    """

    healed_meanwhile: Healing | None
    """From a moment while the fault lasts. None where it keeps a process from the database."""

    healed_afterwards: Healing
    """From the last of the changes that were made after the fault."""

    streams: Counter[str] = field(default_factory=Counter)
    """What went wrong on streams: another status than 200, a broken chunk, a value that fell, a reset."""

    calls: Counter[str] = field(default_factory=Counter)
    """Calls of the Admin API that failed."""

    @property
    def healings(self) -> list[Healing]:
        measured = (self.healed_meanwhile, self.healed, self.healed_afterwards)
        return [healing for healing in measured if healing is not None]

    @property
    def behind(self) -> int:
        """How often a subscriber was left without the newest state."""
        return sum(not healing.complete for healing in self.healings)

    def complaints(self, fault: "Fault") -> list[str]:
        """What the fault itself does not bring with it."""
        allowed = [f"answered with {status}:" for status in fault.fails_calls]
        said = Counter({what: n for what, n in self.calls.items() if not any(status in what for status in allowed)})
        if not fault.breaks_streams:
            said += self.streams
        if self.behind:
            said["subscribers were left behind"] += self.behind
        return [f"{times} × {what}" for what, times in said.items()]


@dataclass
class Cluster:
    bus: Bus
    chance: random.Random
    postgresql: PostgreSQL
    redis: Redis
    servers: list[ServerProcess]
    database_valves: list[Valve]
    bus_valves: list[Valve]
    """To what carries the bus: Redis, or PostgreSQL as above."""

    nginx: Nginx
    demo: Mapping[str, Any]
    clients: StreamClients
    per_second: float
    """Changes of each environment while a fault goes by."""

    @property
    def keys(self) -> list[str]:
        return [environment["api_key"] for environment in self.demo["environments"]]

    def versions(self) -> dict[str, int]:
        """The newest version of each environment, as the API says it: by key, in microseconds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return {key: self._version(key) for key in self.keys}
            except (OSError, AssertionError):
                # The database is not back yet.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def heard(self) -> dict[str, int]:
        """The version that each environment's slowest subscriber has."""
        oldest: dict[str, int] = {}
        streams = 0
        for answer in self.clients.ask("newest"):
            streams += answer["streams"]
            for path, version in answer["versions"].items():
                key = path.split("/")[3]
                oldest[key] = min(version, oldest.get(key, version))
        # One that connects again has none.
        return oldest if streams == self.clients.number else {}

    def wait_until_heard(self, versions: Mapping[str, int], seconds: float = PATIENCE) -> bool:
        """Whether each subscriber has these versions, or newer ones, in that time."""
        deadline = time.monotonic() + seconds
        while not self._has_heard(versions):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def survive(self, fault: "Fault") -> Story:
        """Let the fault come and go while flags are toggled."""
        self._complaints()
        with ExitStack() as work:
            toggles = [work.enter_context(self._toggling(key)) for key in self.keys]
            with fault.act(self):
                healed_meanwhile = self._heal(toggles) if fault.spares_database else None
            healed = self._heal(toggles)
            self._wait_for_another(toggles)
            healed_afterwards = self._heal(toggles)
        self._wait_for_all_servers()
        return Story(
            updates=_made(toggles),
            healed=healed,
            healed_meanwhile=healed_meanwhile,
            healed_afterwards=healed_afterwards,
            streams=self._complaints(),
            calls=sum((toggling.failures for toggling in toggles), Counter()),
        )

    def _heal(self, toggles: list[ToggleCalls]) -> Healing:
        """Wait until every subscriber has what is the newest state now."""
        with Contention() as contention:
            began = time.monotonic()
            for toggling in toggles:
                toggling.is_paused = True
            complete = self.wait_until_heard(self.versions())
            seconds = time.monotonic() - began
        for toggling in toggles:
            toggling.is_paused = False
        return Healing(complete, seconds, contention.seconds)

    def _wait_for_another(self, toggles: list[ToggleCalls]) -> None:
        """Changes go on after a fault, however short it was."""
        before, deadline = _made(toggles), time.monotonic() + PATIENCE
        while _made(toggles) == before:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no change was made in {PATIENCE} s after the fault")
            time.sleep(0.01)

    def _wait_for_all_servers(self) -> None:
        """Others answer meanwhile for one that has no database again yet: what it fails is not the next fault's."""
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

    def _has_heard(self, versions: Mapping[str, int]) -> bool:
        heard = self.heard()
        return all(heard.get(key, 0) >= version for key, version in versions.items())

    def _complaints(self) -> Counter[str]:
        """Of the streams, since this was asked the last time."""
        said: Counter[str] = Counter()
        for outcome in self.clients.ask("outcome"):
            said += outcome["faults"]
        new = said - self._said
        self._said = said
        return new

    _said: Counter[str] = field(default_factory=Counter, init=False)


def _made(toggles: list[ToggleCalls]) -> int:
    return sum(toggling.calls - toggling.failures.total() for toggling in toggles)


@contextmanager
def cluster(bus: Bus, *, streams: int = 60, per_second: float = 5.0, seed: int | None = None) -> Iterator[Cluster]:
    """Serve the demo from three processes; ``streams`` in all, toggles ``per_second`` in each environment."""
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
    """Environment variables of a process whose clock is ahead. The monotonic one is as it is."""
    command = [str(programs.require("faketime")), "--exclude-monotonic", "-f", f"+{seconds}s", "env"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    wanted = ("LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC")
    variables = {name: value for name, _, value in (line.partition("=") for line in lines) if name in wanted}
    # libfaketime's own way with condition variables makes threads that wait for Python's interpreter lock spin: two
    # busy threads take 5 times as long, and 6 times as much of the processor, as without it and as with this.
    return variables | {"FAKETIME_FORCE_MONOTONIC_FIX": "0"}


def _through(valve: Valve, url: str) -> str:
    parts = urlsplit(url)
    host = f"{parts.username}@127.0.0.1" if parts.username else "127.0.0.1"
    return urlunsplit(parts._replace(netloc=f"{host}:{valve.port}"))
