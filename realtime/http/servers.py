"""Uvicorn's server and its multiprocess supervisor, as ``manage.py serve`` runs them.

They shut down without resetting a connection, and detect clients that vanish without closing theirs.
"""

import asyncio
import contextlib
import os
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

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# A client whose network fails sends neither FIN nor RST, and Linux retransmits for a quarter of an hour. A stream is
# sent a comment every 10 s, so with this option the stream of such a client ends within 40 s.
VANISHED_SECONDS = 30.0


def run(config: uvicorn.Config, *, restarts_on_hup: bool = True) -> None:
    """Serve until SIGTERM or SIGINT. ``restarts_on_hup``: SIGHUP restarts the workers; otherwise they get it."""
    if config.workers > 1:
        listening = config.bind_socket()
        set_user_timeout(listening)
        Workers(config, sockets=[listening], restarts_on_hup=restarts_on_hup).run()
        return
    config.load_app()
    Server(config).run()


def set_user_timeout(listening: socket.socket) -> None:
    """Close accepted connections whose client acknowledges or receives nothing for ``VANISHED_SECONDS``.

    Only on Linux, where accepted sockets inherit the option.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    try:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(VANISHED_SECONDS * 1000))
    except OSError as error:
        logger.info("user_timeout_not_set", error=repr(error))


class Server(uvicorn.Server):
    """A server in one process, which owns its listening sockets."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which raises the signal again after the shutdown. Here a clean shutdown has exit status 0."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in self._listening():
            set_user_timeout(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in self._listening():
            backlog.drop_new_syns(listening)
        await asyncio.sleep(backlog.SETTLE_SECONDS)
        await super().shutdown(sockets)

    def _listening(self) -> Iterator[socket.socket]:
        for server in self.servers:
            for listening in server.sockets:
                # uvloop's own socket objects do not support setsockopt.
                with socket.socket(fileno=socket.dup(listening.fileno())) as duplicate:
                    yield duplicate


class Workers(Multiprocess):
    """The supervisor of several processes that share a listening socket.

    Uvicorn's own handles signals only between two rounds of its loop, and a rolling restart (SIGHUP) is one round, in
    which it waits for each worker to exit. This one handles a signal at once: it terminates each worker once, and
    forwards a second signal.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], *, restarts_on_hup: bool = True) -> None:
        super().__init__(config, sockets)
        self._restarts_on_hup = restarts_on_hup
        # SimpleQueue.put is reentrant, so a signal handler may call it; Event.set is not.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._terminated: set[int | None] = set()
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: self._signals.put(number))
        threading.Thread(target=self._shut_down, name="signals", daemon=True).start()

    def handle_hup(self) -> None:
        if self._restarts_on_hup:
            super().handle_hup()
            return
        for worker in self.processes:
            if worker.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGHUP)

    def terminate_all(self) -> None:
        self._terminate_once()

    def keep_subprocess_alive(self) -> None:
        for worker in self.processes:
            # While the parent holds the worker's end of the pipe, the pipe stays open after the worker has exited, and
            # the parent waits for its answer until the health check times out.
            worker.child_conn.close()
        super().keep_subprocess_alive()

    def _shut_down(self) -> None:
        self._signals.get()
        self.should_exit.set()
        self._terminate_once()
        self._forward_signal(conf.DRAIN_SECONDS - backlog.SETTLE_SECONDS)
        # The workers accept connections until the end of their drain, which is SETTLE_SECONDS away.
        for listening in self.sockets:
            backlog.drop_new_syns(listening)
        self._forward_signal(2 * backlog.SETTLE_SECONDS)
        # The workers have closed their copies of the socket. This closes the port.
        for listening in self.sockets:
            listening.close()
        while True:
            self._forward_signal(None)

    def _forward_signal(self, seconds: float | None) -> None:
        """Forward the next signal to the workers, if one comes within this time."""
        with contextlib.suppress(queue.Empty):
            self._signals.get(timeout=seconds if seconds is None else max(0.0, seconds))
            for worker in self.processes:
                worker.process.terminate()

    def _terminate_once(self) -> None:
        """Send SIGTERM to the workers that have not got it. A second one would abort their graceful shutdown."""
        for worker in self.processes:
            # A rolling restart has terminated a worker whose pipe is closed.
            if worker.pid not in self._terminated and not worker.parent_conn.closed:
                self._terminated.add(worker.pid)
                worker.process.terminate()
