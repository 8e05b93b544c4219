"""Answers on the connection itself are HTTP's: in order, framed, and the same as the ordinary way's."""

import contextlib
import http.client
import io
import socket
from collections.abc import Iterator

import pytest

from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.patience import PATIENCE
from tests.support.server import MigratedSQLite, ServerProcess
from tests.wire.conftest import FLAVOURS

Told = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module", params=FLAVOURS)
def tenant(
    request: pytest.FixtureRequest, sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tenant]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp(request.param))
    with ServerProcess(variables, flavour=request.param) as server:
        tenant = Tenant.create(AdminAPI.registered(server.url))
        tenant.add_feature("colour", initial_value="red")
        yield tenant


class Connection:
    """A connection on which requests are written as they are given."""

    def __init__(self, tenant: Tenant) -> None:
        self.key = tenant.environment.key
        self.socket = socket.create_connection(("127.0.0.1", int(tenant.api.url.rpartition(":")[2])), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")

    def send(self, *requests: str) -> None:
        self.socket.sendall("".join(requests).encode())

    def answer(self) -> Told:
        """The next one. http.client reads it, as strictly as it does."""
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
    """A socket for http.client that goes on with what another response has left."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def makefile(self, mode: str) -> "Unclosed":
        return self

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def close(self) -> None:
        """The connection is the test's."""


@pytest.fixture
def connection(tenant: Tenant) -> Iterator[Connection]:
    connection = Connection(tenant)
    with contextlib.closing(connection.socket), contextlib.closing(connection.file):
        yield connection


def test_flags__several_on_one_connection__each_answered(connection: Connection) -> None:
    for _ in range(3):
        connection.send(connection.request())
        status, headers, body = connection.answer()
        assert status == 200
        assert b"red" in body
        assert "x-flagsmith-document-updated-at" in headers


def test_requests__all_sent_at_once__answered_in_their_order(connection: Connection) -> None:
    connection.send(
        connection.request(),
        connection.request("/version/"),
        connection.request(key="nobody's"),
        connection.request("/api/v1/identities/?identifier=somebody-new"),
        connection.request("/api/v1/identities/?identifier=somebody-new"),
        connection.request(),
    )
    answers = [connection.answer() for _ in range(6)]
    assert [status for status, _, _ in answers] == [200, 200, 403, 200, 200, 200]
    assert b"image_tag" in answers[1][2]
    assert answers[3][2] == answers[4][2]
    assert answers[0][2] == answers[5][2]


def test_request__in_single_bytes__answered(connection: Connection) -> None:
    for character in connection.request():
        connection.send(character)
    assert connection.answer()[0] == 200


def test_flags__client_that_wants_no_more__connection_is_closed(connection: Connection) -> None:
    connection.send(connection.request(more="Connection: close\r\n"))
    status, headers, _ = connection.answer()
    assert (status, headers["connection"].lower()) == (200, "close")
    assert connection.is_closed()


def test_flags__http_1_0__answered_and_closed(connection: Connection) -> None:
    connection.send(connection.request(version="1.0"))
    assert connection.answer()[0] == 200
    assert connection.is_closed()


def test_flags__with_a_body__the_body_is_no_request(connection: Connection) -> None:
    hidden = connection.request("/version/")
    connection.send(connection.request(more=f"Content-Length: {len(hidden)}\r\n"), hidden, connection.request())
    first, second = connection.answer(), connection.answer()
    assert (first[0], second[0]) == (200, 200)
    assert first[2] == second[2]


@pytest.mark.parametrize("origin", ["", "Origin: https://shop.example\r\n"])
@pytest.mark.parametrize("packed", ["", "Accept-Encoding: gzip\r\n"])
def test_flags__on_the_connection_or_by_asgi__same_answer(connection: Connection, origin: str, packed: str) -> None:
    answers = []
    # The second one's path has to be unquoted, so it is nothing plain.
    for path in ("/api/v1/flags/", "/api/v1/fl%61gs/"):
        connection.send(connection.request(path, more=origin + packed))
        status, headers, body = connection.answer()
        headers.pop("date", "")
        answers.append((status, headers, body))
    assert answers[0] == answers[1]


def test_flags__key_with_spaces_around__answered(connection: Connection) -> None:
    connection.send(connection.request(key=f" {connection.key} \t"), connection.request())
    first, second = connection.answer(), connection.answer()
    assert (first[0], first[2]) == (200, second[2])


def test_document__known_to_the_client__304_without_length_and_the_connection_goes_on(
    connection: Connection, tenant: Tenant
) -> None:
    path, key = "/api/v1/environment-document/", tenant.environment.server_key
    connection.send(connection.request(path, key))
    _, known, document = connection.answer()
    condition = f"If-None-Match: {known['etag']}\r\n"
    # On the connection, by ASGI (its path has to be unquoted), and once more, as bytes that are known.
    paths = (path, "/api/v1/environment%2Ddocument/", path)
    connection.send(*(connection.request(each, key, condition) for each in paths), connection.request(path, key))
    answers = [connection.answer() for _ in range(4)]

    assert [status for status, *_ in answers] == [304, 304, 304, 200]
    assert answers[3][2] == document
    for _, headers, body in answers[:3]:
        assert (headers["etag"], body) == (known["etag"], b"")
        assert {"content-length", "content-type", "transfer-encoding"}.isdisjoint(headers)


def test_stream__requests_behind_it__are_not_answered(connection: Connection, tenant: Tenant) -> None:
    connection.send(connection.request(f"/sse/environments/{connection.key}/stream"), connection.request())
    head = connection.file.readline()
    assert head == b"HTTP/1.1 200 OK\r\n"
    text = b""
    while b"environment_updated" not in text:
        text += connection.file.readline()
    assert b"red" not in text


def test_clients__that_reset_at_any_moment__hurt_nobody(connection: Connection, tenant: Tenant) -> None:
    port = int(tenant.api.url.rpartition(":")[2])
    for request in (
        connection.request(),
        connection.request(key="nobody's"),
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
    """Send this, and break the connection off."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as gone:
        gone.sendall(text.encode())
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
