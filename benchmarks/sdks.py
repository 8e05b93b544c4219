"""Clients that keep a stream as Flagsmith's SDKs do, each in its own process, which records the events' times.

    with running(CLIENTS, endpoint) as clients:
        ...
        records = clients.stop()

Two are real SDKs: JavaScript's in Chromium, in a page of another origin than the server's, and Python's. Another page
uses the browser's own EventSource, since the SDK waits for a random time of up to three seconds before it connects
again. The others are sockets that connect again as the SDK of their name does, but do not refetch after an event. Times
are of ``time.perf_counter``, which all processes share, in seconds.
"""

import multiprocessing
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.client_process import READ_BYTES
from benchmarks.wire import START, ProtocolError, State, StreamReader, version_of
from tests.support.patience import START as START_SECONDS

# How long a client may take to stop.
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Endpoint:
    """The server, and the environment whose stream the clients keep."""

    url: str
    port: int
    key: str
    server_key: str


@dataclass
class Record:
    """The record of one client."""

    events: list[tuple[float, int]] = field(default_factory=list)
    """Time and version (in microseconds) of each event, including the first ones of streams."""

    streams: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of each stream."""


Client = Callable[[Connection, Endpoint], None]
"""The main function of a client's process. It sends "ready" when it has a stream, runs until it receives a message, and
then sends its ``Record``."""


@dataclass(frozen=True)
class ReconnectBehaviour:
    """The reconnects of an SDK."""

    agent: str
    pause: float = 0.0
    """Seconds between the end of a stream and the next connect."""
    renews: float = 0.0
    """The interval of connects in seconds; 0: it connects when a stream ends."""
    reads_whole: bool = False
    """Whether it processes a response only after its end."""


class SocketClient:
    """A client with plain sockets, in one thread."""

    def __init__(self, behaviour: ReconnectBehaviour, endpoint: Endpoint) -> None:
        self.record = Record()
        self._behaviour = behaviour
        self._endpoint = endpoint
        self._reader = StreamReader()
        self._selector = selectors.DefaultSelector()
        self._connect_at: float | None = time.perf_counter()

    def run(self, pipe: Connection) -> None:
        self._selector.register(pipe, selectors.EVENT_READ)
        is_ready = False
        while True:
            now = time.perf_counter()
            if self._connect_at is not None and now >= self._connect_at:
                self._connect()
            for ready, _ in self._selector.select(None if self._connect_at is None else self._connect_at - now):
                if ready.data is None:
                    self._stop(time.perf_counter())
                    pipe.send(self.record)
                    return
                self._read(ready.data)
                if not is_ready:
                    is_ready = True
                    pipe.send("ready")

    def _connect(self) -> None:
        self._connect_at = time.perf_counter() + self._behaviour.renews if self._behaviour.renews else None
        connection = socket.create_connection(("127.0.0.1", self._endpoint.port))
        lines = [
            f"GET /sse/environments/{self._endpoint.key}/stream HTTP/1.1",
            f"Host: 127.0.0.1:{self._endpoint.port}",
            "Accept: text/event-stream",
            f"User-Agent: {self._behaviour.agent}",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        self._selector.register(connection, selectors.EVENT_READ, SocketStream(connection))

    def _read(self, stream: "SocketStream") -> None:
        data = stream.connection.recv(READ_BYTES)
        now = time.perf_counter()
        if not data:
            raise ProtocolError("a stream ended without its terminating chunk")
        stream.began = stream.began or now
        stream.state, events = self._reader.read(stream.state, data)
        stream.versions += [event.version for event in events]
        if stream.state.ended or not self._behaviour.reads_whole:
            self.record.events += [(now, version) for version in stream.versions]
            stream.versions.clear()
        if stream.state.ended:
            self._ended(stream, now)
            if not self._behaviour.renews:
                self._connect_at = now + self._behaviour.pause

    def _ended(self, stream: "SocketStream", now: float) -> None:
        self._selector.unregister(stream.connection)
        stream.connection.close()
        if stream.began:
            self.record.streams.append((stream.began, now))

    def _stop(self, now: float) -> None:
        for registered in list(self._selector.get_map().values()):
            if registered.data is not None:
                self._ended(registered.data, now)


@dataclass
class SocketStream:
    connection: socket.socket
    state: State = START
    began: float = 0.0
    versions: list[int] = field(default_factory=list)


def socket_client(behaviour: ReconnectBehaviour, pipe: Connection, endpoint: Endpoint) -> None:
    SocketClient(behaviour, endpoint).run(pipe)


def python(pipe: Connection, endpoint: Endpoint) -> None:
    """The Python SDK with local evaluation, which fetches the environment document after each event."""
    import requests
    from flagsmith import Flagsmith, streaming_manager
    from flagsmith.types import StreamEvent

    from realtime.types import EPOCH, TICK

    record = Record()
    began: list[float] = []

    @contextmanager
    def get(*arguments: Any, **options: Any) -> Iterator[Any]:
        with requests.get(*arguments, **options) as response:  # noqa: S113
            began.append(time.perf_counter())
            try:
                yield response
            finally:
                record.streams.append((began.pop(), time.perf_counter()))

    class RecordingFlagsmith(Flagsmith):
        def handle_stream_event(self, event: StreamEvent) -> None:
            record.events.append((time.perf_counter(), (event["updated_at"] - EPOCH) // TICK))
            if len(record.events) == 1:
                pipe.send("ready")
            super().handle_stream_event(event)

    with mock.patch.object(streaming_manager, "requests", SimpleNamespace(get=get)):
        RecordingFlagsmith(
            environment_key=endpoint.server_key,
            api_url=f"{endpoint.url}/api/v1/",
            realtime_api_url=endpoint.url,
            enable_local_evaluation=True,
            enable_realtime_updates=True,
        )
        pipe.recv()
        now = time.perf_counter()
        pipe.send(Record(list(record.events), [*record.streams, *((at, now) for at in began)]))


RECORD_SCRIPT = """
window.recorded = {events: [], streams: []};
window.EventSource = class extends EventSource {
    constructor(...options) {
        super(...options);
        this.stream = null;
        this.addEventListener("open", () => {
            this.stream = [performance.now(), null];
            window.recorded.streams.push(this.stream);
        });
        this.addEventListener("error", () => this.recordEnd());
        this.addEventListener("environment_updated", (event) => {
            window.recorded.events.push([performance.now(), event.data]);
        });
    }
    recordEnd() {
        if (this.stream !== null) this.stream[1] = performance.now();
        this.stream = null;
    }
    close() {
        this.recordEnd();
        super.close();
    }
};
"""

# Readings of the page's clock, to determine its offset to ours. The fastest one counts.
CLOCK_READS = 30


START_EVENT_SOURCE = "url => { window.stream = new EventSource(url); }"


def chromium_page(with_sdk: bool, pipe: Connection, endpoint: Endpoint) -> None:
    """A page with the SDK, which fetches the flags after each event, or with only an ``EventSource``."""
    from tests.e2e.javascript_sdk import START as START_SDK
    from tests.e2e.javascript_sdk import sdk_origin
    from tests.support.chromium import chromium

    def offset() -> tuple[float, float]:
        """The duration of a reading of the page's clock, and its offset to ours."""
        began = time.perf_counter()
        shown = page.evaluate("performance.now()") / 1000
        answered = time.perf_counter()
        return answered - began, (began + answered) / 2 - shown

    with chromium() as browser, sdk_origin() as origin:
        page = browser.new_page()
        page.add_init_script(RECORD_SCRIPT)
        page.goto(origin)
        if with_sdk:
            page.evaluate(START_SDK, [endpoint.url, endpoint.url, endpoint.key, None, None])
        else:
            page.evaluate(START_EVENT_SOURCE, f"{endpoint.url}/sse/environments/{endpoint.key}/stream")
        page.wait_for_function("window.recorded.events.length > 0")
        pipe.send("ready")
        while not pipe.poll():
            # Process the browser's events.
            page.wait_for_timeout(1_000)
        _, behind = min(offset() for _ in range(CLOCK_READS))
        recorded, now = page.evaluate("[window.recorded, performance.now()]")
        streams = [(began, now if ended is None else ended) for began, ended in recorded["streams"]]
        record = Record(
            [(at / 1000 + behind, version_of(data.encode())) for at, data in recorded["events"]],
            [(began / 1000 + behind, ended / 1000 + behind) for began, ended in streams],
        )
        pipe.send(record)


CLIENTS: dict[str, Client] = {
    "JavaScript in Chromium": partial(chromium_page, True),
    "EventSource in Chromium": partial(chromium_page, False),
    "Python": python,
    "Kotlin": partial(socket_client, ReconnectBehaviour("okhttp/4.12.0")),
    "iOS": partial(socket_client, ReconnectBehaviour("App/1 CFNetwork/1494.0.7 Darwin/23.4.0")),
    "Flutter": partial(socket_client, ReconnectBehaviour("Dart/3.4 (dart:io)", renews=29.0)),
    "Go": partial(socket_client, ReconnectBehaviour("Go-http-client/1.1")),
    "Ruby": partial(socket_client, ReconnectBehaviour("Faraday v2.7.4", pause=0.5, reads_whole=True)),
}


class Running:
    """Running clients, which have a stream."""

    def __init__(self, processes: dict[str, tuple[BaseProcess, Connection]]) -> None:
        self._processes = processes

    def stop(self) -> dict[str, Record]:
        """Stop all clients, and return their records."""
        for _, pipe in self._processes.values():
            pipe.send("stop")
        return {name: answer(name, pipe, STOP_SECONDS) for name, (_, pipe) in self._processes.items()}


@contextmanager
def running(clients: Sequence[str], endpoint: Endpoint) -> Iterator[Running]:
    """Run these of ``CLIENTS``, which are ready when the context is entered."""
    spawn = multiprocessing.get_context("spawn")
    processes: dict[str, tuple[BaseProcess, Connection]] = {}
    try:
        for name in clients:
            ours, theirs = spawn.Pipe()
            process: BaseProcess = spawn.Process(target=CLIENTS[name], args=(theirs, endpoint), name=name)
            process.start()
            theirs.close()
            processes[name] = process, ours
        for name, (_, pipe) in processes.items():
            answer(name, pipe, START_SECONDS)
        yield Running(processes)
    finally:
        for process, pipe in processes.values():
            pipe.close()
            process.join(STOP_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()


def answer(name: str, pipe: Connection, timeout: float) -> Any:
    if not pipe.poll(timeout):
        raise TimeoutError(f"{name}: no answer after {timeout:g} s")
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError(f"{name}: the client's process has exited") from None
