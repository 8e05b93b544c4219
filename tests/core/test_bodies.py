"""Request bodies on a socket: large, chunked, compressed and endless ones."""

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.server import MOSTLY_UVICORN, Flavour, ServerProcess

pytestmark = pytest.mark.e2e

MEGABYTE = 1_048_576
LIMIT = MEGABYTE
LOGIN = "/api/v1/auth/login/"
BOMB = gzip.compress(b'{"email": "' + b" " * (50 * MEGABYTE) + b'"}', 1)
TOO_LARGE = (413, {"detail": "The request's body is too large."})


@pytest.fixture(scope="module", params=MOSTLY_UVICORN)
def server(
    request: pytest.FixtureRequest, sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    flavour: Flavour = request.param
    with ServerProcess(
        sqlite_template.copy(tmp_path_factory.mktemp("bodies")) | {"LOGIN_THROTTLE_RATE": "100000/min"}, flavour=flavour
    ) as running:
        yield running


class RawRequest:
    """A request that is written to a socket in parts."""

    def __init__(self, server: ServerProcess, path: str = LOGIN, method: str = "POST", **headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        lines = {"host": "localhost", "content-type": "application/json", "connection": "close"}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())

    def write(self, data: bytes) -> "RawRequest":
        # The server reads a rejected body only for some seconds. A slow client may send longer, after the response.
        with suppress(ConnectionError):
            self.socket.sendall(data)
        return self

    def write_chunks(self, *chunks: bytes) -> "RawRequest":
        for chunk in chunks:
            self.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return self.write(b"0\r\n\r\n")

    def answer(self) -> tuple[int, Any]:
        with self.socket, self.socket.makefile("rb") as stream:
            status = int(stream.readline().split()[1])
            length, chunked = 0, False
            for line in iter(stream.readline, b"\r\n"):
                name, _, value = line.decode().partition(":")
                if name.lower() == "content-length":
                    length = int(value)
                chunked = chunked or (name.lower() == "transfer-encoding" and "chunked" in value)
            assert not chunked
            body = stream.read(length)
            return status, json.loads(body) if body.startswith(b"{") else body


def memory(server: ServerProcess) -> int:
    """The server's anonymous memory in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


def test_body__declared_too_large__rejected_before_it_is_sent(server: ServerProcess) -> None:
    if server.flavour == "daphne":
        pytest.skip("daphne buffers the body on disk before it calls the application")
    assert RawRequest(server, content_length=str(50 * MEGABYTE)).answer() == TOO_LARGE
    assert RawRequest(server, content_length=str(2 * MEGABYTE), expect="100-continue").answer() == TOO_LARGE
    assert RawRequest(server, content_length="9" * 30).answer()[0] in (400, 413)


@pytest.mark.parametrize("path", [LOGIN, "/sse/environments/k/queue-change"])
def test_body__endless_chunks__rejected_and_memory_constant(server: ServerProcess, path: str) -> None:
    RawRequest(server, path, transfer_encoding="chunked").write_chunks(b"x" * (LIMIT + 1)).answer()
    before = memory(server)
    chunk = b"x" * MEGABYTE
    answer = RawRequest(server, path, transfer_encoding="chunked").write_chunks(*[chunk] * 24).answer()

    assert answer == TOO_LARGE
    # daphne buffers the whole body in memory before it calls the application (docs/security.md).
    assert memory(server) - before < 12 * MEGABYTE or server.flavour == "daphne"


def test_body__chunks_with_get__rejected(server: ServerProcess) -> None:
    call = RawRequest(server, "/health/readiness", "GET", transfer_encoding="chunked")
    assert call.write_chunks(b"x" * (LIMIT + 1)).answer() == TOO_LARGE


def test_body__small_chunks__parsed(server: ServerProcess) -> None:
    person = json.dumps({"email": "nobody@example.com", "password": "x"}).encode()
    answer = (
        RawRequest(server, transfer_encoding="chunked").write_chunks(person[:7], person[7:20], person[20:]).answer()
    )

    assert answer == (400, {"non_field_errors": ["Unable to log in with provided credentials."]})


def test_body__exactly_at_the_limit__parsed(server: ServerProcess) -> None:
    person = b'{"email": "nobody@example.com", "password": "x"}'
    whole = person + b" " * (LIMIT - len(person))
    assert RawRequest(server, content_length=str(LIMIT)).write(whole).answer()[0] == 400
    assert RawRequest(server, content_length=str(LIMIT + 1)).write(whole + b" ").answer() == TOO_LARGE
    assert RawRequest(server, transfer_encoding="chunked").write_chunks(whole).answer()[0] == 400


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_body__compressed__415_without_decompression(server: ServerProcess, coding: str) -> None:
    before = memory(server)
    call = RawRequest(server, content_encoding=coding, content_length=str(len(BOMB))).write(BOMB)

    status, answer = call.answer()
    assert status == 415
    assert coding in answer["detail"]
    assert memory(server) - before < 12 * MEGABYTE


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "nonsense"])
def test_body__of_another_type__415(server: ServerProcess, content_type: str) -> None:
    call = RawRequest(server, content_type=content_type, content_length="2").write(b"{}")

    status, answer = call.answer()
    assert status == 415
    assert set(answer) == {"detail"}


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(lambda: (b"X-A: ", b"a" * 65_536), id="one long header"),
        pytest.param(lambda: (b"", b"X-A: b\r\n" * 8_192), id="many headers"),
    ],
)
def test_headers__endless__connection_closed_and_memory_constant(
    server: ServerProcess, head: Callable[[], tuple[bytes, bytes]]
) -> None:
    first, repeated = head()
    before = memory(server)
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /health/liveness HTTP/1.1\r\nHost: localhost\r\n" + first)
        with suppress(ConnectionError):
            while sent < 50 * MEGABYTE:
                connection.sendall(repeated)
                sent += len(repeated)
    assert sent < 50 * MEGABYTE
    assert memory(server) - before < 12 * MEGABYTE
