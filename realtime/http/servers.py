"""Uvicorn's server and its parent of workers. ``manage.py serve`` runs them.

They end so that no client is reset, and they notice a client that has vanished without an end.
"""

import asyncio
import contextlib
import queue
import signal
import socket
import threading
from collections.abc import Iterator

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from realtime.conf import conf
from realtime.http import backlog

logger = structlog.get_logger(__name__)

ENDS = (signal.SIGTERM, signal.SIGINT)

# A client whose network is gone sends neither an end nor a reset, and Linux goes on sending for a quarter of an hour.
# Streams are sent a comment every 10 s, so with this option the stream of such a client ends within 40 s.
VANISHED_SECONDS = 30.0


def run(config: uvicorn.Config) -> None:
    """Serve until a signal."""
    if config.workers > 1:
        listening = config.bind_socket()
        notice_vanished(listening)
        Workers(config, sockets=[listening]).run()
        return
    config.load_app()
    # SIGINT, once it has ended.
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run()


def notice_vanished(listening: socket.socket) -> None:
    """Have its connections end when the client has acknowledged nothing, or taken nothing, for ``VANISHED_SECONDS``.

    On Linux, where accepted sockets inherit it; elsewhere nothing changes.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    try:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(VANISHED_SECONDS * 1000))
    except OSError as error:
        logger.info("user_timeout_not_set", error=repr(error))


class Server(uvicorn.Server):
    """One process, with the port to itself."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in self._listening():
            notice_vanished(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in self._listening():
            backlog.let_nobody_in(listening)
        await asyncio.sleep(backlog.SETTLE_SECONDS)
        await super().shutdown(sockets)

    def _listening(self) -> Iterator[socket.socket]:
        for server in self.servers:
            for listening in server.sockets:
                # What uvloop shows of its sockets cannot be configured.
                with socket.socket(fileno=socket.dup(listening.fileno())) as same:
                    yield same


class Workers(Multiprocess):
    """The parent of several processes that share a listening socket.

    Uvicorn's own hears of a signal only between two rounds of its work, and a rolling restart (SIGHUP) is one round, in
    which it waits for each worker to end. This one hears at once, tells each worker once, and passes a second one on.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        # Its ``put`` may be called in a signal's handler; an event's ``set`` may not.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._told: set[int | None] = set()
        for number in ENDS:
            signal.signal(number, lambda number, frame: self._signals.put(number))
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def terminate_all(self) -> None:
        self._tell_all()

    def keep_subprocess_alive(self) -> None:
        for worker in self.processes:
            # A pipe that the parent holds at both ends does not end with the worker: the parent would wait
            # for the answer of one who died after it was asked, for all of its health check's time.
            worker.child_conn.close()
        super().keep_subprocess_alive()

    def _listen(self) -> None:
        self._signals.get()
        self.should_exit.set()
        self._tell_all()
        self._listen_for(conf.DRAIN_SECONDS - backlog.SETTLE_SECONDS)
        # Workers accept until their window is over, a moment from now.
        for listening in self.sockets:
            backlog.let_nobody_in(listening)
        self._listen_for(2 * backlog.SETTLE_SECONDS)
        # They have closed theirs, and may wait for requests. With this one the port is closed.
        for listening in self.sockets:
            listening.close()
        while True:
            self._listen_for(None)

    def _listen_for(self, seconds: float | None) -> None:
        """Pass a signal on that comes until then."""
        with contextlib.suppress(queue.Empty):
            self._signals.get(timeout=seconds if seconds is None else max(0.0, seconds))
            for worker in self.processes:
                worker.process.terminate()

    def _tell_all(self) -> None:
        """Tell those who have not been told. A second time would mean that they need not be graceful."""
        for worker in self.processes:
            # A rolling restart has told one already, and closed its pipe.
            if worker.pid not in self._told and not worker.parent_conn.closed:
                self._told.add(worker.pid)
                worker.process.terminate()
