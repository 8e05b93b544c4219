"""The shipped nginx configuration, in a real nginx, with a real server in production settings."""

import http.client
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support import ports, programs, sse
from tests.support.api import VERSION_HEADER, AdminAPI, Tenant
from tests.support.nginx import NAME, Nginx
from tests.support.patience import PATIENCE
from tests.support.processes import Process
from tests.support.server import MigratedSQLite, ServerProcess

# All tests use the server, so that tests/conftest.py runs them in one group.
pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("server")]

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "settings.production",
    "ALLOWED_HOSTS": NAME,
    "BEHIND_TLS_PROXY": "true",
    "REALTIME_TRUSTED_PROXIES": "127.0.0.1",
    "REALTIME_METRICS_TOKEN": "metrics-token",
    "LOGIN_THROTTLE_RATE": "3/day",
    # If nginx buffered an event, the next bytes would flush it: there are none.
    "REALTIME_KEEPALIVE_SECONDS": "3600",
    "REALTIME_REPEAT_SECONDS": "0",
}


def stream_without_a_server() -> tuple[sse.Stream, float]:
    """A stream through nginx without a server, read to its end, and its duration in seconds."""
    with Nginx([ports.free_port()]) as nginx:
        began = time.perf_counter()
        with sse.connect(nginx.port, "key") as stream:
            while received := stream.connection.recv(4096):
                stream._raw += received
                if len(stream._raw) >= int(stream.headers["content-length"]):
                    break
        return stream, time.perf_counter() - began


@pytest.fixture(scope="module", autouse=True)
def unavailable_stream() -> Iterator[Future[tuple[sse.Stream, float]]]:
    """The result of ``stream_without_a_server``, which takes ten seconds while other tests run."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(stream_without_a_server)


@pytest.fixture(scope="module")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp("server"))
    with ServerProcess({**variables, **PRODUCTION, "SECRET_KEY": secrets.token_urlsafe(50)}) as server:
        yield server


@pytest.fixture(scope="module")
def nginx(server: ServerProcess) -> Iterator[Nginx]:
    """nginx with two upstream servers, one of which does not exist."""
    with Nginx([ports.free_port(), server.port]) as nginx:
        yield nginx


@pytest.fixture(scope="module")
def tenant(nginx: Nginx) -> Tenant:
    api = AdminAPI(nginx.tls_url.replace(NAME, "127.0.0.1"))
    api.session.headers["Host"] = NAME
    api.session.verify = str(nginx.certificate)
    person = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Admin"}
    key = api.post("auth/users/", password=secrets.token_urlsafe(16), **person)["key"]
    api.session.headers["Authorization"] = f"Token {key}"
    return Tenant.create(api)


@pytest.fixture
def failing() -> Iterator[ThreadingHTTPServer]:
    """A server that responds 503 to requests which can be retried, like a draining one; ``paths`` are theirs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.paths.append(self.path)  # type: ignore[attr-defined]
            self.send_response(503 if self.headers["X-Next-Upstream"] == "503" else 500)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Do not log to the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.paths = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def plain(nginx: Nginx, path: str) -> tuple[int, str | None]:
    """Status and redirect target of a request without TLS."""
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": NAME})
        response = connection.getresponse()
        return response.status, response.headers["Location"]
    finally:
        connection.close()


def version(tenant: Tenant) -> str:
    headers = {"X-Environment-Key": tenant.environment.key}
    return tenant.api.response("GET", "flags/", headers=headers).headers[VERSION_HEADER]


def test_configuration__as_shipped__valid_without_warnings(nginx: Nginx) -> None:
    output = nginx.check()
    assert "syntax is ok" in output
    assert "warn" not in output


def test_stream__http_1_1__event_is_not_buffered(nginx: Nginx, tenant: Tenant) -> None:
    feature = tenant.add_feature("banner")["id"]
    with sse.connect(nginx.port, tenant.environment.key) as stream:
        assert stream.status == 200
        assert stream.headers["transfer-encoding"] == "chunked"
        first = stream.next_event()
        tenant.change(feature, enabled=True)
        assert str(stream.event_after(first.updated_at).updated_at) == version(tenant)


def test_stream__http_2_and_tls__event_is_not_buffered(nginx: Nginx, tenant: Tenant) -> None:
    curl = [str(programs.require("curl")), "--silent", "--include", "--no-buffer", "--http2"]
    trust = ["--cacert", str(nginx.certificate), "--resolve", f"{NAME}:{nginx.tls_port}:127.0.0.1"]
    feature = tenant.add_feature("banner over http/2")["id"]
    stream = Process([*curl, *trust, f"{nginx.tls_url}/sse/environments/{tenant.environment.key}/stream"])
    try:
        stream.wait_for_log(f'data: {{"updated_at": {version(tenant)}}}')
        assert stream.lines[0].startswith("HTTP/2 200")
        tenant.change(feature, enabled=True)
        stream.wait_for_log(f'data: {{"updated_at": {version(tenant)}}}')
    finally:
        stream.kill()


def test_plain_http__api_is_redirected_to_tls_and_streams_are_not(nginx: Nginx, tenant: Tenant) -> None:
    assert plain(nginx, "/api/v1/docs/") == (301, f"https://{NAME}/api/v1/docs/")
    with sse.connect(nginx.port, tenant.environment.key) as stream:
        assert stream.status == 200


def test_address__forged_header__is_ignored(nginx: Nginx) -> None:
    context = ssl.create_default_context(cafile=nginx.certificate)

    def log_in(source: str, claimed: str) -> int:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", nginx.tls_port, timeout=PATIENCE, source_address=(source, 0), context=context
        )
        body = json.dumps({"email": "nobody@example.com", "password": "wrong"})
        headers = {"Host": NAME, "Content-Type": "application/json", "X-Forwarded-For": claimed}
        connection.request("POST", "/api/v1/auth/login/", body, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    assert [log_in("127.0.0.3", f"198.51.100.{number}") for number in range(4)][-1] == 429
    assert log_in("127.0.0.4", "198.51.100.1") == 400


def test_body__over_the_servers_limit__413_of_the_server(tenant: Tenant) -> None:
    response = tenant.api.response("POST", "organisations/", {"name": "x" * 1_100_000})
    assert response.status_code == 413
    assert "detail" in response.json()


def test_metrics__through_nginx__404(nginx: Nginx, tenant: Tenant) -> None:
    token = {"Authorization": f"Bearer {PRODUCTION['REALTIME_METRICS_TOKEN']}"}
    assert tenant.api.response("GET", "/metrics", headers=token).status_code == 404


def test_process__responds_503__request_is_retried_at_another(
    server: ServerProcess, tenant: Tenant, failing: ThreadingHTTPServer
) -> None:
    with Nginx([failing.server_port, server.port]) as nginx:
        # nginx begins with each of the two once.
        for _ in range(2):
            with sse.connect(nginx.port, tenant.environment.key) as stream:
                assert stream.status == 200
        for _ in range(2):
            assert plain(nginx, "/health/readiness") == (200, None)
    assert set(failing.paths) == {"/health/readiness", f"/sse/environments/{tenant.environment.key}/stream"}  # type: ignore[attr-defined]


def test_health__request_to_the_servers_address__200_without_its_host_name(server: ServerProcess) -> None:
    assert server.get("/health/readiness").status == 200


def test_stream__no_server__200_and_comments_for_about_ten_seconds(
    unavailable_stream: Future[tuple[sse.Stream, float]],
) -> None:
    stream, seconds = unavailable_stream.result()
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream"
    assert {line[:1] for line in stream._raw.decode().splitlines()} == {":", ""}
    # Ten seconds, and more on a busy machine.
    assert 8 < seconds < PATIENCE
