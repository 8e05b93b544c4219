"""A Flagsmith as a relay sees it: documents, an event stream, and endpoints that accept usage and traits.

with Upstream() as upstream:
    shop = upstream.add_environment("shop")
    shop.change(banner=(True, "new"))
    upstream.wait_for(DOCUMENT, 1)

It serves on a port of the loopback interface, records each request, and may be stopped and started again.
"""

import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from realtime.types import first_readable
from tests.support import ports
from tests.support.patience import PATIENCE

DOCUMENT = "environment-document/"
"""The end of the path of documents."""

START = first_readable(datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC))

Json = dict[str, Any]

Answer = int | Callable[["Handler"], None]
"""A status without a body, or a function that responds to a request."""


@dataclass(frozen=True)
class Request:
    """A request that arrived."""

    method: str
    path: str
    """Without the query."""

    query: dict[str, list[str]]
    headers: dict[str, str]
    """By name in lower case."""

    body: bytes

    @property
    def key(self) -> str:
        return self.headers.get("x-environment-key", "")

    def json(self) -> Any:
        return json.loads(self.body)


def seconds(version: datetime) -> Decimal:
    """The version as in events and in headers."""
    since = version - datetime(1970, 1, 1, tzinfo=UTC)
    return Decimal(since.days * 86_400 + since.seconds) + Decimal(since.microseconds) / 1_000_000


def state(feature: int, name: str, enabled: bool, value: Any, kind: str = "STANDARD", **fields: Any) -> Json:
    """A feature state of a document."""
    return {
        "feature": {"id": feature, "name": name, "type": kind},
        "enabled": enabled,
        "feature_state_value": value,
        "django_id": feature,
        "featurestate_uuid": f"00000000-0000-4000-8000-{feature:012d}",
        "feature_segment": None,
        "multivariate_feature_state_values": [],
        **fields,
    }


def sample_document(key: str) -> Json:
    """A document of Flagsmith's shape: a flag that is off, and others with an option, a segment and an identity.

    * ``banner`` is off, and on for the identity ``ada``.
    * ``colour`` is ``gold`` for the trait ``plan`` ``pro``.
    * ``layout`` is multivariate: all identities get ``wide``.
    * ``internal`` is for server-side keys only.
    """
    condition = {"operator": "EQUAL", "property_": "plan", "value": "pro"}
    option = {"id": 1, "mv_fs_value_uuid": "00000000-0000-4000-8000-000000000101", "percentage_allocation": 100.0}
    layout = {**option, "multivariate_feature_option": {"id": 1, "value": "wide"}}
    return {
        "id": 1,
        "api_key": key,
        "name": "Production",
        "updated_at": START.isoformat(),
        "allow_client_traits": True,
        "hide_disabled_flags": None,
        "hide_sensitive_data": False,
        "use_identity_composite_key_for_hashing": True,
        "use_identity_overrides_in_local_eval": True,
        "project": {
            "id": 1,
            "name": "Web",
            "hide_disabled_flags": False,
            "enable_realtime_updates": True,
            "server_key_only_feature_ids": [4],
            "organisation": {
                "id": 1,
                "name": "Acme",
                "feature_analytics": False,
                "stop_serving_flags": False,
                "persist_trait_data": True,
            },
            "segments": [
                {
                    "id": 1,
                    "name": "professionals",
                    "rules": [
                        {
                            "type": "ALL",
                            "conditions": [],
                            "rules": [{"type": "ANY", "conditions": [condition], "rules": []}],
                        }
                    ],
                    "feature_states": [state(2, "colour", True, "gold", feature_segment={"priority": 0})],
                }
            ],
        },
        "feature_states": [
            state(1, "banner", False, "old"),
            state(2, "colour", True, "red"),
            state(3, "layout", True, "narrow", "MULTIVARIATE", multivariate_feature_state_values=[layout]),
            state(4, "internal", True, "secret"),
        ],
        "identity_overrides": [
            {
                "identifier": "ada",
                "identity_uuid": "00000000-0000-4000-8000-000000000201",
                "created_date": START.isoformat(),
                "environment_api_key": key,
                "identity_traits": [],
                "identity_features": [state(1, "banner", True, "for ada")],
            }
        ],
    }


@dataclass
class Environment:
    """An environment of the upstream. ``answers`` are used once each, ``answer`` for all other requests of it."""

    key: str
    server_key: str
    document: Json
    answers: deque[Answer] = field(default_factory=deque)
    answer: Answer | None = None
    is_conditional: bool = True
    """Whether it responds with 304, which it decides by whole seconds."""

    _older: list[Json] = field(default_factory=list)

    @property
    def version(self) -> datetime:
        return datetime.fromisoformat(self.document["updated_at"])

    def change(self, *, by: timedelta = timedelta(seconds=1), stale: int = 0, **features: tuple[bool, Any]) -> datetime:
        """Raise the version, and change features: name to (enabled, value). Returns the new version.

        The next ``stale`` requests get the document before this change.
        """
        self._older += [self.document] * stale
        changed = deepcopy(self.document)
        for each in changed["feature_states"]:
            each["enabled"], each["feature_state_value"] = features.get(
                each["feature"]["name"], (each["enabled"], each["feature_state_value"])
            )
        changed["updated_at"] = first_readable(self.version + by).isoformat()
        self.document = changed
        return self.version

    def update(self, **fields: Any) -> None:
        """Replace fields of the document, or of its project (``project__name``), without a new version."""
        changed = deepcopy(self.document)
        for name, value in fields.items():
            *path, last = name.split("__")
            target = changed
            for step in path:
                target = target[step]
            target[last] = value
        self.document = changed

    def served(self) -> Json:
        """The document for one request."""
        return self._older.pop(0) if self._older else self.document


class Upstream:
    """A context manager: the server, on the same port after each start. ``tls``: it serves HTTPS."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = ports.free_port()
        self.environments: dict[str, Environment] = {}
        """By server-side key."""

        self.requests: list[Request] = []
        self.statuses: dict[str, int] = {}
        """The status of responses to requests that are no reads, by the end of the path. The default is 200."""

        self.stream_status = 200
        """The status of responses to requests of streams."""

        self.released = threading.Event()
        """Set to let requests continue that ``held`` answers."""

        self._tls = tls
        self._changed = threading.Condition()
        self._streams: list[tuple[str, Queue[bytes | None]]] = []
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v1"

    def start(self) -> None:
        self.released.clear()
        self._server = _Server(("127.0.0.1", self.port), partial(Handler, self), self._tls)
        self._server.start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self.released.set()
        self.end_streams()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def add_environment(self, key: str) -> Environment:
        made = Environment(key, f"ser.{key}", sample_document(key))
        self.environments[made.server_key] = made
        return made

    def received(self, path: str, key: str | None = None) -> list[Request]:
        """The requests so far whose path ends with this, of this key."""
        with self._changed:
            return [each for each in self.requests if each.path.endswith(path) and (key is None or each.key == key)]

    def wait_for(self, path: str, count: int, key: str | None = None, timeout: float = PATIENCE) -> list[Request]:
        """Wait until this number of such requests has arrived, and return all of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.received(path, key)) >= count, timeout):
                raise TimeoutError(f"{len(self.received(path, key))} requests of {path} instead of {count}")
            return self.received(path, key)

    def wait_for_next(self, path: str, key: str | None = None) -> Request:
        """Wait for a request that begins after this call."""
        return self.wait_for(path, len(self.received(path, key)) + 1, key)[-1]

    def wait_for_streams(self, key: str, count: int = 1) -> None:
        """Wait until so many streams of this environment are open."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.open_streams(key) >= count, PATIENCE):
                raise TimeoutError(f"{self.open_streams(key)} streams of {key} instead of {count}")

    def publish(self, environment: Environment) -> None:
        """Send the environment's version to its streams."""
        data = f'event: environment_updated\ndata: {{"updated_at": {seconds(environment.version)}}}\n\n'
        self.send(environment.key, data.encode())

    def send(self, key: str, data: bytes) -> None:
        """Send bytes to the streams of an environment."""
        with self._changed:
            for of, queue in self._streams:
                if of == key:
                    queue.put(data)

    def end_streams(self) -> None:
        """End the open streams."""
        with self._changed:
            for _, queue in self._streams:
                queue.put(None)
            self._streams.clear()

    def open_streams(self, key: str) -> int:
        """The number of open streams of this environment. A closed one counts until the next event."""
        return sum(of == key for of, _ in self._streams)

    def _record(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def _open(self, key: str) -> "Queue[bytes | None]":
        queue: Queue[bytes | None] = Queue()
        with self._changed:
            self._streams.append((key, queue))
            self._changed.notify_all()
        return queue

    def _close(self, queue: "Queue[bytes | None]") -> None:
        with self._changed:
            self._streams = [each for each in self._streams if each[1] is not queue]
            self._changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """Responds to one connection's requests."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def __init__(self, upstream: Upstream, *arguments: Any) -> None:
        self.upstream = upstream
        super().__init__(*arguments)

    def do_GET(self) -> None:
        request = self._received()
        if request.path.endswith("/stream") and self.upstream.stream_status != 200:
            self.send(self.upstream.stream_status, b"{}")
        elif request.path.endswith("/stream"):
            self._stream(request.path.split("/")[-2])
        elif request.path.endswith(DOCUMENT):
            self._document(request)
        else:
            self.send(404, b'{"detail":"Not found."}')

    def do_POST(self) -> None:
        request = self._received()
        for path, status in self.upstream.statuses.items():
            if request.path.endswith(path):
                self.send(status, b"{}")
                return
        self.send(200, b"{}")

    def do_PUT(self) -> None:
        self.do_POST()

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole response. Names of headers have underscores."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def handle(self) -> None:
        with suppress(OSError):  # The client has disconnected, or the server has stopped.
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def log_message(self, *args: Any) -> None:
        """Write nothing."""

    def _received(self) -> Request:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(iter(self._chunk, b""))
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, url.path, parse_qs(url.query), headers, body)
        self.upstream._record(request)
        return request

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _document(self, request: Request) -> None:
        environment = self.upstream.environments.get(request.key)
        if environment is None:
            self.send(401, b'{"detail":"Invalid or missing Environment key"}')
            return
        answer = environment.answers.popleft() if environment.answers else environment.answer
        if callable(answer):
            answer(self)
        elif answer is not None:
            self.send(answer, b'{"detail":"a test"}')
        else:
            self.send_document(environment)

    def send_document(self, environment: Environment) -> None:
        """Send the document, or 304."""
        document = environment.served()
        modified = datetime.fromisoformat(document["updated_at"]).replace(microsecond=0)
        since = self.headers.get("If-Modified-Since")
        if environment.is_conditional and since is not None and modified <= parsedate_to_datetime(since):
            self.send(304)
            return
        last_modified = format_datetime(modified.astimezone(UTC), usegmt=True)
        self.send(200, json.dumps(document).encode(), Last_Modified=last_modified)

    def _stream(self, key: str) -> None:
        queue = self.upstream._open(key)
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._send_chunk(b":\n\n")
            while (data := queue.get()) is not None:
                self._send_chunk(data)
            self._send_chunk(b"")
        finally:
            self.upstream._close(queue)

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


def body(content: bytes) -> Answer:
    """An answer with this body and the status 200."""
    return lambda handler: handler.send(200, content)


def truncated(environment: Environment) -> Answer:
    """An answer that ends in the middle of the document."""

    def answer(handler: Handler) -> None:
        content = json.dumps(environment.document).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        handler.close_connection = True

    return answer


def held(environment: Environment) -> Answer:
    """An answer that is sent after ``Upstream.released`` is set."""

    def answer(handler: Handler) -> None:
        handler.upstream.released.wait(PATIENCE)
        handler.send_document(environment)

    return answer


def redirect(url: str) -> Answer:
    return lambda handler: handler.send(307, Location=url)


class _Server(ThreadingHTTPServer):
    """Closes its connections when it stops."""

    daemon_threads = True
    request_queue_size = 1_024

    def __init__(self, address: tuple[str, int], handler: Any, tls: ssl.SSLContext | None) -> None:
        super().__init__(address, handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="upstream", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write nothing: a client may disconnect at any time."""
