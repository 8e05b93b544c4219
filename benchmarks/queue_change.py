"""``queue-change`` posts per second and core: ``python -m benchmarks.queue_change``.

P7. A Flagsmith, or another publisher, posts for each change. On keep-alive connections; the response to a post is sent
after its commit, and concurrent posts share a transaction. Keys take turns, and the posted times increase. *detached*
is the drop-in server, ``python -m realtime.detached``, which stores the versions in its own table; *detached-redis* the
same with Redis, which runs on the client's core, as store and bus. *embedded* is the whole product, which finds the key
in its database and reads the state. nchan only keeps the last message.
"""

import argparse
import itertools
import json
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import cores, load, report
from benchmarks.peers import nchan
from benchmarks.report import Report
from benchmarks.server import product
from benchmarks.wire import Answer, ProtocolError
from tests.support.detached import TOKEN, DetachedServer
from tests.support.redis import Redis


class Publisher(NamedTuple):
    """Posts to a server, and checks the responses."""

    port: int
    pids: list[int]
    paths: list[str]
    headers: list[str]
    statuses: set[int]

    def requests(self) -> Iterator[bytes]:
        for path in itertools.cycle(self.paths):
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            yield load.post(path, json.dumps({"updated_at": now}), *self.headers)

    def check(self, answer: Answer) -> None:
        if answer.status not in self.statuses:
            raise ProtocolError(f"{answer.status}: {answer.body[:200]!r}")


@contextmanager
def detached(keys: int, store: str = "") -> Iterator[Publisher]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        variables = {"LOG_LEVEL": "WARNING"}
        if store == "redis":
            with cores.pinned_to(cores.CLIENT):
                redis = stack.enter_context(Redis())
            variables |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port)}
        with cores.pinned_to(cores.SERVER):
            server = stack.enter_context(DetachedServer(folder, **variables))
        stack.enter_context(cores.pinned_to(cores.CLIENT))
        yield publisher(server.port, [server.process.pid], [f"environment{index}" for index in range(keys)], TOKEN)


@contextmanager
def embedded() -> Iterator[Publisher]:
    token = secrets.token_hex(16)
    with product(SSE_AUTHENTICATION_TOKEN=token) as served:
        yield publisher(served.server.port, served.pids, [served.key], token)


def publisher(port: int, pids: list[int], keys: list[str], token: str) -> Publisher:
    """A publisher for one of our servers and these keys."""
    paths = [f"/sse/environments/{key}/queue-change" for key in keys]
    return Publisher(port, pids, paths, [f"Authorization: Token {token}"], {202})


@contextmanager
def nginx(keys: int) -> Iterator[Publisher]:
    with nchan.nginx() as (port, pid):
        paths = [nchan.PUBLISH.format(channel=f"environment{index}") for index in range(keys)]
        yield Publisher(port, [pid], paths, [], {201, 202})


def measure(publisher: Publisher, arguments: argparse.Namespace, result: Report, name: str) -> None:
    for _ in range(arguments.measurements):
        loaded = load.run(
            publisher.port,
            publisher.pids,
            publisher.requests(),
            publisher.check,
            seconds=arguments.seconds,
            connections=arguments.connections,
        )
        result.add(name, loaded.figures())


def main() -> None:
    parser = report.parser("queue_change", __doc__)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=load.CONNECTIONS)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--measurements", type=int, default=3)
    arguments = parser.parse_args()
    result = Report(
        "queue_change",
        "P7",
        "queue-change per second and core",
        report.conditions(arguments, "keys", "connections", "seconds"),
    )
    result.quoted["best known"] = "1,800 per second and core, according to the project's design notes"
    result.notes.append("embedded has one key, that of an environment in its database; without streams")
    subjects: dict[str, Callable[[], AbstractContextManager[Publisher]]] = {
        "detached": partial(detached, arguments.keys),
        "detached-redis": partial(detached, arguments.keys, "redis"),
        "embedded": embedded,
        "nchan": partial(nginx, arguments.keys),
    }
    report.measure_all(result, subjects, lambda name, publisher: measure(publisher, arguments, result, name))
    result.output(arguments)


if __name__ == "__main__":
    main()
