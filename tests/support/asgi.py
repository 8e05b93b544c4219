"""A client of the ASGI application, without a server or sockets, in the test's event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from settings.asgi import application
from tests.support.patience import PATIENCE


class Client:
    """One stream: the ASGI messages that the application sends."""

    def __init__(self, path: str, headers: dict[str, str] | None = None) -> None:
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self.sent: list[dict[str, Any]] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.blocked = False
        self._news = asyncio.Event()
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._received.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def send(self, message: dict[str, Any]) -> None:
        """The application's ``send``. It blocks while the client does not read."""
        self.blocked = not self.reading.is_set()
        await self.reading.wait()
        self.blocked = False
        self.sent.append(message)
        self._news.set()

    def disconnect(self) -> None:
        self._received.put_nowait({"type": "http.disconnect"})

    @property
    def chunks(self) -> list[bytes]:
        return [message["body"] for message in self.sent if message["type"] == "http.response.body"]

    @property
    def events(self) -> list[bytes]:
        return [chunk for chunk in self.chunks if chunk.startswith(b"event:")]

    @property
    def ended(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body", True)

    async def until(self, holds: Callable[["Client"], object]) -> None:
        """Wait until the condition is true. A ``TimeoutError`` has the messages that were sent."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not holds(self):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"sent so far: {self.sent}") from None

    async def opened(self) -> None:
        """Wait for the response and the state: an event, or a comment in its place.

        On a slow machine, comments that the state cannot be read yet may come before.
        """
        await self.until(lambda client: sum(b"cannot be read" not in chunk for chunk in client.chunks) >= 2)

    async def run(self) -> None:
        await application(self.scope, self._received.get, self.send)


async def eventually(holds: Callable[[], bool]) -> None:
    """Poll the condition in the event loop until it is true, where there is no event to await."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def stream(key: str, headers: dict[str, str] | None = None) -> AsyncIterator[Client]:
    """Open an environment's stream, and disconnect at the end."""
    client = Client(f"/sse/environments/{key}/stream", headers)
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        client.reading.set()
        client.disconnect()
        await asyncio.wait_for(task, PATIENCE)
