"""An unmodified Flagsmith, and a drop-in server that it posts to."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.flagsmith.checkout import Checkout
from tests.flagsmith.monolith import Flagsmith, Tasks
from tests.support.detached import TOKEN, DetachedServer
from tests.support.nginx import Nginx
from tests.support.redis import Redis


class _Installation:
    """A context manager of the parts of an installation: they start in their order, and stop in the reverse order."""

    flagsmith: Flagsmith

    def __init__(self, streams: DetachedServer | Nginx, *parts: AbstractContextManager[Any]) -> None:
        self._streams = streams
        self._parts = parts
        self._stack = ExitStack()

    @property
    def stream_port(self) -> int:
        return self._streams.port

    @property
    def stream_url(self) -> str:
        return self._streams.url

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for part in self._parts:
                stack.enter_context(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)


class Beside(_Installation):
    """A context manager of both. The drop-in server keeps its state in the folder, and has these variables."""

    def __init__(
        self,
        checkout: Checkout,
        tasks: Tasks,
        folder: Path,
        flagsmiths: Mapping[str, str] | None = None,
        **variables: str,
    ) -> None:
        # Streams outlast the delays of a task processor. With synchronous tasks Flagsmith posts before it commits, so
        # events have to be repeated, as documented.
        repeat = {"REALTIME_REPEAT_ALL": "true"} if tasks is Tasks.SYNCHRONOUSLY else {}
        self.drop_in = DetachedServer(folder, **{"REALTIME_STREAM_SECONDS": "3600", **repeat, **variables})
        pointing = {"SSE_SERVER_BASE_URL": self.drop_in.url, "SSE_AUTHENTICATION_TOKEN": TOKEN}
        self.flagsmith = Flagsmith(checkout, tasks, {**pointing, **(flagsmiths or {})})
        super().__init__(self.drop_in, self.drop_in, self.flagsmith)


class BesideReplicas(_Installation):
    """A context manager: an unmodified Flagsmith, and three drop-in servers with one Redis behind nginx.

    Flagsmith posts to nginx too. The servers have no database.
    """

    def __init__(self, checkout: Checkout, tasks: Tasks, folder: Path) -> None:
        self.redis = Redis()
        variables = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.redis.port)}
        self.servers = [DetachedServer(folder, **variables) for _ in range(3)]
        self.nginx = Nginx([server.port for server in self.servers])
        pointing = {"SSE_SERVER_BASE_URL": self.nginx.url, "SSE_AUTHENTICATION_TOKEN": TOKEN}
        self.flagsmith = Flagsmith(checkout, tasks, pointing)
        super().__init__(self.nginx, self.redis, *self.servers, self.nginx, self.flagsmith)
