"""An upstream for relays in a process of its own: many environments, whose documents change at a rate.

It serves ``environment-document/`` and posts each new version to ``queue-change``, as a Flagsmith does. A Flagsmith
would need several cores for 50 changes a second.
"""

import asyncio
import json
import multiprocessing
import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, cast

import uvloop

from benchmarks.queue_change import post
from benchmarks.updates import readable_now
from realtime.types import EPOCH
from tests.support.api import EnvironmentOfTenant
from tests.support.upstream import sample_document, state

POSTERS = 8
"""Connections on which versions are posted."""

TIMEOUT = 60.0

MARK, TIME = "the version in microseconds", "2000-01-01T00:00:00+00:00"


class Documents:
    """The documents of all environments. The value of the flag ``banner`` is the version, in microseconds."""

    def __init__(self, environments: Sequence[EnvironmentOfTenant], features: int) -> None:
        self.versions = [readable_now()] * len(environments)
        self._index = {each.server_key.encode(): index for index, each in enumerate(environments)}
        self._texts = [_template(each.key, features) for each in environments]

    def change(self, index: int) -> int:
        """Make a new version, and return it."""
        self.versions[index] = max(readable_now(), self.versions[index] + 1)
        return self.versions[index]

    def answer(self, headers: dict[bytes, bytes]) -> bytes:
        """The response to a request with these headers, by names in lower case."""
        index = self._index.get(headers.get(b"x-environment-key", b""))
        if index is None:
            return _response("401 Unauthorized", b"{}")
        version = EPOCH + timedelta(microseconds=self.versions[index])
        seconds = version.replace(microsecond=0)
        if (since := headers.get(b"if-modified-since")) and seconds <= parsedate_to_datetime(since.decode()):
            return b"HTTP/1.1 304 Not Modified\r\n\r\n"
        text = self._texts[index].replace(MARK, str(self.versions[index])).replace(TIME, version.isoformat())
        return _response("200 OK", text.encode(), f"Last-Modified: {format_datetime(seconds, usegmt=True)}\r\n")


def _template(key: str, features: int) -> str:
    document = sample_document(key)
    document["updated_at"] = TIME
    document["feature_states"][0] = state(1, "banner", True, MARK)
    document["feature_states"] += [
        state(number, f"feature_{number}", number % 2 == 0, f"a text of usual length {number}")
        for number in range(5, features + 1)
    ]
    return json.dumps(document)


def _response(status: str, body: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class Server(asyncio.Protocol):
    """One connection. Requests have no body, or one with a length."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of it.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            request, *lines = head.split(b"\r\n")
            pairs = (line.partition(b":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self._received = rest[length:]
            is_document = b"environment-document/" in request
            self._transport.write(self._documents.answer(headers) if is_document else _response("200 OK", b"{}"))


class Changes:
    """Changes documents at a rate, and posts their versions to a port."""

    def __init__(self, documents: Documents, keys: Sequence[str], headers: list[str]) -> None:
        self.made = 0
        self.failures: Counter[str] = Counter()
        """Failed posts. A relay finds these versions by polling."""

        self._documents = documents
        self._keys = keys
        self._headers = headers
        self._posts: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, port: int, per_second: float, seed: int) -> None:
        """Change random environments until ``stop``, the first one at once."""
        self.made = 0
        self.failures.clear()
        tasks = [self._change(per_second, random.Random(seed)), *(self._post(port) for _ in range(POSTERS))]
        self._tasks = [asyncio.create_task(each) for each in tasks]

    async def stop(self) -> None:
        """Stop changing, and wait until all versions are posted."""
        self._tasks.pop(0).cancel()
        await self._posts.join()
        for task in self._tasks:
            task.cancel()

    async def _change(self, per_second: float, chance: random.Random) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            index = chance.randrange(len(self._keys))
            version = self._documents.change(index)
            self.made += 1
            self._posts.put_nowait(post(f"/sse/environments/{self._keys[index]}/queue-change", self._headers, version))
            await asyncio.sleep(began + self.made / per_second - clock())

    async def _post(self, port: int) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await self._post_on(reader, writer)
            finally:
                writer.close()

    async def _post_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Post on this connection until it is closed."""
        is_closed = False
        while not is_closed:
            request = await self._posts.get()
            try:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                lengths = [line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0]))
                status, is_closed = head.split()[1].decode(), b"connection: close" in head
            except (OSError, EOFError) as error:
                status, is_closed = repr(error), True
            if status != "202":
                self.failures[f"a post got {status}"] += 1
            self._posts.task_done()


async def serve(pipe: Connection, environments: Sequence[EnvironmentOfTenant], features: int, token: str) -> None:
    """Serve, and obey the commands of ``DocumentServer``, until it closes the pipe."""
    loop = asyncio.get_running_loop()
    documents = Documents(environments, features)
    changes = Changes(documents, [each.key for each in environments], [f"Authorization: Token {token}"])
    server = await loop.create_server(lambda: Server(documents), "127.0.0.1", 0, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    ready = asyncio.Event()
    loop.add_reader(pipe.fileno(), ready.set)
    while True:
        await ready.wait()
        ready.clear()
        try:
            command = pipe.recv()
        except EOFError:
            return
        if command is None:
            await changes.stop()
            pipe.send((changes.made, changes.failures, documents.versions))
        else:
            changes.start(*command)


def _main(*arguments: Any) -> None:
    uvloop.run(serve(*arguments))


class DocumentServer:
    """A context manager: the process."""

    def __init__(self, environments: Sequence[EnvironmentOfTenant], features: int, token: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_main, args=(theirs, environments, features, token), daemon=True)
        self._theirs = theirs

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        self.port: int = self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(TIMEOUT)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def start(self, port: int, per_second: float, seed: int = 0) -> None:
        """Start to change documents, and to post versions to this port."""
        self._pipe.send((port, per_second, seed))

    def stop(self) -> tuple[int, Counter[str], list[int]]:
        """Stop changing. Returns the number of changes, the failed posts, and the versions of all environments."""
        self._pipe.send(None)
        stopped: tuple[int, Counter[str], list[int]] = self._answer()
        return stopped

    def _answer(self) -> Any:
        if not self._pipe.poll(TIMEOUT):
            raise TimeoutError(f"the upstream's process has not answered for {TIMEOUT:g} s")
        return self._pipe.recv()
