"""How many ``queue-change`` one core takes in a second: ``python -m benchmarks.queue_change``.

P7. What an unmodified Flagsmith, or any other publisher, posts for each change. Connections are kept open; each call is
answered when it is committed and the event is on its way: calls that come meanwhile share the next transaction. Keys
take turns, and the times that are posted rise. *detached* is the drop-in server, ``python -m realtime.detached``, which
keeps them in its own table. *embedded* is the whole product: it knows the key and looks at its own database. nchan
keeps nothing but the last message.
"""

import argparse
import itertools
import json
import secrets
import tempfile
import time
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


class Publisher(NamedTuple):
    """Whom to post to."""

    port: int
    pids: list[int]
    paths: list[str]
    headers: list[str]
    statuses: set[int]

    def requests(self) -> Iterator[bytes]:
        for path in itertools.cycle(self.paths):
            yield post(path, self.headers)

    def check(self, answer: Answer) -> None:
        if answer.status not in self.statuses:
            raise ProtocolError(f"{answer.status}: {answer.body[:200]!r}")


def post(path: str, headers: list[str], microseconds: int | None = None) -> bytes:
    """A call that says that something changed at this time, or now."""
    at = datetime.fromtimestamp((microseconds or time.time_ns() // 1000) / 1_000_000, UTC)
    body = json.dumps({"updated_at": at.isoformat(timespec="microseconds")})
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()


@contextmanager
def detached(keys: int) -> Iterator[Publisher]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with cores.on(cores.SERVER):
            server = stack.enter_context(DetachedServer(folder, LOG_LEVEL="WARNING"))
        stack.enter_context(cores.on(cores.CLIENT))
        yield publisher(server.port, [server.process.pid], [f"environment{index}" for index in range(keys)], TOKEN)


@contextmanager
def embedded() -> Iterator[Publisher]:
    token = secrets.token_hex(16)
    with product(SSE_AUTHENTICATION_TOKEN=token) as served:
        yield publisher(served.server.port, served.pids, [served.key], token)


def publisher(port: int, pids: list[int], keys: list[str], token: str) -> Publisher:
    """Who posts to one of ours, for these keys."""
    paths = [f"/sse/environments/{key}/queue-change" for key in keys]
    return Publisher(port, pids, paths, [f"Authorization: Token {token}"], {202})


@contextmanager
def nginx(keys: int) -> Iterator[Publisher]:
    with nchan.nginx() as (port, pid):
        paths = [nchan.PUBLISH.format(channel=f"environment{index}") for index in range(keys)]
        yield Publisher(port, [pid], paths, [], {201, 202})


def measure(publisher: Publisher, arguments: argparse.Namespace, told: Report, name: str) -> None:
    for _ in range(arguments.measurements):
        loaded = load.run(
            publisher.port,
            publisher.pids,
            publisher.requests(),
            publisher.check,
            seconds=arguments.seconds,
            connections=arguments.connections,
        )
        told.add(name, loaded.figures())


def main() -> None:
    parser = report.parser("queue_change", __doc__)
    parser.add_argument("--keys", type=int, default=1_000)
    report.add_load(parser, load.CONNECTIONS)
    arguments = parser.parse_args()
    told = Report("queue_change", "P7", "queue-change a second and core", report.conditions(arguments, "keys"))
    told.quoted["best known"] = "1,800 a second and core, by the project's design notes"
    told.notes.append("embedded has one key, that of an environment in its database; nobody streams")
    subjects: dict[str, Callable[[], AbstractContextManager[Publisher]]] = {
        "detached": partial(detached, arguments.keys),
        "embedded": embedded,
        "nchan": partial(nginx, arguments.keys),
    }
    report.measure_all(told, subjects, lambda name, publisher: measure(publisher, arguments, told, name))
    told.tell(arguments)


if __name__ == "__main__":
    main()
