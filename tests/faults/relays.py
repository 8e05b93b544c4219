"""Relays for fault tests: an upstream whose flags change continuously, and clients that check each answer.

All states of the upstream are numbered, and the number is a flag's value. An answer is wrong if its number was never
the upstream's, or if it is older than an answer or an event that the same process has sent before.
"""

import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import requests

from tests.faults.cluster import AHEAD_SECONDS, Recovery, Report, clock_ahead
from tests.faults.contention import Contention, seconds_without_core
from tests.faults.valve import ForwardingProcess, Valve
from tests.support import sse
from tests.support.api import VERSION_HEADER
from tests.support.patience import PATIENCE
from tests.support.redis import Redis
from tests.support.relay import RelayServer, by_name
from tests.support.upstream import Environment, Upstream, seconds

if TYPE_CHECKING:
    from tests.faults.faults import Fault

Kind = Literal["directory", "redis"]
"""The storage: one relay with a directory, or two with Redis, of which the second's clock is ahead."""

NUMBERED = "banner"
"""The flag whose value is the state's number."""

POLL_SECONDS = 1
TIMEOUT_SECONDS = 6

# From the end of a fault until all streams have the newest state: a poll, and a second.
MAX_RECOVERY_SECONDS = POLL_SECONDS + 1

# From the start of a process until it serves its kept document, with the upstream away.
MAX_START_SECONDS = 2.0

IDENTITY = json.dumps({"identifier": "ada lovelace", "traits": [{"trait_key": "plan", "trait_value": "pro"}]})


class Checker:
    """The answers and events of one process of a relay, from its start."""

    def __init__(self, states: "Changes") -> None:
        self._states = states
        self._lock = threading.Lock()
        self._version = Decimal(0)
        self._number = -1
        self._number_of: dict[Decimal, int] = {}

    def floor(self) -> tuple[Decimal, int]:
        """The newest version and number sent so far. Answers to later requests must not be older."""
        with self._lock:
            return self._version, self._number

    def problem(self, floor: tuple[Decimal, int], version: Decimal, number: int) -> str | None:
        """The reason why this answer is wrong, if it is."""
        with self._lock:
            number_of_version = self._number_of.setdefault(version, number)
            self._version, self._number = max(self._version, version), max(self._number, number)
        if number > self._states.number or number < 0:
            return "an answer that the upstream never had"
        if version < floor[0] or number < floor[1]:
            return f"an old answer: {version}, {number} after {floor}"
        if number != number_of_version:
            return f"two states of one version: {version}, {number} and {number_of_version}"
        return None

    def event(self, version: Decimal) -> None:
        with self._lock:
            self._version = max(self._version, version)


class Changes(threading.Thread):
    """Changes the upstream's flags at a rate, and posts versions to the relays.

    A fifth of the changes raises no version, and a third of the posts and of the events is lost.
    """

    def __init__(self, relays: "Relays", per_second: float) -> None:
        super().__init__(name="changes", daemon=True)
        self.number = 0
        """The newest state's number."""

        self.is_paused = True
        self.made = 0
        self._relays = relays
        self._interval = 1 / per_second
        self._ended = threading.Event()
        self._changing = threading.Lock()

    def pause(self) -> None:
        """Make no more changes. The last one's posts may still be under way."""
        with self._changing:
            self.is_paused = True

    def end(self) -> None:
        self._ended.set()
        self.join(PATIENCE)

    def run(self) -> None:
        while not self._ended.wait(self._interval):
            with self._changing:
                if self.is_paused:
                    continue
                raises_version = self._change()
            if raises_version:
                self._announce()
            self.made += 1

    def _change(self) -> bool:
        """Make the next state. Returns whether it has a new version."""
        shop, chance = self._relays.shop, self._relays.chance
        self.number += 1
        if chance.random() < 0.2:
            states = deepcopy(shop.document["feature_states"])
            states[0]["feature_state_value"] = self.number
            shop.update(feature_states=states)
            return False
        by = max(datetime.now(UTC) - shop.version, timedelta(microseconds=1))
        shop.change(by=by, **{NUMBERED: (True, self.number)})
        return True

    def _announce(self) -> None:
        relays, chance = self._relays, self._relays.chance
        shop = relays.shop
        if chance.random() < 0.67:
            relays.upstream.publish(shop)
        for relay in relays.servers:
            if chance.random() < 0.67:
                with suppress(OSError, requests.RequestException):
                    relay.post(shop)


class Rejected(Exception):
    """An answer other than 200."""


class Client(threading.Thread):
    """A thread that connects again after any end or failure."""

    def __init__(self, relays: "Relays", index: int) -> None:
        super().__init__(name=f"{type(self).__name__} {index}", daemon=True)
        self.broken: Counter[str] = Counter()
        """Failures of connections and streams."""

        self.rejected: Counter[str] = Counter()
        """Answers other than 200."""

        self.wrong: Counter[str] = Counter()
        self._relays = relays
        self._index = index
        self._ended = threading.Event()

    @property
    def _port(self) -> int:
        return self._relays.servers[self._index].port

    def end(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._connect(self._relays.checkers[self._index])
            except Rejected as error:
                self.rejected[str(error)] += 1
            except (OSError, HTTPException, EOFError) as error:
                if not self._ended.is_set():
                    self.broken[f"{type(error).__name__}: {error}"[:120]] += 1
            self._ended.wait(0.05)

    def _connect(self, checker: Checker) -> None:
        raise NotImplementedError


class Subscriber(Client):
    """A stream."""

    def __init__(self, relays: "Relays", index: int) -> None:
        super().__init__(relays, index)
        self.newest = Decimal(0)
        """The version of the last event of the open stream. 0: none."""

    def _connect(self, checker: Checker) -> None:
        with sse.connect(self._port, self._relays.shop.key, timeout=TIMEOUT_SECONDS) as stream:
            if stream.status != 200:
                raise Rejected(f"a stream got {stream.status}: {stream.headers}")
            try:
                while not self._ended.is_set():
                    version = stream.next_event(2 * PATIENCE).updated_at
                    if version < self.newest:
                        self.wrong[f"a falling version: {version} after {self.newest}"] += 1
                    checker.event(version)
                    self.newest = version
            finally:
                self.newest = Decimal(0)


class Reader(Client):
    """Reads flags, an identity's flags and the document in turn, on one connection."""

    def _connect(self, checker: Checker) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        reads = (self._flags, self._identity, self._document)
        try:
            while not self._ended.is_set() and checker is self._relays.checkers[self._index]:
                for read in reads:
                    floor = checker.floor()
                    problem = checker.problem(floor, *read(connection))
                    if problem is not None:
                        self.wrong[f"{read.__name__}: {problem}"] += 1
                self._ended.wait(0.02)
        finally:
            connection.close()

    def _flags(self, connection: HTTPConnection) -> tuple[Decimal, int]:
        version, answer = self._request(connection, "GET", "flags/")
        return version, _number(answer)

    def _identity(self, connection: HTTPConnection) -> tuple[Decimal, int]:
        version, answer = self._request(connection, "POST", "identities/", IDENTITY)
        return version, _number(answer["flags"])

    def _document(self, connection: HTTPConnection) -> tuple[Decimal, int]:
        key = self._relays.server_keys[self._index]
        _, answer = self._request(connection, "GET", "environment-document/", key=key)
        states = {each["feature"]["name"]: each["feature_state_value"] for each in answer["feature_states"]}
        return seconds(datetime.fromisoformat(answer["updated_at"])), _as_number(states[NUMBERED])

    def _request(
        self, connection: HTTPConnection, method: str, path: str, body: str | None = None, key: str | None = None
    ) -> tuple[Decimal, Any]:
        headers = {"X-Environment-Key": key or self._relays.shop.key, "Content-Type": "application/json"}
        connection.request(method, f"/api/v1/{path}", body, headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise Rejected(f"{path} got {response.status}: {content[:60]!r}")
        return Decimal(response.headers.get(VERSION_HEADER, "0")), json.loads(content)


def _number(flags: list[dict[str, Any]]) -> int:
    return _as_number(by_name(flags)[NUMBERED][1])


def _as_number(value: Any) -> int:
    return value if isinstance(value, int) else 0 if value == "old" else -1


@dataclass
class Relays:
    """A context manager: relays of one environment, ``shop``, with clients."""

    kind: Kind
    chance: random.Random
    upstream: Upstream
    shop: Environment
    process: ForwardingProcess
    """The upstream's process, from the relays' point of view: it has the port that they connect to."""

    valve: Valve
    """Between this process and the upstream, which is a thread of the tests."""

    servers: list[RelayServer]
    redis: Redis | None
    streams: int
    per_second: float
    checkers: list[Checker] = field(init=False)
    server_keys: list[str] = field(init=False)
    """The server-side key of each relay's readers."""

    def __enter__(self) -> Self:
        self.changes = Changes(self, self.per_second)
        self.checkers = [Checker(self.changes) for _ in self.servers]
        self.server_keys = [self.shop.server_key for _ in self.servers]
        relays = range(len(self.servers))
        self.subscribers = [Subscriber(self, index % len(self.servers)) for index in range(self.streams)]
        self.readers = [Reader(self, index) for index in relays]
        for thread in (self.changes, *self.subscribers, *self.readers):
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.changes.end()
        for client in (*self.subscribers, *self.readers):
            client.end()

    def restart(self, index: int) -> None:
        """Kill a relay, and start it again."""
        self.servers[index].process.kill()
        self.start(index)

    def start(self, index: int) -> None:
        """Start a relay that was killed."""
        self.checkers[index] = Checker(self.changes)
        self.servers[index].start()

    def survive(self, fault: "Fault") -> Report:
        """Apply the fault while flags are changed."""
        for name in ("broken", "rejected", "wrong"):
            self._new(self._clients(), name)
        self.changes.made, self.changes.is_paused = 0, False
        with fault.act(self):
            recovery_during = self._recover() if fault.spares_database else None
        recovery = self._recover()
        made = self.changes.made
        self._wait(lambda: self.changes.made > made + 3)
        recovery_later = self._recover()
        self.changes.pause()
        report = Report(
            updates=self.changes.made,
            recovery=recovery,
            recovery_during=recovery_during,
            recovery_later=recovery_later,
            streams=self._new(self._clients(), "broken"),
            calls=self._new(self._clients(), "rejected"),
        )
        report.start = self._start_without_upstream()
        report.wrong = self._new(self._clients(), "wrong")
        return report

    def _clients(self) -> list[Client]:
        return [*self.subscribers, *self.readers]

    def _start_without_upstream(self) -> Recovery:
        """Start all relays from their kept documents while the upstream is away.

        The time is the longest one of a relay, until it answers with the newest state.
        """
        self._wait(self._is_kept)
        self.process.process.kill()
        for server in self.servers:
            server.process.kill()
        starts = []
        for index, server in enumerate(self.servers):
            self.checkers[index] = Checker(self.changes)
            began = time.monotonic()
            server.start()
            complete = self._flags(server)[1] == self.changes.number
            elapsed = time.monotonic() - began
            starts.append(Recovery(complete, elapsed, seconds_without_core(server.process.pid)))
        self.process.start()
        self._wait(self._is_current)
        return max(starts, key=lambda start: (not start.complete, start.net_seconds))

    def _recover(self) -> Recovery:
        """Wait until all relays and streams have the newest state."""
        with Contention() as contention:
            began = time.monotonic()
            self.changes.pause()
            complete = self._wait(self._is_current, must=False)
            elapsed = time.monotonic() - began
        self.changes.is_paused = False
        return Recovery(complete, elapsed, contention.seconds)

    def _is_current(self) -> bool:
        with suppress(OSError, AssertionError):
            found = [self._flags(server) for server in self.servers]
            return all(number == self.changes.number for _, number in found) and all(
                subscriber.newest == found[subscriber._index][0] for subscriber in self.subscribers
            )
        return False

    def _is_kept(self) -> bool:
        """Whether the newest document is stored: no relay fetches or stores."""
        if self.redis is not None:
            return bool(_stored_in_redis(self.redis, self.shop.key) == self.changes.number)
        files = list(self.servers[0].state.glob("*.document"))
        return [_as_number(_value(path.read_bytes())) for path in files] == [self.changes.number]

    def _flags(self, server: RelayServer) -> tuple[Decimal, int]:
        answer = server.request("GET", "flags/", self.shop.key)
        assert answer.status_code == 200, answer.text
        return Decimal(answer.headers[VERSION_HEADER]), _number(answer.json())

    def _wait(self, condition: Any, must: bool = True) -> bool:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                if must:
                    raise TimeoutError(f"not in {PATIENCE} s: {condition}")
                return False
            time.sleep(0.02)
        return True

    def _new(self, clients: list[Any], name: str) -> Counter[str]:
        """The failures since the last call."""
        total: Counter[str] = Counter()
        for client in clients:
            total += getattr(client, name)
            getattr(client, name).clear()
        return total


def _stored_in_redis(redis: Redis, key: str) -> int:
    from redis import Redis as RedisClient

    with RedisClient.from_url(redis.url) as client:
        content: Any = client.hget("{flagsmith-realtime}:relay:documents", key)
    return _as_number(_value(content)) if content else -1


def _value(stored: bytes) -> Any:
    """The numbered flag of a stored document: a line with its header, and the document."""
    document = json.loads(stored.partition(b"\n")[2] or b"{}")
    values = {each["feature"]["name"]: each["feature_state_value"] for each in document.get("feature_states", ())}
    return values.get(NUMBERED)


@contextmanager
def relays(kind: Kind, *, streams: int = 6, per_second: float = 10.0, seed: int | None = None) -> Iterator[Relays]:
    """Serve one environment of an upstream by relays."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(Upstream())
        shop = upstream.add_environment("shop")
        # A 304 hides a second change within a second, and one without a new version, for up to a minute.
        shop.is_conditional = False
        valve = stack.enter_context(Valve(upstream.port))
        process = stack.enter_context(ForwardingProcess(valve.port))
        redis = stack.enter_context(Redis()) if kind == "redis" else None
        servers = []
        for number in range(2 if redis is not None else 1):
            variables = {"UPSTREAM_REALTIME_URL": f"http://127.0.0.1:{process.port}", "LOG_LEVEL": "INFO"}
            if redis is not None:
                variables["REDIS_URL"] = redis.url
            if number == 1:
                variables |= clock_ahead(AHEAD_SECONDS)
            (folder / str(number)).mkdir()
            configuration = {
                "api_poll_frequency_seconds": POLL_SECONDS,
                "api_poll_timeout_seconds": TIMEOUT_SECONDS,
            }
            server = RelayServer(
                folder / str(number),
                f"http://127.0.0.1:{process.port}/api/v1",
                shop,
                configuration=configuration,
                **variables,
            )
            servers.append(stack.enter_context(server))
        made = Relays(kind, random.Random(seed), upstream, shop, process, valve, servers, redis, streams, per_second)
        yield stack.enter_context(made)
