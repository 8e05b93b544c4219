"""Clients that keep a stream as Flagsmith's SDKs do, each in a process of its own, which notes what came when.

    with running(CLIENTS, where) as clients:
        ...
        records = clients.stop()

Two are SDKs themselves: JavaScript's in Chromium, in a page of another origin than the server's, and Python's. Beside
them a page has the browser's own EventSource, since the SDK chooses by itself how long it waits until it connects again
(at random, up to three seconds). The others are sockets that connect again as the SDK of their name does; what an SDK
fetches after an event they do not fetch. Times are of ``time.perf_counter``, which all processes share, in seconds.
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

from benchmarks.holder import READ_BYTES
from benchmarks.wire import START, ProtocolError, State, StreamReader, version_of
from tests.support.patience import START as START_SECONDS

# Seconds in which a client that is asked to stop answers.
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Where:
    """The environment whose stream the clients keep."""

    url: str
    port: int
    key: str
    server_key: str


@dataclass
class Record:
    """What a client has noted."""

    events: list[tuple[float, int]] = field(default_factory=list)
    """When which version was there, in microseconds; also those that streams begin with."""

    streams: list[tuple[float, float]] = field(default_factory=list)
    """When each stream was there, and when it ended."""


Client = Callable[[Connection, Where], None]
"""What a process does: it sends "ready" once it has a stream, goes on until something is sent to it, and then sends its
``Record``."""


@dataclass(frozen=True)
class Habit:
    """When an SDK connects."""

    agent: str
    pause: float = 0.0
    """Seconds between the end of a stream and the next connect."""
    renews: float = 0.0
    """It connects every so many seconds, and not when a stream ends."""
    reads_whole: bool = False
    """It reads a response only once that has ended."""


class BareClient:
    """The streams of one client, read in one thread."""

    def __init__(self, habit: Habit, where: Where) -> None:
        self.record = Record()
        self._habit = habit
        self._where = where
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
        self._connect_at = time.perf_counter() + self._habit.renews if self._habit.renews else None
        connection = socket.create_connection(("127.0.0.1", self._where.port))
        lines = [
            f"GET /sse/environments/{self._where.key}/stream HTTP/1.1",
            f"Host: 127.0.0.1:{self._where.port}",
            "Accept: text/event-stream",
            f"User-Agent: {self._habit.agent}",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        self._selector.register(connection, selectors.EVENT_READ, BareStream(connection))

    def _read(self, stream: "BareStream") -> None:
        data = stream.connection.recv(READ_BYTES)
        now = time.perf_counter()
        if not data:
            raise ProtocolError("a stream was cut")
        stream.began = stream.began or now
        stream.state, events = self._reader.read(stream.state, data)
        stream.versions += [event.version for event in events]
        if stream.state.ended or not self._habit.reads_whole:
            self.record.events += [(now, version) for version in stream.versions]
            stream.versions.clear()
        if stream.state.ended:
            self._ended(stream, now)
            if not self._habit.renews:
                self._connect_at = now + self._habit.pause

    def _ended(self, stream: "BareStream", now: float) -> None:
        self._selector.unregister(stream.connection)
        stream.connection.close()
        if stream.began:
            self.record.streams.append((stream.began, now))

    def _stop(self, now: float) -> None:
        for registered in list(self._selector.get_map().values()):
            if registered.data is not None:
                self._ended(registered.data, now)


@dataclass
class BareStream:
    connection: socket.socket
    state: State = START
    began: float = 0.0
    versions: list[int] = field(default_factory=list)


def bare(habit: Habit, pipe: Connection, where: Where) -> None:
    BareClient(habit, where).run(pipe)


def python(pipe: Connection, where: Where) -> None:
    """The SDK with local evaluation, which fetches the environment document after each event."""
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

    class Noting(Flagsmith):
        def handle_stream_event(self, event: StreamEvent) -> None:
            record.events.append((time.perf_counter(), (event["updated_at"] - EPOCH) // TICK))
            if len(record.events) == 1:
                pipe.send("ready")
            super().handle_stream_event(event)

    with mock.patch.object(streaming_manager, "requests", SimpleNamespace(get=get)):
        Noting(
            environment_key=where.server_key,
            api_url=f"{where.url}/api/v1/",
            realtime_api_url=where.url,
            enable_local_evaluation=True,
            enable_realtime_updates=True,
        )
        pipe.recv()
        now = time.perf_counter()
        pipe.send(Record(list(record.events), [*record.streams, *((at, now) for at in began)]))


NOTE = """
window.noted = {events: [], streams: []};
window.EventSource = class extends EventSource {
    constructor(...options) {
        super(...options);
        this.noted = null;
        this.addEventListener("open", () => {
            this.noted = [performance.now(), null];
            window.noted.streams.push(this.noted);
        });
        this.addEventListener("error", () => this.noteEnd());
        this.addEventListener("environment_updated", (event) => {
            window.noted.events.push([performance.now(), event.data]);
        });
    }
    noteEnd() {
        if (this.noted !== null) this.noted[1] = performance.now();
        this.noted = null;
    }
    close() {
        this.noteEnd();
        super.close();
    }
};
"""

# How often the page's clock is read, to find out what it shows beside ours: the quickest answer counts.
CLOCK_READS = 30


START_EVENT_SOURCE = "url => { window.stream = new EventSource(url); }"


def chromium_page(with_sdk: bool, pipe: Connection, where: Where) -> None:
    """A page with the SDK, which fetches the flags after each event, or with nothing but an ``EventSource``."""
    from tests.e2e.javascript_sdk import START as START_SDK
    from tests.e2e.javascript_sdk import sdk_origin
    from tests.support.chromium import chromium

    def offset() -> tuple[float, float]:
        """How long it took to read the page's clock, and by how much that is behind ours."""
        asked = time.perf_counter()
        shown = page.evaluate("performance.now()") / 1000
        answered = time.perf_counter()
        return answered - asked, (asked + answered) / 2 - shown

    with chromium() as browser, sdk_origin() as origin:
        page = browser.new_page()
        page.add_init_script(NOTE)
        page.goto(origin)
        if with_sdk:
            page.evaluate(START_SDK, [where.url, where.url, where.key, None, None])
        else:
            page.evaluate(START_EVENT_SOURCE, f"{where.url}/sse/environments/{where.key}/stream")
        page.wait_for_function("window.noted.events.length > 0")
        pipe.send("ready")
        while not pipe.poll():
            # What the browser says meanwhile is read.
            page.wait_for_timeout(1_000)
        _, behind = min(offset() for _ in range(CLOCK_READS))
        noted, now = page.evaluate("[window.noted, performance.now()]")
        streams = [(began, now if ended is None else ended) for began, ended in noted["streams"]]
        record = Record(
            [(at / 1000 + behind, version_of(data.encode())) for at, data in noted["events"]],
            [(began / 1000 + behind, ended / 1000 + behind) for began, ended in streams],
        )
        pipe.send(record)


CLIENTS: dict[str, Client] = {
    "JavaScript in Chromium": partial(chromium_page, True),
    "EventSource in Chromium": partial(chromium_page, False),
    "Python": python,
    "Kotlin": partial(bare, Habit("okhttp/4.12.0")),
    "iOS": partial(bare, Habit("App/1 CFNetwork/1494.0.7 Darwin/23.4.0")),
    "Flutter": partial(bare, Habit("Dart/3.4 (dart:io)", renews=29.0)),
    "Go": partial(bare, Habit("Go-http-client/1.1")),
    "Ruby": partial(bare, Habit("Faraday v2.7.4", pause=0.5, reads_whole=True)),
}


class Running:
    """Clients that have a stream."""

    def __init__(self, processes: dict[str, tuple[BaseProcess, Connection]]) -> None:
        self._processes = processes

    def stop(self) -> dict[str, Record]:
        """Stop all of them, and return what each has noted."""
        for _, pipe in self._processes.values():
            pipe.send("stop")
        return {name: answer(name, pipe, STOP_SECONDS) for name, (_, pipe) in self._processes.items()}


@contextmanager
def running(clients: Sequence[str], where: Where) -> Iterator[Running]:
    """Start these of ``CLIENTS``; they are ready once this is entered."""
    spawn = multiprocessing.get_context("spawn")
    processes: dict[str, tuple[BaseProcess, Connection]] = {}
    try:
        for name in clients:
            ours, theirs = spawn.Pipe()
            process: BaseProcess = spawn.Process(target=CLIENTS[name], args=(theirs, where), name=name)
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
        raise RuntimeError(f"{name}: the client's process has ended") from None
