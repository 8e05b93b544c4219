"""``queue-change`` on a socket: the responses of the shortcut and of ASGI are equal."""

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.client import HTTPResponse
from typing import Any

import pytest
from psycopg import sql

from realtime.types import first_readable
from tests.support import sse
from tests.support.patience import PATIENCE
from tests.support.postgresql import PostgreSQL
from tests.support.server import ServerProcess
from tests.wire.conftest import FLAVOURS, TOKEN, Publisher
from tests.wire.test_shortcuts import Unclosed

Response = tuple[int, dict[str, str], Any]

TIME = '{"updated_at": "2026-01-01T00:00:00.123456"}'

CLOSE_ALL = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}").format(
    sql.SQL("pid <> pg_backend_pid() AND backend_type = 'client backend'")
)

# The first one is handled by the shortcut if the server has one; the second one by ASGI, as its escape has to be
# decoded; the third one is what Flagsmith posts to if SSE_SERVER_BASE_URL ends with a slash.
PATHS = ["/sse/environments", "/sse/environm%65nts", "//sse/environments"]


class Connection:
    """A keep-alive connection."""

    def __init__(self, server: ServerProcess) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, *pieces: str | bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece.encode() if isinstance(piece, str) else piece)

    def answer(self, method: str = "POST") -> Response:
        response = HTTPResponse(Unclosed(self.file), method=method)  # type: ignore[arg-type]
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        for name in ("date", "server"):
            headers.pop(name, None)
        return response.status, headers, json.loads(body) if body else None


def head(
    path: str = PATHS[0], key: str = "key", method: str = "POST", length: int | None = len(TIME), **more: str
) -> str:
    headers = {"host": "localhost", "content-type": "application/json", "authorization": f"Token {TOKEN}"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    if length is not None:
        headers["content-length"] = str(length)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    return f"{method} {path}/{key}/queue-change HTTP/1.1\r\n{lines}\r\n"


def call(body: str = TIME, **request: Any) -> Callable[[str], list[str]]:
    return lambda path: [head(path, length=len(body.encode()), **request) + body]


CALLS: dict[str, tuple[int, Callable[[str], list[str]]]] = {
    "good": (202, call()),
    "from a page": (202, call(origin="https://shop.example")),
    "odd key": (202, call(key="k%20%C3%A9%3F")),
    "wrong token": (401, call(authorization="Token wrong")),
    "no token": (401, call(authorization="")),
    "no JSON": (400, call("{")),
    "no time": (400, call("{}")),
    "no body": (400, call("")),
    "impossible time": (400, call('{"updated_at": "9999-12-31T00:00:00"}')),
    "long key": (400, call(key="k" * 101)),
    "null byte": (400, call(key="k%00")),
    "large": (413, call(TIME + " " * 5_000)),
    "slash in the key": (404, call(key="a%2Fb")),
    "GET": (405, call("", method="GET")),
    "PUT": (405, call(method="PUT")),
    "HEAD": (405, call("", method="HEAD")),
    "OPTIONS": (405, call("", method="OPTIONS", origin="https://shop.example")),
    "in two pieces": (202, lambda path: [head(path) + TIME[:10], TIME[10:]]),
    "in chunks": (202, lambda path: [head(path, length=None, transfer_encoding="chunked"), chunked(TIME)]),
}


def chunked(text: str) -> str:
    return f"{len(text):x}\r\n{text}\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def answers(server: ServerProcess) -> dict[str, list[Response]]:
    """The responses to each call, on each path."""
    responses: dict[str, list[Response]] = {}
    for name, (_, pieces) in CALLS.items():
        for path in PATHS:
            with Connection(server) as connection:
                connection.send(*pieces(path))
                responses.setdefault(name, []).append(connection.answer("HEAD" if name == "HEAD" else "POST"))
    return responses


@pytest.mark.parametrize("name", CALLS)
def test_queue_change__any_call__equal_responses_on_all_paths(answers: dict[str, list[Response]], name: str) -> None:
    one, *others = answers[name]
    assert one[0] == CALLS[name][0]
    assert others == [one, one]
    assert one[0] != 202 or one[2] == {}
    assert one[0] != 405 or one[1]["allow"] == "POST"


def test_queue_change__accepted_or_rejected__same_middleware_headers(answers: dict[str, list[Response]]) -> None:
    """Accepted posts are handled ahead of Django, rejected ones by Django."""
    accepted, rejected = answers["good"][0][1], answers["wrong token"][0][1]
    assert accepted.keys() == rejected.keys()
    assert {**accepted, "content-length": ""} == {**rejected, "content-length": ""}


def test_queue_change__pipelined__responses_in_order(server: ServerProcess) -> None:
    good, wrong = head() + TIME, head(authorization="Token wrong") + TIME
    with Connection(server) as connection:
        connection.send(good + wrong + good + f"{'GET /version/ HTTP/1.1'}\r\nhost: localhost\r\n\r\n" + good)
        assert [connection.answer()[0] for _ in range(5)] == [202, 401, 202, 200, 202]


def test_queue_change__connection_close__connection_is_closed(server: ServerProcess) -> None:
    for authorization in (f"Token {TOKEN}", "Token wrong"):
        with Connection(server) as connection:
            connection.send(head(connection="close", authorization=authorization) + TIME)
            assert connection.answer()[1]["connection"].lower() == "close"
            assert connection.file.read(1) == b""


def test_queue_change__expect_100_continue__gets_100(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(head(expect="100-continue"))
        if server.flavour == "uvicorn":
            assert connection.file.readline().startswith(b"HTTP/1.1 100")
            assert connection.file.readline() == b"\r\n"
        connection.send(TIME)
        assert connection.answer()[0] == 202


def test_queue_change__content_length_with_many_digits__rejected(server: ServerProcess) -> None:
    if server.flavour == "daphne":
        pytest.skip("daphne closes the connection")
    with Connection(server) as connection:
        connection.send(head(length=None, content_length="0" * 5_000 + str(len(TIME))) + TIME)
        assert connection.answer()[0] == 413


def test_queue_change__client_disconnects_within_its_body__others_are_served(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(head() + TIME[:10])
    with Connection(server) as connection:
        connection.send(head() + TIME)
        assert connection.answer()[0] == 202


def test_queue_change__large_body__413_and_the_connection_stays_open(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(head(length=900_000), b" " * 900_000)
        assert connection.answer()[0] == 413
        connection.send(head() + TIME)
        assert connection.answer()[0] == 202


@pytest.mark.parametrize("path", PATHS)
def test_queue_change__accepted__subscribers_get_the_event(
    server: ServerProcess, environment: Publisher, path: str
) -> None:
    with sse.connect(server.port, environment.key) as stream, Connection(server) as connection:
        before = stream.next_event().updated_at
        body = json.dumps({"updated_at": datetime.now(UTC).isoformat()})
        connection.send(head(path, environment.key, length=len(body)) + body)
        assert connection.answer()[0] == 202
        stream.event_after(before)


def test_queue_change__killed_and_restarted__newest_versions_are_kept(
    start_server: Callable[..., ServerProcess], postgresql: PostgreSQL
) -> None:
    server = start_server(FLAVOURS[0], "postgresql", SSE_AUTHENTICATION_TOKEN=TOKEN, REALTIME_HOST="detached")
    newest: dict[str, datetime] = {}
    began = datetime(2026, 1, 1, tzinfo=UTC)
    with Connection(server) as connection:
        for number in range(60):
            key, moment = f"key{number % 3}", first_readable(began + timedelta(microseconds=number * 7 % 60))
            connection.send(posting(moment, key))
            assert connection.answer()[0] == 202
            newest[key] = max(moment, newest.get(key, moment))
        server.process.kill()
    server.start()
    for key, moment in newest.items():
        with sse.connect(server.port, key) as stream:
            assert stream.next_event().fields["data"].endswith(f".{moment.microsecond:06d}" + "}")
    # In the same test, because a start takes seconds: no post fails if the database has closed the connections.
    with Connection(server) as connection:
        for _ in range(3):
            connection.send(posting(datetime.now(UTC), "key0"))
            assert connection.answer()[0] == 202
            postgresql.execute(CLOSE_ALL)


def posting(moment: datetime, key: str = "key") -> str:
    body = json.dumps({"updated_at": moment.isoformat()})
    return head(key=key, length=len(body)) + body
