"""Responses of shortcuts are valid HTTP: in order, framed, and equal to those by ASGI."""

import contextlib
import http.client
import io
import socket
from collections.abc import Iterator

import pytest

from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.patience import PATIENCE
from tests.support.server import MOSTLY_UVICORN, MigratedSQLite, ServerProcess

Response = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module", params=MOSTLY_UVICORN)
def tenant(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tenant]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp(request.param))
    with ServerProcess(variables, flavour=request.param) as server:
        tenant = Tenant.create(AdminAPI.registered(server.url))
        tenant.add_feature("colour", initial_value="red")
        yield tenant


class Connection:
    """A connection on which raw requests are written."""

    def __init__(self, tenant: Tenant) -> None:
        self.key = tenant.environment.key
        self.socket = socket.create_connection(("127.0.0.1", int(tenant.api.url.rpartition(":")[2])), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")

    def send(self, *requests: str) -> None:
        self.socket.sendall("".join(requests).encode())

    def answer(self) -> Response:
        """The next response, parsed by http.client."""
        response = http.client.HTTPResponse(Unclosed(self.file))  # type: ignore[arg-type]
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()

    def request(
        self, path: str = "/api/v1/flags/", key: str | None = None, more: str = "", version: str = "1.1"
    ) -> str:
        return f"GET {path} HTTP/{version}\r\nHost: localhost\r\nX-Environment-Key: {key or self.key}\r\n{more}\r\n"

    def is_closed(self) -> bool:
        return self.file.read(1) == b""


class Unclosed:
    """A socket for http.client that several responses are read from."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def makefile(self, mode: str) -> "Unclosed":
        return self

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def close(self) -> None:
        """Not closed: the connection belongs to the test."""


@pytest.fixture
def connection(tenant: Tenant) -> Iterator[Connection]:
    connection = Connection(tenant)
    with contextlib.closing(connection.socket), contextlib.closing(connection.file):
        yield connection


def test_flags__several_on_one_connection__a_response_each(connection: Connection) -> None:
    for _ in range(3):
        connection.send(connection.request())
        status, headers, body = connection.answer()
        assert status == 200
        assert b"red" in body
        assert "x-flagsmith-document-updated-at" in headers


def test_requests__pipelined__responses_in_order(connection: Connection) -> None:
    connection.send(
        connection.request(),
        connection.request("/version/"),
        connection.request(key="unknown"),
        connection.request("/api/v1/identities/?identifier=new"),
        connection.request("/api/v1/identities/?identifier=new"),
        connection.request(),
    )
    answers = [connection.answer() for _ in range(6)]
    assert [status for status, _, _ in answers] == [200, 200, 403, 200, 200, 200]
    assert b"image_tag" in answers[1][2]
    assert answers[3][2] == answers[4][2]
    assert answers[0][2] == answers[5][2]


def test_identities__posts_pipelined__same_response_after_the_traits_are_stored(connection: Connection) -> None:
    body = '{"identifier": "posted", "traits": [{"trait_key": "age", "trait_value": 7}]}'
    post = connection.request("/api/v1/identities/", more="Content-Type: application/json\r\n").replace("GET", "POST")
    post = post.removesuffix("\r\n") + f"Content-Length: {len(body)}\r\n\r\n{body}"
    connection.send(post, post, post, connection.request("/api/v1/identities/?identifier=posted"))
    answers = [connection.answer() for _ in range(4)]
    for _, headers, _ in answers:
        headers.pop("date", None)  # daphne sends none
        headers["vary"] = ", ".join(sorted(headers["vary"].lower().split(", ")))
    assert answers[0][0] == 200
    assert answers[1:] == [answers[0]] * 3


def test_request__in_single_bytes__response(connection: Connection) -> None:
    for character in connection.request():
        connection.send(character)
    assert connection.answer()[0] == 200


def test_flags__connection_close__connection_is_closed(connection: Connection) -> None:
    connection.send(connection.request(more="Connection: close\r\n"))
    status, headers, _ = connection.answer()
    assert (status, headers["connection"].lower()) == (200, "close")
    assert connection.is_closed()


def test_flags__http_1_0__response_and_closed(connection: Connection) -> None:
    connection.send(connection.request(version="1.0"))
    assert connection.answer()[0] == 200
    assert connection.is_closed()


def test_flags__with_a_body__body_is_not_parsed_as_a_request(connection: Connection) -> None:
    hidden = connection.request("/version/")
    connection.send(connection.request(more=f"Content-Length: {len(hidden)}\r\n"), hidden, connection.request())
    first, second = connection.answer(), connection.answer()
    assert (first[0], second[0]) == (200, 200)
    assert first[2] == second[2]


def test_flags__key_with_spaces_around__response(connection: Connection) -> None:
    connection.send(connection.request(key=f" {connection.key} \t"), connection.request())
    first, second = connection.answer(), connection.answer()
    assert (first[0], first[2]) == (200, second[2])


def test_document__client_has_it__304_without_length_and_the_connection_stays_open(
    connection: Connection, tenant: Tenant
) -> None:
    path, key = "/api/v1/environment-document/", tenant.environment.server_key
    connection.send(connection.request(path, key))
    _, first, document = connection.answer()
    condition = f"If-None-Match: {first['etag']}\r\n"
    # By the shortcut, by ASGI (the path has to be unquoted), and by the shortcut from its cache.
    paths = (path, "/api/v1/environment%2Ddocument/", path)
    connection.send(*(connection.request(each, key, condition) for each in paths), connection.request(path, key))
    answers = [connection.answer() for _ in range(4)]

    assert [status for status, *_ in answers] == [304, 304, 304, 200]
    assert answers[3][2] == document
    for _, headers, body in answers[:3]:
        assert (headers["etag"], body) == (first["etag"], b"")
        assert {"content-length", "content-type", "transfer-encoding"}.isdisjoint(headers)


def test_stream__pipelined_requests_after_it__no_responses(connection: Connection, tenant: Tenant) -> None:
    connection.send(connection.request(f"/sse/environments/{connection.key}/stream"), connection.request())
    status_line = connection.file.readline()
    assert status_line == b"HTTP/1.1 200 OK\r\n"
    text = b""
    while b"environment_updated" not in text:
        text += connection.file.readline()
    assert b"red" not in text


def test_clients__resets_at_any_moment__others_are_served(connection: Connection, tenant: Tenant) -> None:
    port = int(tenant.api.url.rpartition(":")[2])
    for request in (
        connection.request(),
        connection.request(key="unknown"),
        connection.request("/api/v1/identities/?identifier=gone"),
        connection.request(f"/sse/environments/{connection.key}/stream"),
    ):
        for length in (10, len(request) - 1, len(request)):
            reset(port, request[:length])
    connection.send(connection.request())
    assert connection.answer()[0] == 200
    with sse.connect(port, connection.key) as stream:
        assert stream.next_event()


def reset(port: int, text: str) -> None:
    """Send this, and reset the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(text.encode())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
